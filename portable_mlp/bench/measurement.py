"""A measurement that can be trusted: verified, warmed up, in turns, the median of several rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .candidates import Candidate, Floor, Make, ours_on
from .cases import Case
from .trust import spread

SECONDS_A_TURN = 0.05
"""The shortest time for which a candidate runs in its turn."""

SECONDS_OF_REST = 0.05
"""The pause before each turn: threads of the library before it go on spinning on the cores of the next.

OpenBLAS's do so for 2**26 ticks of the processor's clock, 24 ms at 2.8 GHz: after less, the next library's steps took
up to 1.8 times as long.
"""

TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
"""The largest relative difference of a candidate's losses from the same steps in float64."""


class Row(NamedTuple):
    """One line of the table.

    Attributes
    ----------
    case, candidate, dtype : str
        Names of the case, the candidate and the dtype.
    batch_size : int
        Number of samples of a step.
    microseconds : float or None
        Time of a step, the median over the rounds; None if it was not timed.
    samples_per_second : float or None
        Throughput, ``batch_size`` over the time of a step.
    of_floor : float or None
        Time of a step over that of the GEMM floor in the same rounds.
    spread : float or None
        Time of the slowest round over that of the fastest.
    problem : str or None
        Reason why the candidate was not timed.
    """

    case: str
    candidate: str
    dtype: str
    batch_size: int
    microseconds: float | None = None
    samples_per_second: float | None = None
    of_floor: float | None = None
    spread: float | None = None
    problem: str | None = None


def measure(case: Case, dtype: str, makes: dict[str, Make | str], rounds: int = 5) -> Iterator[Row]:
    """Time candidates in turns, A B C A B C ..., beside the floor; yield one row for each.

    Parameters
    ----------
    case : Case
        Training step that all candidates take.
    dtype : {"float32", "float64"}
        Dtype of parameters and inputs.
    makes : dict
        By name of the candidate: the function that makes it, or the reason why it is missing.
    rounds : int
        Number of turns of each candidate.
    """
    candidates: dict[str, Candidate] = {"floor": Floor(case, dtype)}
    expected = ours_on("numpy")(case, "float64").first_losses()
    for name, make in makes.items():
        made = make if isinstance(make, str) else _verified(make, case, dtype, expected)
        if isinstance(made, str):
            yield Row(case.name, name, dtype, case.batch_size, problem=made)
        else:
            candidates[name] = made
    n_steps = {
        name: _steps_a_turn(candidate.run, getattr(candidate, "steps_a_call", 1))
        for name, candidate in candidates.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, candidate in candidates.items():
            time.sleep(SECONDS_OF_REST)
            candidate.run(getattr(candidate, "steps_a_call", 1))
            seconds[name].append(timed(candidate.run, n_steps[name]) / n_steps[name])
    floor = statistics.median(seconds["floor"])
    for name, times in seconds.items():
        step = statistics.median(times)
        per_second = case.batch_size / step
        yield Row(case.name, name, dtype, case.batch_size, step * 1e6, per_second, step / floor, spread(times))


def _verified(make: Make, case: Case, dtype: str, expected: list[float]) -> Candidate | str:
    """Return a candidate with the expected first losses, or the reason why it is not one."""
    try:
        candidate = make(case, dtype)
        losses = candidate.first_losses()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    allowed = max(TOLERANCE[dtype], getattr(candidate, "tolerance", 0.0))
    return wrong_losses(losses, expected, allowed) or candidate


def wrong_losses(losses: Sequence[float], expected: Sequence[float], allowed: float) -> str | None:
    """Return the complaint about losses whose relative difference from those in float64 is too large, else None."""
    off = distance(losses, expected)
    return None if off < allowed else f"its losses are {off:.1e} away from float64: not timed"


def distance(losses: Sequence[float], expected: Sequence[float]) -> float:
    """Return the largest relative difference of losses from the expected ones, NaN if one is NaN."""
    # NumPy's maximum is NaN if any of them is.
    return float(np.max([abs(found - wanted) / wanted for found, wanted in zip(losses, expected, strict=True)]))


def _steps_a_turn(run: Callable[[int], None], at_a_time: int) -> int:
    """Warm up, and return the number of steps that fill a turn, a multiple of ``at_a_time``."""
    n_steps = at_a_time
    while True:
        run(n_steps)  # compiles, where a number of steps is compiled for
        if timed(run, n_steps) >= SECONDS_A_TURN:
            return n_steps
        n_steps *= 2


def timed(run: Callable[[int], None], n_steps: int) -> float:
    """Return the seconds of so many steps."""
    start = time.perf_counter()
    run(n_steps)
    return time.perf_counter() - start

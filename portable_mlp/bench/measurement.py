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
"""How long a candidate runs in its turn, at least."""

SECONDS_OF_REST = 0.02
"""Before each turn: the threads of the library before it go on spinning for a while, on the cores of the next."""

TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
"""How far a candidate's losses may be from the same steps in float64, relative."""


class Row(NamedTuple):
    """One line of the table.

    Attributes
    ----------
    case, candidate, dtype : str
        What was timed.
    batch_size : int
        Samples of a step.
    microseconds : float or None
        Of a step, the median over the rounds; None if it was not timed.
    samples_per_second : float or None
        From it.
    of_floor : float or None
        Times the floor of the same rounds.
    spread : float or None
        The slowest round over the fastest.
    problem : str or None
        Why it was not timed.
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
        What.
    dtype : str
        "float32" or "float64".
    makes : dict
        What makes each candidate, or why there is none.
    rounds : int
        Turns of each.
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
    """Return a candidate whose first losses are those expected, or what is wrong with it."""
    try:
        candidate = make(case, dtype)
        losses = candidate.first_losses()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    allowed = max(TOLERANCE[dtype], getattr(candidate, "tolerance", 0.0))
    return wrong_losses(losses, expected, allowed) or candidate


def wrong_losses(losses: Sequence[float], expected: Sequence[float], allowed: float) -> str | None:
    """Return what is wrong with losses that are further from those in float64 than is allowed, relative; else None."""
    off = distance(losses, expected)
    return None if off < allowed else f"its losses are {off:.1e} away from float64: not timed"


def distance(losses: Sequence[float], expected: Sequence[float]) -> float:
    """Return how far losses are from those expected, relative: the largest of them, NaN if one is."""
    # NumPy's maximum is NaN if any of them is.
    return float(np.max([abs(found - wanted) / wanted for found, wanted in zip(losses, expected, strict=True)]))


def _steps_a_turn(run: Callable[[int], None], at_a_time: int) -> int:
    """Warm up, and return how many steps fill a turn, a multiple of what the candidate takes at a time."""
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

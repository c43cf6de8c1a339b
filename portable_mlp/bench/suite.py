"""The GPU benchmark: candidates are verified, warmed up and timed in turns, each in a process of its own."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .cases import Case
from .on_device import FLOOR, Entry, reference_losses
from .process import Failed, Process
from .roofline import H200, Rates, seconds_of_step
from .worker import Made, Turn, count_kernels, make, prepare, take_turn


class Result(NamedTuple):
    """One line of the table. Times are microseconds; None where nothing was timed, or nothing can be said.

    Attributes
    ----------
    case, candidate, precision : str
        What was timed.
    batch_size : int
        Samples of a step.
    problem : str or None
        Why it was not timed.
    steps_a_call : int
        How many steps the candidate takes at once.
    first_step : float
        Seconds from the data on the host to the first step done.
    step, step_lowest, step_highest : float
        Of a step, where many are enqueued: median and range of the rounds.
    latency : float
        Of a call that is waited for; median.
    on_host : float
        To enqueue a step; median.
    kernels : float or None
        That a step launches, or its graph holds.
    product_error, loss_error : float
        From float64, relative.
    of_products : float or None
        ``step`` over that of the products alone, of the same rounds.
    of_roofline : float
        ``step`` over what no step of Adam can undercut.
    """

    case: str
    candidate: str
    precision: str
    batch_size: int
    problem: str | None = None
    steps_a_call: int | None = None
    first_step: float | None = None
    step: float | None = None
    step_lowest: float | None = None
    step_highest: float | None = None
    latency: float | None = None
    on_host: float | None = None
    kernels: float | None = None
    product_error: float | None = None
    loss_error: float | None = None
    of_products: float | None = None
    of_roofline: float | None = None


class Setting(NamedTuple):
    """What all candidates have in common.

    Attributes
    ----------
    device : str
        "cuda", or "cpu" for a trial.
    rates : Rates
        Of the device.
    rounds : int
        Turns of each candidate.
    seconds_of_warm_up, seconds_a_turn : float
        Before the first turn; and of steps that are enqueued one after another in each.
    tell : callable
        Told what is being done.
    """

    device: str = "cuda"
    rates: Rates = H200
    rounds: int = 3
    seconds_of_warm_up: float = 2.0
    seconds_a_turn: float = 0.5
    tell: Callable[[str], None] = lambda text: None


def run(
    cases: Sequence[Case], precisions: Sequence[str], candidates: Mapping[str, Entry], setting: Setting
) -> Iterator[list[Result]]:
    """Yield the lines of each case and precision as they are ready."""
    for case in cases:
        try:
            with Process() as process:
                setting.tell(f"{case.name}: the losses in float64")
                expected = process.call(reference_losses, case, setting.device)
        except Failed as failed:
            reason = f"there are no losses in float64 to compare with: {failed}"
            for precision in precisions:
                yield [Result(case.name, name, precision, case.batch_size, reason) for name in candidates]
            continue
        for precision in precisions:
            yield measure(case, precision, candidates, expected, setting)


def measure(
    case: Case, precision: str, candidates: Mapping[str, Entry], expected: list[float], setting: Setting
) -> list[Result]:
    """Time candidates in turns, A B C A B C ...; return a line for each.

    Parameters
    ----------
    case : Case
        What.
    precision : str
        "float32", "tf32" or "bfloat16".
    candidates : dict
        Who.
    expected : list of float
        Their first losses in float64.
    setting : Setting
        Where and how.
    """
    blank = {name: Result(case.name, name, precision, case.batch_size) for name in candidates}
    problems: dict[str, str] = {}
    made: dict[str, Made] = {}
    turns: dict[str, list[Turn]] = {name: [] for name in candidates}
    kernels: dict[str, float] = {}
    what = f"{case.name}, {precision}"
    with contextlib.ExitStack() as stack:
        processes = {name: stack.enter_context(Process()) for name in candidates}

        def sound() -> Iterator[tuple[str, Process]]:
            return ((name, process) for name, process in processes.items() if name not in problems)

        setting.tell(f"{what}: libraries and numbers")
        for name, process in processes.items():
            process.start(prepare, candidates[name], case, precision, setting.device)
        for name, process in sound():
            with _noted(problems, name):
                process.result()
        for name, process in sound():
            setting.tell(f"{what}: {name}, made and warmed up")
            with _noted(problems, name):
                made[name] = process.call(
                    make, candidates[name], case, precision, setting.device, expected, setting.seconds_of_warm_up
                )
        for i in range(1, setting.rounds + 1):
            setting.tell(f"{what}: round {i} of {setting.rounds}")
            for name, process in sound():
                with _noted(problems, name):
                    turns[name].append(process.call(take_turn, setting.seconds_a_turn))
        for name, process in sound() if setting.device != "cpu" else ():
            with contextlib.suppress(Failed):  # one that can be timed, but not traced
                kernels[name] = process.call(count_kernels)
    floor = None if FLOOR in problems or FLOOR not in turns else _median(turns[FLOOR], "step")
    limit = seconds_of_step(case, precision, setting.rates)
    return [
        line._replace(problem=problems[name])
        if name in problems
        else line._replace(kernels=kernels.get(name), **_figures(made[name], turns[name], floor, limit))
        for name, line in blank.items()
    ]


@contextlib.contextmanager
def _noted(problems: dict[str, str], name: str) -> Iterator[None]:
    """Keep why a candidate failed, and go on with the others."""
    try:
        yield
    except Failed as failed:
        problems[name] = str(failed)


def _figures(made: Made, turns: list[Turn], floor: float | None, limit: float) -> dict[str, Any]:
    step = _median(turns, "step")
    return {
        **made._asdict(),
        "step": 1e6 * step,
        "step_lowest": 1e6 * min(turn.step for turn in turns),
        "step_highest": 1e6 * max(turn.step for turn in turns),
        "latency": 1e6 * _median(turns, "latency"),
        "on_host": 1e6 * _median(turns, "on_host"),
        "of_products": None if floor is None else step / floor,
        "of_roofline": step / limit,
    }


def _median(turns: list[Turn], name: str) -> float:
    return statistics.median(getattr(turn, name) for turn in turns)

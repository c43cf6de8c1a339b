"""The GPU benchmark: candidates are verified, warmed up and timed in turns, each in a process of its own."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from portable_mlp.bench.cases import Case

from .on_device import FLOOR, Entry, reference_losses
from .process import SECONDS_TO_ANSWER, Failed, Process
from .roofline import H200, Rates, seconds_of_step
from .worker import Made, Turn, count_kernels, make, prepare, take_turn

GPU_CASES = (
    Case("digits", (64, 100, 10), 200),
    Case("mnist", (784, 512, 10), 1024),
    Case("mnist, large batch", (784, 512, 10), 8192),
    Case("big", (4096, 16384, 4096), 8192),
)
"""What is timed: from a step of a few kernels' launches to one of a tenth of a second."""

FIRST_PRECISIONS = {"digits": "float32", "mnist": "tf32", "mnist, large batch": "bfloat16", "big": "tf32"}
"""The precision in which a case is timed first: the one that it is most often trained in."""


class Result(NamedTuple):
    """One line of the table. Times are microseconds; None where nothing was timed, or nothing can be said.

    Attributes
    ----------
    case, candidate, precision : str
        Names of the case, the candidate and the precision.
    batch_size : int
        Number of samples of a step.
    problem : str or None
        Reason why the candidate was not timed.
    steps_a_call : int
        Number of steps of one call.
    first_step : float
        Seconds from the data on the host to the first step done.
    step, step_lowest, step_highest : float
        Time of a step, where many are enqueued: median and range of the rounds.
    latency : float
        Time of a call that is waited for; median.
    on_host : float
        Time to enqueue a step; median.
    kernels : float or None
        Number of kernels that a step launches, or that its graph has.
    product_error, loss_error : float
        Relative differences from float64, of a product and of the losses.
    of_products : float or None
        ``step`` over that of the products alone in the same rounds.
    of_roofline : float
        ``step`` over the lower bound of a step of Adam.
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
    """The setting that all candidates have in common.

    Attributes
    ----------
    device : str
        "cuda", or "cpu" for a trial.
    rates : Rates
        Rates that the device reaches.
    rounds : int
        Number of turns of each candidate.
    seconds_of_warm_up, seconds_a_turn : float
        Time before the first turn, and time of the steps that are enqueued one after another in each.
    ends_at : float
        Time limit, by `time.monotonic`: nothing is begun after it, and nothing that was begun is waited for.
    tell : callable
        ``tell(text)`` reports the progress.
    """

    device: str = "cuda"
    rates: Rates = H200
    rounds: int = 3
    seconds_of_warm_up: float = 2.0
    seconds_a_turn: float = 0.5
    ends_at: float = math.inf
    tell: Callable[[str], None] = lambda text: None

    @property
    def seconds_left(self) -> float:
        """Time until the limit, as far as it bounds a call."""
        return max(0.0, min(SECONDS_TO_ANSWER, self.ends_at - time.monotonic()))


def tables(cases: Sequence[Case], precisions: Sequence[str]) -> list[tuple[Case, str]]:
    """Return the tables to make, the most telling first: each case in its first precision, then the others."""
    every = itertools.product(cases, precisions)
    return sorted(every, key=lambda table: table[1] != FIRST_PRECISIONS.get(table[0].name))


def run(
    wanted: Sequence[tuple[Case, str]], candidates: Mapping[str, Entry], setting: Setting
) -> Iterator[list[Result]]:
    """Yield all lines so far, whenever one is new or more is known of it."""
    done: list[Result] = []
    losses: dict[Case, list[float] | Failed] = {}
    for case, precision in wanted:
        if setting.seconds_left == 0.0:
            setting.tell(f"{case.name}, {precision}: left out, the time is over")
            continue
        if case not in losses:
            losses[case] = _losses_in_float64(case, setting)
        expected = losses[case]
        if isinstance(expected, Failed):
            reason = f"there are no losses in float64 to compare with: {expected}"
            lines = [Result(case.name, name, precision, case.batch_size, reason) for name in candidates]
            yield [*done, *lines]
        else:
            for lines in measure(case, precision, candidates, expected, setting):
                yield [*done, *lines]
        done += lines


def _losses_in_float64(case: Case, setting: Setting) -> list[float] | Failed:
    setting.tell(f"{case.name}: the losses in float64")
    try:
        with Process() as process:
            losses: list[float] = process.call(reference_losses, case, setting.device, timeout=setting.seconds_left)
    except Failed as failed:
        return failed
    return losses


def measure(
    case: Case, precision: str, candidates: Mapping[str, Entry], expected: list[float], setting: Setting
) -> Iterator[list[Result]]:
    """Time candidates, in turns once all are made, A B C A B C ...; yield the lines so far after each turn.

    Parameters
    ----------
    case : Case
        Training step that all candidates take.
    precision : {"float32", "tf32", "bfloat16"}
        Precision of the products.
    candidates : dict
        Library and function of each candidate by name, the most telling first.
    expected : list of float
        First losses of the case in float64.
    setting : Setting
        Device, rounds and times.
    """
    what = f"{case.name}, {precision}"
    with contextlib.ExitStack() as stack:
        trials = {name: _Trial(stack.enter_context(Process())) for name in candidates}
        lines = functools.partial(_results, case, precision, trials, setting.rates)
        setting.tell(f"{what}: libraries and numbers")
        for name, trial in trials.items():
            trial.process.start(prepare, candidates[name], case, precision, setting.device)
        for trial in trials.values():
            trial.noted(trial.process.result, setting.seconds_left)
        for name, trial in trials.items():
            setting.tell(f"{what}: {name}, made and warmed up")
            if setting.seconds_left == 0.0:
                trial.problem = trial.problem or "left out, the time is over"
            given = candidates[name], case, precision, setting.device, expected, setting.seconds_of_warm_up
            trial.made = trial.noted(trial.process.call, make, *given, timeout=setting.seconds_left)
            trial.take_turn(setting.seconds_a_turn)
            yield lines()
        for i in range(2, setting.rounds + 1):
            setting.tell(f"{what}: round {i} of {setting.rounds}")
            for trial in trials.values():
                if setting.seconds_left == 0.0:
                    return
                trial.take_turn(setting.seconds_a_turn)
                yield lines()
        if setting.device != "cpu":
            for trial in trials.values():
                trial.count_kernels()
            yield lines()


def _results(case: Case, precision: str, trials: Mapping[str, _Trial], rates: Rates) -> list[Result]:
    """Return a line for each candidate of which something is known."""
    floor = trials[FLOOR].median("step") if FLOOR in trials and trials[FLOOR].is_timed else None
    limit = seconds_of_step(case, precision, rates)
    return [
        Result(case.name, name, precision, case.batch_size, trial.problem)._replace(**trial.figures(floor, limit))
        for name, trial in trials.items()
        if trial.is_timed or trial.problem is not None
    ]


class _Trial:
    """A candidate's process, and its results.

    Attributes
    ----------
    process : Process
        Process of this candidate alone.
    problem : str or None
        First failure, after which the process is called no more.
    made, turns, kernels
        Results of the calls in the process.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.problem: str | None = None
        self.made: Made | None = None
        self.turns: list[Turn] = []
        self.kernels: float | None = None

    def noted(self, ask: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Return the result of a call; record a failure instead, so that the others continue."""
        if self.problem is None:
            try:
                return ask(*arguments, **options)
            except Failed as failed:
                self.problem = str(failed)
        return None

    @property
    def is_timed(self) -> bool:
        """Whether it has taken a turn, and has not failed."""
        return self.problem is None and bool(self.turns)

    def take_turn(self, seconds: float) -> None:
        """Have a turn taken."""
        turn = self.noted(self.process.call, take_turn, seconds)
        if turn is not None:
            self.turns.append(turn)

    def count_kernels(self) -> None:
        """Have the kernels counted; what was timed stays, though it may not be traced."""
        if self.problem is None:
            with contextlib.suppress(Failed):
                self.kernels = self.process.call(count_kernels)

    def median(self, name: str) -> float:
        """Return the median of a time over the rounds."""
        return statistics.median(getattr(turn, name) for turn in self.turns)

    def figures(self, floor: float | None, limit: float) -> dict[str, Any]:
        """Return the figures of a result, none of a candidate that failed."""
        if self.made is None or not self.is_timed:
            return {}
        step, steps = self.median("step"), [turn.step for turn in self.turns]
        return {
            **self.made._asdict(),
            "step": 1e6 * step,
            "step_lowest": 1e6 * min(steps),
            "step_highest": 1e6 * max(steps),
            "latency": 1e6 * self.median("latency"),
            "on_host": 1e6 * self.median("on_host"),
            "kernels": self.kernels,
            "of_products": None if floor is None else step / floor,
            "of_roofline": step / limit,
        }

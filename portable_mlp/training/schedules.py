"""Learning rates: functions of how far training is, and what "adaptive" does where the loss stalls."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from ..kernels.options import check_choice
from .stopping import Stall

DIVISOR = 5.0
"""The schedule "adaptive" divides by it."""

SMALLEST_RATE = 1e-6
"""A rate of the schedule "adaptive" that is no larger is not divided any more."""

OfEpoch: TypeAlias = Callable[[int], float]
"""The learning rate of an epoch, counted from 0."""


class Progress(NamedTuple):
    """How far training is.

    Attributes
    ----------
    epoch : int
        Epochs completed.
    samples_seen : int
        Samples of these epochs.
    epochs : int
        The number of epochs there will be at most.
    step : int
        The step that is to be taken, counted from 1; at the start of an epoch its first.
    n_steps : int
        The steps of an epoch.
    """

    epoch: int
    samples_seen: int = 0
    epochs: int = 1
    step: int = 1
    n_steps: int = 1


def unchanged(rate: float, at: Progress) -> float:
    """Return ``rate``."""
    return rate


def exponential(rate: float, at: Progress, decay: float) -> float:
    """Return ``rate decay^epoch``."""
    return rate * decay**at.epoch


def invscaling(rate: float, at: Progress, power_t: float | None) -> float:
    """Return ``rate / (t + 1)^power_t``, t being the samples seen before the epoch (scikit-learn's).

    None is the square root, whose last digit is not always that of the power 0.5.
    """
    seen = at.samples_seen + 1
    return rate / (math.sqrt(seen) if power_t is None else seen**power_t)


def cosine(rate: float, at: Progress) -> float:
    """Return ``rate (1 + cos(pi epoch / epochs)) / 2``: from ``rate`` down towards 0."""
    return rate * 0.5 * (1.0 + math.cos(math.pi * min(at.epoch, at.epochs) / at.epochs))


class ScheduleEntry(NamedTuple):
    """A schedule, as its name stands for it.

    Attributes
    ----------
    rate : callable
        ``rate(learning_rate, progress, **options) -> float``.
    options : tuple of str
        The keyword arguments of ``rate`` that users may give.
    by_step : bool
        Whether the rate changes within an epoch; otherwise it is asked for once an epoch.
    divides : bool
        Whether the learning rate is divided by 5 where the loss stalls.
    needs_epochs : bool
        Whether the rate depends on how many epochs there will be.
    """

    rate: Callable[..., float]
    options: tuple[str, ...] = ()
    by_step: bool = False
    divides: bool = False
    needs_epochs: bool = False


SCHEDULES = {
    "constant": ScheduleEntry(unchanged),
    "exponential": ScheduleEntry(exponential, ("decay",)),
    "invscaling": ScheduleEntry(invscaling, ("power_t",)),
    "adaptive": ScheduleEntry(unchanged, divides=True),
    "cosine": ScheduleEntry(cosine, needs_epochs=True),
}
"""The schedules of the learning rate, by name."""


class Schedule:
    """A schedule on its way.

    Parameters
    ----------
    entry : ScheduleEntry
        The schedule.
    learning_rate : float
        Where it starts.
    **options : float or None
        Values for the options of all schedules, of which the entry takes its own.

    Attributes
    ----------
    learning_rate : float
        What the entry's rate starts from now: lower than at first where it was divided.
    """

    def __init__(self, entry: ScheduleEntry, learning_rate: float, **options: float | None) -> None:
        self.entry, self.learning_rate = entry, learning_rate
        self._options = {name: options[name] for name in entry.options}

    def at(self, progress: Progress) -> float:
        """Return the learning rate.

        Raises
        ------
        ValueError
            If the schedule gives a negative or non-finite rate.
        """
        now = f"step {progress.step}" if self.entry.by_step else f"epoch {progress.epoch}"
        try:
            rate = float(self.entry.rate(self.learning_rate, progress, **self._options))
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"the schedule gave no learning rate for {now}: {error}") from error
        if not 0.0 <= rate < math.inf:
            raise ValueError(f"the schedule gave the learning rate {rate} for {now}; it must be finite, not negative")
        return rate

    def divide(self) -> bool:
        """Divide the learning rate where the schedule does so; return False where training had better stop."""
        if not self.entry.divides or self.learning_rate <= SMALLEST_RATE:
            return False
        self.learning_rate /= DIVISOR
        return True


class LossDrivenRates:
    """The learning rates of `portable_mlp.train`: a schedule, which "adaptive" divides where the training loss stalls.

    A stall is two epochs in a row whose loss does not fall by 1e-4. Other schedules take no notice.

    Parameters
    ----------
    schedule : Schedule
        The formula, and where it starts.
    """

    tolerance = 1e-4
    n_epochs = 2

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._stall = Stall(self.tolerance)

    @property
    def by_step(self) -> bool:
        """Whether the rate changes within an epoch."""
        return self._schedule.entry.by_step

    def at(self, progress: Progress) -> float:
        """Return the learning rate."""
        return self._schedule.at(progress)

    def goes_on_after(self, loss: float) -> bool:
        """Take note of an epoch's loss; return False where the rate is used up."""
        if not self._schedule.entry.divides:
            return True
        self._stall.count(loss)
        if self._stall.n_epochs < self.n_epochs:
            return True
        self._stall.n_epochs = 0
        return self._schedule.divide()

    def memory(self) -> list[float]:
        """Return the rate, the best loss and how often in a row it has stalled; nothing where they do not matter."""
        if not self._schedule.entry.divides:
            return []
        return [self._schedule.learning_rate, self._stall.best, float(self._stall.n_epochs)]

    def restore(self, memory: list[float]) -> None:
        """Go on from what `memory` returned."""
        if self._schedule.entry.divides:
            self._schedule.learning_rate, self._stall.best, n_epochs = memory
            self._stall.n_epochs = int(n_epochs)


def make_schedule(schedule: str | OfEpoch, learning_rate: float, **options: float | None) -> Schedule:
    """Return the schedule of a name, or of a function from the epoch to the rate itself."""
    if callable(schedule):
        of_epoch = schedule
        return Schedule(ScheduleEntry(lambda rate, at: of_epoch(at.epoch)), learning_rate)
    check_choice("schedule", schedule, SCHEDULES)
    return Schedule(SCHEDULES[schedule], learning_rate, **options)


def needs_epochs(schedule: str | OfEpoch) -> bool:
    """Tell whether a schedule's rates depend on how many epochs there will be."""
    return isinstance(schedule, str) and SCHEDULES[schedule].needs_epochs

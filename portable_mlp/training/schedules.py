"""Learning rates: functions of the progress of training, and the division by "adaptive" where the loss stalls."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from ..kernels.options import check_choice
from .stopping import Stall

DIVISOR = 5.0
"""The divisor of the schedule "adaptive"."""

SMALLEST_RATE = 1e-6
"""The rate at or below which the schedule "adaptive" no longer divides."""

OfEpoch: TypeAlias = Callable[[int], float]
"""The learning rate of an epoch, counted from 0."""


class Progress(NamedTuple):
    """The progress of training.

    Attributes
    ----------
    epoch : int
        The number of epochs completed.
    samples_seen : int
        The number of samples of these epochs.
    epochs : int
        The largest number of epochs.
    step : int
        The number of the next step, from 1; at the start of an epoch that of its first step.
    n_steps : int
        The number of steps of an epoch.
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
    """An entry of the table of schedules.

    Attributes
    ----------
    rate : callable
        ``rate(learning_rate, progress, **options) -> float``.
    options : tuple of str
        The keyword arguments of ``rate`` that users may give.
    by_step : bool
        Whether the rate changes within an epoch; otherwise it is computed once an epoch.
    divides : bool
        Whether the learning rate is divided by 5 where the loss stalls.
    needs_epochs : bool
        Whether the rate depends on the largest number of epochs.
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
    """A schedule with its current learning rate.

    Parameters
    ----------
    entry : ScheduleEntry
        The schedule's formula and properties.
    learning_rate : float
        The initial learning rate.
    **options : float or None
        Values for the options of all schedules, of which the entry takes its own.

    Attributes
    ----------
    learning_rate : float
        The rate that the formula scales: below the initial one once it was divided.
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
        """Divide the learning rate if the schedule does so; return False where training should stop."""
        if not self.entry.divides or self.learning_rate <= SMALLEST_RATE:
            return False
        self.learning_rate /= DIVISOR
        return True


class LossDrivenRates:
    """The learning rates of `portable_mlp.train`: a schedule, which "adaptive" divides where the training loss stalls.

    A stall is two epochs in a row whose loss does not fall by 1e-4. Other schedules ignore it.

    Parameters
    ----------
    schedule : Schedule
        The schedule, which is changed where it divides.
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

    def continues_after(self, loss: float) -> bool:
        """Record an epoch's loss; return False where the rate cannot be divided further."""
        if not self._schedule.entry.divides:
            return True
        self._stall.count(loss)
        if self._stall.n_epochs < self.n_epochs:
            return True
        self._stall.n_epochs = 0
        return self._schedule.divide()

    def memory(self) -> list[float]:
        """Return the rate, the best loss and the count of stalled epochs in a row; empty where they do not matter."""
        if not self._schedule.entry.divides:
            return []
        return [self._schedule.learning_rate, self._stall.best, float(self._stall.n_epochs)]

    def restore(self, memory: list[float]) -> None:
        """Continue from a result of `memory`."""
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
    """Return whether a schedule's rates depend on the largest number of epochs."""
    return isinstance(schedule, str) and SCHEDULES[schedule].needs_epochs

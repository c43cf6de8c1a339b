"""Learning rates: functions of the progress of training, and the division by "adaptive" where the loss stalls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

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


def invscaling(rate: float, at: Progress, power_t: float | None = None) -> float:
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

    @property
    def changes(self) -> bool:
        """Whether the rate depends on the progress of training."""
        return self.rate is not unchanged

    def at(self, learning_rate: float, progress: Progress, options: Mapping[str, float]) -> float:
        """Return the learning rate.

        Raises
        ------
        ValueError
            If the schedule gives a negative or non-finite rate.
        """
        now = f"step {progress.step}" if self.by_step else f"epoch {progress.epoch}"
        try:
            rate = float(self.rate(learning_rate, progress, **options))
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"the schedule gave no learning rate for {now}: {error}") from error
        if not 0.0 <= rate < math.inf:
            raise ValueError(f"the schedule gave the learning rate {rate} for {now}; it must be finite, not negative")
        return rate


SCHEDULES = {
    "constant": ScheduleEntry(unchanged),
    "exponential": ScheduleEntry(exponential, ("decay",)),
    "invscaling": ScheduleEntry(invscaling, ("power_t",)),
    "adaptive": ScheduleEntry(unchanged, divides=True),
    "cosine": ScheduleEntry(cosine, needs_epochs=True),
}
"""The schedules of the learning rate, by name."""


def schedule_entry(schedule: str | OfEpoch) -> ScheduleEntry:
    """Return the entry of a name, or one of a function from the epoch to the rate itself."""
    if callable(schedule):
        of_epoch = schedule
        return ScheduleEntry(lambda rate, at: of_epoch(at.epoch))
    return SCHEDULES[schedule]


def divided(rate: float) -> float | None:
    """Return the rate after a stall, by "adaptive"; None where it is too small to be divided: training should stop."""
    return None if rate <= SMALLEST_RATE else rate / DIVISOR


class LossDrivenRates:
    """The learning rates of `portable_mlp.train`: a schedule, which "adaptive" divides where the training loss stalls.

    A stall is two epochs in a row whose loss does not fall by 1e-4. Other schedules ignore it.

    Parameters
    ----------
    entry : ScheduleEntry
        The schedule's formula and properties.
    learning_rate : float
        The initial learning rate, which is divided where the schedule does so.
    options : dict
        The keyword arguments of the formula.
    """

    tolerance = 1e-4
    n_epochs = 2

    def __init__(self, entry: ScheduleEntry, learning_rate: float, options: Mapping[str, float]) -> None:
        self._entry, self._learning_rate, self._options = entry, learning_rate, options
        self._stall = Stall(self.tolerance)

    @property
    def by_step(self) -> bool:
        """Whether the rate changes within an epoch."""
        return self._entry.by_step

    @property
    def by_loss(self) -> bool:
        """Whether the rate depends on the losses of the epochs before."""
        return self._entry.divides

    def at(self, progress: Progress) -> float:
        """Return the learning rate."""
        return self._entry.at(self._learning_rate, progress, self._options)

    def continues_after(self, loss: float) -> bool:
        """Record an epoch's loss; return False where the rate cannot be divided further."""
        if not self.by_loss:
            return True
        self._stall.count(loss)
        if self._stall.n_epochs < self.n_epochs:
            return True
        self._stall.n_epochs = 0
        rate = divided(self._learning_rate)
        if rate is not None:
            self._learning_rate = rate
        return rate is not None

    def memory(self) -> list[float]:
        """Return the rate, the best loss and the count of stalled epochs in a row; empty where they do not matter."""
        if not self.by_loss:
            return []
        return [self._learning_rate, self._stall.best, float(self._stall.n_epochs)]

    def restore(self, memory: list[float]) -> None:
        """Continue from a result of `memory`."""
        if self.by_loss:
            self._learning_rate, self._stall.best, n_epochs = memory
            self._stall.n_epochs = int(n_epochs)


def needs_epochs(schedule: str | OfEpoch) -> bool:
    """Return whether a schedule's rates depend on the largest number of epochs."""
    return isinstance(schedule, str) and SCHEDULES[schedule].needs_epochs

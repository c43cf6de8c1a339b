"""Learning rates: one for each epoch, as a formula of the epoch or as an answer to the losses seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from ..kernels.options import check_choice

Formula: TypeAlias = Callable[[int], float]


def constant(rate: float) -> Formula:
    """Return ``rate`` for every epoch."""
    return lambda epoch: rate


def exponential(rate: float, decay: float) -> Formula:
    """Return ``rate decay^epoch``."""
    return lambda epoch: rate * decay**epoch


def invscaling(rate: float, n_samples: int) -> Formula:
    """Return ``rate / sqrt(t + 1)``, t being the samples seen before the epoch (scikit-learn's, with its power 0.5)."""
    return lambda epoch: rate / math.sqrt(epoch * n_samples + 1)


def cosine(rate: float, epochs: int) -> Formula:
    """Return ``rate (1 + cos(pi epoch / epochs)) / 2``: from ``rate`` down towards 0."""
    return lambda epoch: rate * 0.5 * (1.0 + math.cos(math.pi * epoch / epochs))


SCHEDULES = ("constant", "exponential", "invscaling", "adaptive", "cosine")


class Schedule:
    """A formula of the epoch, whatever the losses."""

    def __init__(self, formula: Formula) -> None:
        self._formula = formula

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0.

        Raises
        ------
        ValueError
            If the formula gives a negative or non-finite rate.
        """
        try:
            rate = float(self._formula(epoch))
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"the schedule gave no learning rate for epoch {epoch}: {error}") from error
        if not 0.0 <= rate < math.inf:
            raise ValueError(
                f"the schedule gave the learning rate {rate} for epoch {epoch}; it must be finite, not negative"
            )
        return rate

    def goes_on_after(self, loss: float) -> bool:
        """Take note of an epoch's loss; return False where it is time to stop."""
        return True

    def memory(self) -> list[float]:
        """Return what the losses so far have left behind."""
        return []

    def restore(self, memory: list[float]) -> None:
        """Go on from what `memory` returned."""


class Adaptive(Schedule):
    """Keep the rate while the training loss falls by 1e-4 or more; else, twice in a row, divide it by 5.

    Stops where a rate of 1e-6 or less would have to be divided.
    """

    tolerance = 1e-4
    epochs_without_progress = 2
    factor = 5.0
    smallest = 1e-6

    def __init__(self, rate: float) -> None:
        super().__init__(lambda epoch: self._rate)
        self._rate = rate
        self._best = math.inf
        self._stalled = 0

    def goes_on_after(self, loss: float) -> bool:
        """Divide the rate where the loss has stalled; return False where the rate is used up."""
        self._stalled = self._stalled + 1 if loss > self._best - self.tolerance else 0
        self._best = min(self._best, loss)
        if self._stalled < self.epochs_without_progress:
            return True
        if self._rate <= self.smallest:
            return False
        self._rate /= self.factor
        self._stalled = 0
        return True

    def memory(self) -> list[float]:
        """Return the rate, the best loss and how often in a row it has stalled."""
        return [self._rate, self._best, float(self._stalled)]

    def restore(self, memory: list[float]) -> None:
        """Go on from what `memory` returned."""
        self._rate, self._best, stalled = memory
        self._stalled = int(stalled)


def make_schedule(
    schedule: str | Formula, *, learning_rate: float, decay: float, epochs: int, n_samples: int
) -> Schedule:
    """Return the schedule of a name, or of a function from the epoch to the rate itself."""
    if callable(schedule):
        return Schedule(schedule)
    check_choice("schedule", schedule, SCHEDULES)
    if schedule == "adaptive":
        return Adaptive(learning_rate)
    formulas = {
        "constant": constant(learning_rate),
        "exponential": exponential(learning_rate, decay),
        "invscaling": invscaling(learning_rate, n_samples),
        "cosine": cosine(learning_rate, epochs),
    }
    return Schedule(formulas[schedule])

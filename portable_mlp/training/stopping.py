"""Rules for stopping after some epochs without progress of an objective, and the best of the epochs."""

from __future__ import annotations

import math
from collections.abc import Iterable


def best_epoch(objectives: Iterable[float]) -> int | None:
    """Return the first epoch, counted from 1, of the least objective; None where there is none but NaN.

    >>> best_epoch([0.5, 0.25, 0.25]), best_epoch([])
    (2, None)
    """
    known = [(objective, epoch) for epoch, objective in enumerate(objectives, start=1) if not math.isnan(objective)]
    return min(known)[1] if known else None


class Stall:
    """Epochs in a row in which an objective, which is minimised, did not fall by a tolerance (scikit-learn's rule).

    With a NaN no comparison holds: the count restarts.

    Parameters
    ----------
    tolerance : float
        The fall that counts as progress.
    best : float
        The least objective so far.
    n_epochs : int
        The count so far.
    """

    def __init__(self, tolerance: float, best: float = math.inf, n_epochs: int = 0) -> None:
        self.tolerance, self.best, self.n_epochs = tolerance, best, n_epochs

    def count(self, objective: float) -> bool:
        """Count an epoch; return whether its objective is the least so far."""
        self.n_epochs = self.n_epochs + 1 if objective > self.best - self.tolerance else 0
        improved = objective < self.best
        if improved:
            self.best = objective
        return improved


class Patience:
    """A wait for a new least objective.

    Parameters
    ----------
    n_epochs : int or None
        The number of epochs to wait; None waits for ever.
    """

    def __init__(self, n_epochs: int | None) -> None:
        self._n_epochs = n_epochs
        self.least, self.since_best = math.inf, 0

    def count(self, objective: float) -> bool:
        """Count an epoch; return whether its objective is the least so far."""
        self.since_best += 1
        improved = objective < self.least
        if improved:
            self.least, self.since_best = objective, 0
        return improved

    @property
    def is_over(self) -> bool:
        """Whether the wait is over."""
        return self._n_epochs is not None and self.since_best >= self._n_epochs

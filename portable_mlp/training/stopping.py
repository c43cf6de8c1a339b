"""Rules for stopping after some epochs without progress of an objective, and the best of the epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

MONITORED = {"loss": ("validation_loss", 1.0), "score": ("validation_score", -1.0)}
"""The numbers that `patience` may follow: the name in the history, and the sign with which it is minimised."""


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


class Rule(Protocol):
    """A rule for stopping a run of `portable_mlp.train`.

    Attributes
    ----------
    is_best : bool
        Whether the parameters after the last epoch are the best so far, which the run keeps.
    """

    is_best: bool

    def epoch_ends(self, figures: Mapping[str, Any]) -> bool:
        """Count an epoch, given its numbers in the history; return whether to stop."""

    def memory(self) -> list[float]:
        """Return the state on which later decisions depend."""

    def restore(self, memory: list[float]) -> None:
        """Continue from a result of `memory`."""


class Patience:
    """A wait for a better validation.

    Parameters
    ----------
    n_epochs : int
        The number of epochs to wait.
    monitored : {"loss", "score"}
        The number by which a validation is better.
    """

    def __init__(self, n_epochs: int, monitored: str) -> None:
        self.is_best = False
        self._n_epochs = n_epochs
        self._name, self._sign = MONITORED[monitored]
        self._least, self._since_best = math.inf, 0

    def epoch_ends(self, figures: Mapping[str, Any]) -> bool:
        """Count an epoch; return whether the wait is over."""
        objective = self._sign * figures[self._name]
        self.is_best = objective < self._least
        if self.is_best:
            self._least = objective
        self._since_best = 0 if self.is_best else self._since_best + 1
        return self._since_best >= self._n_epochs

    def memory(self) -> list[float]:
        """Return the least objective, and the number of epochs since."""
        return [self._least, float(self._since_best)]

    def restore(self, memory: list[float]) -> None:
        """Continue from a result of `memory`."""
        self._least, since_best = memory
        self._since_best = int(since_best)


RULES: dict[str, Callable[[Mapping[str, Any]], Rule]] = {
    "patience": lambda options: Patience(options["patience"], options["monitor"]),
}
"""Constructors of the rules from the options of a run; keys are the option, and the reason in ``stopped_because``."""


def rules_of(options: Mapping[str, Any]) -> dict[str, Rule]:
    """Return the rules that the options of a run ask for."""
    return {name: make(options) for name, make in RULES.items() if options[name] is not None}

"""How good is a model on the samples held out? Its loss, read from the device, and scikit-learn's score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backends import Backend
from ..kernels.arrays import Array
from ..kernels.step import Objective
from ..training.evaluation import make_logits
from .losses import outputs_of
from .problem import Held, Problem

Score = Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]


class Validation:
    """Evaluates flat parameters on held-out samples.

    Parameters
    ----------
    home : Backend
        Where the samples are.
    objective : Objective
        Its loss is evaluated, without the penalty.
    held : Held
        The samples.
    score : callable
        ``score(Y, outputs, weights)``, of the host.
    """

    def __init__(self, home: Backend, objective: Objective, held: Held, score: Score) -> None:
        self._home, self._held, self._score = home, held, score
        self._evaluate, self._output = home.compile(make_logits(home.primitives, objective)), objective.net.output
        self._logits: Array | None = None

    def loss(self, flat: Array) -> np.float64:
        """Return the mean loss at parameters; `score` then tells of the same."""
        self._logits, loss = self._evaluate(flat, self._held.data)
        return np.float64(self._home.to_numpy(loss))

    def score(self) -> float:
        """Return the score at the parameters that `loss` was asked for last."""
        outputs = outputs_of(self._home.xp, self._output, self._logits)
        return self._score(self._held.Y, self._home.to_numpy(outputs), self._held.weights)


def validation_of(estimator: Any, problem: Problem) -> Validation | None:
    """Return what evaluates a fit, None where no samples are held out."""
    if problem.held is None:
        return None
    return Validation(problem.home, problem.objective, problem.held, estimator._score_outputs)

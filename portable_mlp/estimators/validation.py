"""Validation on a hold-out: the loss, read from the device, and scikit-learn's score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backends import Backend
from ..kernels.arrays import Array
from ..kernels.step import Objective
from ..training.evaluation import make_logits
from .losses import outputs_of
from .problem import FitProblem, FitSamples

Score = Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]


class Validation:
    """Evaluates flat parameters on a hold-out.

    Parameters
    ----------
    backend : Backend
        The library and device of the samples.
    objective : Objective
        The objective, whose loss is evaluated without the penalty.
    hold_out : FitSamples
        The samples to validate on.
    score : callable
        ``score(Y, outputs, weights) -> float``, of arrays on the host.
    """

    def __init__(self, backend: Backend, objective: Objective, hold_out: FitSamples, score: Score) -> None:
        self._backend, self._hold_out, self._score = backend, hold_out, score
        self._ops, self._output = backend.primitives_outside_steps, objective.net.output
        self._evaluate = backend.compile(make_logits(self._ops, objective))
        self._logits: Array | None = None

    def loss(self, flat: Array) -> np.float64:
        """Return the mean loss at parameters, and keep their outputs for `score`."""
        self._logits, loss = self._evaluate(flat, self._hold_out.data)
        return np.float64(self._backend.to_numpy(loss))

    def score(self) -> float:
        """Return the score at the parameters of the last call of `loss`."""
        outputs = outputs_of(self._ops, self._output, self._logits)
        return self._score(self._hold_out.Y, self._backend.to_numpy(outputs), self._hold_out.weights)


def validation_of(estimator: Any, problem: FitProblem) -> Validation | None:
    """Return the validation of a fit, None without a hold-out."""
    if problem.hold_out is None:
        return None
    return Validation(problem.backend, problem.objective, problem.hold_out, estimator._score_outputs)

"""scikit-learn's rule for stopping: too many epochs without a better validation score or training loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..distributed.group import on_root
from ..kernels.arrays import Array, snapshot
from ..training.stopping import Stall
from .optimizer_state import OptimizerState
from .problem import FitProblem
from .validation import validation_of


class EarlyStopping:
    """The count of epochs without improvement, kept in the attributes of a draft.

    Parameters
    ----------
    draft : MLPClassifier or MLPRegressor
        The draft: ``early_stopping`` chooses the score, otherwise the training loss counts.
    problem : FitProblem
        The problem, with a hold-out where there is validation.
    best : array of shape (n_parameters,) or None
        The best parameters so far.

    Attributes
    ----------
    best : array of shape (n_parameters,) or None
        The parameters with the best validation score so far.
    """

    def __init__(self, draft: Any, problem: FitProblem, best: Array | None) -> None:
        self.best = best
        self._draft, self._xp = draft, problem.backend.xp
        self._validation = validation_of(draft, problem)

    @property
    def evaluates(self) -> bool:
        """Whether each epoch is evaluated on a hold-out."""
        return self._validation is not None

    @property
    def n_before_decision(self) -> float:
        """The number of epochs to count until `continues` may first decide something."""
        return self._draft.n_iter_no_change - self._draft._no_improvement_count + 1

    def count(self, flat: Array) -> list[str]:
        """Count an epoch that ended with these parameters; return lines to print."""
        draft, validation = self._draft, self._validation
        if validation is not None:
            validation_loss = on_root(lambda: validation.loss(flat))
            draft.validation_loss_curve_.append(np.float64(validation_loss))
        if validation is None or not draft.early_stopping:
            stall = Stall(draft.tol, draft.best_loss_, draft._no_improvement_count)
            stall.count(draft.loss_)
            draft.best_loss_, draft._no_improvement_count = stall.best, stall.n_epochs
            return []
        score = on_root(validation.score)
        draft.validation_scores_.append(score)
        stall = Stall(draft.tol, -draft.best_validation_score_, draft._no_improvement_count)
        if stall.count(-score):
            draft.best_validation_score_ = score
            self.best = snapshot(self._xp, flat)
        draft._no_improvement_count = stall.n_epochs
        return [f"Validation score: {score:f}"]

    def continues(self, optimizer: OptimizerState) -> tuple[bool, list[str]]:
        """Return whether to continue after the epochs counted so far, and lines to print."""
        draft = self._draft
        if draft._no_improvement_count <= draft.n_iter_no_change:
            return True, []
        continues, outcome = optimizer.continues_after_stall()
        if continues:
            draft._no_improvement_count = 0
        looked_at = "Validation score" if draft.early_stopping else "Training loss"
        stalled = f"did not improve more than tol={draft.tol:f} for {draft.n_iter_no_change:d} consecutive epochs"
        return continues, [f"{looked_at} {stalled}. {outcome}"]

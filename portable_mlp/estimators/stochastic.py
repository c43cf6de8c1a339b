"""Fitting by SGD or Adam: scikit-learn's epochs, to the letter, around the loop of `portable_mlp.training`.

At the end of an epoch, in this order: the loss, the samples seen, the loss curve, what ``verbose`` prints, the count of
epochs without improvement, the learning rate, and the decision to stop.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..kernels.arrays import Array, snapshot
from ..kernels.step import Program
from ..training.agreed_stop import AgreedRequests
from ..training.batches import Span, spans
from ..training.data_parallel import make_loop
from ..training.group import current_group, decided, leads
from ..training.interruption import StopAsked
from .callbacks import Watch
from .optimizer import OptimizerState
from .problem import Problem
from .validation import validation_of


def fit_stochastic(
    estimator: Any, problem: Problem, flat: Array, watch: Watch, *, best: Array | None, one_epoch: bool
) -> Array:
    """Train, keep the record in the estimator's attributes, and return the flat parameters that were reached.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Its parameters are read, and its fitted attributes written.
    problem : Problem
        What is learnt; with ``held`` samples where it says so.
    flat : array of shape (n_parameters,)
        Where to start.
    watch : Watch
        Told of every epoch.
    best : array of shape (n_parameters,) or None
        What early stopping returns where no epoch is better than before; None returns the last epoch.
    one_epoch : bool
        ``partial_fit``: go on with the estimator's optimizer, for one epoch.
    """
    return _Epochs(estimator, problem, flat, watch, best, one_epoch).run()


class _Epochs:
    """One fit, epoch by epoch."""

    def __init__(
        self, estimator: Any, problem: Problem, flat: Array, watch: Watch, best: Array | None, one_epoch: bool
    ) -> None:
        self.estimator, self.problem, self.watch, self.one_epoch = estimator, problem, watch, one_epoch
        self.optimizer: OptimizerState = estimator._optimizer
        self.loop = make_loop(
            problem.home,
            Program(problem.objective, self.optimizer.optimizer()),
            flat,
            self.optimizer.moments,
            self.optimizer.n_steps,
        )
        self.batch_size = _batch_size(estimator.batch_size, problem.data.n_samples)
        self.order = np.arange(problem.data.n_samples)
        self.validation = validation_of(estimator, problem)
        self.best = best
        group = current_group()
        self.requests = None if group is None else AgreedRequests(group)

    def run(self) -> Array:
        """Train until something says stop; Ctrl-C keeps what was reached."""
        self.estimator.n_iter_ = 0
        try:
            with self.requests or contextlib.nullcontext():
                self._until_stopped()
        except (KeyboardInterrupt, StopAsked):
            if self.requests is not None:
                self.requests.end_if_terminated()
            warnings.warn("Training interrupted by user.", stacklevel=2)
        return self.best if self.estimator.early_stopping and self.best is not None else self.loop.flat

    def _until_stopped(self) -> None:
        for _ in range(self.estimator.max_iter):
            self.watch.epoch_begins(self.loop.flat)
            self._train()
            self._record()
            stop = self._stalled()
            if decided(lambda: self.watch.epoch_ends(self.loop.flat)) or stop or self.one_epoch:
                return
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({self.estimator.max_iter}) reached and the optimization hasn't "
            "converged yet.",
            ConvergenceWarning,
            stacklevel=3,
        )

    def _train(self) -> None:
        estimator = self.estimator
        if estimator.shuffle:
            permutation = np.arange(len(self.order))
            estimator._random_state.shuffle(permutation)
            self.order = self.order[permutation]
        requests = self.requests
        try:
            batches = self._batches()
            mean = self.loop.epoch(
                self.problem.data,
                batches,
                self.optimizer.rate,
                order=self.order if estimator.shuffle else None,
                masks=self._masks(batches) if estimator.dropout else None,
                between=None if requests is None else lambda n_batches: requests.check(),
            )
        finally:  # after Ctrl-C they belong to the parameters that were reached
            self.optimizer.moments, self.optimizer.n_steps = self.loop.state, self.loop.n_steps
        estimator.loss_ = np.float64(decided(lambda: float(self.problem.home.to_numpy(mean))))

    def _batches(self) -> Sequence[Span]:
        """Return the epoch's batches, without those whose weights sum to zero.

        Raises
        ------
        ZeroDivisionError
            If no batch is left.
        """
        batches, weights = spans(len(self.order), self.batch_size), self.problem.weights
        if weights is not None:
            batches = [(start, stop) for start, stop in batches if weights[self.order[start:stop]].sum() != 0]
        if not batches:
            raise ZeroDivisionError("Weights sum to zero in every batch: nothing can be learnt from them")
        return batches

    def _masks(self, batches: Sequence[Span]) -> Iterator[tuple[Array, ...]]:
        """Draw, on the host, which hidden units stay in each batch; scaled so that their expected sum stays."""
        rate, home = self.estimator.dropout, self.problem.home
        for start, stop in batches:
            shapes = [(stop - start, n_units) for n_units in self.problem.net.sizes[1:-1]]
            kept = [self.estimator._random_state.random_sample(shape) >= rate for shape in shapes]
            yield tuple(home.asarray(keep / (1.0 - rate), dtype=self.loop.flat.dtype) for keep in kept)

    def _record(self) -> None:
        estimator = self.estimator
        estimator.n_iter_ += 1
        estimator.t_ += self.problem.data.n_samples
        estimator.loss_curve_.append(estimator.loss_)
        if estimator.verbose and leads():
            print(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")  # noqa: T201
        validation = self.validation
        if validation is not None:
            loss = decided(lambda: validation.loss(self.loop.flat))
            estimator.validation_loss_curve_.append(np.float64(loss))
        if validation is not None and estimator.early_stopping:
            self._count_by_score(decided(validation.score))
        else:
            self._count_by_loss()
        self.optimizer.epoch_ends(estimator.t_)

    def _count_by_loss(self) -> None:
        estimator = self.estimator
        # With a NaN neither comparison holds, as in scikit-learn.
        stalled = estimator.loss_ > estimator.best_loss_ - estimator.tol
        estimator._no_improvement_count = estimator._no_improvement_count + 1 if stalled else 0
        if estimator.loss_ < estimator.best_loss_:
            estimator.best_loss_ = estimator.loss_

    def _count_by_score(self, score: float) -> None:
        estimator = self.estimator
        estimator.validation_scores_.append(score)
        if estimator.verbose and leads():
            print(f"Validation score: {score:f}")  # noqa: T201
        stalled = score < estimator.best_validation_score_ + estimator.tol
        estimator._no_improvement_count = estimator._no_improvement_count + 1 if stalled else 0
        if score > estimator.best_validation_score_:
            estimator.best_validation_score_ = score
            self.best = snapshot(self.problem.home.xp, self.loop.flat)

    def _stalled(self) -> bool:
        """Return whether to stop, for too many epochs without improvement; the schedule may go on instead."""
        estimator = self.estimator
        if estimator._no_improvement_count <= estimator.n_iter_no_change:
            return False
        goes_on, outcome = self.optimizer.goes_on_after_stall()
        if goes_on:
            estimator._no_improvement_count = 0
        if estimator.verbose and leads():
            looked_at = "Validation score" if estimator.early_stopping else "Training loss"
            print(  # noqa: T201
                f"{looked_at} did not improve more than tol={estimator.tol:f} for {estimator.n_iter_no_change:d} "
                f"consecutive epochs. {outcome}"
            )
        return not goes_on


def _batch_size(asked: str | int, n_samples: int) -> int:
    if asked == "auto":
        return min(200, n_samples)
    if int(asked) > n_samples:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=2
        )
    return min(int(asked), n_samples)

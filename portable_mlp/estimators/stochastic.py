"""Fitting a batch at a time: scikit-learn's epochs, to the letter, around the loop of `portable_mlp.training`.

At the end of an epoch, in this order: the loss, the samples seen, the loss curve, the count of epochs without
improvement, the learning rate, and the decision to stop. Then the epoch is complete, and only then is it printed and
are callbacks told: whatever ends the fit leaves the last complete epoch.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..distributed.group import current_group, is_root, on_root
from ..kernels.arrays import Array, snapshot
from ..kernels.step import Program
from ..training.agreed_stop import AgreedRequests
from ..training.batches import Span, counting, spans
from ..training.data_parallel import make_loop
from ..training.dropout import masks_of
from ..training.interruption import StopAsked
from .callbacks import Watch
from .optimizer import OptimizerState
from .problem import Problem
from .reached import Reached
from .validation import validation_of


class Epochs:
    """One fit, epoch by epoch.

    Parameters
    ----------
    draft : MLPClassifier or MLPRegressor
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
        ``partial_fit``: go on with the draft's optimizer, for one epoch.

    Attributes
    ----------
    reached : Reached or None
        The last complete epoch; None before the first.
    """

    def __init__(
        self, draft: Any, problem: Problem, flat: Array, watch: Watch, *, best: Array | None, one_epoch: bool
    ) -> None:
        self.draft, self.problem, self.watch, self.one_epoch = draft, problem, watch, one_epoch
        self.optimizer: OptimizerState = draft._optimizer
        # Plain numbers: a program that equals another is the same step, whatever its numbers are made of.
        clip_norm = None if draft.clip_norm is None else float(draft.clip_norm)
        self.loop = make_loop(
            problem.home,
            Program(problem.objective, self.optimizer.optimizer(), clip_norm, int(draft.warmup_steps)),
            flat,
            self.optimizer.moments,
            self.optimizer.n_steps,
        )
        self.batch_size = _batch_size(draft.batch_size, problem.data.n_samples)
        self.order = np.arange(problem.data.n_samples)
        self.validation = validation_of(draft, problem)
        self.best = best
        self.reached: Reached | None = None
        group = current_group()
        self.requests = None if group is None else AgreedRequests(group)

    def run(self) -> None:
        """Train until something says stop; Ctrl-C keeps the steps that were taken."""
        self.draft.n_iter_ = 0
        start = self._now()
        try:
            with self.requests or contextlib.nullcontext():
                self._until_stopped(start)
        except (KeyboardInterrupt, StopAsked):
            self.reached = (self.reached or start)._replace(flat=self._flat(), optimizer=self._stepped_optimizer())
            if self.requests is not None:
                self.requests.end_if_terminated()
            warnings.warn("Training interrupted by user.", stacklevel=2)

    def _flat(self) -> Array:
        """Return the parameters to predict with."""
        return self.best if self.draft.early_stopping and self.best is not None else self.loop.flat

    def _now(self) -> Reached:
        return Reached.now(self.draft, self.problem.net, self._flat(), self._stepped_optimizer())

    def _until_stopped(self, start: Reached) -> None:
        if self.one_epoch and not self._batches():
            self.reached = start
            return
        for _ in range(self.draft.max_iter):
            self.watch.epoch_begins(self.reached or start)
            if self.reached is not None:
                self.reached = self.reached.apart(self.problem.home.xp)
            reached, goes_on = self._completed(self._train())
            if on_root(functools.partial(self.watch.epoch_ends, reached)) or not goes_on or self.one_epoch:
                return
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({self.draft.max_iter}) reached and the optimization hasn't "
            "converged yet.",
            ConvergenceWarning,
            stacklevel=3,
        )

    def _train(self) -> np.float64:
        """Take the steps of an epoch, and return its loss."""
        draft, requests = self.draft, self.requests
        if draft.shuffle:
            permutation = np.arange(len(self.order))
            draft._random_state.shuffle(permutation)
            self.order = self.order[permutation]
        batches = self._batches()
        if not batches:
            raise ZeroDivisionError("Weights sum to zero in every batch: nothing can be learnt from them")
        mean = self.loop.epoch(
            self.problem.data,
            batches,
            self.optimizer.rate,
            order=self.order if draft.shuffle else None,
            masks=self._masks(batches) if draft.dropout else None,
            between=None if requests is None else lambda n_batches: requests.check(),
        )
        return np.float64(on_root(lambda: float(self.problem.home.to_numpy(mean))))

    def _batches(self) -> Sequence[Span]:
        """Return the epoch's batches, without those whose weights sum to zero."""
        return counting(spans(len(self.order), self.batch_size), self.problem.weights, self.order)

    def _masks(self, batches: Sequence[Span]) -> Iterator[tuple[Array, ...]]:
        """Draw, on the host, which hidden units stay in each batch; scaled so that their expected sum stays."""
        rate, home = self.draft.dropout, self.problem.home
        for start, stop in batches:
            shapes = [(stop - start, n_units) for n_units in self.problem.net.sizes[1:-1]]
            uniform = [self.draft._random_state.random_sample(shape) for shape in shapes]
            yield masks_of(home, uniform, rate, self.loop.flat.dtype)

    def _completed(self, loss: np.float64) -> tuple[Reached, bool]:
        """Record an epoch, and print what ``verbose`` asks for; return what was reached, and whether to train on."""
        draft = self.draft
        draft.n_iter_ += 1
        draft.t_ += self.problem.data.n_samples
        draft.loss_ = loss
        draft.loss_curve_.append(loss)
        said = [f"Iteration {draft.n_iter_}, loss = {loss:.8f}", *self._counted()]
        self.optimizer.epoch_ends(draft.t_)
        goes_on, outcome = self._goes_on()
        reached = self.reached = self._now()
        if draft.verbose and is_root():
            print(*said, *outcome, sep="\n")  # noqa: T201
        return reached, goes_on

    def _stepped_optimizer(self) -> OptimizerState:
        """Return the optimizer with the moments of the parameters that were reached."""
        self.optimizer.moments, self.optimizer.n_steps = self.loop.state, self.loop.n_steps
        return self.optimizer

    def _counted(self) -> list[str]:
        """Count epochs without improvement, of the score where it stops training; return what is said of the score."""
        draft, validation = self.draft, self.validation
        if validation is not None:
            validation_loss = on_root(lambda: validation.loss(self.loop.flat))
            draft.validation_loss_curve_.append(np.float64(validation_loss))
        if validation is None or not draft.early_stopping:
            self._count_by_loss()
            return []
        score = on_root(validation.score)
        self._count_by_score(score)
        return [f"Validation score: {score:f}"]

    def _count_by_loss(self) -> None:
        draft = self.draft
        # With a NaN neither comparison holds, as in scikit-learn.
        stalled = draft.loss_ > draft.best_loss_ - draft.tol
        draft._no_improvement_count = draft._no_improvement_count + 1 if stalled else 0
        if draft.loss_ < draft.best_loss_:
            draft.best_loss_ = draft.loss_

    def _count_by_score(self, score: float) -> None:
        draft = self.draft
        draft.validation_scores_.append(score)
        stalled = score < draft.best_validation_score_ + draft.tol
        draft._no_improvement_count = draft._no_improvement_count + 1 if stalled else 0
        if score > draft.best_validation_score_:
            draft.best_validation_score_ = score
            self.best = snapshot(self.problem.home.xp, self.loop.flat)

    def _goes_on(self) -> tuple[bool, list[str]]:
        """Return whether to train on after so many epochs without improvement, and what is printed of it."""
        draft = self.draft
        if draft._no_improvement_count <= draft.n_iter_no_change:
            return True, []
        goes_on, outcome = self.optimizer.goes_on_after_stall()
        if goes_on:
            draft._no_improvement_count = 0
        looked_at = "Validation score" if draft.early_stopping else "Training loss"
        stalled = f"did not improve more than tol={draft.tol:f} for {draft.n_iter_no_change:d} consecutive epochs"
        return goes_on, [f"{looked_at} {stalled}. {outcome}"]


def _batch_size(asked: str | int, n_samples: int) -> int:
    if asked == "auto":
        return min(200, n_samples)
    if int(asked) > n_samples:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=2
        )
    return min(int(asked), n_samples)

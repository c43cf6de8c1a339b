"""The record of a fit by scikit-learn's epochs: the fitted attributes, and the state after the last complete epoch.

At the end of an epoch, in this order: the loss, the samples seen, the loss curve, the count of epochs without
improvement, the learning rate, and the decision to stop. Then the epoch is complete, and only then is it printed and
are callbacks called: an exception anywhere leaves the state of the last complete epoch.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..distributed.group import is_root, on_root
from ..kernels.arrays import Array
from ..training.joined_epochs import JoinedDone
from ..training.loop import Loop
from ..training.progress import Silent
from ..training.run import EpochDone
from .callbacks import Watch
from .complete_epoch import CURVES, CompleteEpoch
from .early_stopping import EarlyStopping
from .optimizer_state import OptimizerState
from .problem import FitProblem


class EpochRecord:
    """scikit-learn's record of a fit: the attributes of a draft, and the state after the last complete epoch.

    Invariant: ``reached`` is always a complete epoch. Steps write into the memory of the loop, so that ``reached`` gets
    copies of its arrays before the first step of the next epoch.

    Parameters
    ----------
    draft : MLPClassifier or MLPRegressor
        The draft, whose fitted attributes are written.
    problem : FitProblem
        The problem, which has the samples.
    loop : Loop
        The loop, which has the parameters.
    watch : Watch
        Calls the callbacks for every epoch.
    best : array of shape (n_parameters,) or None
        The best parameters so far.

    Attributes
    ----------
    bar : Silent
        The progress bar of the loop, which draws nothing.
    reached : CompleteEpoch or None
        The last complete epoch; None before the first.
    """

    def __init__(self, draft: Any, problem: FitProblem, loop: Loop, watch: Watch, best: Array | None) -> None:
        self.bar = Silent()
        self.reached: CompleteEpoch | None = None
        self._draft, self._problem, self._loop, self._watch = draft, problem, loop, watch
        self._optimizer: OptimizerState = draft._optimizer
        self._stopping = EarlyStopping(draft, problem, best)
        self._lengths = {name: len(getattr(draft, name, None) or ()) for name in CURVES}
        self._seen_before = draft.t_
        draft.n_iter_ = 0
        self._start = self._now()

    @property
    def n_certain(self) -> float:
        """The number of coming epochs that are taken, and between which nothing happens, whatever their losses.

        Without validation scikit-learn's rule has to count more than ``n_iter_no_change`` epochs before it acts.
        """
        if self._watch.is_called or self._draft.verbose or self._stopping.evaluates or self._optimizer.changes_rate:
            return 1
        return self._stopping.n_before_decision

    def epoch_begins(self, *, resumed: bool) -> None:
        """Open the epoch's task, and copy the state of the last epoch, since steps overwrite its arrays."""
        self._watch.epoch_begins(self.reached or self._start)
        if self.reached is not None:
            self.reached = self.reached.apart(self._problem.backend.xp)

    def epoch_ends(self, done: EpochDone) -> str | None:
        """Record an epoch, and print it if ``verbose``; return the reason to stop, or None."""
        draft = self._draft
        continues, lines = self._counted(on_root(lambda: float(self._problem.backend.to_numpy(done.mean_loss))))
        reached = self.reached = self._now()
        if draft.verbose and is_root():
            print(f"Iteration {draft.n_iter_}, loss = {draft.loss_:.8f}", *lines, sep="\n")  # noqa: T201
        if on_root(functools.partial(self._watch.epoch_ends, reached)):
            return "callback"
        return None if continues else "no_progress"

    def accepts(self, mean_losses: Array) -> bool:
        """Return True: scikit-learn trains on where losses are not finite."""
        return True

    def joined_epochs_end(self, done: JoinedDone) -> str | None:
        """Record epochs of which only the last one may be the last; return the reason to stop, or None."""
        for loss in self._problem.backend.to_numpy(done.mean_losses).tolist():
            continues, _ = self._counted(loss)
        self.reached = self._now()
        return None if continues else "no_progress"

    def _counted(self, loss: float) -> tuple[bool, list[str]]:
        """Add an epoch to the record of the draft; return whether to continue, and lines to print."""
        draft = self._draft
        draft.n_iter_ += 1
        draft.t_ += self._problem.data.n_samples
        draft.loss_ = np.float64(loss)
        draft.loss_curve_.append(draft.loss_)
        lines = self._stopping.count(self._loop.flat)
        self._optimizer.epoch_ends(draft.t_, self._loop)
        continues, outcome = self._stopping.continues(self._optimizer)
        return continues, [*lines, *outcome]

    def stay(self) -> None:
        """Make the start the state that was reached."""
        self.reached = self._start

    def take_steps_of_interrupted_epoch(self) -> None:
        """Add the steps of an incomplete epoch to the state that was reached; the record stays as it was."""
        self.reached = (self.reached or self._start)._replace(flat=self._flat(), optimizer=self._stepped_optimizer())

    def ended_before(self, reason: str) -> str | None:
        """Return why a resumed fit remains stopped: the reason why it had stopped."""
        return reason

    def memory(self, *, within_epoch: bool) -> dict[str, Any]:
        """Return the curves of this fit, the counts, and the best parameters if there are any."""
        draft, to_numpy = self._draft, self._problem.backend.to_numpy
        left: dict[str, Any] = {
            f"history_{name}": [float(number) for number in getattr(draft, name)[length:]]
            for name, length in self._lengths.items()
            if getattr(draft, name, None) is not None
        }
        bests = (draft.best_loss_, draft.best_validation_score_, draft._no_improvement_count)
        left["bests"] = [math.nan if best is None else float(best) for best in bests]
        if self._stopping.best is not None:
            left["best"] = to_numpy(self._stopping.best)
        return left

    def restore(self, memory: dict[str, Any], *, within_epoch: bool) -> None:
        """Continue from a result of `memory`."""
        draft = self._draft
        for name, length in self._lengths.items():
            if f"history_{name}" in memory:
                getattr(draft, name)[length:] = list(memory[f"history_{name}"])
        best_loss, best_score, no_improvement = memory["bests"]
        draft.best_loss_ = None if draft.best_loss_ is None else best_loss
        draft.best_validation_score_ = None if draft.best_validation_score_ is None else float(best_score)
        draft._no_improvement_count = int(no_improvement)
        if "best" in memory:
            self._stopping.best = self._problem.backend.asarray(memory["best"], dtype=memory["best"].dtype.name)
        losses = memory["history_loss_curve_"]
        draft.n_iter_ = len(losses)
        draft.t_ = self._seen_before + len(losses) * self._problem.data.n_samples
        if len(losses):
            draft.loss_ = losses[-1]
        if within_epoch:
            self._start = self._now()
        else:
            self.reached = self._now()

    def _flat(self) -> Array:
        """Return the parameters to predict with."""
        best = self._stopping.best
        return best if self._draft.early_stopping and best is not None else self._loop.flat

    def _now(self) -> CompleteEpoch:
        return CompleteEpoch.now(self._draft, self._problem.net, self._flat(), self._stepped_optimizer())

    def _stepped_optimizer(self) -> OptimizerState:
        """Return the optimizer with the loop's current moments."""
        self._optimizer.moments, self._optimizer.n_steps = self._loop.state, self._loop.n_steps
        return self._optimizer

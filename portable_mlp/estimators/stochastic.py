"""Fitting a batch at a time: scikit-learn's epochs, to the letter, around the loop of `portable_mlp.training`.

At the end of an epoch, in this order: the loss, the samples seen, the loss curve, the count of epochs without
improvement, the learning rate, and the decision to stop. Then the epoch is complete, and only then is it printed and
are callbacks called: an exception anywhere leaves the state of the last complete epoch.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..distributed.group import is_root, on_root
from ..kernels.arrays import Array
from ..kernels.batch import Span
from ..kernels.step import Program
from ..training.batches import counting, spans
from ..training.dropout import factor_of, masks_of
from ..training.joined_epochs import JoinedDone
from ..training.loop import Loop, make_loop
from ..training.order import EpochOrder
from ..training.progress import Silent
from ..training.run import EpochDone, Run
from .callbacks import Watch
from .checkpoints import MakeCheckpoints
from .complete_epoch import CURVES, CompleteEpoch
from .early_stopping import EarlyStopping
from .optimizer_state import OptimizerState
from .parameters import parameters_of_step
from .problem import FitProblem


class Epochs:
    """One fit, epoch by epoch.

    Parameters
    ----------
    draft : MLPClassifier or MLPRegressor
        The draft, whose parameters are read and whose fitted attributes are written.
    problem : FitProblem
        The samples and the objective; with a hold-out where there is validation.
    flat : array of shape (n_parameters,)
        The initial parameters, packed.
    watch : Watch
        Calls the callbacks for every epoch.
    best : array of shape (n_parameters,) or None
        The result of early stopping where no epoch improves; None for that of the last epoch.
    one_epoch : bool
        Whether to train for one epoch with the draft's optimizer, as ``partial_fit`` does.
    make_checkpoints : callable, optional
        Returns the checkpoints of the fit.
    """

    def __init__(
        self,
        draft: Any,
        problem: FitProblem,
        flat: Array,
        watch: Watch,
        *,
        best: Array | None,
        one_epoch: bool,
        make_checkpoints: MakeCheckpoints | None = None,
    ) -> None:
        self._draft, self._one_epoch = draft, one_epoch
        optimizer: OptimizerState = draft._optimizer
        program = Program(problem.objective, optimizer.optimizer(), **parameters_of_step(Program, draft))
        loop = make_loop(problem.backend, program, flat, optimizer.moments, optimizer.n_steps)
        self._order = StreamOrder(draft, problem)
        self._record = EpochRecord(draft, problem, loop, watch, best)
        checkpoints = None
        if make_checkpoints is not None:
            checkpoints = make_checkpoints(draft, problem, loop=loop, record=self._record, order=self._order)
        self._run = Run(
            loop,
            problem.data,
            self._order,
            optimizer,
            self._record,
            epochs=1 if one_epoch else draft.max_iter,
            checkpoints=checkpoints,
        )

    @property
    def reached(self) -> CompleteEpoch | None:
        """The last complete epoch; None before the first."""
        return self._record.reached

    def run(self) -> None:
        """Train until a rule or a request stops; Ctrl-C keeps the steps of an incomplete epoch that is taken alone."""
        if self._one_epoch and not self._order.batches():
            self._record.stay()
            return
        stopped_because = self._run.until_stopped()
        if stopped_because == "interrupted":
            self._record.take_steps_of_interrupted_epoch()
            self._run.pass_on_requests(stopped_because)
            warnings.warn("Training interrupted by user.", stacklevel=2)
        elif stopped_because == "max_epochs" and not self._one_epoch:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self._draft.max_iter}) reached and the optimization "
                "hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=2,
            )


class StreamOrder:
    """scikit-learn's order: each epoch permutes the one before it, by the stream of the estimator's random state.

    Batches whose weights sum to zero are left out. Dropout draws from the same stream.

    Parameters
    ----------
    draft : MLPClassifier or MLPRegressor
        The draft, whose random state is advanced.
    problem : FitProblem
        The problem, which has the samples and their weights.
    """

    def __init__(self, draft: Any, problem: FitProblem) -> None:
        self.n_samples = problem.data.n_samples
        self._draft, self._problem = draft, problem
        self._batches = spans(self.n_samples, _clipped_batch_size(draft.batch_size, self.n_samples))
        self._permutation = np.arange(self.n_samples)

    @property
    def each_batches(self) -> Sequence[Span] | None:
        """The batches of each epoch; None if they may differ from epoch to epoch, or have masks."""
        return None if self._draft.dropout or self._problem.samples.weights is not None else self.batches()

    def epoch(self, epoch: int, done: int) -> EpochOrder:
        """Return the order of an epoch; within an epoch, the order already drawn.

        Raises
        ------
        ZeroDivisionError
            If the weights sum to zero in every batch.
        """
        draft = self._draft
        if draft.shuffle and not done:
            # The swaps depend on places alone: they permute this order as scikit-learn's permuted row numbers do.
            self._permutation = self._permutation.copy()
            draft._random_state.shuffle(self._permutation)
        batches = self.batches()
        if not batches:
            raise ZeroDivisionError("Weights sum to zero in every batch: nothing can be learnt from them")
        masks = self._masks(batches[done:]) if draft.dropout else None
        return EpochOrder(self._permutation if draft.shuffle else None, batches, masks)

    def batches(self) -> Sequence[Span]:
        """Return the epoch's batches, without those whose weights sum to zero."""
        return counting(self._batches, self._problem.samples.weights, self._permutation)

    def _masks(self, batches: Sequence[Span]) -> Iterator[tuple[Array, ...]]:
        """Draw, on the host, the dropout masks of each batch."""
        rate, backend = self._draft.dropout, self._problem.backend
        factor = factor_of(backend, rate, self._problem.data.X.dtype)
        for start, stop in batches:
            shapes = [(stop - start, n_units) for n_units in self._problem.net.sizes[1:-1]]
            uniform = [self._draft._random_state.random_sample(shape) for shape in shapes]
            yield masks_of(backend, uniform, rate, factor)

    def memory(self) -> tuple[dict[str, Any], int | None]:
        """Return the permutation of the last epoch, which the next one permutes, and the random state."""
        _, key, *rest = self._draft._random_state.get_state(legacy=True)
        return {
            "permutation": self._permutation.astype(float),
            "random_key": key.astype(float),
            "random_rest": [float(number) for number in rest],
        }, None

    def restore(self, arrays: dict[str, Any], key: int | None) -> None:
        """Continue from a result of `memory`."""
        self._permutation = arrays["permutation"].astype(int)
        position, has_gauss, gauss = arrays["random_rest"].tolist()
        words = arrays["random_key"].astype(np.uint32)
        # A new object: the old one may be NumPy's global state, which must not be set.
        self._draft._random_state = np.random.RandomState()
        self._draft._random_state.set_state(("MT19937", words, int(position), int(has_gauss), gauss))


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


def _clipped_batch_size(asked: str | int, n_samples: int) -> int:
    if asked == "auto":
        return min(200, n_samples)
    if int(asked) > n_samples:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=2
        )
    return min(int(asked), n_samples)

"""Fitting a batch at a time: scikit-learn's epochs, to the letter, around the loop of `portable_mlp.training`.

The order of the samples (`stream_order`), the learning rate (`optimizer_state`) and the record (`epoch_record`) are
scikit-learn's.
"""

from __future__ import annotations

import warnings
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from ..kernels.arrays import Array
from ..kernels.step import Program
from ..training.loop import make_loop
from ..training.run import Run
from .callbacks import Watch
from .checkpoints import MakeCheckpoints
from .complete_epoch import CompleteEpoch
from .epoch_record import EpochRecord
from .optimizer_state import OptimizerState
from .parameters import parameters_of_step
from .problem import FitProblem
from .stream_order import StreamOrder


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

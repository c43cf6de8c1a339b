"""From the arguments of ``fit`` to the problem that it solves: checks, targets, weights, the hold-out, the start."""

from __future__ import annotations

import copy
import functools
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from sklearn.utils import check_random_state, column_or_1d

from ..backends import Backend
from ..distributed.agreement import comparable_text, n_samples_of_all
from ..distributed.group import refuse_own_samples
from ..kernels.arrays import Array
from ..kernels.network import Network
from ..kernels.optimizers import OPTIMIZERS
from ..kernels.step import Objective
from ..training.schedules import SCHEDULES
from .dask_inputs import computed
from .fitted_network import FittedNetwork
from .initial_parameters import draw_layers, same_in_group
from .inputs import Inputs, checked_weights
from .losses import REPORTED
from .optimizer_state import OptimizerState
from .parameters import PARAMETER_OF, parameters_of_step
from .problem import FitProblem, FitSamples

SCHEDULES_OF_SKLEARN = ("constant", "invscaling", "adaptive")


class FitPreparation(FittedNetwork):
    """An estimator before its first step: the draft gets all that a fit starts from."""

    _target_checks: ClassVar[dict[str, Any]] = {}
    """Options of scikit-learn's check of y."""

    # The methods in which the two estimators differ.

    @abstractmethod
    def _encoded(self, y: Any) -> np.ndarray:
        """Encode targets as those of the training data: rows (n_samples, n_outputs), or labels (n_samples, 1)."""

    def _learnt_and_encoded(self, y: Any, *, incremental: bool) -> np.ndarray:
        """Learn the classes or the number of outputs from the training targets, and return these encoded."""
        return self._encoded(y)

    def _n_outputs(self, Y: np.ndarray) -> int:
        """Return the number of outputs for encoded targets."""
        return int(Y.shape[1])

    def _learnt_weights(self, y: Any, sample_weight: np.ndarray | None) -> Callable[[Any], np.ndarray] | None:
        """Return the function from targets to class weights, learnt from the training data; None for no weights."""
        return None

    @abstractmethod
    def _score_outputs(self, Y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> float:
        """Return the score of a network's outputs against encoded targets."""

    # The problem.

    def _prepared(
        self,
        backend: Backend,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation_data: Any,
        continued: bool,
        incremental: bool,
    ) -> tuple[FitProblem, Array]:
        """Check all arguments, move the data to the device, and return the problem and the initial parameters."""
        refuse_own_samples("an estimator")
        hidden_sizes = self._hidden_sizes()
        inputs, y = Inputs.to_fit(self, X, y, backend, reset=not continued, **self._target_checks)
        backend, n_features = inputs.backend, inputs.checked.shape[1]
        backend.at_precision(self.precision, inputs.dtype)  # raises where the two do not go together
        y = _targets(y, warn=True)
        Y = self._learnt_and_encoded(y, incremental=incremental)
        one_epoch = incremental and self.solver in OPTIMIZERS
        own = None if sample_weight is None else checked_weights(sample_weight, inputs.checked, may_be_zero=one_epoch)
        by_target = self._learnt_weights(y, own)
        weights = _weights(inputs, y, own, by_target, may_be_zero=one_epoch)
        self.n_outputs_ = self._n_outputs(Y)
        net = self._network((n_features, *hidden_sizes, self.n_outputs_))
        self._random_state = same_in_group(check_random_state(self.random_state))
        if not continued:
            self._draw(net, backend, inputs.dtype)
        flat = self._flat(net, backend)
        samples = FitSamples.on_device(backend, net, inputs.on_device(flat.dtype), Y, weights)
        problem = FitProblem(backend, self._objective(net), samples)
        if validation_data is not None:
            problem = problem._replace(hold_out=self._hold_out(problem, validation_data, by_target))
        self._open_record(continued=continued, validated=validation_data is not None)
        if self.solver in OPTIMIZERS:
            if not (incremental and hasattr(self, "_optimizer")):
                self._optimizer = self._new_optimizer()
            self._optimizer = copy.copy(self._optimizer)
            self._optimizer.move(backend, flat.dtype)
        n_samples_of_all(len(Y), functools.partial(samples.first, backend), self._compared(problem, flat))
        return problem, flat

    def _compared(self, problem: FitProblem, flat: Array) -> dict[str, Callable[[], bytes]]:
        """Return what the ranks of a group must agree on, beside options and samples."""
        backend, weights, hold_out = problem.backend, problem.samples.weights, problem.hold_out

        def state() -> bytes:
            counts = {name: getattr(self, name, None) for name in ("t_", "best_loss_", "best_validation_score_")}
            optimizer = getattr(self, "_optimizer", None)
            if optimizer is not None:
                counts |= {"rate": optimizer.rate, "n_steps": optimizer.n_steps, "n_epochs": optimizer.n_epochs}
            moments = () if optimizer is None else optimizer.moments or ()
            setting = [backend.name, str(flat.dtype), problem.net.sizes, self._no_improvement_count, counts]
            return comparable_text(setting).encode() + b"".join(backend.to_numpy(x).tobytes() for x in (flat, *moments))

        return {
            "coefs_, intercepts_ and optimizer to go on from": state,
            "sample_weight": lambda: b"" if weights is None else weights.tobytes(),
            "validation_data": lambda: b"" if hold_out is None else hold_out.first(backend),
        }

    def _objective(self, net: Network) -> Objective:
        report = REPORTED.get(str(net.loss)) if self.compat == "sklearn" else None
        return Objective(net, l2_per_batch=False, report=report, **parameters_of_step(Objective, self))

    def _hold_out(
        self, problem: FitProblem, validation_data: Any, by_target: Callable[[Any], np.ndarray] | None
    ) -> FitSamples:
        """Return the user's validation data, checked as X and y are when a fitted model is scored."""
        if not isinstance(validation_data, tuple | list) or len(validation_data) not in (2, 3):
            raise ValueError("validation_data must be (X_val, y_val) or (X_val, y_val, sample_weight_val)")
        X, y, *rest = computed(*validation_data)
        self._check_device(X, problem.backend, "fit")
        inputs, y = Inputs.to_fit(self, X, y, problem.backend, reset=False, **self._target_checks)
        y = _targets(y)
        Y = self._encoded(y)
        n_outputs = problem.samples.Y.shape[1]
        if Y.shape[1] != n_outputs:
            raise ValueError(f"y_val has {Y.shape[1]} outputs, but y has {n_outputs}")
        if self.early_stopping and len(Y) < 2:
            raise ValueError(f"early_stopping needs at least 2 samples of validation_data to score, got {len(Y)}")
        own = checked_weights(rest[0], inputs.checked) if rest and rest[0] is not None else None
        weights = _weights(inputs, y, own, by_target)
        X = inputs.on_device(problem.data.X.dtype)
        hold_out = FitSamples.on_device(problem.backend, problem.net, X, Y, weights)
        hold_out.check_weights("validation_data")
        return hold_out

    def _draw(self, net: Network, backend: Backend, dtype: str) -> None:
        layers = draw_layers(self._random_state, net, self.activation)
        self.coefs_ = [backend.asarray(W, dtype=dtype) for W, _ in layers]
        self.intercepts_ = [backend.asarray(b, dtype=dtype) for _, b in layers]
        self.n_layers_ = len(net.sizes)
        self.out_activation_ = net.output
        self.n_iter_ = self.t_ = 0

    def _open_record(self, *, continued: bool, validated: bool) -> None:
        """Reset the curves and counts; to continue, create those that are missing, and copy the others."""
        stopping = self.early_stopping and self.solver in OPTIMIZERS
        record: dict[str, Any] = {"loss_curve_": [], "_no_improvement_count": 0}
        record["validation_loss_curve_"] = [] if validated or stopping else None
        if self.solver in OPTIMIZERS:
            record |= {
                "best_loss_": None if stopping else np.inf,
                "validation_scores_": [] if stopping else None,
                "best_validation_score_": -np.inf if stopping else None,
            }
        for name, start in record.items():
            so_far = getattr(self, name, None) if continued else None
            setattr(self, name, start if so_far is None else copy.copy(so_far))

    def _new_optimizer(self) -> OptimizerState:
        # scikit-learn's Adam keeps its rate whatever the schedule; ours follow it where compat allows.
        followed = self.solver != "adam" or self.compat is None or self.learning_rate not in SCHEDULES_OF_SKLEARN
        schedule = self.learning_rate if followed else "constant"
        return OptimizerState(
            self.solver,
            {name: getattr(self, PARAMETER_OF[name]) for name in OPTIMIZERS[self.solver].options},
            float(self.learning_rate_init),
            schedule,
            {name: float(getattr(self, PARAMETER_OF.get(name, name))) for name in SCHEDULES[schedule].options},
            self.max_iter,
        )


def _targets(y: Any, *, warn: bool = False) -> Any:
    """Return one column of targets as a vector, and texts in NumPy's dtype, which has no NUL at their end.

    ``classes_`` has that dtype, in which a text that ends so is another one.
    """
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=warn)
    return y.astype(str) if y.dtype == object and all(isinstance(label, str) for label in y) else y


def _weights(
    inputs: Inputs,
    y: Any,
    own: np.ndarray | None,
    by_target: Callable[[Any], np.ndarray] | None,
    *,
    may_be_zero: bool = False,
) -> np.ndarray | None:
    """Return each sample's weight times its class's, (n_samples,) on the host; None where all are equal."""
    if by_target is None:
        return own
    weights = by_target(y) if own is None else own * by_target(y)
    return checked_weights(weights, inputs.checked, may_be_zero=may_be_zero)

"""Conversion between scikit-learn's estimators and ours: parameters, attributes, and the optimizer's moments."""

from __future__ import annotations

import copy
import warnings
from typing import Any, TypeVar

import numpy as np
from sklearn.base import ClassifierMixin, is_classifier
from sklearn.neural_network import _multilayer_perceptron as theirs
from sklearn.neural_network import _stochastic_optimizers as their_optimizers

from ..backends import Backend, backend_of, get_backend
from ..kernels.network import Network
from ..kernels.parameters import Layer, pack, unpack
from ..training.options import OF_OPTIMIZERS, TRAINING_OPTIONS
from ..training.schedules import SCHEDULES
from .optimizer_state import AS_SCIKIT_LEARN, OptimizerState
from .parameters import PARAMETER_OF

T = TypeVar("T")

_TRAINING_OURS_ALONE = {
    parameter: TRAINING_OPTIONS[name].default
    for name, parameter in PARAMETER_OF.items()
    if name not in OF_OPTIMIZERS and parameter not in theirs.MLPClassifier().get_params()
}
"""Parameters that change what is trained, with their defaults; an optimizer that scikit-learn lacks is refused."""

_ATTRIBUTES_OURS_ALONE = (
    *("backend", "device", "compat", *PARAMETER_OF.values()),
    *("validation_loss_curve_", "_skl_callbacks"),
)
_CONVERTED = ("coefs_", "intercepts_", "classes_", "_optimizer")


def from_sklearn(cls: type[T], estimator: Any, ours: dict[str, Any]) -> T:
    """Return ``cls`` with the state of scikit-learn's estimator; see `BaseMLP.from_sklearn`."""
    kind = theirs.MLPClassifier if issubclass(cls, ClassifierMixin) else theirs.MLPRegressor
    if not isinstance(estimator, kind):
        raise TypeError(f"{cls.__name__}.from_sklearn takes scikit-learn's {kind.__name__}, got {estimator!r}")
    parameters = _parameters(estimator, kind)
    try:
        new: Any = cls(**parameters, **ours)
    except TypeError as error:
        raise TypeError(
            f"{cls.__name__}.from_sklearn gives scikit-learn's parameters to the constructor: {error}"
        ) from None
    if not hasattr(estimator, "coefs_"):
        return new
    skipped = {*estimator.get_params(), *parameters, "coefs_", "intercepts_", "_optimizer"}
    vars(new).update({name: copy.deepcopy(value) for name, value in vars(estimator).items() if name not in skipped})
    backend = get_backend("numpy" if new.backend is None else new.backend, new.device)
    new.coefs_ = [backend.asarray(np.array(W)) for W in estimator.coefs_]
    new.intercepts_ = [backend.asarray(np.array(b)) for b in estimator.intercepts_]
    if hasattr(estimator, "_optimizer"):
        new._optimizer = _our_optimizer(estimator, backend)
    return new


def to_sklearn(estimator: Any) -> Any:
    """Return scikit-learn's estimator with the state of ours; see `BaseMLP.to_sklearn`."""
    kind = theirs.MLPClassifier if is_classifier(estimator) else theirs.MLPRegressor
    parameters = _parameters(estimator, kind)
    if estimator.loss not in ("log_loss", "squared_error"):
        parameters["loss"] = estimator.loss  # before scikit-learn 1.7 its own has no such parameter
    try:
        new = kind(**parameters)
        new._validate_params()
    except (TypeError, ValueError) as error:
        raise ValueError(f"scikit-learn has no such estimator: {error}") from None
    left_behind = [name for name, x in _TRAINING_OURS_ALONE.items() if getattr(estimator, name, x) != x]
    if left_behind:
        warnings.warn(
            f"scikit-learn's has no {' and no '.join(left_behind)}: it predicts the same, and trains on without",
            stacklevel=4,
        )
    if not hasattr(estimator, "coefs_"):
        return new
    backend = estimator._fitted_backend()
    skipped = {*estimator.get_params(), *parameters, *_ATTRIBUTES_OURS_ALONE, *_CONVERTED}
    vars(new).update({name: copy.deepcopy(value) for name, value in vars(estimator).items() if name not in skipped})
    new.coefs_ = [np.array(backend.to_numpy(W)) for W in estimator.coefs_]
    new.intercepts_ = [np.array(backend.to_numpy(b)) for b in estimator.intercepts_]
    if hasattr(estimator, "classes_"):
        new.classes_ = estimator._labels
    vars(new).setdefault("_no_improvement_count", 0)  # a file does not keep it, and their partial_fit adds to it
    # After early stopping scikit-learn has the same arrays under both names, and a warm start trains them further.
    new._best_coefs, new._best_intercepts = new.coefs_, new.intercepts_
    if not estimator.early_stopping:
        new._best_coefs, new._best_intercepts = copy.deepcopy((new.coefs_, new.intercepts_))
    if hasattr(estimator, "_optimizer") and estimator._optimizer.solver in AS_SCIKIT_LEARN:
        new._optimizer = _their_optimizer(new, estimator._optimizer)
    return new


def _parameters(estimator: Any, kind: type[Any]) -> dict[str, Any]:
    """Return the parameters of scikit-learn's ``kind``, even those that a subclass hides from its constructor."""
    return {name: getattr(estimator, name) for name in kind().get_params()}


def _our_optimizer(estimator: Any, backend: Backend) -> OptimizerState:
    """Return scikit-learn's optimizer, whose moments are lists of all weights and then all biases, with flat vectors.

    It may be older than the estimator's parameters: ``partial_fit`` keeps the optimizer that it began with. Weights
    of samples make moments of biases float64 where the data, and the other moments, are float32.
    """
    optimizer, n_layers = estimator._optimizer, len(estimator.coefs_)

    def flat(arrays: list[np.ndarray]) -> Any:
        of_one_dtype = [x.astype(np.result_type(*arrays), copy=False) for x in arrays]
        layers = zip(of_one_dtype[:n_layers], of_one_dtype[n_layers:], strict=True)
        return backend.asarray(pack([Layer(*layer) for layer in layers]))

    rate = float(optimizer.learning_rate_init)
    if isinstance(optimizer, their_optimizers.AdamOptimizer):
        options = {name: getattr(optimizer, name) for name in ("beta_1", "beta_2", "epsilon")}
        state = OptimizerState("adam", options, rate)
        state.moments, state.n_steps = (flat(optimizer.ms), flat(optimizer.vs)), optimizer.t
        return state
    options = {"momentum": optimizer.momentum, "nesterov": optimizer.nesterov}
    of_schedule = {name: getattr(optimizer, name) for name in SCHEDULES[optimizer.lr_schedule].options}
    state = OptimizerState("sgd", options, rate, optimizer.lr_schedule, of_schedule)
    state.rate = float(optimizer.learning_rate)
    state.moments = (flat(optimizer.velocities),) if optimizer.momentum else ()
    return state


def _their_optimizer(estimator: Any, state: OptimizerState) -> Any:
    net = Network((estimator.coefs_[0].shape[0], *(len(b) for b in estimator.intercepts_)))
    zeros = [np.zeros_like(x) for x in (*estimator.coefs_, *estimator.intercepts_)]

    def lists(flat: Any) -> list[np.ndarray]:
        layers = unpack(net, backend_of(flat).to_numpy(flat))
        return [np.array(W) for W, _ in layers] + [np.array(b) for _, b in layers]

    if state.solver == "sgd":
        new = their_optimizers.SGDOptimizer(
            zeros,
            state.learning_rate_init,
            state.schedule,
            state.options["momentum"],
            state.options["nesterov"],
            state.schedule_options.get("power_t", estimator.power_t),
        )
        new.learning_rate = state.rate
        if state.moments:
            new.velocities = lists(state.moments[0])
        return new
    new = their_optimizers.AdamOptimizer(zeros, state.learning_rate_init, **state.options)
    new.t, new.learning_rate = state.n_steps, state.learning_rate
    if state.moments:
        new.ms, new.vs = map(lists, state.moments)
    return new

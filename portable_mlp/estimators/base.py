"""The base of the classifier and the regressor: scikit-learn's parameters, the flow of a fit, and predicting.

An estimator is thin. It validates, moves the data once, and calls the kernels and the loop that `portable_mlp.train`
calls. Its parameters are ``coefs_`` and ``intercepts_``, two lists of arrays that a user may edit or replace: every fit
packs them into one flat vector and every prediction reads them, so that no second copy can become stale.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import itertools
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
    is_classifier,
)
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, Options, StrOptions, validate_parameter_constraints
from sklearn.utils.validation import check_is_fitted

from ..backends import Backend, backend_of, get_backend
from ..distributed.agreement import check_same_options, comparable_text, n_samples_of_all
from ..distributed.group import refuse_in_group, refuse_own_samples
from ..kernels.activations import ACTIVATIONS
from ..kernels.arrays import Array, snapshot
from ..kernels.losses import LossOptions, checked_loss_options
from ..kernels.network import Network
from ..kernels.optimizers import OPTIMIZERS, SOLVERS
from ..kernels.parameters import Layer, Params, pack_pieces
from ..kernels.primitives import Primitives
from ..kernels.propagation import ForwardPass, last_hidden, logits_of
from ..kernels.step import Objective
from ..kernels.suggestions import suggesting_class
from ..storage.paths import FilePath
from ..training.checkpointing import entered_on_root
from ..training.lbfgs import HostObjective
from ..training.schedules import SCHEDULES
from ..training.stopping import best_epoch
from . import conversion, onnx_export
from .callbacks import CallbackSupportMixin, Watch, with_callbacks
from .checkpoints import NO_CHECKPOINTS, CheckpointOptions, MakeCheckpoints
from .dask_inputs import by_blocks, computed, gathered
from .files import SavedToFiles
from .initial import draw_layers, same_in_group
from .inputs import (
    Inputs,
    backend_for,
    check_same_device,
    checked_weights,
    common_dtype,
    dense,
    is_foreign,
    numpy_backend,
)
from .lbfgs import Search, weights_first
from .losses import REPORTED, outputs_of
from .optimizer import OptimizerState
from .parameters import PARAMETER_OF, constraints, parameters_of_step
from .problem import FitProblem, FitSamples
from .state import adopt, draft_of, of_one_moment
from .stochastic import Epochs

AnswerTo: TypeAlias = Callable[[Array, Inputs], Any]
"""What a method returns for an array of the network and the checked inputs, made on the device of the network."""

SCHEDULES_OF_SKLEARN = ("constant", "invscaling", "adaptive")

PARAMETERS_THAT_MAY_DIFFER = {
    "verbose": "rank 0 alone prints",
    "device": "each rank may have one of its own",
}
"""Parameters that the ranks of a group do not compare, and why."""


@suggesting_class
class BaseMLP(
    ClassNamePrefixFeaturesOutMixin, CallbackSupportMixin, SavedToFiles, TransformerMixin, BaseEstimator, ABC
):
    """The base class of `MLPClassifier` and `MLPRegressor`; not for use by itself."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **constraints(for_classes=False),
        # The parameters of scikit-learn, with its constraints.
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(ACTIVATIONS.keys()), "array-like"],
        "solver": [StrOptions(SOLVERS)],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions(SCHEDULES.keys())],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "backend": [str, None],
        "device": "no_validation",
        "precision": "no_validation",
        "compat": [StrOptions({"sklearn"}), None],
    }

    label_smoothing: float = 0.0
    """A parameter of the classifier."""

    loss_options: Mapping[str, float] | None = None
    """A parameter of the regressor."""

    _target_checks: ClassVar[dict[str, Any]] = {}
    """Options of scikit-learn's check of y."""

    def __init__(self, **parameters: Any) -> None:
        for name, value in parameters.items():
            setattr(self, name, value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a pickle; parameters that its version did not have get their defaults."""
        super().__setstate__(_defaults(type(self)) | state)

    @classmethod
    @functools.cache
    def _get_param_names(cls) -> list[str]:
        """Return the names of the parameters, read from the signature once: a search asks thousands of times."""
        names: list[str] = super()._get_param_names()
        return names

    def _validate_params(self) -> None:
        """Check the parameters; those that have passed are known, as most of a search are."""
        parameters = self.get_params(deep=False).items()
        try:
            _check_parameters(type(self), tuple((name, type(value), value) for name, value in parameters))
        except TypeError:  # a value without a hash; scikit-learn's error, which is a TypeError too, is raised again
            super()._validate_params()

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

    @abstractmethod
    def _output_and_loss(self) -> tuple[str, str]:
        """Return the names of the network's output and of its loss."""

    @abstractmethod
    def _score_outputs(self, Y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> float:
        """Return the score of a network's outputs against encoded targets."""

    def _learnt_weights(self, y: Any, sample_weight: np.ndarray | None) -> Callable[[Any], np.ndarray] | None:
        """Return the function from targets to class weights, learnt from the training data; None for no weights."""
        return None

    # Fitting.

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        validation_data: Any = None,
        checkpoint: FilePath | None = None,
        checkpoint_every: int | None = None,
        resume: bool = False,
    ) -> Self:
        """Fit the model to data.

        After an exception the estimator has the state of the last complete epoch (of "lbfgs", iteration): parameters,
        optimizer and record together; before the first one it is unchanged. Ctrl-C also keeps the steps of the
        incomplete epoch, unless several epochs are one compiled call, of which it keeps none. Until the fit ends other
        threads see the estimator unchanged; with callbacks, in the state of the last complete epoch.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Inputs: NumPy, anything scikit-learn takes, or an array of CuPy, PyTorch, JAX, ..., which is then computed
            on its device. An array of dask, chunked by rows, or a data frame of dask is computed first, and training
            uses the content of its blocks; y and the weights may be of dask too.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, or real numbers.
        sample_weight : array-like of shape (n_samples,), optional
            The weight of each sample. A batch whose weights sum to zero is skipped.
        validation_data : tuple (X_val, y_val) or (X_val, y_val, sample_weight_val), optional
            Evaluated after each epoch, into ``validation_loss_curve_``, with the weights that its samples would have in
            training. With ``early_stopping`` it replaces the hold-out from the training data.
        checkpoint : str, bytes or path, optional
            A folder for the state of this fit alone, written at the end of each epoch and on Ctrl-C or SIGTERM, as for
            `portable_mlp.train`. Not for "lbfgs". With ``early_stopping`` and no ``validation_data``, ``random_state``
            must be an int: the hold-out is drawn from it.
        checkpoint_every : int, optional
            Steps (batches) from one state to the next within an epoch, for long ones.
        resume : bool
            Whether to resume from the newest sound state in ``checkpoint``, if there is one, with the same parameters
            and data: the result equals that of an uninterrupted fit, to the bit. A larger ``max_iter`` adds epochs.
            Without ``resume``, a folder that holds states is refused.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X, y or the weights cannot be used, with what was expected and what came; if training
            diverged: the parameters became infinite or NaN.
        TypeError
            If X is not made of real numbers, or must be dense for the backend that computes.
        BackendUnavailable
            If ``backend`` cannot be used here; says why, and how it is installed.
        """
        states = CheckpointOptions(checkpoint, checkpoint_every, resume)
        return self._fit(draft_of(self), X, y, sample_weight, validation_data, states=states)

    def _fit(
        self,
        draft: Self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation_data: Any = None,
        *,
        incremental: bool = False,
        states: CheckpointOptions = NO_CHECKPOINTS,
    ) -> Self:
        """Fit a draft of this estimator, and adopt its state."""
        before = dict(vars(self))
        continued = hasattr(self, "coefs_") and (self.warm_start or incremental)
        given = {
            **self.get_params(deep=False),
            "sample_weight": sample_weight is not None,
            "validation_data": validation_data is not None,
            "classes": getattr(draft, "classes_", None) if incremental else None,
            "fitted before": continued,
            "checkpoint": states.checkpoint is not None,
            "checkpoint_every": states.every,
            "resume": states.resume,
        }
        check_same_options(
            f"{type(self).__name__}.{'partial_fit' if incremental else 'fit'}", given, but=PARAMETERS_THAT_MAY_DIFFER
        )
        X, y, sample_weight = gathered(X=X, y=y, sample_weight=sample_weight)
        if incremental and self.early_stopping and self.solver in OPTIMIZERS:
            raise ValueError("partial_fit does not support early_stopping=True")
        if continued:
            self._check_device(X, self._fitted_backend(), "partial_fit" if incremental else "fit")
        folder = states.checked_folder(self, validated=validation_data is not None)
        backend = backend_for(X, self.backend, self.device).at_precision(self.precision)
        with _computing(backend), entered_on_root(folder, states.checkpoint, states.resume) as entered:
            problem, flat = draft._prepared(backend, X, y, sample_weight, validation_data, continued, incremental)
            metadata = None if sample_weight is None else {"sample_weight": sample_weight}
            arguments = {"X": X, "y": y, "metadata": metadata}
            max_epochs = 1 if incremental and self.solver in OPTIMIZERS else self.max_iter
            adopt_it = functools.partial(adopt, self, before)
            watch = Watch(self, max_epochs, adopt_it, arguments)
            make_checkpoints = states.within(entered, from_fitted=continued)
            training = draft._training(problem, flat, watch, continued, incremental, make_checkpoints)
            try:
                training.run()
            finally:
                if training.reached is not None:
                    adopt_it(training.reached)
            assert training.reached is not None  # it ended by itself
            if not bool(backend.xp.all(backend.xp.isfinite(training.reached.flat))):
                raise ValueError(
                    "Solver produced non-finite parameter weights. The input data may contain large values and need "
                    "to be preprocessed."
                )
            watch.fit_ends()
        return self

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

    def _training(
        self,
        problem: FitProblem,
        flat: Array,
        watch: Watch,
        continued: bool,
        incremental: bool,
        make_checkpoints: MakeCheckpoints | None,
    ) -> Search | Epochs:
        """Return the training run of the solver, which starts from ``flat``."""
        if self.solver == "lbfgs":
            refuse_in_group('solver="lbfgs"')
            return Search(self, problem, flat, watch)
        if self.early_stopping and problem.hold_out is None:
            stratify = is_classifier(self) and self.n_outputs_ == 1
            problem = problem.split(self.validation_fraction, self._random_state, stratify=stratify)
        # On a warm start scikit-learn has no best parameters until an epoch improves.
        best = None if continued else flat
        return Epochs(self, problem, flat, watch, best=best, one_epoch=incremental, make_checkpoints=make_checkpoints)

    def _hidden_sizes(self) -> list[int]:
        given = self.hidden_layer_sizes
        try:
            sizes = [operator.index(size) for size in (given if hasattr(given, "__iter__") else [given])]
        except TypeError:
            raise TypeError(f"hidden_layer_sizes must be whole numbers, got {given!r}") from None
        if min(sizes, default=1) <= 0:
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return sizes

    def _network(self, sizes: tuple[int, ...]) -> Network:
        output, loss = self._output_and_loss()
        options = checked_loss_options(loss, self.loss_options or {})
        several = hasattr(self.activation, "__iter__") and not isinstance(self.activation, str)
        if several:
            names = tuple(self.activation)
            return Network(sizes, activation=names, output=output, loss=loss, loss_options=options)
        return _same_network(sizes, self.activation, output, loss, options)

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

    def _flat(self, net: Network, backend: Backend) -> Array:
        """Pack the current ``coefs_`` and ``intercepts_``, which the user may have edited."""
        layers = zip(self.coefs_, self.intercepts_, strict=True)
        shapes = [(tuple(np.shape(W)), tuple(np.shape(b))) for W, b in layers]
        expected = [((fan_in, fan_out), (fan_out,)) for fan_in, fan_out in itertools.pairwise(net.sizes)]
        if shapes != expected:
            raise ValueError(
                f"coefs_ and intercepts_ have the shapes {shapes}, but hidden_layer_sizes, X and y need {expected}: "
                "fit a clone of this estimator, or set warm_start=False"
            )
        return pack_pieces(backend.xp, self._layers_at(backend, common_dtype(self.coefs_)))

    def _layers_at(self, backend: Backend, dtype: Any) -> Params:
        def on_device(x: Array) -> Array:
            # This check takes a tenth of the time of a move, which would dominate the prediction of one row.
            as_needed = backend.name == "numpy" and type(x) is np.ndarray and x.dtype == dtype and x.flags.c_contiguous
            return x if as_needed else backend.asarray(x, dtype)

        layers = zip(self.coefs_, self.intercepts_, strict=True)
        return tuple(Layer(on_device(W), on_device(b)) for W, b in layers)

    def _fitted_network(self, backend: Backend, dtype: Any) -> tuple[Network, Params]:
        """Return the network of ``coefs_`` and ``intercepts_``, and its layers."""
        params = self._layers_at(backend, dtype)
        return self._network((params[0].W.shape[0], *(layer.b.shape[0] for layer in params))), params

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

    @property
    def best_epoch_(self) -> int | None:
        """The place, counted from 1, of the best validation score with early stopping, else of the least loss."""
        check_is_fitted(self, "coefs_")
        if self.early_stopping and self.solver in OPTIMIZERS:
            return best_epoch(-score for score in self.validation_scores_)
        # scikit-learn's estimators, from which this one may be made, have no such curve.
        return best_epoch(getattr(self, "validation_loss_curve_", None) or [])

    # Predicting.

    def _fitted_backend(self) -> Backend:
        """Return the library and device of the fitted model."""
        return backend_of(self.coefs_[0]) if is_foreign(self.coefs_[0]) else numpy_backend()

    def _check_device(self, X: Any, backend: Backend, method: str) -> None:
        """Raise ValueError if X is on another device than the model, unless ``backend`` or ``device`` is set."""
        if self.backend is None and self.device is None:
            check_same_device(self, X, backend, method)

    def _computed(self, X: Any, method: str, compute: ForwardPass, answer: AnswerTo) -> Any:
        """Return the answer to ``compute(ops, net, params, X)``, of the checked X."""
        if "coefs_" not in vars(self):
            check_is_fitted(self, "coefs_")  # raises; called only here, since it is slow where it does not
        backend = self._fitted_backend()
        self._check_device(X, backend, method)
        inputs = Inputs.to_predict(self, X, backend)
        backend = inputs.backend
        name = "float64" if "float64" in (common_dtype(self.coefs_), inputs.dtype) else "float32"
        dtype = np.dtype(name) if backend.name == "numpy" else backend.dtype(name)
        with _computing(backend):
            net, params = self._fitted_network(backend, dtype)
            return answer(compute(backend.primitives_outside_steps, net, params, inputs.on_device(dtype)), inputs)

    def _answer_to_outputs(self, X: Any, method: str, answer: AnswerTo) -> Any:
        """Return the answer to the network's outputs (n_samples, n_outputs)."""

        def outputs(ops: Primitives, net: Network, params: Params, X: Array) -> Array:
            return ops.by_rows(lambda z: outputs_of(ops, self.out_activation_, z), logits_of(ops, net, params, X))

        return self._computed(X, method, outputs, answer)

    @by_blocks
    @of_one_moment
    def transform(self, X: Any) -> Any:
        """Return the activations of the last hidden layer for X.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            The inputs, of any kind that `fit` accepts.

        Returns
        -------
        array of shape (n_samples, n_units)
            The activations of the last hidden layer; a copy of X, floating, where there is none. In the library of X.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        ValueError
            If X has another number of features, numbers that are not finite, or is on another device than the model.
        """
        has_hidden = len(self.coefs_) > 1

        def answer(last: Array, inputs: Inputs) -> Any:
            return inputs.answer(last if has_hidden else snapshot(inputs.backend.xp, dense(last)))

        return self._computed(X, "transform", last_hidden, answer)

    @property
    def _n_features_out(self) -> int:
        """The number of columns of `transform`, which scikit-learn names."""
        return int(self.coefs_[-1].shape[0])

    # scikit-learn's estimators, there and back.

    @classmethod
    def from_sklearn(cls, estimator: Any, **ours: Any) -> Self:
        """Return a copy of scikit-learn's estimator, fitted if it is, which continues its training.

        Parameters
        ----------
        estimator : sklearn.neural_network.MLPClassifier or MLPRegressor
            The estimator to copy; unchanged.
        **ours
            Parameters that scikit-learn's does not have, such as ``backend``.

        Returns
        -------
        MLPClassifier or MLPRegressor
            With the same parameters, attributes, random state and moments of the optimizer.

        Raises
        ------
        TypeError
            If it is another estimator, or its class has parameters that the constructor does not take.
        """
        return conversion.from_sklearn(cls, estimator, ours)

    @of_one_moment
    def to_sklearn(self) -> Any:
        """Return scikit-learn's estimator with these parameters and, if this one is fitted, these attributes.

        Returns
        -------
        sklearn.neural_network.MLPClassifier or MLPRegressor
            The estimator, with NumPy arrays, the same predictions, and the same state of training.

        Raises
        ------
        ValueError
            If a parameter has a value that scikit-learn does not know, such as activations that this library alone has.
        """
        return conversion.to_sklearn(self)

    # A file that runs without this library.

    @of_one_moment
    def to_onnx(self, path: FilePath) -> None:
        """Write the fitted model as an ONNX file, which onnxruntime and many other programs run (extra ``onnx``).

        Its input ``X`` takes rows (n_samples, n_features) of the weights' dtype, and of no other: a session of
        onnxruntime says ``get_inputs()[0].type == "tensor(float)"`` where that is float32. Its output is, for a
        classifier, ``proba`` (n_samples, n_classes), what `predict_proba` returns, with the classes as JSON in the
        metadata property "classes"; for a regressor ``prediction`` (n_samples, n_outputs), one column where
        `predict` returns one number a sample.

        Parameters
        ----------
        path : str, bytes or path
            The path of the file, usually ending in ".onnx". An existing file is replaced in one step.

        Raises
        ------
        ImportError
            If onnx is missing.
        NotFittedError
            If it is not fitted.
        OSError
            If the file cannot be written.

        See Also
        --------
        portable_mlp.export_onnx : For a network and its parameters.
        """
        check_is_fitted(self)
        backend = self._fitted_backend()
        with _computing(backend):
            onnx_export.to_onnx(self, *self._fitted_network(backend, common_dtype(self.coefs_)), path)

    # Names that scikit-learn's own tests call.

    def _loss_grad_lbfgs(
        self, packed_coef_inter: np.ndarray, X: Any, y: Any, sample_weight: Any, *buffers: Any
    ) -> tuple[float, np.ndarray]:
        """Return the loss and gradient at a vector of all weights, then all biases."""
        backend = get_backend("numpy")
        net = self._network((X.shape[1], *self._hidden_sizes(), y.shape[1]))
        order = weights_first(net)
        samples = FitSamples.on_device(backend, net, backend.asarray(X, dtype="float64"), y, sample_weight)
        objective = HostObjective(backend, self._objective(net), samples.data, "float64")
        loss, gradient = objective(packed_coef_inter[np.argsort(order)])
        return loss, gradient[order]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        return tags


def parameters_among(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters among the ``locals()`` of a constructor."""
    return {name: value for name, value in arguments.items() if name not in ("self", "__class__")}


@functools.cache
def _defaults(cls: type[BaseMLP]) -> dict[str, Any]:
    """Return the defaults of the parameters of an estimator's constructor, and of those that it derives from."""
    constructors = [inspect.signature(base.__init__) for base in reversed(cls.__mro__) if issubclass(base, BaseMLP)]
    given = [parameter for constructor in constructors for parameter in constructor.parameters.values()]
    return {parameter.name: parameter.default for parameter in given if parameter.default is not parameter.empty}


@functools.lru_cache
def _check_parameters(cls: type[BaseMLP], parameters: tuple[tuple[str, type[Any], Any], ...]) -> None:
    validate_parameter_constraints(
        cls._parameter_constraints, {name: value for name, _, value in parameters}, caller_name=cls.__name__
    )


@functools.lru_cache
def _same_network(
    sizes: tuple[int, ...], activation: str, output: str, loss: str, loss_options: LossOptions
) -> Network:
    return Network(sizes, activation=activation, output=output, loss=loss, loss_options=loss_options)


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


def _computing(backend: Backend) -> contextlib.AbstractContextManager[Any]:
    """Return the context to compute in; on NumPy none, so that its warnings reach the user, as from scikit-learn."""
    return contextlib.nullcontext() if backend.name == "numpy" else backend.running()

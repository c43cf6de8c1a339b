"""The base of the classifier and the regressor: the flow of a fit, and scikit-learn's methods.

An estimator is thin. It validates, moves the data once, and calls the kernels and the loop that `portable_mlp.train`
calls. Each class that it derives from adds one thing: the parameters (`mlp_parameters`), the network and its outputs
(`fitted_network`), the start of a fit (`fit_preparation`), files (`files`).
"""

from __future__ import annotations

import functools
from typing import Any, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context, is_classifier
from sklearn.utils.validation import check_is_fitted

from ..backends import get_backend
from ..distributed.agreement import check_same_options
from ..distributed.group import refuse_in_group
from ..kernels.arrays import Array, snapshot
from ..kernels.optimizers import OPTIMIZERS
from ..kernels.propagation import last_hidden
from ..kernels.suggestions import suggesting_class
from ..storage.paths import FilePath
from ..training.checkpointing import entered_on_root
from ..training.lbfgs import HostObjective
from ..training.stopping import best_epoch
from . import conversion, onnx_export
from .callbacks import CallbackSupportMixin, Watch, with_callbacks
from .checkpoints import NO_CHECKPOINTS, CheckpointOptions, MakeCheckpoints
from .dask_inputs import by_blocks, gathered
from .files import SavedToFiles
from .fit_preparation import FitPreparation
from .fitted_network import computing
from .inputs import Inputs, backend_for, common_dtype, dense
from .lbfgs import Search, weights_first
from .problem import FitProblem, FitSamples
from .state import adopt, draft_of, of_one_moment
from .stochastic import Epochs

PARAMETERS_THAT_MAY_DIFFER = {
    "verbose": "rank 0 alone prints",
    "device": "each rank may have one of its own",
}
"""Parameters that the ranks of a group do not compare, and why."""


@suggesting_class
class BaseMLP(ClassNamePrefixFeaturesOutMixin, CallbackSupportMixin, SavedToFiles, TransformerMixin, FitPreparation):
    """The base class of `MLPClassifier` and `MLPRegressor`; not for use by itself."""

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
        method = "partial_fit" if incremental else "fit"
        given = {
            "sample_weight": sample_weight is not None,
            "validation_data": validation_data is not None,
            "classes": getattr(draft, "classes_", None) if incremental else None,
            "fitted before": continued,
        }
        options = self.get_params(deep=False) | given | states.compared()
        check_same_options(f"{type(self).__name__}.{method}", options, but=PARAMETERS_THAT_MAY_DIFFER)
        X, y, sample_weight = gathered(X=X, y=y, sample_weight=sample_weight)
        if incremental and self.early_stopping and self.solver in OPTIMIZERS:
            raise ValueError("partial_fit does not support early_stopping=True")
        if continued:
            self._check_device(X, self._fitted_backend(), method)
        folder = states.checked_folder(self, validated=validation_data is not None)
        backend = backend_for(X, self.backend, self.device).at_precision(self.precision)
        with computing(backend), entered_on_root(folder, states.checkpoint, states.resume) as entered:
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

    @property
    def best_epoch_(self) -> int | None:
        """The place, counted from 1, of the best validation score with early stopping, else of the least loss."""
        check_is_fitted(self, "coefs_")
        if self.early_stopping and self.solver in OPTIMIZERS:
            return best_epoch(-score for score in self.validation_scores_)
        # scikit-learn's estimators, from which this one may be made, have no such curve.
        return best_epoch(getattr(self, "validation_loss_curve_", None) or [])

    # Predicting.

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
        with computing(backend):
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

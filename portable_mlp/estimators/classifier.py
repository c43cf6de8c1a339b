"""`MLPClassifier`: classes, encoded as labels and predicted as probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target
from sklearn.utils.validation import check_consistent_length

from ..backends import BACKENDS, Backend
from ..kernels.activations import ACTIVATIONS
from ..kernels.arrays import Array
from ..kernels.docstrings import documented_with, quoted
from ..kernels.optimizers import OPTIMIZERS, SOLVERS
from ..kernels.suggestions import suggesting, suggesting_class
from ..training.class_weights import ClassWeights, asks_for_balance
from ..training.schedules import SCHEDULES
from .binarizers import few_whole_numbers
from .callbacks import with_callbacks
from .class_labels import ClassLabels
from .dask_inputs import by_blocks, computed, gathered
from .inputs import Inputs, on_host
from .parameters import constraints, parameters_among
from .state import draft_of, of_one_moment


@suggesting_class
@documented_with(
    activations=quoted(ACTIVATIONS), backends=quoted(BACKENDS), solvers=quoted(SOLVERS), schedules=quoted(SCHEDULES)
)
class MLPClassifier(ClassifierMixin, ClassLabels):
    """Multi-layer perceptron for classes: scikit-learn's, with the same numbers, on any array library.

    Everything that ``sklearn.neural_network.MLPClassifier`` (1.9) does is done here with the same result. Beyond it
    are the parameters from ``backend`` on, further activations and schedules, ``validation_data`` and checkpoints in
    ``fit``, and ``transform``.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, or int
        Units of each hidden layer; ``()`` for none.
    activation : str, or array-like of str
        The activation of the hidden layers, one name for all or one each:
        {activations}.
    solver : str
        The optimizer, one of {solvers}.
    alpha : float
        Strength of the L2 penalty, which is divided by the samples of a batch.
    batch_size : int or "auto"
        The number of samples of a step; "auto" is 200, or all if they are fewer. Not for "lbfgs".
    learning_rate : str
        One of {schedules}.
        Schedule of "sgd" and "adamw": "invscaling" divides by ``(samples seen + 1) ** power_t``, "adaptive" divides by
        5 where training stalls, "exponential" multiplies by ``decay`` each epoch, "cosine" falls to 0 over ``max_iter``
        epochs. "adam" ignores those that scikit-learn has too, as it does there, unless ``compat=None``.
    learning_rate_init : float
        The initial learning rate of the schedule.
    power_t : float
        The exponent of the schedule "invscaling".
    max_iter : int
        The largest number of epochs, or of iterations of "lbfgs".
    shuffle : bool
        Whether each epoch has an order of its own.
    random_state : int, RandomState or None
        The source of the initial parameters, the hold-out, the order and dropout, drawn in that order on the host.
    tol : float
        An epoch that improves the loss (or the validation score) by less counts as stalled.
    verbose : bool
        Whether to print each epoch.
    warm_start : bool
        Whether ``fit`` starts from the parameters of the previous fit.
    momentum : float
        The momentum of "sgd", in [0, 1].
    nesterovs_momentum : bool
        Whether the momentum of "sgd" looks ahead.
    early_stopping : bool
        Whether to split off a hold-out, stop when its score stalls, and keep the best parameters.
    validation_fraction : float
        The fraction of samples in the hold-out, in [0, 1).
    beta_1, beta_2, epsilon : float
        The constants of "adam" and "adamw": the decay of the two moments, and the term of the denominator.
    n_iter_no_change : int or inf
        The number of stalled epochs in a row that training tolerates.
    max_fun : int
        The largest number of evaluations of the loss by "lbfgs".
    backend : str, optional
        The library that computes: {backends}, or "auto" (CuPy where a GPU answers). X is
        moved there once, and predictions are of the library of X. By default everything stays where X is. float64 data
        become float32 where the library, or its setting, has no float64 (JAX without x64).
    device : str, optional
        The device of the backend, such as "cuda:1".
    precision : {"float32", "tf32", "bfloat16"}
        The precision of the factors in products of float32 matrices during training: 24 significant bits, or, by the
        tensor cores of a GPU, 11 or 8.
    dropout : float
        The probability, in [0, 1), with which each hidden unit is dropped from a training step; not with "lbfgs".
    weight_decay : float
        The decay of "adamw" (Adam with decoupled weight decay, as in PyTorch): each step subtracts
        ``learning_rate * weight_decay * W`` from the weights W, beside ``alpha``; intercepts do not decay.
    clip_norm : float or None
        The upper bound of the norm of the whole gradient, penalty included; not with "lbfgs".
    decay : float
        The factor of the schedule "exponential", positive.
    warmup_steps : int
        The number of steps (batches) over which the learning rate rises linearly to the schedule's; not with "lbfgs".
    label_smoothing : float
        In [0, 1): training is on probabilities ``(1 - label_smoothing) * Y + label_smoothing / n_classes``, where each
        of several labels has two classes. Not in what early stopping and validation data report.
    class_weight : dict, "balanced", list of dicts (for several labels) or None
        The weight of each class; "balanced" is inverse to the frequency of the class in the ``y`` of ``fit``, weighted
        by ``sample_weight``, the hold-out of early stopping included. The hold-out and ``validation_data`` use the
        weights of the training data's classes.
    compat : {"sklearn", None}
        "sklearn" reports scikit-learn's loss, which is at most -log(eps) for a sample; None reports the exact loss. The
        gradient is the same.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, in order. With ``array_api_dispatch`` an array of the library that ``y`` was of, if that holds them.
    coefs_, intercepts_ : list of array
        Weights (fan_in, fan_out) and biases (fan_out,) of each layer, on the device of the training data. Editing or
        replacing them changes predictions and further training.
    loss_, loss_curve_ : float, list of float
        The loss with the penalty: of the last epoch, and of each (of each iteration of "lbfgs").
    best_loss_ : float or None
        The smallest loss; None with early stopping.
    validation_scores_, best_validation_score_ : list of float, float, or None
        With early stopping: accuracy on the hold-out.
    validation_loss_curve_ : list of float or None
        With early stopping or ``validation_data``: their loss, without the penalty.
    best_epoch_ : int or None
        The number, from 1, of the best entry of ``validation_scores_`` with early stopping, whose parameters are
        returned, else of ``validation_loss_curve_``; None without validation.
    n_iter_, t_ : int
        Epochs of the last fit, and samples seen in all.
    n_features_in_ : int
        The number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        The names of the features, if X was a data frame and all of them are texts.
    n_layers_ : int
        The number of layers, inputs and outputs included.
    n_outputs_ : int
        The number of outputs of the network.
    out_activation_ : str
        The activation of the output: "softmax"; "logistic" for two classes, and for several labels.

    See Also
    --------
    MLPRegressor : For real numbers.

    Notes
    -----
    On NumPy in float64 the parameters equal scikit-learn's bit for bit (identity, relu, tanh; several classes), on
    other libraries to 1e-10, in float32 to 1e-4.

    Arrays and data frames of dask (extra ``dask``) are accepted everywhere. `fit` computes them at once and equals the
    fit on the resulting NumPy or CuPy array. Other methods return lazy dask arrays, block by block, which use the model
    as it was when the method was called.

    Examples
    --------
    >>> from portable_mlp import MLPClassifier
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = MLPClassifier((32,), learning_rate_init=0.01, early_stopping=True, random_state=0).fit(X / 16, y)
    >>> clf.score(X / 16, y) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **ClassLabels._parameter_constraints,
        **constraints(for_classes=True),
    }

    loss = "log_loss"
    """As scikit-learn's estimator has it."""

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        backend: str | None = None,
        device: Any = None,
        precision: str = "float32",
        dropout: float = 0.0,
        weight_decay: float = 0.01,
        clip_norm: float | None = None,
        decay: float = 0.95,
        warmup_steps: int = 0,
        label_smoothing: float = 0.0,
        class_weight: Any = None,
        compat: str | None = "sklearn",
    ) -> None:
        super().__init__(**parameters_among(locals()))

    def _check_solver(self) -> bool:
        if self.solver not in OPTIMIZERS:
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not stochastic."
            )
        return True

    @available_if(lambda estimator: estimator._check_solver())
    @suggesting
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one more epoch, on the given data.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            The inputs, of any kind that `fit` accepts.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels, of the form that `fit` accepts.
        sample_weight : array-like of shape (n_samples,), optional
            The weight of each sample. Where all weights are 0, the model is unchanged.
        classes : array-like of shape (n_classes,), optional
            All labels of all calls; required at the first call.

        Returns
        -------
        self
            The estimator, trained for one more epoch.

        Raises
        ------
        ValueError
            If a parameter or the data cannot be used, ``classes`` is missing in the first call, or ``y`` has others. If
            ``class_weight`` is "balanced", for which the classes of data still to come would have to be counted.
        """
        if asks_for_balance(self.class_weight):
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit: the classes of data still to come cannot be "
                "counted; compute_class_weight('balanced', classes=classes, y=y) of scikit-learn on all labels gives "
                "the weights for a dict"
            )
        X, y, sample_weight = gathered(X=X, y=y, sample_weight=sample_weight)
        labels, classes = on_host(y), on_host(classes)
        draft = draft_of(self)
        if hasattr(self, "classes_"):
            draft.classes_ = self._labels  # with which scikit-learn compares
        if _check_partial_fit_first_call(draft, classes):
            several = type_of_target(labels).startswith("multilabel")
            draft._label_binarizer = LabelBinarizer().fit(labels if several else classes)
        return self._fit(draft, X, y, sample_weight, incremental=True)

    def _learnt_weights(self, y: Any, sample_weight: np.ndarray | None) -> Callable[[Any], np.ndarray] | None:
        if self.class_weight is None:
            return None
        return ClassWeights(self.class_weight, self._labels, y, sample_weight).of_samples

    def _output_and_loss(self) -> tuple[str, str]:
        several = self._label_binarizer.y_type_ == "multiclass"
        return ("softmax", "cross_entropy") if several else ("logistic", "binary_cross_entropy")

    def _score_outputs(self, Y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> float:
        if len(self._labels) == 1:
            right = np.ones(len(Y), dtype=bool)
        elif self.out_activation_ == "softmax":
            right = outputs.argmax(axis=1) == Y[:, 0]
        else:
            right = ((outputs > 0.5) == Y).all(axis=1)
        return float(np.average(right, weights=weights))

    @by_blocks
    @of_one_moment
    def predict(self, X: Any) -> Any:
        """Predict classes.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            The inputs, of any kind that `fit` accepts.

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_classes)
            The labels, in the library of X; labels that it cannot represent, such as text, are always NumPy's.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        ValueError
            If X has another number of features, numbers that are not finite, or is on another device than the model.
        """
        return self._answer_to_outputs(X, "predict", self._predicted)

    @by_blocks
    @of_one_moment
    def predict_proba(self, X: Any) -> Any:
        """Predict the probability of each class.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            The inputs, of any kind that `fit` accepts.

        Returns
        -------
        array of shape (n_samples, n_classes)
            Probabilities in the order of ``classes_``, in the library of X; for multilabel targets each is independent.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        ValueError
            If X has another number of features, numbers that are not finite, or is on another device than the model.
        """
        return self._answer_to_outputs(X, "predict_proba", self._probabilities)

    @by_blocks
    @of_one_moment
    def predict_log_proba(self, X: Any) -> Any:
        """Predict the logarithm of each class's probability.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            The inputs, of any kind that `fit` accepts.

        Returns
        -------
        array of shape (n_samples, n_classes)
            The logarithm ``log(predict_proba(X))``, in the library of X.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        ValueError
            If X has another number of features, numbers that are not finite, or is on another device than the model.
        """
        return self._answer_to_outputs(X, "predict_log_proba", self._log_probabilities)

    def _probabilities(self, outputs: Array, inputs: Inputs) -> Any:
        return inputs.answer(self._of_each_class(outputs, inputs.backend))

    def _log_probabilities(self, outputs: Array, inputs: Inputs) -> Any:
        return inputs.answer(inputs.backend.xp.log(self._of_each_class(outputs, inputs.backend)))

    def _of_each_class(self, outputs: Array, backend: Backend) -> Array:
        if self.n_outputs_ > 1:
            return outputs
        return backend.xp.concat([1.0 - outputs, outputs], axis=1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy of the predictions for X.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            The inputs, of any kind that `fit` accepts.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            The true labels, of the form that `fit` accepts.
        sample_weight : array-like of shape (n_samples,), optional
            The weight of each sample.

        Returns
        -------
        float
            The fraction of right predictions; for multilabel targets all labels of a sample must be right.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        ValueError
            If X or y cannot be used: another number of features or samples, numbers that are not finite,
            or another device.
        """
        y, predicted, weights = map(on_host, computed(y, self.predict(X), sample_weight))
        if weights is None and all(few_whole_numbers(labels) is not None for labels in (y, predicted)):
            check_consistent_length(y, predicted)
            return float(np.count_nonzero(y == predicted) / len(y))
        return float(accuracy_score(y, predicted, sample_weight=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

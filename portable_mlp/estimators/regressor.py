"""`MLPRegressor`: real numbers."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import StrOptions

from ..backends import BACKENDS
from ..kernels.activations import ACTIVATIONS
from ..kernels.arrays import Array
from ..kernels.docstrings import documented_with, quoted
from ..kernels.losses import LOSSES, REGRESSION_LOSSES, default_constants
from ..kernels.optimizers import SOLVERS
from ..kernels.options import check_choice
from ..kernels.suggestions import suggesting_class
from ..training.schedules import SCHEDULES
from .base import BaseMLP
from .callbacks import with_callbacks
from .dask_inputs import by_blocks, computed
from .inputs import Inputs, is_sparse, on_host
from .parameters import parameters_among
from .state import draft_of, of_one_moment


@suggesting_class
@documented_with(
    activations=quoted(ACTIVATIONS),
    backends=quoted(BACKENDS),
    solvers=quoted(SOLVERS),
    schedules=quoted(SCHEDULES),
    losses=quoted(REGRESSION_LOSSES),
    loss_options=default_constants(),
)
class MLPRegressor(RegressorMixin, BaseMLP):
    """Multi-layer perceptron for real numbers: scikit-learn's, with the same numbers, on any array library.

    Everything that ``sklearn.neural_network.MLPRegressor`` (1.9) does is done here with the same result. Beyond it
    are the parameters from ``backend`` on, further activations and schedules, ``validation_data`` and checkpoints in
    ``fit``, and ``transform``.

    Parameters
    ----------
    loss : {{losses}}
        "squared_error" is half the squared error; "huber" the same up to an error of delta, and linear beyond, so that
        outliers have less weight; "poisson" half the deviance, for y >= 0, with an exponential output.
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
    loss_options : dict or None
        The constants of the loss, by default {loss_options}; the others have none.
    compat : {"sklearn", None}
        "sklearn" reports the squared error divided by the number of outputs, as scikit-learn does; None reports the
        loss whose gradient is followed, their sum. The gradient is the same.

    Attributes
    ----------
    coefs_, intercepts_ : list of array
        Weights (fan_in, fan_out) and biases (fan_out,) of each layer, on the device of the training data. Editing or
        replacing them changes predictions and further training.
    loss_, loss_curve_ : float, list of float
        The loss with the penalty: of the last epoch, and of each (of each iteration of "lbfgs").
    best_loss_ : float or None
        The smallest loss; None with early stopping.
    validation_scores_, best_validation_score_ : list of float, float, or None
        With early stopping: R² on the hold-out.
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
        The activation of the output: "identity"; "exp" for the loss "poisson".

    See Also
    --------
    MLPClassifier : For classes.

    Notes
    -----
    On NumPy in float64 the parameters equal scikit-learn's bit for bit (identity, relu, tanh), on other libraries to
    1e-10, in float32 to 1e-4.

    Arrays and data frames of dask (extra ``dask``) are accepted everywhere. `fit` computes them at once and equals the
    fit on the resulting NumPy or CuPy array. Other methods return lazy dask arrays, block by block, which use the model
    as it was when the method was called.

    Examples
    --------
    >>> import numpy as np
    >>> from portable_mlp import MLPRegressor
    >>> X = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> regressor = MLPRegressor(hidden_layer_sizes=(20,), solver="lbfgs", random_state=0)
    >>> regressor.fit(X, X[:, 0] ** 2).score(X, X[:, 0] ** 2) > 0.99
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions(REGRESSION_LOSSES)],
        "loss_options": [dict, None],
    }

    _target_checks: ClassVar[dict[str, Any]] = {"y_numeric": True}

    def __init__(
        self,
        loss: str = "squared_error",
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
        loss_options: dict[str, float] | None = None,
        compat: str | None = "sklearn",
    ) -> None:
        super().__init__(**parameters_among(locals()))

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one more epoch on the given data; with "lbfgs" for a whole fit, as scikit-learn does.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            The inputs, of any kind that `fit` accepts.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, of the form that `fit` accepts.
        sample_weight : array-like of shape (n_samples,), optional
            The weight of each sample. Where all weights are 0, the model is unchanged.

        Returns
        -------
        self
            The estimator, trained for one more epoch.

        Raises
        ------
        ValueError
            If a parameter or the data cannot be used; with what was expected, and what came.
        """
        return self._fit(draft_of(self), X, y, sample_weight, incremental=True)

    def _encoded(self, y: Any) -> np.ndarray:
        if is_sparse(y):
            raise TypeError("y must be dense for a regression, got a sparse matrix: y.toarray() makes it so")
        y = np.asarray(y)
        return y.reshape(-1, 1) if y.ndim == 1 else y

    def _output_and_loss(self) -> tuple[str, str]:
        check_choice("loss", self.loss, REGRESSION_LOSSES)
        return LOSSES[self.loss].outputs[0], self.loss

    def _score_outputs(self, Y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> float:
        if not np.isfinite(outputs).all():
            return np.nan
        return float(r2_score(Y, outputs, sample_weight=weights))

    @by_blocks
    @of_one_moment
    def predict(self, X: Any) -> Any:
        """Predict targets.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            The inputs, of any kind that `fit` accepts.

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_outputs)
            In the library of X.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        ValueError
            If X has another number of features, numbers that are not finite, or is on another device than the model.
        """

        def answer(outputs: Array, inputs: Inputs) -> Any:
            return inputs.answer(outputs[:, 0] if outputs.shape[1] == 1 else outputs)

        return self._answer_to_outputs(X, "predict", answer)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R² of the predictions for X, averaged over outputs.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            The inputs, of any kind that `fit` accepts.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The true targets, of the form that `fit` accepts.
        sample_weight : array-like of shape (n_samples,), optional
            The weight of each sample.

        Returns
        -------
        float
            1 where every prediction is right.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        ValueError
            If X or y cannot be used: another number of features or samples, numbers that are not finite,
            or another device.
        """
        y, predicted, weights = map(on_host, computed(y, self.predict(X), sample_weight))
        return float(r2_score(y, predicted, sample_weight=weights))

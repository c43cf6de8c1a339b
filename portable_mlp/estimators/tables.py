"""`TableClassifier` and `TableRegressor`: the model of a table that the command line trains, as estimators."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_array
from sklearn.utils._missing import is_pandas_na
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, column_or_1d

from ..kernels.docstrings import documented_with
from ..kernels.losses import REGRESSION_LOSSES
from ..kernels.suggestions import suggesting_class
from ..storage.paths import FilePath
from ..tables.model import TableModel
from .checkpoints import CheckpointOptions
from .parameters import constraints, parameters_among
from .table_base import TableEstimator
from .table_docstrings import ATTRIBUTES, CHOICES, PARAMETERS
from .table_encoder import TableEncoder

__all__ = ["TableClassifier", "TableRegressor"]


def _checked_quantities(y: Any) -> np.ndarray:
    """Return targets as float64; raise scikit-learn's ValueError, with advice for texts."""
    try:
        return check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    except ValueError as error:
        if not str(error).startswith("could not convert"):
            raise
        raise ValueError(f"y must hold numbers; TableClassifier predicts classes: {error}") from None


def _check_none_missing(y: np.ndarray, what: str) -> None:
    """Raise ValueError if a target is None, or pandas' NA, which are no numbers."""
    if y.dtype.kind == "O" and any(one is None or is_pandas_na(one) for one in y.flat):
        raise ValueError(f"y has missing values, but the {what} of each row is needed")


@suggesting_class
@documented_with(parameters=PARAMETERS, attributes=ATTRIBUTES, **CHOICES)
class TableClassifier(ClassifierMixin, TableEstimator):
    """Classify the rows of tables as they are: numbers, texts, truth values, dates and missing cells.

    It is what ``portable-mlp train`` trains: an encoder of the columns, as `TableEncoder`, and a network, or several,
    in one. Parameters that are None have defaults that were measured on many tables; some follow the number of rows.

    Parameters
    ----------
    {parameters}
    label_smoothing : float, optional
        The share of each label that training spreads over all classes.
    class_weight : dict from classes to weights, or "balanced", optional
        The weight of each class, 1 for those that a dict omits.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes in sorted order.
    {attributes}

    See Also
    --------
    portable_mlp.MLPClassifier : For matrices of numbers, with scikit-learn's numbers.

    Examples
    --------
    >>> import portable_mlp as pm
    >>> flats = {"rooms": [1, 2, 3, 4] * 10, "district": ["north", "south", "west", None] * 10}
    >>> kind = ["small", "small", "large", "large"] * 10
    >>> model = pm.TableClassifier(random_state=0).fit(flats, kind)
    >>> model.predict({"district": ["north", "east"], "rooms": [1, 4]}).tolist()
    ['small', 'large']
    >>> print(*model.encoder_.columns_[1])
    district category 4 3 categories, gaps as one of their own
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TableEstimator._parameter_constraints,
        **{name: [*allowed, None] for name, allowed in constraints(for_classes=True).items()},
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    _task = "classification"

    def __init__(
        self,
        *,
        preset: str = "default",
        n_networks: int | None = None,
        hidden_layer_sizes: Any = None,
        activation: Any = None,
        validation_fraction: float | None = None,
        n_iter_no_change: int | None = None,
        monitor: str | None = None,
        solver: str | None = None,
        alpha: float | None = None,
        batch_size: int | None = None,
        learning_rate: str | None = None,
        learning_rate_init: float | None = None,
        max_iter: int | None = None,
        shuffle: bool | None = None,
        nesterovs_momentum: bool | None = None,
        momentum: float | None = None,
        beta_1: float | None = None,
        beta_2: float | None = None,
        epsilon: float | None = None,
        weight_decay: float | None = None,
        clip_norm: float | None = None,
        decay: float | None = None,
        dropout: float | None = None,
        warmup_steps: int | None = None,
        precision: str | None = None,
        categorical: Any = (),
        drop: Any = (),
        max_levels: int = 30,
        min_count: int = 2,
        decimal: str = ".",
        n_pieces: int | None = None,
        random_state: Any = None,
        backend: str = "auto",
        device: str | None = None,
        dtype: str = "float32",
        verbose: bool = False,
        label_smoothing: float | None = None,
        class_weight: Any = None,
    ) -> None:
        super().__init__(**parameters_among(locals()))

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        checkpoint: FilePath | None = None,
        checkpoint_every: int | None = None,
        resume: bool = False,
    ) -> Self:
        """Learn what each column is, and train on the rows.

        Parameters
        ----------
        X : data frame, mapping, Columns, or array-like of shape (n_samples, n_features)
            The training rows: a frame of pandas, polars or PyArrow, arrays by their names, a structured array, or
            `read_table`'s columns. Columns without names are called x0, x1, ...
        y : array-like of shape (n_samples,)
            Their classes: texts, numbers or truth values.
        sample_weight : array-like of shape (n_samples,), optional
            The weight of each row, not negative. The encoder counts all rows alike.
        checkpoint : str, bytes or path, optional
            A folder for the state of this fit alone, written at the end of each epoch and on Ctrl-C or SIGTERM, as for
            `portable_mlp.train`; several networks have folders within it. Not for "lbfgs"; ``random_state`` must be an
            int.
        checkpoint_every : int, optional
            Steps (batches) from one state to the next within an epoch, for long ones.
        resume : bool
            Whether to resume from the newest sound state in ``checkpoint``, if there is one, with the same parameters
            and table: the result equals that of an uninterrupted fit, to the bit. Without ``resume``, a folder that
            holds states is refused.

        Returns
        -------
        TableClassifier
            The estimator itself, fitted.

        Raises
        ------
        ValueError
            If a parameter, X, y or the weights cannot be used; with what was expected, and what came.
        BackendUnavailable
            If ``backend`` cannot be used here.
        """
        self._validate_params()
        y = column_or_1d(y, warn=True)
        _check_none_missing(y, "class")
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
        # A list of both small and large unsigned integers would become floats, in which neighbours are one.
        names = classes if classes.dtype.kind == "u" else np.array(classes.tolist())
        states = CheckpointOptions(checkpoint, checkpoint_every, resume)
        self._fit(X, names[labels], len(classes), sample_weight, states)
        self.classes_ = classes
        return self

    def _adopt(self, model: TableModel, encoder: TableEncoder) -> None:
        super()._adopt(model, encoder)
        self.classes_ = np.array(model.preparation.classes)

    def predict(self, X: Any) -> np.ndarray:
        """Predict classes.

        Parameters
        ----------
        X : data frame, mapping, Columns, or array-like of shape (n_samples, n_features)
            Rows with the same columns as in `fit`; of those with names, in any order, and others are left alone.

        Returns
        -------
        ndarray of shape (n_samples,)
            The class of each row.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        ValueError
            If a column is lacking, a cell contradicts what its column was in `fit`, or there is no row.
        """
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : data frame, mapping, Columns, or array-like of shape (n_samples, n_features)
            Rows with the same columns as in `fit`; of those with names, in any order, and others are left alone.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float64
            In the order of ``classes_``.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        ValueError
            If a column is lacking, a cell contradicts what its column was in `fit`, or there is no row.
        """
        columns = self._columns(X)
        return self._model.outputs(columns)


@suggesting_class
@documented_with(parameters=PARAMETERS, attributes=ATTRIBUTES, **CHOICES)
class TableRegressor(RegressorMixin, TableEstimator):
    """Predict quantities from the rows of tables as they are: numbers, texts, truth values, dates and missing cells.

    It is what ``portable-mlp train`` trains: an encoder of the columns, as `TableEncoder`, and a network, or several,
    in one. Parameters that are None have defaults that were measured on many tables; some follow the number of rows.
    Predictions stay between the least and the greatest training target.

    Parameters
    ----------
    {parameters}
    loss : str, optional
        The loss to minimise, one of {losses}.
    loss_options : dict from str to float, optional
        The constants of the loss, by default {loss_options}; the others have none.

    Attributes
    ----------
    {attributes}

    See Also
    --------
    portable_mlp.MLPRegressor : For matrices of numbers, with scikit-learn's numbers.

    Examples
    --------
    >>> import portable_mlp as pm
    >>> flats = {"rooms": [1, 2, 3, 4] * 10, "district": ["north", "south"] * 20}
    >>> rent = [500.0, 600.0, 800.0, 900.0] * 10
    >>> model = pm.TableRegressor(random_state=0).fit(flats, rent)
    >>> model.score(flats, rent) > 0.9, model.recipe_.training["epochs"]
    (True, 500)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TableEstimator._parameter_constraints,
        "loss": [StrOptions(REGRESSION_LOSSES), None],
        "loss_options": [dict, None],
    }
    _task = "regression"

    def __init__(
        self,
        *,
        preset: str = "default",
        n_networks: int | None = None,
        hidden_layer_sizes: Any = None,
        activation: Any = None,
        validation_fraction: float | None = None,
        n_iter_no_change: int | None = None,
        monitor: str | None = None,
        solver: str | None = None,
        alpha: float | None = None,
        batch_size: int | None = None,
        learning_rate: str | None = None,
        learning_rate_init: float | None = None,
        max_iter: int | None = None,
        shuffle: bool | None = None,
        nesterovs_momentum: bool | None = None,
        momentum: float | None = None,
        beta_1: float | None = None,
        beta_2: float | None = None,
        epsilon: float | None = None,
        weight_decay: float | None = None,
        clip_norm: float | None = None,
        decay: float | None = None,
        dropout: float | None = None,
        warmup_steps: int | None = None,
        precision: str | None = None,
        categorical: Any = (),
        drop: Any = (),
        max_levels: int = 30,
        min_count: int = 2,
        decimal: str = ".",
        n_pieces: int | None = None,
        random_state: Any = None,
        backend: str = "auto",
        device: str | None = None,
        dtype: str = "float32",
        verbose: bool = False,
        loss: str | None = None,
        loss_options: dict[str, float] | None = None,
    ) -> None:
        super().__init__(**parameters_among(locals()))

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        checkpoint: FilePath | None = None,
        checkpoint_every: int | None = None,
        resume: bool = False,
    ) -> Self:
        """Learn what each column is, and train on the rows.

        Parameters
        ----------
        X : data frame, mapping, Columns, or array-like of shape (n_samples, n_features)
            The training rows: a frame of pandas, polars or PyArrow, arrays by their names, a structured array, or
            `read_table`'s columns. Columns without names are called x0, x1, ...
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets of these rows.
        sample_weight : array-like of shape (n_samples,), optional
            The weight of each row, not negative. The encoder counts all rows alike.
        checkpoint : str, bytes or path, optional
            A folder for the state of this fit alone, written at the end of each epoch and on Ctrl-C or SIGTERM, as for
            `portable_mlp.train`; several networks have folders within it. Not for "lbfgs"; ``random_state`` must be an
            int.
        checkpoint_every : int, optional
            Steps (batches) from one state to the next within an epoch, for long ones.
        resume : bool
            Whether to resume from the newest sound state in ``checkpoint``, if there is one, with the same parameters
            and table: the result equals that of an uninterrupted fit, to the bit. Without ``resume``, a folder that
            holds states is refused.

        Returns
        -------
        TableRegressor
            The estimator itself, fitted.

        Raises
        ------
        ValueError
            If a parameter, X, y or the weights cannot be used; with what was expected, and what came.
        BackendUnavailable
            If ``backend`` cannot be used here.
        """
        self._validate_params()
        if y is None:
            raise ValueError("This TableRegressor estimator requires y to be passed, but the target y is None.")
        _check_none_missing(np.asarray(y), "target")
        states = CheckpointOptions(checkpoint, checkpoint_every, resume)
        return self._fit(X, _checked_quantities(y), None, sample_weight, states)

    def predict(self, X: Any) -> np.ndarray:
        """Predict quantities.

        Parameters
        ----------
        X : data frame, mapping, Columns, or array-like of shape (n_samples, n_features)
            Rows with the same columns as in `fit`; of those with names, in any order, and others are left alone.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs), float64
            The targets.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        ValueError
            If a column is lacking, a cell contradicts what its column was in `fit`, or there is no row.
        """
        columns = self._columns(X)
        predictions = self._model.predictions(columns)
        return predictions[:, 0] if predictions.shape[1] == 1 else predictions

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

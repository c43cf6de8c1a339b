"""`TableClassifier` and `TableRegressor`: the model of a table that the command line trains, as estimators."""

from __future__ import annotations

import os
import pathlib
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils._missing import is_pandas_na
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    assert_all_finite,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from ..backends import BACKENDS, get_backend
from ..kernels.activations import ACTIVATIONS
from ..kernels.docstrings import documented_with, quoted
from ..kernels.losses import REGRESSION_LOSSES, default_constants
from ..kernels.optimizers import SOLVERS
from ..kernels.suggestions import suggesting_class
from ..onnx.table_models import export_table_model
from ..storage.json_values import canonical
from ..storage.model_errors import Defect, refusal
from ..storage.models import ESTIMATOR_ENTRY
from ..storage.paths import FilePath
from ..tables.column_names import numbered_names
from ..tables.columns import Columns, RawTable
from ..tables.errors import counted
from ..tables.fitting import prepare
from ..tables.model import TableModel
from ..tables.raw import ReadingOptions
from ..tables.recipe import PRESETS, TableOptions, recipe
from ..training.schedules import SCHEDULES
from ..training.stopping import MONITORED
from .base import parameters_among
from .files import decoded_value, encoded_value
from .parameters import PARAMETER_OF, constraints
from .table_encoder import TableEncoder, TakesTables

__all__ = ["TableClassifier", "TableRegressor"]

_PLACE = ("backend", "device", "verbose")
"""The parameters that a file does not keep."""

_OPTION_OF = {
    **{parameter: name for name, parameter in PARAMETER_OF.items()},
    "n_iter_no_change": "patience",
    "monitor": "monitor",
}
"""The training option of each parameter."""

_PARAMETERS = """preset : {"default", "best"}
        One network, in seconds where there are a few thousand rows; or eight networks of different folds, whose outputs
        are averaged, in about ten times as long.
    n_networks : int, optional
        The number of networks, whose outputs are averaged.
    hidden_layer_sizes : array-like of int, optional
        Units of each hidden layer, by default 128 and 64; ``()`` for none.
    activation : str or array-like of str, optional
        The activation of the hidden layers, one name for all or one each, by default "relu":
        {activations}.
    validation_fraction : float, optional
        The fraction of the rows held out, in [0, 1), 0 for none; the parameters of the best epoch are then kept.
    n_iter_no_change : int, optional
        Stop after so many epochs without a better validation.
    monitor : {"loss", "score"}, optional
        What is compared: the validation loss, or the score, which is accuracy or R².
    solver : str, optional
        The optimizer, by default "adam"; one of {solvers}.
    alpha : float, optional
        Strength of the L2 penalty, which is divided by the samples of a batch.
    batch_size : int, optional
        The number of rows of a step.
    learning_rate : str, optional
        The schedule, by default "cosine", one of {schedules}:
        "invscaling" divides by the root of the rows seen, "adaptive" divides by 5 where the loss stalls,
        "exponential" multiplies by ``decay`` each epoch, "cosine" falls to 0 over ``max_iter`` epochs.
    learning_rate_init : float, optional
        The learning rate that the schedule starts from, by default 0.002.
    max_iter : int, optional
        The number of epochs; by default so many that the steps are about 1,000, and more for more than 1,000 rows.
    shuffle : bool, optional
        Whether each epoch has an order of its own.
    nesterovs_momentum : bool, optional
        Whether the momentum of "sgd" looks ahead.
    momentum : float, optional
        The momentum of "sgd", in [0, 1].
    beta_1, beta_2, epsilon : float, optional
        The constants of "adam" and "adamw": the decay of the two moments, and the term of the denominator.
    weight_decay : float, optional
        The decay of "adamw": each step subtracts ``learning_rate * weight_decay * W`` from the weights W.
    clip_norm : float, optional
        The upper bound of the norm of the whole gradient, penalty included; not with "lbfgs".
    decay : float, optional
        The factor of the schedule "exponential", positive.
    dropout : float, optional
        The probability, in [0, 1), with which each hidden unit is dropped from a training step; not with "lbfgs".
    warmup_steps : int, optional
        The number of steps (batches) over which the learning rate rises linearly to the schedule's; not with "lbfgs".
    precision : {"float32", "tf32", "bfloat16"}, optional
        The precision of the factors in products of float32 matrices during training: 24 significant bits, or, by the
        tensor cores of a GPU, 11 or 8.
    categorical : sequence of str
        Names of columns whose cells are categories, whatever they look like: whole numbers that are codes.
    drop : sequence of str
        Names of columns to leave out.
    max_levels : int
        A column of more different texts is encoded by the means of its targets.
    min_count : int
        Texts in fewer rows are rare, and share a feature.
    decimal : {".", ","}
        The mark before the fraction of numbers in columns of texts.
    n_pieces : int, optional
        The number of features that each number has beside itself, one for each piece between its quantiles; 0 for none.
    random_state : int, RandomState or None
        The source of the initial parameters, the hold-out, the order and dropout.
    backend : str
        The library that computes: "auto" (CuPy where a GPU answers, else NumPy) or {backends}.
    device : str, optional
        The device of the backend, such as "cuda:1".
    dtype : {"float32", "float64"}
        The dtype of parameters and encoded inputs.
    verbose : bool
        Whether to draw a progress bar on stderr (needs rich)."""

_ATTRIBUTES = """n_features_in_ : int
        The number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if there are any.
    encoder_ : TableEncoder
        The encoder, fitted; ``encoder_.columns_`` lists what was done with each column.
    recipe_ : Recipe
        The networks and their training: ``hidden``, ``activation``, ``n_networks``, ``hold_out``, ``training`` and
        ``encoding``, with the values that followed the table.
    n_iter_ : int
        The number of epochs, of the network that took the most.
    histories_ : list of dict
        The history of each network, as `TrainResult.history`."""

_NAMES = {
    "activations": quoted(ACTIVATIONS),
    "backends": quoted(BACKENDS),
    "loss_options": default_constants(),
    "losses": quoted(REGRESSION_LOSSES),
    "schedules": quoted(SCHEDULES),
    "solvers": quoted(SOLVERS),
}
"""The names that the descriptions of parameters list."""


class _TableEstimator(TakesTables, BaseEstimator):
    """What both estimators have in common."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "preset": [StrOptions(set(PRESETS))],
        "n_networks": [Interval(Integral, 1, 1000, closed="both"), None],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left"), None],
        "activation": [str, "array-like", None],
        "validation_fraction": [Interval(Real, 0, 1, closed="left"), None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
        "monitor": [StrOptions(set(MONITORED)), None],
        **{name: [*allowed, None] for name, allowed in constraints(for_classes=False).items()},
        **TableEncoder._parameter_constraints,
        "n_pieces": [*TableEncoder._parameter_constraints["n_pieces"], None],
        "random_state": ["random_state"],
        "backend": [str],
        "device": [str, None],
        "dtype": [StrOptions({"float32", "float64"})],
        "verbose": ["boolean"],
    }
    del _parameter_constraints["target_type"]
    _task: ClassVar[str]
    _model: TableModel

    preset: str
    n_networks: int | None
    n_iter_no_change: int | None
    hidden_layer_sizes: Any
    activation: Any
    validation_fraction: float | None
    categorical: Any
    drop: Any
    max_levels: int
    min_count: int
    n_pieces: int | None
    decimal: str
    random_state: Any
    backend: str
    device: str | None
    dtype: str
    verbose: bool

    def __init__(self, **parameters: Any) -> None:
        for name, value in parameters.items():
            setattr(self, name, value)

    def _fit(self, X: Any, y: np.ndarray, n_classes: int | None, sample_weight: Any) -> Self:
        """Train on checked targets (n_samples,) or (n_samples, n_outputs)."""
        encoder = TableEncoder(
            categorical=self.categorical,
            drop=self.drop,
            max_levels=self.max_levels,
            min_count=self.min_count,
            decimal=self.decimal,
            target_type=self._task,
        )
        columns = encoder._understood(X)
        check_consistent_length(columns, y)
        n_rows = columns.shape[0]
        if not n_rows:
            raise ValueError(f"X has 0 rows, but {type(self).__name__} learns from one at least")
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, np.empty((n_rows, 1)), ensure_non_negative=True)
        seed = self.random_state
        if not isinstance(seed, Integral):
            seed = check_random_state(seed).randint(2**31 - 1)
        table = RawTable(columns, y, None, None, ())
        options = self._options(n_rows, n_classes)
        reading = ReadingOptions(decimal=self.decimal)
        prepared = prepare(table, options, task=self._task, seed=int(seed), weights=weights, reading=reading)
        if self.n_iter_no_change is not None and not prepared.n_held_out:
            raise ValueError(
                f"n_iter_no_change needs rows to validate on, and validation_fraction={self.validation_fraction} "
                f"leaves none of {counted(n_rows, 'row')}"
            )
        if len(self.drop):
            # An array that a loaded model predicts from has these columns too.
            names = getattr(encoder, "feature_names_in_", numbered_names(encoder.n_features_in_))
            prepared = replace(prepared, preparation=prepared.preparation.among(names))
        backend = get_backend(self.backend, self.device)
        fitted = prepared.fit(backend, self.dtype, int(seed), progress=self.verbose)
        self._adopt(fitted.model, encoder.set_params(n_pieces=prepared.recipe.encoding["n_pieces"]))
        self.recipe_ = prepared.recipe
        self.n_iter_ = max(result.n_epochs for result in fitted.results)
        self.histories_ = [result.history for result in fitted.results]
        return self

    def _options(self, n_rows: int, n_classes: int | None) -> TableOptions:
        """Return what the parameters choose."""
        given = {name: getattr(self, name) for name in self.get_params(deep=False)}
        training = {option: given[name] for name, option in _OPTION_OF.items() if given.get(name) is not None}
        penalty = training.pop(_OPTION_OF["alpha"], None)
        sizes = self.hidden_layer_sizes
        chosen = TableOptions(
            preset=self.preset,
            hidden=None if sizes is None else tuple(map(int, np.atleast_1d(sizes))),
            activation=self.activation,
            loss=given.get("loss"),
            loss_options=given.get("loss_options") or {},
            n_networks=self.n_networks,
            hold_out=self.validation_fraction,
            training=training,
            encoding={
                "max_levels": self.max_levels,
                "min_count": self.min_count,
                **({} if self.n_pieces is None else {"n_pieces": self.n_pieces}),
            },
        )
        if penalty is None:
            return chosen
        batch_size = min(n_rows, recipe(n_rows, n_classes, chosen).training["batch_size"])
        return chosen._replace(training={**training, "l2": penalty / batch_size})

    def _adopt(self, model: TableModel, encoder: TableEncoder) -> None:
        """Take a trained model, and the encoder that read the columns."""
        assert model.preparation.encoder is not None  # a model of a table as it is
        encoder._encoder = model.preparation.encoder
        self.encoder_, self.n_features_in_, self._model = encoder, encoder.n_features_in_, model
        if hasattr(encoder, "feature_names_in_"):
            self.feature_names_in_ = encoder.feature_names_in_
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _columns(self, X: Any) -> Columns:
        """Return the columns of rows to predict from, at least one."""
        check_is_fitted(self)
        columns = self.encoder_._known(X, self)
        if not columns.shape[0]:
            raise ValueError(f"X has 0 rows, but {type(self).__name__} predicts from one at least")
        return columns

    def save(self, path: FilePath) -> None:
        """Write the fitted estimator to a model file, which is replaced in one step.

        It is the file that ``portable-mlp train --save`` writes, and has the parameters beside it, except ``backend``,
        ``device`` and ``verbose``: ``portable-mlp predict`` takes raw rows with it, and `load_model` its networks.

        Parameters
        ----------
        path : str, bytes or path
            The path of the file, usually ending in ".safetensors".

        Raises
        ------
        TypeError
            If JSON cannot represent a parameter, such as a ``RandomState``.
        NotFittedError
            If it is not fitted.
        OSError
            If the file cannot be written. After any error ``path`` is unchanged.
        """
        check_is_fitted(self)
        self._model.save(path, **{ESTIMATOR_ENTRY: self._described()})

    def to_onnx(self, path: FilePath) -> None:
        """Write the fitted model as an ONNX file, which onnxruntime and many other programs run (extra ``onnx``).

        It takes raw rows. Where all columns are numbers without gaps, its input is ``X`` (n_samples, n_columns). Else
        it has an input (n_samples, 1) for each column that is needed, of the column's name: numbers, NaN for a gap;
        truth values as 1 and 0; texts, the empty one for a gap; dates as seconds since 1970, UTC, in float64, NaN for a
        gap. Numbers that were texts, such as "27,000", are numbers; truth values that were words, such as "yes", are
        texts. Blanks around a text, which `predict` strips, are part of it here: strip them before.

        Numbers and truth values are in ``dtype``. They are all in float64 where float32 does not have the numbers of a
        column up to a small part of their spread: Julian days or Unix times within a day, numbers beyond 1e35. The
        session's ``get_inputs()`` tells which.

        The output is ``proba`` (n_samples, n_classes), with the classes as JSON in the
        metadata property "classes", or ``prediction`` (n_samples, n_outputs); if a column has this name, there is an
        underscore behind it.

        Parameters
        ----------
        path : str, bytes or path
            The path of the file, usually ending in ".onnx", which is replaced in one step.

        Raises
        ------
        ValueError
            If a column has a name that no input of an ONNX file can have, as the empty one, or a text that UTF-8 cannot
            write; if the target's numbers are too large or too small for ``dtype``.
        ImportError
            If onnx is missing.
        NotFittedError
            If it is not fitted.
        OSError
            If the file cannot be written.
        """
        check_is_fitted(self)
        export_table_model(path, self._model)

    def _described(self) -> dict[str, Any]:
        parameters = self.get_params(deep=False).items()
        kept = {name: encoded_value(value, name) for name, value in parameters if name not in _PLACE}
        return {"kind": f"table {self._task}", "parameters": kept}

    @classmethod
    def load(cls, path: FilePath, backend: str = "auto", device: str | None = None) -> Self:
        """Return the estimator of a file that `save`, or ``portable-mlp train --save``, wrote.

        Parameters
        ----------
        path : str, bytes or path
            The path of the file.
        backend : str
            The library that computes.
        device : str, optional
            The device of the backend.

        Returns
        -------
        TableClassifier or TableRegressor
            The estimator, with the parameters that it was saved with; with the defaults if the command line wrote it.

        Raises
        ------
        ModelFileError
            If the file is damaged, or is not of a table as it is and of this task; names it and the reason.
        OSError
            If it cannot be read.
        """
        name = pathlib.Path(os.fsdecode(path))
        model = TableModel.load(name, get_backend(backend, device))
        try:
            estimator = cls._restored(model)
        except Defect as defect:
            raise refusal(name, defect) from None
        estimator.backend, estimator.device = backend, device
        return estimator

    @classmethod
    def _restored(cls, model: TableModel) -> Self:
        """Return the estimator of a model.

        Raises
        ------
        Defect
            If the model is not one that this class saves.
        """
        task = "regression" if model.preparation.classes is None else "classification"
        if model.preparation.encoder is None:
            saved_by = "MLPRegressor" if cls._task == "regression" else "MLPClassifier"
            raise Defect(
                f"a model of a matrix of numbers, but {cls.__name__} is of a table as it is; {saved_by}.load reads it "
                f"if {saved_by} saved it, portable-mlp predict in any case"
            )
        if task != cls._task:
            other = "TableRegressor" if cls is TableClassifier else "TableClassifier"
            raise Defect(f"a model for {task}, but {cls.__name__} is for {cls._task}; {other}.load reads it")
        estimator = cls()
        described = model.metadata.get(ESTIMATOR_ENTRY)
        if described is not None:
            try:
                estimator = cls(**{name: decoded_value(value) for name, value in described["parameters"].items()})
                estimator._validate_params()
                again = estimator._described()
                # This release may have parameters that did not exist when the file was written.
                again["parameters"] = {name: again["parameters"][name] for name in described["parameters"]}
                same = canonical(again) == canonical(described)
            # For values of arbitrary types any error may come of it.
            except Exception as error:
                raise Defect(f"its estimator is not one that was saved: {type(error).__name__}: {error}") from None
            if not same:
                raise Defect("its estimator is not one that was saved: described anew it is another one")
        names = [column.name for column in model.preparation.encoder.columns]
        encoder = TableEncoder(target_type=cls._task)
        encoder.n_features_in_ = len(names)
        if names != list(numbered_names(len(names))):
            encoder.feature_names_in_ = np.array(names, dtype=object)
        estimator._adopt(model, encoder)
        return estimator

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_model")


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
@documented_with(parameters=_PARAMETERS, attributes=_ATTRIBUTES, **_NAMES)
class TableClassifier(ClassifierMixin, _TableEstimator):
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
        **_TableEstimator._parameter_constraints,
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn what each column is, and train on the rows.

        Parameters
        ----------
        X : data frame, mapping, Columns, or array-like of shape (n_samples, n_features)
            The training rows: a frame of pandas, polars or PyArrow, arrays by their names, or `read_table`'s columns.
            Columns without names are called x0, x1, ...
        y : array-like of shape (n_samples,)
            Their classes: texts, numbers or truth values.
        sample_weight : array-like of shape (n_samples,), optional
            The weight of each row, not negative. The encoder counts all rows alike.

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
        self._fit(X, names[labels], len(classes), sample_weight)
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
@documented_with(parameters=_PARAMETERS, attributes=_ATTRIBUTES, **_NAMES)
class TableRegressor(RegressorMixin, _TableEstimator):
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
        **_TableEstimator._parameter_constraints,
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn what each column is, and train on the rows.

        Parameters
        ----------
        X : data frame, mapping, Columns, or array-like of shape (n_samples, n_features)
            The training rows: a frame of pandas, polars or PyArrow, arrays by their names, or `read_table`'s columns.
            Columns without names are called x0, x1, ...
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets of these rows.
        sample_weight : array-like of shape (n_samples,), optional
            The weight of each row, not negative. The encoder counts all rows alike.

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
        return self._fit(X, _checked_quantities(y), None, sample_weight)

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

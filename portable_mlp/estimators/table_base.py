"""The base of the estimators of tables: from the parameters to the model that the command line trains, and to files."""

from __future__ import annotations

import os
import pathlib
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted

from ..backends import get_backend
from ..kernels.parameters import DTYPES
from ..onnx.table_models import export_table_model
from ..storage.model_errors import Defect, refusal
from ..storage.models import ESTIMATOR_ENTRY
from ..storage.paths import FilePath
from ..tables.column_names import numbered_names
from ..tables.columns import Columns, RawTable
from ..tables.errors import counted
from ..tables.fitting import PreparedTable, prepare
from ..tables.model import TableModel
from ..tables.raw import ReadingOptions
from ..tables.recipe import PRESETS, TableOptions, recipe
from ..training.stopping import MONITORED
from .checkpoints import CheckpointOptions
from .parameters import PARAMETER_OF, constraints
from .stored_estimators import SAVED_BY, is_same_description
from .stored_values import decoded_value, encoded_value
from .table_encoder import TableEncoder, TakesTables

_NOT_STORED = ("backend", "device", "verbose")
"""The parameters that a file does not keep."""

_OPTION_OF = {
    **{parameter: name for name, parameter in PARAMETER_OF.items()},
    "n_iter_no_change": "patience",
    "monitor": "monitor",
}
"""The training option of each parameter."""


class TableEstimator(TakesTables, BaseEstimator):
    """The base class of `TableClassifier` and `TableRegressor`; not for use by itself."""

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
        "dtype": [StrOptions(set(DTYPES))],
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

    def _fit(self, X: Any, y: np.ndarray, n_classes: int | None, sample_weight: Any, states: CheckpointOptions) -> Self:
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
        seed = self._seed()
        prepared = self._prepared(columns, y, n_classes, weights, seed)
        if len(self.drop):
            # An array that a loaded model predicts from has these columns too.
            names = getattr(encoder, "feature_names_in_", numbered_names(encoder.n_features_in_))
            prepared = replace(prepared, preparation=prepared.preparation.among(names))
        folder = None if states.checkpoint is None else pathlib.Path(os.fsdecode(states.checkpoint))
        if folder is not None and not isinstance(self.random_state, Integral):
            raise ValueError(
                "checkpoint needs an int as random_state, so that a resumed fit draws the same; got "
                f"{self.random_state!r}"
            )
        saving: dict[str, Any] = {"checkpoint_every": states.every, "resume": states.resume}
        backend = get_backend(self.backend, self.device)
        fitted = prepared.fit(backend, self.dtype, seed, checkpoint=folder, progress=self.verbose, **saving)
        self._adopt(fitted.model, encoder.set_params(n_pieces=prepared.recipe.encoding["n_pieces"]))
        self.recipe_ = prepared.recipe
        self.n_iter_ = max(result.n_epochs for result in fitted.results)
        self.histories_ = [result.history for result in fitted.results]
        return self

    def _seed(self) -> int:
        """Return ``random_state`` if it is an integer, else one that it draws."""
        given = self.random_state
        return int(given if isinstance(given, Integral) else check_random_state(given).randint(2**31 - 1))

    def _prepared(
        self, columns: Columns, y: np.ndarray, n_classes: int | None, weights: np.ndarray | None, seed: int
    ) -> PreparedTable:
        """Return training rows split and encoded; raise ValueError if stopping early has no rows to validate on."""
        n_rows = columns.shape[0]
        prepared = prepare(
            RawTable(columns, y, None, None, ()),
            self._options(n_rows, n_classes),
            task=self._task,
            seed=seed,
            weights=weights,
            reading=ReadingOptions(decimal=self.decimal),
        )
        if self.n_iter_no_change is not None and not prepared.n_held_out:
            raise ValueError(
                f"n_iter_no_change needs rows to validate on, and validation_fraction={self.validation_fraction} "
                f"leaves none of {counted(n_rows, 'row')}"
            )
        return prepared

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
        texts. Durations are microseconds. Blanks around a text, which `predict` strips, are part of it here: strip them
        before.

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
        kept = {name: encoded_value(value, name) for name, value in parameters if name not in _NOT_STORED}
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
        task = model.preparation.task
        if model.preparation.encoder is None:
            saved_by = SAVED_BY["regressor" if cls._task == "regression" else "classifier"]
            raise Defect(
                f"a model of a matrix of numbers, but {cls.__name__} is of a table as it is; {saved_by}.load reads it "
                f"if {saved_by} saved it, portable-mlp predict in any case"
            )
        if task != cls._task:
            raise Defect(
                f"a model for {task}, but {cls.__name__} is for {cls._task}; {SAVED_BY[f'table {task}']}.load reads it"
            )
        estimator = cls()
        described = model.metadata.get(ESTIMATOR_ENTRY)
        if described is not None:
            try:
                estimator = cls(**{name: decoded_value(value) for name, value in described["parameters"].items()})
                estimator._validate_params()
                same = is_same_description(estimator._described(), described)
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

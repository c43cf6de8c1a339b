"""The preparation of a table for a network: classes as labels, numbers standardised, and predictions back again.

It is learnt from the training rows and kept in the model file's metadata, so that `predict` takes raw rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from .columns import Columns
from .encoder_options import EncoderOptions
from .encoding import ColumnReport, Encoder
from .errors import DataError
from .moments import Moments
from .raw import ReadingOptions
from .targets import class_names, numeric_targets

SHARED_FIELDS: dict[str, Any] = {"id": str | None, "encoding": str | None, "delimiter": str | None, "header": bool}
"""Options that tables for training and for prediction share, with their types."""

DECIMAL = "decimal"
"""A further such option, which files have where it is not the point."""


PREPARATION_ENTRY = "preparation"
"""The entry of a model file's metadata for the preparation."""

_LATER_FIELDS = {"columns", "table", "target_low", "target_high"}
"""The fields that files of earlier releases lack."""


@dataclass(frozen=True)
class Preparation:
    """The conversion of rows to inputs, and of outputs to predictions.

    Attributes
    ----------
    feature_names : list of str
        The columns, in the order of the inputs.
    target_name : str or None
        The column that is predicted.
    input_mean, input_scale : list of float
        Mean and scale of each feature over the training rows.
    classes : list or None
        The class of each output, sorted; None for regression.
    target_mean, target_scale : list of float or None
        Mean and scale of each target over the training rows, for regression.
    target_low, target_high : list of float or None
        The least and the greatest of each target over the training rows, between which predictions stay; None, in
        files of earlier releases, where they do not.
    columns : list of dict or None
        The encoding of each column of a table that is not of numbers alone, as `Encoder.to_metadata` returns it:
        ``feature_names`` are then those of its features, which are scaled already unless each is a column.
    table : dict or None
        The fields of `ReadingOptions` for that table that apply to rows to predict from, too.
    """

    feature_names: list[str]
    target_name: str | None
    input_mean: list[float]
    input_scale: list[float]
    classes: list[Any] | None = None
    target_mean: list[float] | None = None
    target_scale: list[float] | None = None
    columns: list[dict[str, Any]] | None = None
    table: dict[str, Any] | None = None
    target_low: list[float] | None = None
    target_high: list[float] | None = None

    @functools.cached_property
    def encoder(self) -> Encoder | None:
        """The encoder of a table that is not of numbers alone; None for a table of numbers.

        Raises
        ------
        ValueError
            If ``columns`` are not what an encoder gives.
        """
        return None if self.columns is None else Encoder.from_metadata(self.columns)

    def among(self, names: Sequence[str]) -> Preparation:
        """Return the preparation of a table with all these columns, of which those that are not known were left out."""
        assert self.encoder is not None  # a table as it is
        return replace(self, columns=self.encoder.among(names).to_metadata())

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return a column for each class; of two classes the network may give the second one's alone."""
        if self.classes is not None and outputs.shape[1] == 1:
            return np.hstack([1.0 - outputs, outputs])
        return outputs

    @property
    def task(self) -> str:
        """The task of the network, as the option names it: "classification" or "regression"."""
        return "regression" if self.classes is None else "classification"

    @property
    def report(self) -> list[ColumnReport]:
        """The treatment of each column, last of the one that identifies the rows; empty for a table of numbers."""
        if self.encoder is None:
            return []
        ids = [name for name in [(self.table or {}).get("id")] if name is not None]
        return [*self.encoder.report, *(ColumnReport(name, "id", 0, "copied to the predictions") for name in ids)]

    @property
    def n_outputs(self) -> int:
        """Number of outputs of the network."""
        return len(self.classes if self.classes is not None else self.target_mean or ())

    @property
    def range_in_words(self) -> str:
        """The range of the predictions of each target."""
        pairs = zip(self.target_low or (), self.target_high or (), strict=True)
        return ", ".join(f"between {low:g} and {high:g}" for low, high in pairs)

    def inputs(self, X: np.ndarray | Columns) -> np.ndarray:
        """Standardise rows (n_samples, n_features) of numbers, or encode those of a table as it is."""
        if isinstance(X, Columns):
            assert self.encoder is not None  # such tables are read for preparations that have one
            return self.encoder.transform(X)
        return (X - np.asarray(self.input_mean)) / np.asarray(self.input_scale)

    def targets(self, y: np.ndarray) -> np.ndarray:
        """Return labels (n_samples,) of classes, or standardised values (n_samples, n_outputs)."""
        if self.classes is not None:
            classes = np.asarray(self.classes)
            # NumPy would compare signed and unsigned integers as float64, in which neighbours become one.
            return np.searchsorted(classes, y.astype(classes.dtype) if y.dtype.kind == "u" else y)
        return (_columns(y) - np.asarray(self.target_mean)) / np.asarray(self.target_scale)

    def restored(self, targets: np.ndarray) -> np.ndarray:
        """Return the classes of labels, or the quantities of standardised values: the inverse of `targets`."""
        if self.classes is not None:
            return np.asarray(self.classes)[targets]
        return targets * np.asarray(self.target_scale) + np.asarray(self.target_mean)

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Return the class (n_samples,) of each row of `probabilities`, or values (n_samples, n_outputs) unscaled."""
        if self.classes is not None:
            return self.restored(np.argmax(outputs, axis=1))
        values = self.restored(outputs)
        return values if self.target_low is None else np.clip(values, self.target_low, self.target_high)

    def in_metadata(self) -> dict[str, Any]:
        """Return the metadata of a model file."""
        return {PREPARATION_ENTRY: self.to_metadata()}

    def to_metadata(self) -> dict[str, Any]:
        """Return what JSON can keep: the fields that files have always had, and others where there is something."""
        kept = asdict(self)
        return {name: value for name, value in kept.items() if value is not None or name not in _LATER_FIELDS}


def learn(
    X: np.ndarray, y: np.ndarray, *, classification: bool, feature_names: tuple[str, ...], target_name: str | None
) -> Preparation:
    """Learn the classes or the target's scale, and the inputs' scale, from training rows.

    Raises
    ------
    ValueError
        If there is only one class, one is a whole number too large for int64, or a column's numbers are too large to be
        scaled.
    """
    targets = class_names(y) if classification else Moments.of(_columns(y))
    return made_of(Moments.of(X), targets, feature_names=feature_names, target_name=target_name)


def learn_encoded(
    X: Columns,
    y: np.ndarray,
    *,
    classification: bool,
    target_name: str | None,
    table: ReadingOptions,
    options: EncoderOptions,
    rows: np.ndarray | None = None,
) -> tuple[Preparation, np.ndarray]:
    """Learn what each column of a table becomes, and the classes or the target's scale; return the inputs as well.

    The inputs of the training rows are given here, since `Preparation.inputs` would encode a row of many categories by
    its own target. ``rows`` are the numbers of these rows in the table, as for `Encoder.learn`.

    Raises
    ------
    ValueError
        As `learn`; if no feature is left.
    DataError
        If the inputs are too large for memory.
    """
    outputs = numeric_targets(y, "classification" if classification else "regression")
    encoder, inputs = Encoder.learn(X, outputs, options, rows)
    targets = class_names(y) if classification else Moments.of(_columns(y))
    return of_encoder(encoder, targets, target_name=target_name, table=table), inputs


def of_encoder(
    encoder: Encoder, targets: list[Any] | Moments, *, target_name: str | None, table: ReadingOptions
) -> Preparation:
    """Make the preparation of the encoder of a table, and of the classes, sorted, or the targets' moments.

    Raises
    ------
    ValueError
        As `learn`.
    """
    names, numbers = encoder.feature_names, encoder.numbers
    if numbers is None or any(column.edges for column in numbers):
        mean, scale = [0.0] * len(names), [1.0] * len(names)
    else:
        mean, scale = [column.mean for column in numbers], [column.scale for column in numbers]
    learnt = {
        "feature_names": names,
        "input_mean": mean,
        "input_scale": scale,
        "columns": encoder.to_metadata(),
        "table": _shared_options(table),
    }
    return _with_targets(targets, target_name, learnt)


def _shared_options(table: ReadingOptions) -> dict[str, Any]:
    """Return the options of a table for training that apply to tables for prediction too."""
    shared = {name: getattr(table, name) for name in SHARED_FIELDS}
    return shared if table.decimal == "." else {**shared, DECIMAL: table.decimal}


def made_of(
    inputs: Moments, targets: list[Any] | Moments, *, feature_names: tuple[str, ...], target_name: str | None
) -> Preparation:
    """Make the preparation of the inputs' moments, and of the classes, sorted, or the targets' moments.

    Raises
    ------
    ValueError
        As `learn`.
    """
    mean, scale = inputs.mean_and_scale(feature_names)
    return _with_targets(
        targets, target_name, {"feature_names": list(feature_names), "input_mean": mean, "input_scale": scale}
    )


def _with_targets(targets: list[Any] | Moments, target_name: str | None, learnt: dict[str, Any]) -> Preparation:
    """Return the preparation of what was learnt of the inputs, and of the targets' classes or moments."""
    if isinstance(targets, Moments):
        target_mean, target_scale = targets.mean_and_scale([target_name or "y"] * len(targets.mean))
        return Preparation(
            target_name=target_name,
            target_mean=target_mean,
            target_scale=target_scale,
            target_low=targets.low.tolist(),
            target_high=targets.high.tolist(),
            **learnt,
        )
    if len(targets) < 2:
        raise ValueError(f"classification needs at least two classes, but every target is {targets[0]!r}")
    if isinstance(targets[-1], int) and targets[-1] > np.iinfo(np.int64).max:
        raise ValueError(f"classes that are whole numbers must fit into int64, but one of them is {targets[-1]}")
    return Preparation(target_name=target_name, classes=targets, **learnt)


def _columns(y: np.ndarray) -> np.ndarray:
    return (y[:, None] if y.ndim == 1 else y).astype(np.float64)


def cast(scaled: np.ndarray, dtype: str, place: Callable[[int, int], str]) -> np.ndarray:
    """Cast scaled numbers (n_rows, n_columns) to ``dtype``, which an outlier may overflow.

    Parameters
    ----------
    scaled : ndarray of shape (n_rows, n_columns), float64
        Inputs of a network, or targets.
    dtype : {"float32", "float64"}
        The dtype that a network computes in.
    place : callable
        Function from a row and a column, counted from 0, to the place in the message.

    Raises
    ------
    DataError
        If a number is too large.
    """
    with np.errstate(over="ignore"):
        numbers = scaled.astype(dtype)
    finite = np.isfinite(numbers)
    if not finite.all():
        i, j = map(int, np.unravel_index(np.argmin(finite), finite.shape))
        raise DataError(
            f"{place(i, j)}: scaled like the rows to train on, the value is {scaled[i, j]:g}, too large for {dtype}"
        )
    return numbers

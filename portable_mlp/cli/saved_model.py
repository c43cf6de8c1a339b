"""A saved model and the rows to predict, for the commands that predict and evaluate."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ..backends import Backend
from ..storage.models import ESTIMATOR_ENTRY
from ..tables.column_names import numbered_names
from ..tables.columns import Columns, RawTable
from ..tables.digits import digits, refuse_with_digits
from ..tables.known_targets import KnownTarget
from ..tables.model import TableModel
from ..tables.preparation import Preparation
from ..tables.reading import ReadingOptions, read_known_columns, read_known_in_parts, read_prediction_table
from .output_files import STREAM


class SavedModel(NamedTuple):
    """A model file, loaded.

    Attributes
    ----------
    path : path
        Path of the model file.
    model : TableModel
        The model in that file.
    """

    path: pathlib.Path
    model: TableModel

    @classmethod
    def load(cls, path: pathlib.Path, backend: Backend) -> SavedModel:
        """Load a model.

        Raises
        ------
        ModelFileError
            If the file is none, or its parts do not fit.
        ValueError
            If it is of an estimator whose answers are not a column.
        """
        model = TableModel.load(path, backend=backend)
        of_estimator = isinstance(model.metadata.get(ESTIMATOR_ENTRY), dict)
        if of_estimator and model.net.output == "logistic" and model.preparation.classes is None:
            raise ValueError(
                f"{path} is of an estimator for several labels or a single class; in Python, "
                "portable_mlp.MLPClassifier.load(path) predicts with it"
            )
        return cls(path, model)


class AnswerOptions(NamedTuple):
    """The options for a table of rows to predict or to evaluate.

    Attributes
    ----------
    delimiter, encoding, max_rows
        The fields of the same names in `ReadingOptions`.
    target : str or None
        The column of the targets; by default the model's own.
    is_scored : bool
        Whether the table must have targets.
    """

    delimiter: str | None = None
    encoding: str | None = None
    max_rows: int | None = None
    target: str | None = None
    is_scored: bool = False


class KnownRows(NamedTuple):
    """The rows of a table, as a model reads them.

    Attributes
    ----------
    X : ndarray of shape (n_rows, n_features), or Columns
        The features, not yet encoded.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs), or None
        The targets as `KnownTarget.read` gives them; None where the table has none.
    ids : ndarray of shape (n_rows,), or None
        The names of the rows.
    note : str or None
        The reason why targets that are there could not be read.
    """

    X: np.ndarray | Columns
    y: np.ndarray | None = None
    ids: np.ndarray | None = None
    note: str | None = None


def read_rows(saved: SavedModel, data: str, options: AnswerOptions) -> Iterator[KnownRows]:
    """Yield the rows of a table as the model knows it; those of one that is too large for memory some at a time.

    Raises
    ------
    ValueError
        If it cannot be read, lacks a feature, or lacks the targets where rows are to be scored.
    """
    if data == "digits":
        refuse_with_digits(
            delimiter=options.delimiter, encoding=options.encoding, max_rows=options.max_rows, target=options.target
        )
        parts: Iterable[KnownRows] = [KnownRows(digits().X, digits().y)]
    elif saved.model.preparation.encoder is not None:
        parts = _raw_rows(saved.model.preparation, data, options)
    else:
        parts = [_rows_of_numbers(saved.model.preparation, data, options)]
    n_inputs = saved.model.net.sizes[0]
    for rows in parts:
        if isinstance(rows.X, np.ndarray) and rows.X.shape[1] != n_inputs:
            raise ValueError(f"{data} has {rows.X.shape[1]} features, but {saved.path} takes {n_inputs}")
        yield rows


def _raw_rows(preparation: Preparation, data: str, options: AnswerOptions) -> Iterator[KnownRows]:
    """Read a table as it is, and its targets beside it."""
    assert preparation.encoder is not None
    reading = ReadingOptions(**preparation.table or {}, target=options.target, max_rows=options.max_rows)
    reading = reading._replace(
        delimiter=options.delimiter or reading.delimiter, encoding=options.encoding or reading.encoding
    )
    name = options.target or preparation.target_name
    if name is None and data.lower().endswith(".npy"):
        # Its last column, as for training; where a column before it was dropped, that is a feature.
        last = numbered_names(len(preparation.encoder.columns) + 1)[-1]
        name = None if last in preparation.encoder.readings else last
    commas = any(kind == "number" and form.startswith(",") for kind, form in preparation.encoder.readings.values())
    target = KnownTarget(name, preparation.classes, options.is_scored, "," if commas else reading.decimal)
    for table in read_known_in_parts(data, preparation.encoder.readings, reading, target):
        yield KnownRows(table.X, table.y, table.ids, _reason(table))


def _rows_of_numbers(preparation: Preparation, data: str, options: AnswerOptions) -> KnownRows:
    """Read a table of numbers alone, then its targets, for which it is read once more."""
    if options.encoding is not None:
        raise ValueError("--encoding goes with models of tables as they are; this one takes UTF-8")
    names = tuple(preparation.feature_names) or None
    target = KnownTarget(options.target or preparation.target_name, preparation.classes, options.is_scored)
    X = read_prediction_table(data, names, target.name, delimiter=options.delimiter, max_rows=options.max_rows).X
    if data == STREAM:
        if options.is_scored:
            raise ValueError("standard input can be read once, and this model's tables are read twice: name a file")
        return KnownRows(X)
    if target.name is None and not options.is_scored and not data.lower().endswith(".npz"):
        return KnownRows(X)
    reading = ReadingOptions(target=options.target, delimiter=options.delimiter, max_rows=options.max_rows)
    table = read_known_columns(data, {}, reading, target)
    return KnownRows(X, table.y, note=_reason(table))


def _reason(table: RawTable) -> str | None:
    """Return the reason why targets that the file has could not be read."""
    return table.notes[-1] if table.y is None and table.target_name is not None else None

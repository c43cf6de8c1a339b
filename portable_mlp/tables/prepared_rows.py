"""Rows prepared for training, in memory or streamed from their file, and their way to a backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..backends import Backend
from ..training.group_order import Selection
from ..training.stream import Stream
from .column_names import numbered_names
from .columns import Columns, RawTable, Table
from .encoder_options import EncoderOptions
from .errors import opened
from .limits import check_bytes, check_rows, row_limit
from .parquet_files import ParquetLayout
from .preparation import Preparation, cast
from .raw_rows import has_dates_in_digits, has_plain_targets
from .reading import DataError, ReadingOptions, RowSource, TargetKind, open_raw_rows, open_training_rows
from .row_sources import SelectedRows, joined
from .survey import survey, test_split

__all__ = [
    "STREAMED_BYTES",
    "PreparedRows",
    "Rows",
    "StreamedRows",
    "open_if_large",
    "open_raw_if_large",
    "prepare_streamed",
    "without_test_part",
]


class Rows(NamedTuple):
    """Inputs (n_samples, n_features), targets (n_samples,) or (n_samples, n_outputs), perhaps weights, on the host.

    ``numbers`` (n_samples,) are those of rows that are held out, in their table, counted from 0.
    """

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None
    numbers: np.ndarray | None = None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return len(self.X)

    def moved(self, backend: Backend, dtype: str) -> tuple[Any, Any]:
        """Bring inputs and targets to a backend: quantities in ``dtype``, labels as they are."""
        y = backend.asarray(self.y) if self.y.dtype.kind in "iu" else backend.asarray(self.y, dtype=dtype)
        return backend.asarray(self.X, dtype=dtype), y

    def moved_weights(self, backend: Backend, dtype: str) -> Any:
        """Bring the weights to a backend, if there are any."""
        return None if self.weights is None else backend.asarray(self.weights, dtype=dtype)

    def check_outliers(self, preparation: Preparation, dtype: str) -> None:
        """Raise DataError if a number of a row that is held out overflows ``dtype``."""
        numbers = self.numbers
        assert numbers is not None  # rows to train on are scaled by themselves

        def check(scaled: np.ndarray, names: Sequence[str]) -> None:
            cast(scaled, dtype, lambda i, j: f"row {numbers[i] + 1}, column {names[j]!r}")

        check(self.X, preparation.feature_names or numbered_names(self.X.shape[1]))
        if preparation.classes is None:
            check(self.y, [preparation.target_name or "y"] * preparation.n_outputs)

    def take(self, rows: np.ndarray) -> Rows:
        """Return rows by their numbers; all of them without a copy."""
        if len(rows) == self.n_samples:
            return self
        return Rows(self.X[rows], self.y[rows], None if self.weights is None else self.weights[rows])


_ROWS_AT_ONCE = 2**14
"""The rows of a test part that are read before their memory is looked at."""

STREAMED_SUFFIXES = (".parquet", ".npy")
STREAMED_BYTES = 2**28
"""Size as float64 from which a table is streamed from its file."""


def open_raw_if_large(data: str, options: ReadingOptions, kind: TargetKind) -> RowSource | None:
    """Open a Parquet table with columns of any kind that is large enough to be streamed; return None for any other.

    A table is read whole where a target is missing, or where targets are dates, or texts that may mean numbers.

    Raises
    ------
    DataError
        If the file cannot be opened, lacks a column, or has more rows than the options allow; as `open_raw_rows`.
    ImportError
        If PyArrow is missing.
    """
    if not data.lower().endswith(".parquet"):
        return None
    with opened(data) as file:
        layout = ParquetLayout(file, data)
    if not _is_large(layout) or not has_plain_targets(data, options, kind):
        return None
    return open_raw_rows(data, options, target_kind=kind)


def open_if_large(
    data: str, target: str | None, kind: TargetKind, max_rows: int | None, *, whole: bool = False, strict: bool = False
) -> RowSource | None:
    """Open a table that is large enough to be streamed; return None for one to be read whole.

    A table with other columns than numbers is one for `open_raw_if_large`, and so is one of numbers that are dates,
    unless all columns are to be numbers (``strict``). With ``whole`` only a table that does not fit into memory is
    streamed.

    Raises
    ------
    DataError
        If the file cannot be opened, or has more than ``max_rows`` rows.
    ImportError
        If the file is in Parquet and PyArrow is missing.
    """
    if not data.lower().endswith(STREAMED_SUFFIXES) or (
        data.lower().endswith(".parquet") and not _is_large_matrix(data, target, kind, strict)
    ):
        return None
    source = open_training_rows(data, target, target_kind=kind, max_rows=max_rows)
    row_bytes = 8 * (source.n_features + 1)
    if row_bytes * source.n_rows > STREAMED_BYTES and not (whole and source.n_rows <= row_limit(row_bytes, None).rows):
        return source
    source.close()
    return None


def _is_large(layout: ParquetLayout) -> bool:
    """Tell whether a Parquet file would take more memory than is read at once."""
    return 8 * layout.n_rows * len(layout.names) > STREAMED_BYTES


def _is_large_matrix(path: str, target: str | None, kind: TargetKind, strict: bool) -> bool:
    """Tell whether a Parquet file is large, its columns but the target are numbers, and its targets are plain."""
    with opened(path) as file:
        layout = ParquetLayout(file, path)
    names = layout.names
    features = [column for column, name in enumerate(names) if name != (target or names[-1])]
    are_numbers = all(layout.is_number(column) and not layout.is_category(column) for column in features)
    if not _is_large(layout) or not are_numbers:
        return False
    if not strict and has_dates_in_digits(path, [names[column] for column in features]):
        return False
    # The error for an unknown target comes from the reader.
    return len(features) == len(names) or has_plain_targets(path, ReadingOptions(target=target), kind)


@dataclass(frozen=True)
class StreamedRows:
    """Rows that stay in their file, with the interface of `Rows`."""

    source: RowSource
    preparation: Preparation
    selection: Selection
    variation: np.ndarray | None
    digest: str

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return sum(self.selection.counts)

    def moved(self, backend: Backend, dtype: str) -> tuple[Stream, None]:
        """Return a stream to a backend: quantities in ``dtype``, labels as they are; None in place of the targets."""

        def read(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            X, y = self.source.rows(rows)
            with np.errstate(over="ignore"):
                return self._inputs(X, rows, dtype), self._targets(y, rows, dtype)

        with np.errstate(over="ignore"):
            variation = None if self.variation is None else self.variation.astype(dtype)
        selection, groups_in_memory = self.selection, self.source.groups_in_memory
        n_features = len(self.preparation.input_mean)
        return Stream(backend, selection, groups_in_memory, read, n_features, self.digest, variation), None

    def moved_weights(self, backend: Backend, dtype: str) -> None:
        """Return None: all rows count alike."""

    def _inputs(self, X: np.ndarray | Columns, rows: np.ndarray, dtype: str) -> np.ndarray:
        return self._cast(self.preparation.inputs(X), rows, self.preparation.feature_names, dtype)

    def _targets(self, y: np.ndarray, rows: np.ndarray, dtype: str) -> np.ndarray:
        targets = self.preparation.targets(y)
        if self.preparation.classes is None:
            return self._cast(targets, rows, (self.preparation.target_name or "y",), dtype)
        classes = np.asarray(self.preparation.classes)
        known = classes[np.minimum(targets, len(classes) - 1)] == y
        if not known.all():
            i = int(np.argmin(known))
            raise DataError(f"{self._row(rows, i)} has become {y[i].item()!r}: the file was changed meanwhile")
        return targets[:, None]

    def _cast(self, scaled: np.ndarray, rows: np.ndarray, names: Sequence[str], dtype: str) -> np.ndarray:
        """Cast scaled numbers to ``dtype``; an outlier of the hold-out may overflow it, which is an error."""
        return cast(scaled, dtype, lambda i, j: f"{self._row(rows, i)}, column {names[j]!r}")

    def _row(self, rows: np.ndarray, i: int) -> str:
        """Return the place of a row, for messages."""
        return f"{self.source.path}: row {self.source.row_numbers(rows[i : i + 1])[0] + 1}"


PreparedRows: TypeAlias = Rows | StreamedRows


def without_test_part(
    source: RowSource, task: str, fraction: float, seed: int
) -> tuple[RowSource, Table | RawTable, str]:
    """Return the rows to train on, which stay in their file, and rows to score a model on, drawn from each group.

    Every class keeps a row to train on. The third item is the task, "classification" or "regression", which all rows
    decide where ``task`` is "auto".

    Raises
    ------
    DataError
        If the rows to score do not fit into memory, or a row cannot be read.
    ValueError
        If there are none.
    """
    split, decided = test_split(source, task=task, fraction=fraction, seed=seed)
    held_out = SelectedRows(source, split.held_out)
    if not held_out.n_rows:
        raise ValueError(f"too few of the {source.n_rows} rows can be held out")
    check_rows(f"{source.path}: a test part", held_out.n_rows, 8 * 3 * (source.n_features + 1), None)
    X, y = _in_memory(held_out)
    numbers = held_out.row_numbers(np.arange(held_out.n_rows))
    table: Table | RawTable
    if isinstance(X, Columns):
        table = RawTable(X, y, None, source.target_name, (), rows=numbers)
    else:
        table = Table(X, y, source.feature_names, source.target_name, numbers)
    return SelectedRows(source, split.kept), table, decided


def _in_memory(source: RowSource) -> tuple[Any, np.ndarray]:
    """Return all rows; raise DataError once their columns take too much memory, each text as the object that it is."""
    parts: list[tuple[Any, np.ndarray]] = []
    n_bytes = 0
    for X, y in source.blocks(_ROWS_AT_ONCE):
        parts.append((X, y))
        if isinstance(X, Columns):
            n_bytes += sum(X.column(name).n_bytes for name in X)
            check_bytes(source.path, "a test part", n_bytes)
    all_X, all_y = zip(*parts, strict=True)
    return joined(all_X), np.concatenate(all_y)


def prepare_streamed(
    source: RowSource, task: str, fraction: float, seed: int, encoding: Callable[[int | None], EncoderOptions]
) -> tuple[Preparation, StreamedRows, StreamedRows | None]:
    """Learn the preparation from the training rows; return it with the training rows and the hold-out, if any.

    ``encoding`` returns the options of the encoding for a number of classes, None for quantities.
    """
    split, preparation, variation, digest = survey(source, task=task, fraction=fraction, seed=seed, encoding=encoding)
    digest = f"{digest}, {fraction} held out by seed {seed}"
    kept = StreamedRows(source, preparation, split.kept, None, digest)
    held_out = StreamedRows(source, preparation, split.held_out, variation, digest)
    return preparation, kept, held_out if held_out.n_samples else None

"""Tables of numbers in ``.parquet`` files, and the metadata of any such file."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..backends.extras import load
from .column_names import BLANKS, check_different, feature_columns, target_column
from .columns import Table
from .errors import DataError, GapError, broken_file, opened, shown
from .limits import check_bytes, check_columns, check_label, check_rows
from .targets import TargetKind

__all__ = [
    "ParquetLayout",
    "ParquetMatrix",
    "group_batches",
    "load_pyarrow",
    "opened_parquet",
    "read_prediction_parquet",
    "read_training_parquet",
]

_MAGIC = b"PAR1"
_NARROW = ("float", "halffloat")
_NUMBERS = (*_NARROW, "double", "bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
_CELL_BYTES = 8
"""The bytes of a number, or of a reference to a text."""
_TEXT_BYTES = 75
"""The bytes of a short text in memory, beside the reference, and of its entry in a table of different ones."""
_LEAST_STORED_BYTES = 5
"""The fewest bytes that a text of its own takes in a file, where equal ones may be stored once."""
_NUMBER_BYTES, _LABEL_BYTES, _COLUMN_BYTES = 24, 2**16, 2**12
"""Generous limits: several times what a number, a text, and the page headers of a column take."""

_TEXTS = ("string", "large_string", "string_view")


def load_pyarrow(part: str = "pyarrow") -> Any:
    """Return PyArrow, or one of its modules such as "pyarrow.parquet".

    Raises
    ------
    ImportError
        If PyArrow is missing.
    """
    return load(part, ".parquet files need PyArrow", "parquet")


class ParquetLayout:
    """The columns and the row groups of a Parquet file, from its metadata alone.

    Parameters
    ----------
    file : binary file
        The file, positioned at its beginning.
    path : str
        Name of the file in error messages.

    Attributes
    ----------
    path : str
    metadata : pyarrow.parquet.FileMetaData
    names : tuple of str
        Column names, all different; the index of a pandas frame is left out.
    group_rows : tuple of int
        Number of rows of each row group.

    Raises
    ------
    DataError
        If this is not a Parquet file, or has no row, no column, too many columns or two of one name.
    """

    def __init__(self, file: IO[bytes], path: str) -> None:
        parquet = load_pyarrow("pyarrow.parquet")
        self.path = path
        if file.read(len(_MAGIC)) != _MAGIC:
            raise DataError(f"{path}: not a Parquet file")
        with broken_file(path, "the Parquet file"):
            self.metadata = parquet.read_metadata(file)
            schema = self.metadata.schema.to_arrow_schema()
            pandas = schema.pandas_metadata or {}
            index = pandas.get("index_columns", [])
            kinds = {column.get("field_name"): column.get("pandas_type") for column in pandas.get("columns", [])}
            self._fields = [field for field in schema if field.name not in index]
            self._are_categories = [kinds.get(field.name) == "categorical" for field in self._fields]
            # The metadata of a single column are left alone: where a file's are wrong, PyArrow 26 ends the process.
            groups = [self.metadata.row_group(i) for i in range(self.metadata.num_row_groups)]
            self.group_rows = tuple(group.num_rows for group in groups)
            group_bytes = [group.total_byte_size for group in groups]
        self._n_bytes = sum(group_bytes)
        check_bytes(path, "a row group", max(group_bytes, default=0))
        self.names = tuple(field.name.strip(BLANKS) for field in self._fields)
        self._check_sizes(group_bytes, len(schema))
        check_columns(path, len(self.names), os.fstat(file.fileno()).st_size)
        check_different(self.names, f"{path}: column ")
        if not self.names or self.n_rows < 1 or min(self.group_rows) < 0:
            raise DataError(f"{path}: a table of {self.n_rows} rows and {len(self.names)} columns is empty")

    def _check_sizes(self, group_bytes: Sequence[int], n_columns: int) -> None:
        """Check that no row group announces more bytes than its rows of numbers and labels can take in memory."""
        for number, (n_bytes, n_rows) in enumerate(zip(group_bytes, self.group_rows, strict=True), start=1):
            if n_bytes > n_rows * (_NUMBER_BYTES * n_columns + _LABEL_BYTES) + _COLUMN_BYTES * n_columns:
                announced = f"row group {number} announces {n_bytes} bytes"
                raise DataError(f"{self.path}: {announced}, more than {n_rows} rows of numbers take")

    @property
    def n_rows(self) -> int:
        """Number of rows of the file."""
        return sum(self.group_rows)

    @property
    def row_bytes(self) -> int:
        """Bytes that a row takes in memory at most, unless its texts are long."""
        n_texts = sum(map(self.is_text, range(len(self.names))))
        n_different = min(n_texts * self.n_rows, self._n_bytes // _LEAST_STORED_BYTES)
        return _CELL_BYTES * len(self.names) + _TEXT_BYTES * n_different // self.n_rows

    def stored_name(self, column: int) -> str:
        """Return the name of a column as stored, with any blanks around it."""
        return str(self._fields[column].name)

    def is_text(self, column: int) -> bool:
        """Tell whether a column holds text, plain or dictionary-encoded."""
        kind = self._fields[column].type
        return str(kind.value_type if hasattr(kind, "index_type") else kind) in _TEXTS

    def is_category(self, column: int) -> bool:
        """Tell whether a column was one of categories, perhaps of numbers, in the data frame that was written."""
        return self._are_categories[column]

    def is_narrow(self, column: int) -> bool:
        """Tell whether float32 represents the numbers of a column exactly."""
        return str(self._fields[column].type) in _NARROW

    def is_number(self, column: int) -> bool:
        """Tell whether a column holds integers, floating-point numbers or booleans."""
        return str(self._fields[column].type) in _NUMBERS

    def check_numbers(self, column: int) -> None:
        """Raise DataError unless a column holds integers, floating-point numbers or booleans."""
        if not self.is_number(column):
            name, kind = shown(self.names[column]), str(self._fields[column].type)
            raise DataError(f"{self.path}: column {name} has the type {shown(kind)}; real numbers are expected")


_PIECE_ROWS = 2**16


def opened_parquet(file: IO[bytes], layout: ParquetLayout, dictionaries: Sequence[str | None] | None = None) -> Any:
    """Return a `pyarrow.parquet.ParquetFile` without buffers; columns of ``dictionaries`` stay dictionary-encoded.

    A buffer would grow to whatever size a damaged page announces, gigabytes for a file of kilobytes. Without one
    PyArrow reads a column of a row group at once, and never more than the file has.
    """
    with broken_file(layout.path, "the Parquet file"):
        return load_pyarrow("pyarrow.parquet").ParquetFile(
            file,
            metadata=layout.metadata,
            read_dictionary=dictionaries,
            pre_buffer=False,
            buffer_size=0,
            page_checksum_verification=True,
        )


def group_batches(file: Any, group: int, names: Sequence[str], path: str) -> Iterator[Any]:
    """Yield the record batches of some columns of a row group, validated."""
    with broken_file(path, f"row group {group + 1}"):
        batches = file.iter_batches(_PIECE_ROWS, row_groups=[group], columns=names)
    while True:
        with broken_file(path, f"row group {group + 1}"):
            batch = next(batches, None)
            if batch is None:
                return
            # PyArrow does not check the indices into a file's dictionary otherwise.
            batch.validate(full=True)
        yield batch


class ParquetMatrix:
    """Features as a matrix, and targets, from chosen columns of a Parquet file.

    Parameters
    ----------
    file : binary file
        The file, which must stay open while this object is in use.
    layout : ParquetLayout
        Metadata of the same file.
    features : sequence of int
        Positions of the features, columns of numbers.
    target : int, optional
        Position of the target.
    target_kind : {"any", "unmixed", "numbers"}
        Kind of the targets; "numbers" rules out text.
    dtype : dtype
        Dtype of the features.

    Raises
    ------
    DataError
        If a column has another type.
    """

    def __init__(
        self,
        file: IO[bytes],
        layout: ParquetLayout,
        features: Sequence[int],
        target: int | None = None,
        target_kind: TargetKind = "any",
        dtype: DTypeLike = np.float64,
    ) -> None:
        for column in features:
            layout.check_numbers(column)
        self._target_is_text = target is not None and target_kind != "numbers" and layout.is_text(target)
        if target is not None and not self._target_is_text:
            layout.check_numbers(target)
        self._path = layout.path
        self._group_rows = layout.group_rows
        self._starts = tuple(itertools.accumulate(layout.group_rows, initial=0))
        self._features = [layout.stored_name(column) for column in features]
        self._target = None if target is None else layout.stored_name(target)
        self._dtype = np.dtype(dtype)
        # Each different text is then in memory once.
        self._file = opened_parquet(file, layout, dictionaries=[self._target] if self._target_is_text else None)

    def read(self, groups: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Return the features (n, n_features) and the targets (n,) of some row groups; None without a target.

        Raises
        ------
        DataError
            If a group cannot be read, or a value is missing or not finite; the message counts rows from 1.
        """
        X = np.empty((sum(self._group_rows[group] for group in groups), len(self._features)), dtype=self._dtype)
        targets: list[NDArray[Any]] = []
        start = 0
        for some_X, some_y in itertools.chain.from_iterable(map(self._pieces, groups)):
            X[start : start + len(some_X)] = some_X
            start += len(some_X)
            if some_y is not None:
                targets.append(some_y)
        return X, self._joined(targets) if targets else None

    def _joined(self, pieces: list[NDArray[Any]]) -> NDArray[Any]:
        """Concatenate the targets of several pieces."""
        if self._target_is_text:
            longest = max(piece.dtype.itemsize // 4 for piece in pieces)
            check_label(f"{self._path}: column {shown(self._target or '')}", longest, sum(map(len, pieces)))
        return np.concatenate(pieces)

    def _pieces(self, group: int) -> Iterator[tuple[NDArray[Any], NDArray[Any] | None]]:
        """Yield the features and the targets of a row group, in order."""
        start, left = self._starts[group], self._group_rows[group]
        names = self._features if self._target is None else [*self._features, self._target]
        for batch in group_batches(self._file, group, names, self._path):
            left -= batch.num_rows
            if left < 0:
                break
            yield self._numbers(batch, start), self._targets(batch, start)
            start += batch.num_rows
        if left:
            announced = self._group_rows[group]
            raise DataError(f"{self._path}: row group {group + 1} does not have the {announced} rows that it announces")

    def _numbers(self, batch: Any, start: int) -> NDArray[Any]:
        """Return the features of a batch; ``start`` is its first row in the file."""
        X = np.empty((batch.num_rows, len(self._features)), dtype=self._dtype)
        for j, name in enumerate(self._features):
            X[:, j] = batch.column(name).to_numpy(zero_copy_only=False)  # what is missing becomes NaN
        finite = np.isfinite(X)
        if not finite.all():
            row, j = map(int, np.unravel_index(np.argmin(finite), X.shape))
            raise self._mistake(batch.column(self._features[j]), self._features[j], row, start)
        return X

    def _targets(self, batch: Any, start: int) -> NDArray[Any] | None:
        """Return the targets of a batch, numbers in their own dtype or text; ``start`` is its first row in the file."""
        if self._target is None:
            return None
        column = batch.column(self._target)
        if column.null_count:
            missing = column.is_null().to_numpy(zero_copy_only=False)
            raise self._mistake(column, self._target, int(np.argmax(missing)), start)
        if self._target_is_text:
            return self._labels(column, self._target, start)
        values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        finite = np.isfinite(values)
        if not finite.all():
            raise self._mistake(column, self._target, int(np.argmin(finite)), start)
        return values

    def _labels(self, column: Any, name: str, start: int) -> NDArray[np.str_]:
        """Return the text of a dictionary-encoded column, row by row."""
        with broken_file(self._path, f"column {shown(name)}"):
            texts = column.dictionary.to_pylist()
        rows = column.indices.to_numpy()
        # NumPy would drop NUL characters at the end.
        unusable = np.isin(rows, [i for i, text in enumerate(texts) if not text or "\0" in text])
        if unusable.any():
            row = int(np.argmax(unusable))
            place = self._place(name, start + row)
            raise DataError(f"{place}: {shown(texts[rows[row]])} is no label (remove the row or fill the value)")
        check_label(f"{self._path}: column {shown(name)}", max(map(len, texts), default=0), len(rows))
        return np.array(texts, dtype=np.str_)[rows]

    def _mistake(self, column: Any, name: str, row: int, start: int) -> DataError:
        """Return the error for a value that is missing or not finite."""
        value = column[row].as_py()
        if value is None:
            reason = "the value is missing (remove the row or fill the value)"
        else:
            reason = f"{value} is not a finite number"
        kind = GapError if value is None or value != value else DataError
        return kind(f"{self._place(name, start + row)}: {reason}")

    def _place(self, name: str, row: int) -> str:
        """Return the place of a value, for error messages."""
        return f"{self._path}: row {row + 1}, column {shown(name)}"


def read_training_parquet(path: str, target: str | None, target_kind: TargetKind, max_rows: int | None) -> Table:
    """Read a Parquet file with a target column."""
    with opened(path) as file:
        layout = ParquetLayout(file, path)
        chosen = target_column(layout.names, target, path)
        features = [column for column in range(len(layout.names)) if column != chosen]
        check_rows(path, layout.n_rows, 8 * len(layout.names), max_rows)
        columns = ParquetMatrix(file, layout, features, chosen, target_kind)
        X, y = columns.read(range(len(layout.group_rows)))
    return Table(X, y, tuple(layout.names[column] for column in features), layout.names[chosen])


def read_prediction_parquet(
    path: str, feature_names: Sequence[str] | None, target_name: str | None, max_rows: int | None
) -> Table:
    """Read the features of a Parquet file."""
    with opened(path) as file:
        layout = ParquetLayout(file, path)
        features = feature_columns(layout.names, feature_names, target_name, path)
        check_rows(path, layout.n_rows, 8 * len(features), max_rows)
        X, _ = ParquetMatrix(file, layout, features).read(range(len(layout.group_rows)))
    return Table(X, None, tuple(layout.names[column] for column in features), None)

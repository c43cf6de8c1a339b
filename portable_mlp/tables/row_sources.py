"""Tables larger than memory: rows read on demand from an ``.npy`` or Parquet file."""

from __future__ import annotations

import abc
import contextlib
import functools
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..training.group_order import Selection
from .array_files import check_feature_left, check_magic, check_matrix, read_array_header
from .column_names import numbered_names, target_column
from .columns import Columns, RawTable, Reading, TextFormat
from .errors import DataError, broken_file, opened
from .limits import row_limit
from .parquet_files import ParquetLayout, ParquetMatrix
from .raw import ReadingOptions
from .table_sketch import SAMPLE_ROWS
from .targets import TargetKind

__all__ = [
    "SAMPLED",
    "NpyRows",
    "ParquetRows",
    "RowGroups",
    "RowSource",
    "SelectedRows",
    "TableRows",
    "TableSchema",
    "check_groups",
    "joined",
]


class TableSchema(NamedTuple):
    """What is known of the columns of a table with columns of any kind before its rows are looked at.

    Attributes
    ----------
    readings : dict of str to Reading
        Kind and notation of each column that is read.
    left_out : dict of str to str
        The columns that are not read, and the reasons.
    options : ReadingOptions
        The options for reading the table.
    """

    readings: Mapping[str, Reading]
    left_out: Mapping[str, str]
    options: ReadingOptions


class RowSource(abc.ABC):
    """The rows of an open file; a context manager that closes it. Not thread-safe.

    Attributes
    ----------
    path : str
        Path of the file.
    feature_names : tuple of str
        One name per feature.
    target_name : str or None
        Name of the target column; None for arrays.
    groups : tuple of int
        Number of rows of each group. Groups are contiguous in the file; access within one group is fast.
    groups_in_memory : int
        Number of groups whose rows can be accessed in any order while each group is read only once. An epoch shuffles
        the groups, and then the rows of as many groups at a time.
    schema : TableSchema or None
        What is known of the columns of a table that is not a matrix of numbers; None for a matrix.
    notes : tuple of str
        Remarks for the user.
    text : TextFormat or None
        The format of the file, if it is a text file.
    """

    path: str
    feature_names: tuple[str, ...]
    target_name: str | None
    groups: tuple[int, ...]
    groups_in_memory = 4
    schema: TableSchema | None = None
    notes: tuple[str, ...] = ()
    text: TextFormat | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows of the file."""
        return sum(self.groups)

    @property
    def n_features(self) -> int:
        """Number of features of a row."""
        return len(self.feature_names)

    def rows(self, indices: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
        """Return rows by number, in the given order.

        Parameters
        ----------
        indices : ndarray of shape (n,), integer
            Rows, counted from 0; at least one.

        Returns
        -------
        X : ndarray of shape (n, n_features), float32 or float64, or Columns
            Features, C-contiguous and finite; float64 unless the file's numbers are float32. The columns of a table
            that has a schema.
        y : ndarray of shape (n,)
            Targets in the file's own dtype, or text.

        Raises
        ------
        DataError
            If a value is missing or not finite, or a part of the file cannot be read; the message names the row.
        IndexError
            If a row number is out of range.
        """
        if indices.ndim != 1 or indices.dtype.kind not in "iu" or not len(indices):
            raise IndexError(f"rows are asked for by whole numbers, at least one; got {indices.dtype}{indices.shape}")
        if indices.min() < 0 or indices.max() >= self.n_rows:
            raise IndexError(f"rows {indices.min()} to {indices.max()} were asked for; there are {self.n_rows}")
        return self._rows(indices)

    def row_numbers(self, indices: NDArray[Any]) -> NDArray[Any]:
        """Return the numbers in the file of rows of this source, for messages."""
        return indices

    def blocks(self, size: int) -> Iterator[tuple[Any, NDArray[Any]]]:
        """Yield all rows in the file's order, ``size`` at a time, as `rows` returns them."""
        for start in range(0, self.n_rows, size):
            yield self.rows(np.arange(start, min(start + size, self.n_rows)))

    @abc.abstractmethod
    def close(self) -> None:
        """Close the file. Rows cannot be read afterwards."""

    @abc.abstractmethod
    def _rows(self, indices: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
        """Return rows whose numbers were checked."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


_GROUP_ROWS = 2**16

SAMPLED = (
    f"the table is read batch by batch: medians and pieces are those of at most {SAMPLE_ROWS} rows drawn at random, "
    "means, deviations and categories those of all"
)
"""The remark about a table of columns of any kind whose rows are not encoded all at once."""


def _equal_groups(n_rows: int) -> tuple[int, ...]:
    """Return the sizes of groups of rows of a table that has none of its own."""
    return tuple(min(_GROUP_ROWS, n_rows - start) for start in range(0, n_rows, _GROUP_ROWS))


class NpyRows(RowSource):
    """The rows of one 2-D array of numbers, whose last column is the target.

    The file must not be shortened while it is open: the system kills a process that reads beyond its end.

    Parameters
    ----------
    path : str
        Path of the file.

    Raises
    ------
    DataError
        If it does not hold a 2-D array of real numbers with at least one row and two columns.
    """

    target_name = None

    def __init__(self, path: str) -> None:
        self.path = path
        with opened(path) as file:
            check_magic(file, ".npy", path)
            n_bytes = os.fstat(file.fileno()).st_size
            header = read_array_header(file, "the array", path, n_bytes=n_bytes, file_bytes=n_bytes)
        check_matrix(header, "array", path)
        check_feature_left(header, path)
        with broken_file(path, "the array"):
            self._matrix: NDArray[Any] = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        n_rows, n_columns = self._matrix.shape
        self.feature_names = numbered_names(n_columns - 1)
        self.groups = _equal_groups(n_rows)
        stored = self._matrix.dtype
        self._dtype = stored.newbyteorder("=") if stored.kind == "f" and stored.itemsize in (4, 8) else np.float64

    def close(self) -> None:
        """Unmap the file."""
        del self._matrix

    def _rows(self, indices: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
        taken = self._matrix[indices]
        with np.errstate(over="ignore"):
            X = np.ascontiguousarray(taken[:, :-1], dtype=self._dtype)
        y = taken[:, -1].astype(taken.dtype.newbyteorder("="))
        finite = np.column_stack((np.isfinite(X), np.isfinite(y)))
        if not finite.all():
            row, column = map(int, np.unravel_index(np.argmin(finite), finite.shape))
            place = f"{self.path}: array[{indices[row]}, {column}]"
            raise DataError(f"{place} is {taken[row, column]}; finite numbers are expected")
        return X, y


class TableRows(RowSource):
    """The rows of a table in memory, for one whose features would not fit.

    Parameters
    ----------
    path : str
        Name of its file.
    table : RawTable
        The table, with targets of shape (n_samples,).
    options : ReadingOptions
        The options for reading it.
    """

    def __init__(self, path: str, table: RawTable, options: ReadingOptions) -> None:
        self.path, self.target_name = path, table.target_name
        self.feature_names = tuple(table.X)
        self.groups = _equal_groups(table.X.shape[0])
        self.schema = TableSchema({name: table.X.column(name).reading for name in table.X}, {}, options)
        self._table = table

    def close(self) -> None:
        """Leave the table in memory."""

    def row_numbers(self, indices: NDArray[Any]) -> NDArray[Any]:
        """Return the numbers in the file of some rows."""
        return indices if self._table.rows is None else self._table.rows[indices]

    def _rows(self, indices: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
        taken = self._table.take(indices)
        assert taken.y is not None  # a table to train on has targets
        return taken.X, taken.y


class RowGroups(RowSource):
    """The rows of a file that is read group by group.

    The `RowSource.groups_in_memory` most recently used groups are cached.

    Parameters
    ----------
    path : str
        Name of the file.
    feature_names : sequence of str
        Names of the features.
    target_name : str
        Name of the target column.
    groups : sequence of int
        Number of rows of each group.

    Attributes
    ----------
    file : ExitStack
        What keeps the file open.
    """

    file: contextlib.ExitStack

    def __init__(self, path: str, feature_names: Sequence[str], target_name: str, groups: Sequence[int]) -> None:
        self.path = path
        self.feature_names = tuple(feature_names)
        self.target_name = target_name
        self.groups = tuple(groups)
        self._starts = np.cumsum((0, *self.groups))
        self._kept: OrderedDict[int, tuple[Any, NDArray[Any]]] = OrderedDict()

    def close(self) -> None:
        """Close the file and clear the cache."""
        self._kept.clear()
        self.file.close()

    @abc.abstractmethod
    def _read(self, group: int) -> tuple[Any, NDArray[Any]]:
        """Read the features and the targets of a group."""

    def _rows(self, indices: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
        group_of = np.searchsorted(self._starts, indices, side="right") - 1
        # Cached groups first, before others evict them; the groups of the last rows come last, so that they are still
        # cached at the next call.
        present, seen_last = np.unique(group_of[::-1], return_index=True)
        in_turn = [int(group) for group in present[np.argsort(-seen_last)]]
        places, pieces = [], []
        for group in sorted(in_turn, key=lambda group: group not in self._kept):
            place = np.flatnonzero(group_of == group)
            X, y = self._group(group)
            inside = indices[place] - self._starts[group]
            places.append(place)
            pieces.append((X[inside], y[inside]))
        back = np.argsort(np.concatenate(places))
        all_X, all_y = zip(*pieces, strict=True)
        return joined(all_X)[back], np.concatenate(all_y)[back]

    def _group(self, group: int) -> tuple[Any, NDArray[Any]]:
        """Return a group, from the cache if it was used recently."""
        if group not in self._kept:
            while len(self._kept) >= self.groups_in_memory:
                self._kept.popitem(last=False)
            self._kept[group] = self._read(group)
        self._kept.move_to_end(group)
        return self._kept[group]


def joined(parts: Sequence[Any]) -> Any:
    """Return the rows of several matrices, or of several tables."""
    return Columns.joined(parts) if isinstance(parts[0], Columns) else np.concatenate(parts)


def check_groups(layout: ParquetLayout, groups_in_memory: int) -> None:
    """Check that so many row groups of a Parquet file fit into memory."""
    largest = max(layout.group_rows)
    limit = row_limit(layout.row_bytes, None)
    n_groups = min(groups_in_memory, len(layout.group_rows))
    if n_groups * largest > limit.rows:
        raise DataError(
            f"{layout.path}: {n_groups} row groups of {largest} rows, which are read at a time, are "
            f"{limit.reason}; write the file with smaller row groups"
        )


class ParquetRows(RowGroups):
    """The rows of a Parquet file whose features are numbers without gaps; groups are its row groups.

    Parameters
    ----------
    path : str
        Path of the file.
    target : str, optional
        Name of the target column; the last column if not given.
    target_kind : {"any", "unmixed", "numbers"}
        Kind of the targets, as in `read_training_table`.

    Raises
    ------
    DataError
        If the file cannot be read, lacks the target column, has other features than numbers, or row groups too large
        for memory.
    ImportError
        If PyArrow is missing.
    """

    def __init__(self, path: str, target: str | None, target_kind: TargetKind) -> None:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(opened(path))
            layout = ParquetLayout(file, path)
            chosen = target_column(layout.names, target, path)
            features = [column for column in range(len(layout.names)) if column != chosen]
            dtype = np.float32 if all(map(layout.is_narrow, features)) else np.float64
            self._columns = ParquetMatrix(file, layout, features, chosen, target_kind, dtype)
            check_groups(layout, self.groups_in_memory)
            names = layout.names
            super().__init__(path, [names[column] for column in features], names[chosen], layout.group_rows)
            self.file = stack.pop_all()

    def _read(self, group: int) -> tuple[Any, NDArray[Any]]:
        X, y = self._columns.read([group])
        assert y is not None  # a target was chosen
        return X, y


class SelectedRows(RowSource):
    """Some rows of another source, counted from 0. It does not close the other one.

    Parameters
    ----------
    source : RowSource
        The other source, which stays open.
    selection : Selection
        The rows, by their numbers there.
    """

    def __init__(self, source: RowSource, selection: Selection) -> None:
        self.path = source.path
        self.feature_names, self.target_name = source.feature_names, source.target_name
        self.groups, self.groups_in_memory = selection.counts, source.groups_in_memory
        self.schema, self.notes = source.schema, source.notes
        self._source = source
        self._starts = np.cumsum((0, *self.groups))
        self._of_group = functools.lru_cache(maxsize=self.groups_in_memory)(selection.of_group)

    def close(self) -> None:
        """Leave the other source open."""

    def row_numbers(self, indices: NDArray[Any]) -> NDArray[Any]:
        """Return the numbers of these rows in the file."""
        return self._source.row_numbers(self._selected(indices))

    def _rows(self, indices: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
        return self._source.rows(self._selected(indices))

    def _selected(self, indices: NDArray[Any]) -> NDArray[Any]:
        """Return the numbers of these rows in the other source."""
        group_of = np.searchsorted(self._starts, indices, side="right") - 1
        numbers = np.empty_like(indices)
        for group in np.unique(group_of).tolist():
            inside = group_of == group
            numbers[inside] = self._of_group(group)[indices[inside] - self._starts[group]]
        return numbers

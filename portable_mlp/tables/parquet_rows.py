"""The rows of a Parquet file, of which a few row groups are in memory."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .column_names import target_column
from .errors import DataError, opened
from .limits import row_limit
from .parquet_columns import ParquetColumns
from .parquet_layout import ParquetLayout
from .row_source import RowSource
from .types import TargetKind

__all__ = ["ParquetRows"]


class ParquetRows(RowSource):
    """The rows of a Parquet file; its groups are the file's row groups.

    The groups that were used last are kept, `RowSource.groups_in_memory` of them.

    Parameters
    ----------
    path : str
        The file.
    target : str, optional
        Name of the target column; the last column if not given.
    target_kind : {"any", "unmixed", "numbers"}
        What the targets may be, as for tables.

    Raises
    ------
    DataError
        If the file cannot be read, lacks the target column, has features that are no numbers, or row groups too large
        for the memory.
    ImportError
        If PyArrow is missing.
    """

    def __init__(self, path: str, target: str | None, target_kind: TargetKind) -> None:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(opened(path))
            layout = ParquetLayout(file, path)
            chosen = target_column(layout.names, target, path)
            features = [column for column in range(len(layout.names)) if column != chosen]
            self._check_groups(layout)
            dtype = np.float32 if all(map(layout.is_narrow, features)) else np.float64
            self._columns = ParquetColumns(file, layout, features, chosen, target_kind, dtype)
            self._file = stack.pop_all()
        self.path = path
        self.feature_names = tuple(layout.names[column] for column in features)
        self.target_name = layout.names[chosen]
        self.groups = layout.group_rows
        self._starts = np.cumsum((0, *self.groups))
        self._kept: OrderedDict[int, tuple[NDArray[Any], NDArray[Any]]] = OrderedDict()

    def close(self) -> None:
        """Close the file and forget the groups that were kept."""
        self._kept.clear()
        self._file.close()

    def _rows(self, indices: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        group_of = np.searchsorted(self._starts, indices, side="right") - 1
        # Those that are there come first, before others take their place; those that are asked for last come last, and
        # are kept for the next call.
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
        all_X, all_y = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        return all_X[back], all_y[back]

    def _group(self, group: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return a row group, from memory if it was used a short while ago."""
        if group not in self._kept:
            while len(self._kept) >= self.groups_in_memory:
                self._kept.popitem(last=False)
            X, y = self._columns.read([group])
            assert y is not None  # a target was chosen
            self._kept[group] = X, y
        self._kept.move_to_end(group)
        return self._kept[group]

    def _check_groups(self, layout: ParquetLayout) -> None:
        """Check that the groups that will be kept fit into memory."""
        largest = max(layout.group_rows)
        limit = row_limit(8 * len(layout.names), None)
        n_groups = min(self.groups_in_memory, len(layout.group_rows))
        if n_groups * largest > limit.rows:
            raise DataError(
                f"{layout.path}: {n_groups} row groups of {largest} rows, which are read at a time, are "
                f"{limit.reason}; write the file with smaller row groups"
            )

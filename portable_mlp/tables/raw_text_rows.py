"""Text tables larger than memory: their cells are copied to a file, and read from it group by group."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cells import recognised
from .columns import Columns
from .errors import DataError, shown
from .raw import OpenedTable, OpenedText, ReadingOptions, feature_names_of, targets_of, without_target
from .raw_rows import RawRows
from .targets import TargetKind
from .text_census import TextCensus, too_many
from .text_copies import CopiedCells, CopiedColumn
from .typed_columns import conformed

__all__ = ["RawTextRows"]


class RawTextRows(RawRows):
    """The rows of a text table that have a target.

    Parameters
    ----------
    text : OpenedText
        The table, which is read to its end; its cells are then in a temporary file.
    options : ReadingOptions
        The options of the caller; the last column is the default target.
    target_kind : {"any", "unmixed", "numbers"}
        Kind of the targets, as in `read_training_table`.

    Raises
    ------
    DataError
        If the file is not a table, lacks a column, or is larger than the folder of temporary files has space for; if
        the targets are not of this kind, or a cell contradicts its column.
    """

    def __init__(self, text: OpenedText, options: ReadingOptions, target_kind: TargetKind) -> None:
        path = text.file.name
        names, groups = text.groups()
        first = next(groups)
        header = OpenedTable(path, {column.name: column for column in first.columns}, text=text.format)
        target = header.column(str(header.target_name(options, last=True))).name
        features = feature_names_of(header, options, target)
        with contextlib.ExitStack() as stack:
            cells = CopiedCells(path, names, itertools.chain([first], groups))
            stack.callback(cells.close)
            self._targets = _Targets(path, cells.columns[target], len(cells.group_rows), target_kind, options.decimal)
            self._kept_rows = functools.lru_cache(self.groups_in_memory)(self._targets.rows)
            kept = [len(self._targets.rows(group)) for group in range(len(cells.group_rows))]
            columns = [cells.columns[name] for name in features]
            super().__init__(path, columns, target, kept, options, cells.group_rows)
            self.file = stack.pop_all()
        self._first_rows = np.cumsum((0, *cells.group_rows))
        self.text = text.format
        n_left_out = sum(cells.group_rows) - sum(kept)
        left_out = (without_target(n_left_out),) if n_left_out else ()
        self.notes = (*text.notes, *self.notes, *left_out)

    def row_numbers(self, indices: NDArray[Any]) -> NDArray[Any]:
        """Return the numbers in the file of some rows: those without a target count too."""
        group_of = np.searchsorted(self._starts, indices, side="right") - 1
        numbers = np.empty_like(indices)
        for group in np.unique(group_of).tolist():
            inside = group_of == group
            rows = self._kept_rows(group)
            numbers[inside] = self._first_rows[group] + rows[indices[inside] - self._starts[group]]
        return numbers

    def _read(self, group: int) -> tuple[Columns, NDArray[Any]]:
        X, y = self._features(group), self._targets.values(group)
        return (X, y) if len(y) == X.shape[0] else (X[self._kept_rows(group)], y)


class _Targets:
    """The targets of a text table, group by group.

    Parameters
    ----------
    path : str
        Name of the file in error messages.
    column : CopiedColumn
        The column of the targets, as texts.
    n_groups : int
        Number of groups of rows.
    kind : {"any", "unmixed", "numbers"}
        Targets to accept, as in `TargetKind`.
    decimal : {".", ","}
        Decimal mark of numbers in the text.
    """

    def __init__(self, path: str, column: CopiedColumn, n_groups: int, kind: TargetKind, decimal: str) -> None:
        self._column = column
        census = TextCensus(column)
        for group in range(n_groups):
            census.add(group, column.read(range(group, group + 1)).cells())
            if census.is_hopeless:
                break
        cells = census.cells().stripped()
        self._value_of: Mapping[str, Any] | None = None
        if census.is_full:
            self._reading = recognised(cells, decimal).reading
            if self._reading.kind != "number" or kind == "any":
                raise DataError(f"{path}: the target {shown(column.name)} has {too_many('classes')}")
        else:
            y, rows = targets_of(cells, path, kind, decimal)
            self._dtype = y.dtype
            self._value_of = dict(zip((cells.texts[code] for code in cells.codes[rows]), y.tolist(), strict=True))

    def rows(self, group: int) -> NDArray[np.intp]:
        """Return the rows of a group that have a target, counted from 0."""
        return self._of_group(group)[1]

    def values(self, group: int) -> NDArray[Any]:
        """Return the targets of a group that are not missing."""
        return self._of_group(group)[0]

    def _of_group(self, group: int) -> tuple[NDArray[Any], NDArray[np.intp]]:
        column = self._column.read(range(group, group + 1))
        if self._value_of is None:
            numbers = conformed(column, self._reading).values
            rows = np.flatnonzero(~np.isnan(numbers))
            return numbers[rows], rows
        cells = column.cells().stripped()
        values = [self._value_of.get(text) for text in cells.texts]
        rows = np.flatnonzero(cells.spread([value is not None for value in values], np.bool_))
        present = cells.rows(rows)
        return present.spread([self._value_of[text] for text in present.texts], self._dtype), rows

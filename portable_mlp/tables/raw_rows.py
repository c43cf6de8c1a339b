"""Tables larger than memory whose columns are of any kind: texts, truth values, dates, numbers with gaps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from io import BufferedReader
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrow_columns import ArrowCategories, ParquetColumn
from .cells import MISSING, MISSING_NUMBERS, Cells, numbers_of, recognised, with_dates
from .column_names import BLANKS
from .columns import Columns, Reading
from .dates import names_dates
from .errors import opened
from .parquet_files import ParquetLayout, ParquetMatrix, opened_parquet
from .raw import OpenedTable, ReadingOptions, feature_names_of
from .row_sources import SAMPLED, RowGroups, TableSchema, check_groups
from .targets import TargetKind
from .text_census import MOST_TEXTS, GroupedColumn, TextCensus, too_many
from .text_numbers import as_float
from .typed_columns import RawColumn, TypedColumn, conformed
from .written_columns import WrittenColumn

__all__ = ["RawParquetRows", "RawRows", "has_dates_in_digits", "has_plain_targets"]


def _opened(
    file: BufferedReader, path: str, options: ReadingOptions
) -> tuple[ParquetLayout, dict[str, ParquetColumn], str]:
    """Return the layout of a Parquet file, its columns by their names, and the name of its target."""
    layout = ParquetLayout(file, path)
    parquet = opened_parquet(file, layout)
    columns = {name: ParquetColumn(parquet, layout, column) for column, name in enumerate(layout.names)}
    return layout, columns, str(OpenedTable(path, columns).target_name(options, last=True)).strip(BLANKS)


def has_dates_in_digits(path: str, names: Sequence[str]) -> bool:
    """Tell whether numbers of a column of a Parquet file, one of these, seem to be dates, such as 20200127.

    Raises
    ------
    DataError
        If the file or such a column cannot be read.
    ImportError
        If PyArrow is missing.
    """
    names = [name for name in names if names_dates(name)]
    if not names:
        return False
    with opened(path) as file:
        layout, columns, _ = _opened(file, path, ReadingOptions())
        first = int(np.flatnonzero(layout.group_rows)[0])
        found = [columns[name].read(range(first, first + 1)) for name in names]
    return any(
        with_dates(column.name, column.column) is not column.column
        for column in found
        if isinstance(column, TypedColumn)
    )


def has_plain_targets(path: str, options: ReadingOptions, target_kind: TargetKind) -> bool:
    """Tell whether each target of a Parquet file can be read without the others.

    None is missing then, and all are numbers, truth values, or texts that are no numbers.

    Raises
    ------
    DataError
        If the file or its target column cannot be read.
    ImportError
        If PyArrow is missing.
    """
    with opened(path) as file:
        layout, columns, name = _opened(file, path, options)
        OpenedTable(path, columns).check_named([name])
        place = layout.names.index(name)
        if not layout.is_number(place) and (target_kind == "numbers" or not layout.is_text(place)):
            return False
        texts: set[str] = set()
        for group in np.flatnonzero(layout.group_rows).tolist():
            found = columns[name].read(range(group, group + 1))
            if isinstance(found, TypedColumn):
                if found.column.missing.any():
                    return False
            else:
                texts.update(found.cells().texts)
            if len(texts) > MOST_TEXTS:
                return False
    return not texts or _are_words(name, texts, options.decimal)


def _are_words(name: str, texts: set[str], decimal: str) -> bool:
    """Tell whether no text is a missing cell, a number in any notation, or one with spaces around it."""
    if texts & MISSING or texts <= MISSING_NUMBERS or any(as_float(text) is not None for text in texts):
        return False
    cells = Cells(name, sorted(texts), np.arange(len(texts)), str)
    return cells.stripped() is cells and numbers_of(cells, decimal) is None


class RawRows(RowGroups):
    """The rows of a table with columns of any kind, as `Columns`.

    What texts mean is found from all different texts of a column, which are read once when the file is opened. A column
    with more of them than a `TextCensus` counts is left out, unless they are numbers, truth values or dates.

    Parameters
    ----------
    path : str
        Name of the file.
    features : sequence of GroupedColumn
        The columns of the features.
    target : str
        Name of the target column.
    groups : sequence of int
        Number of rows of each group.
    options : ReadingOptions
        The options of the caller.
    stored_groups : sequence of int, optional
        Number of rows of each group in the file, where some are left out.

    Attributes
    ----------
    schema : TableSchema
        What is known of the columns.

    Raises
    ------
    DataError
        If nearly all texts of a column are of one kind, and others are not.
    """

    schema: TableSchema
    notes: tuple[str, ...] = (SAMPLED,)

    def __init__(
        self,
        path: str,
        features: Sequence[GroupedColumn],
        target: str,
        groups: Sequence[int],
        options: ReadingOptions,
        stored_groups: Sequence[int] | None = None,
    ) -> None:
        super().__init__(path, [column.name for column in features], target, groups)
        self._columns = {column.name: column for column in features}
        self._groups_with_rows = np.flatnonzero(groups if stored_groups is None else stored_groups).tolist()
        readings = {name: self._reading(column, options) for name, column in self._columns.items()}
        self.schema = TableSchema(
            {name: reading for name, reading in readings.items() if reading is not None},
            {name: too_many("different texts") for name, reading in readings.items() if reading is None},
            options,
        )

    def _features(self, group: int) -> Columns:
        """Read the features of a group."""
        part = range(group, group + 1)
        readings = self.schema.readings.items()
        return Columns({name: conformed(self._columns[name].read(part), reading) for name, reading in readings})

    def _reading(self, column: GroupedColumn, options: ReadingOptions) -> Reading | None:
        """Return kind and notation of a column; None if it has too many texts."""
        is_code = column.name in map(str.strip, options.categorical)
        if not is_code and all(_is_plain(found, options.decimal) for _, found in self._parts(column)):
            return self._dated(column, Reading("number", "."))
        census, kind = TextCensus(column), None
        for group, found in self._parts(column):
            if isinstance(found, TypedColumn) and not is_code:
                return self._dated(column, found.column.reading)
            kind = (
                Reading("text", "code") if is_code else Reading("text") if isinstance(found, ArrowCategories) else None
            )
            census.add(group, found.cells())
            if census.is_hopeless:
                break
        reading = kind or self._dated(column, recognised(census.cells(), options.decimal).reading)
        return None if reading.kind == "text" and census.is_full else reading

    def _dated(self, column: GroupedColumn, reading: Reading) -> Reading:
        """Return the reading of a column of any kind: numbers are dates if those of all groups are, of one form."""
        if reading.kind != "number" or not names_dates(column.name):
            return reading
        groups = (conformed(found, reading) for _, found in self._parts(column))
        found = {with_dates(column.name, numbers).reading for numbers in groups if not numbers.missing.all()}
        return found.pop() if len(found) == 1 else reading

    def _parts(self, column: GroupedColumn) -> Iterator[tuple[int, RawColumn]]:
        """Yield a column group by group, with the groups' numbers."""
        for group in self._groups_with_rows:
            yield group, column.read(range(group, group + 1))


def _is_plain(column: RawColumn, decimal: str) -> bool:
    """Tell whether the cells of a column are plain numbers, or missing."""
    return isinstance(column, WrittenColumn) and column.plain_numbers(decimal) is not None


class RawParquetRows(RawRows):
    """The rows of a Parquet file with columns of any kind; groups are its row groups.

    Parameters
    ----------
    path : str
        Path of the file.
    options : ReadingOptions
        The options of the caller; the last column is the default target.
    target_kind : {"any", "unmixed", "numbers"}
        Kind of the targets, as in `read_training_table`.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column, has a target that is missing or of another type, or row groups too
        large for memory; if nearly all texts of a column are of one kind, and others are not.
    ImportError
        If PyArrow is missing.
    """

    def __init__(self, path: str, options: ReadingOptions, target_kind: TargetKind) -> None:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(opened(path))
            layout, columns, target = _opened(file, path, options)
            check_groups(layout, self.groups_in_memory)
            names = feature_names_of(OpenedTable(path, columns), options, target)
            self._targets = ParquetMatrix(file, layout, [], layout.names.index(target), target_kind)
            super().__init__(path, [columns[name] for name in names], target, layout.group_rows, options)
            self.file = stack.pop_all()

    def _read(self, group: int) -> tuple[Columns, NDArray[Any]]:
        _, y = self._targets.read([group])
        assert y is not None  # a target was chosen
        return self._features(group), y

"""Parquet files larger than memory whose columns are of any kind: texts, truth values, dates, numbers with gaps."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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
from .row_sources import ParquetGroups, TableSchema
from .table_sketch import SAMPLE_ROWS
from .targets import TargetKind
from .text_numbers import as_float
from .typed_columns import TypedColumn, conformed

__all__ = ["RawParquetRows", "has_dates_in_digits", "has_plain_targets"]

MOST_TEXTS = 2**17
"""The most different texts of a column that are counted."""

ROWS_COUNTED = 2**17
"""The number of rows, about, whose texts say what kind a column is: each different text has its share of them."""


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


class RawParquetRows(ParquetGroups):
    """The rows of a Parquet file as `Columns`; groups are its row groups.

    What texts mean is found from all different texts of a column, which are read once when the file is opened. A column
    with more than `MOST_TEXTS` of them is left out, unless they are numbers, truth values or dates.

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

    notes = (
        f"the table stays in its file: medians and pieces are those of at most {SAMPLE_ROWS} rows drawn at random, "
        "means, deviations and categories those of all",
    )

    def __init__(self, path: str, options: ReadingOptions, target_kind: TargetKind) -> None:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(opened(path))
            layout, columns, target = _opened(file, path, options)
            names = feature_names_of(OpenedTable(path, columns), options, target)
            place = layout.names.index(target)
            super().__init__(layout, names, place)
            self._targets = ParquetMatrix(file, layout, [], place, target_kind)
            self._columns = {name: columns[name] for name in names}
            self._groups_with_rows = [group for group, n_rows in enumerate(self.groups) if n_rows]
            readings = {name: self._reading(column, options) for name, column in self._columns.items()}
            self.file = stack.pop_all()
        self.schema = TableSchema(
            {name: reading for name, reading in readings.items() if reading is not None},
            {name: f"more than {MOST_TEXTS} different texts" for name, reading in readings.items() if reading is None},
            options,
        )

    def _read(self, group: int) -> tuple[Columns, NDArray[Any]]:
        _, y = self._targets.read([group])
        assert y is not None  # a target was chosen
        assert self.schema is not None
        part = range(group, group + 1)
        readings = self.schema.readings.items()
        return Columns({name: conformed(self._columns[name].read(part), reading) for name, reading in readings}), y

    def _reading(self, column: ParquetColumn, options: ReadingOptions) -> Reading | None:
        """Return kind and notation of a column; None if it has too many texts."""
        is_code = column.name in map(str.strip, options.categorical)
        groups_of: dict[str, int] = {}
        n_rows_of: Counter[str] = Counter()
        kind = None
        for group, found in self._parts(column):
            if isinstance(found, TypedColumn) and not is_code:
                return self._reading_of_typed(column, found)
            kind = (
                Reading("text", "code") if is_code else Reading("text") if isinstance(found, ArrowCategories) else None
            )
            part = found.cells()
            n_rows_of.update(
                dict(zip(part.texts, np.bincount(part.codes, minlength=len(part.texts)).tolist(), strict=True))
            )
            for text in part.texts:
                groups_of.setdefault(text, group)
            if len(groups_of) > MOST_TEXTS:
                break
        texts = list(groups_of)
        codes, place = _in_proportion([n_rows_of[text] for text in texts]), self._place(column, texts, groups_of)
        cells = Cells(column.name, texts, codes, lambda row: place(int(codes[row])))
        reading = kind or with_dates(column.name, recognised(cells, options.decimal)).reading
        return None if reading.kind == "text" and len(texts) > MOST_TEXTS else reading

    def _reading_of_typed(self, column: ParquetColumn, first: TypedColumn) -> Reading:
        """Return the reading of a column that is not of texts: numbers are dates if those of all groups are."""
        reading = with_dates(column.name, first.column).reading
        if reading == first.column.reading:
            return reading
        different = {number for _, part in self._parts(column) for number in np.unique(part.column.values).tolist()}
        return with_dates(column.name, first.column._replace(values=np.array(list(different)))).reading

    def _parts(self, column: ParquetColumn) -> Iterator[tuple[int, Any]]:
        """Yield a column group by group, with the groups' numbers."""
        for group in self._groups_with_rows:
            yield group, column.read(range(group, group + 1))

    def _place(self, column: ParquetColumn, texts: list[str], groups_of: dict[str, int]) -> Callable[[int], object]:
        """Return a function from the number of a text to the place of its first row, which is looked up."""

        def place(number: int) -> object:
            group = groups_of[texts[number]]
            cells = column.read(range(group, group + 1)).cells()
            return cells.place(cells.first(text == texts[number] for text in cells.texts))

        return place


def _in_proportion(counts: Sequence[int]) -> NDArray[Any]:
    """Return each number 0, 1, ... as often as it counts, or in proportion where that would take much memory."""
    n_rows = np.asarray(counts, dtype=np.int64)
    divisor = max(1, int(n_rows.sum()) // ROWS_COUNTED)
    return np.repeat(np.arange(n_rows.size), np.maximum(n_rows // divisor, 1))

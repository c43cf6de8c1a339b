"""Tables in ``.csv`` and ``.tsv`` files: of numbers alone, or of text still to be interpreted."""

from __future__ import annotations

import io
import itertools
import math
import re
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrow_columns import ArrowColumn
from .arrow_csv import is_for_arrow, read_arrow_csv
from .cells import MISSING_NUMBERS, Cells
from .column_names import BLANKS, feature_columns, target_column
from .columns import Column, Reading, Table, TextFormat
from .errors import DataError
from .limits import RowLimit, above, check_bytes, row_limit
from .loaded_text import LoadedText
from .targets import TargetKind, Targets
from .text_files import DELIMITER_OF, TextFile, opened_text
from .text_headers import DELIMITER_NAMES, HEAD_BYTES, lenient_header, likely_delimiter, strict_header
from .text_numbers import Place, as_truth, checked_feature, row_of_floats
from .text_records import Records, read_records, records_of_width
from .written_columns import WrittenColumn

__all__ = [
    "TextColumn",
    "TextRows",
    "TextTable",
    "TextTableOptions",
    "read_prediction_text",
    "read_text_table",
    "read_training_text",
    "text_format",
    "text_groups",
]

SEPARATOR = "\0"
"""What stands between the cells of a column in memory; no cell contains it."""

_CODE = re.compile(rf"{SEPARATOR}[+-]?0[0-9]+(?={SEPARATOR}|\Z)")
"""A cell that `is_code`, after the one before it."""

GROUP_ROWS, GROUP_BYTES = 2**16, 2**23
"""The most rows, and about the most bytes, of a text table that are read at a time where it is too large for memory."""

_BLOCK_CHARACTERS = 2**20

_COMMANDS_READ_ON = (
    "portable-mlp predict and evaluate read a table batch by batch, however large, and train does where it needs "
    "neither folds nor several networks"
)


class TextTableOptions(NamedTuple):
    """The format of a text table.

    Attributes
    ----------
    delimiter : str or None
        Separator of the cells; None to infer it from the file's name and its first lines.
    header : bool
        Whether the first line has the column names.
    max_rows : int or None
        Largest number of rows to accept.
    """

    delimiter: str | None = None
    header: bool = True
    max_rows: int | None = None


class TextTable(NamedTuple):
    """The columns of a text table before their cells are interpreted, with their names, all different."""

    names: tuple[str, ...]
    columns: Sequence[TextColumn] | Sequence[ArrowColumn]


class TextColumn(WrittenColumn):
    """A column of text: blocks of UTF-8, in which NUL, which no cell contains, separates the cells.

    Parameters
    ----------
    name : str
        Name of the column.
    place : callable
        Function from a row, counted from 0, to its place in error messages.
    blocks : iterable of bytes
        The blocks that are there already.
    """

    def __init__(self, name: str, place: Callable[[int], object], blocks: Iterable[bytes] = ()) -> None:
        self.name = name
        self._place = place
        self._blocks = list(blocks)

    def append(self, texts: Sequence[str]) -> int:
        """Add the cells of some rows; return their size in bytes."""
        block = SEPARATOR.join(text.strip(BLANKS) for text in texts).encode()
        self._blocks.append(block)
        return len(block)

    def block(self) -> bytes:
        """Return all cells in one block."""
        return SEPARATOR.encode().join(self._blocks)

    def cells(self) -> Cells:
        """Return the cells with their places."""
        return Cells.of(self.name, self._texts(), self._place)

    def plain_numbers(self, decimal: str) -> Column | None:
        """Return the numbers of a column of nothing but numbers and missing cells; None for any other, or for codes."""
        values = array("d")
        if decimal != ".":
            return None
        for block in self._blocks:
            whole = block.decode()
            texts = whole.split(SEPARATOR)
            are_there = MISSING_NUMBERS.isdisjoint(texts)
            present = texts if are_there else [text for text in texts if text not in MISSING_NUMBERS]
            numbers = row_of_floats(present)
            if numbers is None or _CODE.search(SEPARATOR + whole):
                return None
            if not are_there:
                some = iter(numbers)
                numbers = [math.nan if text in MISSING_NUMBERS else next(some) for text in texts]
            values.fromlist(numbers)
        return Column(Reading("number", "."), np.frombuffer(values, dtype=np.float64))

    def _texts(self) -> Iterator[str]:
        for block in self._blocks:
            yield from block.decode().split(SEPARATOR)


class TextRows:
    """Rows of a text table, column by column.

    Parameters
    ----------
    path : str
        Name of the file in error messages.
    names : sequence of str
        Names of all columns, in order.

    Attributes
    ----------
    columns : list of TextColumn
        The columns; the last rows may still be missing until `flush`.
    lines : array of int
        The line of the file on which each row begins.
    n_bytes : int
        Size of the cells in ``columns``.
    """

    def __init__(self, path: str, names: Sequence[str]) -> None:
        self.lines = array("q")
        self.columns = [TextColumn(name, _places(path, self.lines, i)) for i, name in enumerate(names, start=1)]
        self.n_bytes = 0
        self._block: list[list[str]] = []
        self._n_characters = 0

    def append(self, line: int, cells: list[str]) -> None:
        """Add a row."""
        self.lines.append(line)
        self._block.append(cells)
        self._n_characters += len(cells) + sum(map(len, cells))
        if self._n_characters >= _BLOCK_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Move the rows that are still cells into the columns."""
        if self._block:
            for column, texts in zip(self.columns, zip(*self._block, strict=True), strict=True):
                self.n_bytes += column.append(texts)
        self._block.clear()
        self._n_characters = 0


def _places(path: str, lines: Sequence[int], column: int) -> Callable[[int], Place]:
    """Return a function from a row to the place of its cell; it does not keep `TextRows` in memory."""
    return lambda row: Place(path, lines[row], column)


def text_format(file: TextFile, suffix: str, options: TextTableOptions) -> tuple[TextFormat, tuple[str, ...]]:
    """Return the format of an open text file of which nothing was read yet, and what is unusual about it, in words.

    The delimiter is inferred unless it is given.
    """
    supposed = options.delimiter or DELIMITER_OF.get(suffix)
    head = file.stream.peek(HEAD_BYTES)  # type: ignore[attr-defined]
    delimiter = options.delimiter or likely_delimiter(head.decode(errors="replace"), supposed or ",")
    notes = [] if supposed in (None, delimiter) else [f"the cells are separated by {DELIMITER_NAMES[delimiter]}"]
    if file.encoding != "utf-8":
        notes.append(f"the text is in {file.encoding}")
    return TextFormat(delimiter, file.encoding), tuple(notes)


def read_text_table(loaded: LoadedText, found: TextFormat, options: TextTableOptions) -> TextTable:
    """Read a text file whole, without interpreting its cells; columns without a name get one.

    Raises
    ------
    DataError
        If the file is not a table, or too large.
    """
    file = loaded.rewound()
    if loaded.complete and is_for_arrow(loaded.data):
        copy = file._replace(stream=io.BytesIO(loaded.data))
        names, _ = lenient_header(read_records(copy, found.delimiter), file.name, header=options.header)
        most, data = _row_limit(names, options).rows, loaded.data
        columns = read_arrow_csv(data, file.name, names, found.delimiter, header=options.header, most_rows=most)
        if columns is not None:
            return TextTable(names, columns)
    return _by_records(file, found.delimiter, options)


def _row_limit(names: Sequence[str], options: TextTableOptions) -> RowLimit:
    """Return the limit on rows, by the memory of their numbers and cell ends."""
    limit = row_limit(24 * len(names), options.max_rows)
    if limit.rows == options.max_rows:
        return limit
    return limit._replace(reason=f"{limit.reason}; {_COMMANDS_READ_ON}")


def _by_records(file: TextFile, delimiter: str, options: TextTableOptions) -> TextTable:
    """Read a text file record by record, without PyArrow."""
    names, records = _header_first(file, delimiter, options)
    rows = TextRows(file.name, names)
    checked = 0
    for line, cells in records_of_width(records, len(names), file.name, _row_limit(names, options)):
        rows.append(line, cells)
        if rows.n_bytes > checked:
            checked = rows.n_bytes
            check_bytes(file.name, "a text", checked)
    rows.flush()
    return TextTable(names, rows.columns)


def text_groups(
    file: TextFile, delimiter: str, options: TextTableOptions
) -> tuple[tuple[str, ...], Iterator[TextRows]]:
    """Return the column names of a text file, and its rows, so many at a time that memory does not grow with the file.

    Raises
    ------
    DataError
        If the file is not a table, or has more rows than the options allow; also while the rows are read.
    """
    names, records = _header_first(file, delimiter, options)
    most = options.max_rows
    limit = RowLimit(sys.maxsize, "") if most is None else RowLimit(most, above(most))
    return names, _grouped(records_of_width(records, len(names), file.name, limit), file.name, names)


def _grouped(records: Records, path: str, names: Sequence[str]) -> Iterator[TextRows]:
    """Yield records as groups of rows."""
    rows = TextRows(path, names)
    for line, cells in records:
        rows.append(line, cells)
        if len(rows.lines) == GROUP_ROWS or rows.n_bytes >= GROUP_BYTES:
            rows.flush()
            yield rows
            rows = TextRows(path, names)
    if rows.lines:
        rows.flush()
        yield rows


def _header_first(file: TextFile, delimiter: str, options: TextTableOptions) -> tuple[tuple[str, ...], Records]:
    """Return the column names and the records after them, at least one."""
    names, records = lenient_header(read_records(file, delimiter), file.name, header=options.header)
    first = next(records, None)
    if first is None:
        raise DataError(f"{file.name}: no row after the header line")
    return names, itertools.chain([first], records)


class _Features:
    """The features of the rows read so far, in one buffer of float64; True is 1, False is 0."""

    def __init__(self, path: str, columns: list[int]) -> None:
        self._path = path
        self._columns = columns
        self._values = array("d")
        self._truths: list[int] = []

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return 8 * len(self._columns)

    def append(self, cells: list[str], line: int) -> None:
        """Add the features of one row; the first row tells columns of truth values from those of numbers."""
        chosen = [cells[column] for column in self._columns]
        if not self._values:
            self._truths = [j for j, cell in enumerate(chosen) if as_truth(cell) is not None]
        written = chosen if not self._truths else self._with_digits(chosen)
        values = row_of_floats(written)
        self._values.fromlist(self._cell_by_cell(chosen, line) if values is None else values)

    def matrix(self) -> NDArray[np.float64]:
        """Return the features, of shape (n_samples, n_features), without a copy."""
        if not self._values:
            raise DataError(f"{self._path}: no row after the header line")
        return np.frombuffer(self._values, dtype=np.float64).reshape(-1, len(self._columns))

    def _with_digits(self, chosen: list[str]) -> list[str]:
        """Return the cells with 1 and 0 for truth values, and with no number for anything else in their columns."""
        written = chosen.copy()
        for j in self._truths:
            value = as_truth(chosen[j])
            written[j] = "no truth value" if value is None else "01"[value]
        return written

    def _cell_by_cell(self, chosen: list[str], line: int) -> list[float]:
        """Return the numbers of a row, or raise the error for the first wrong cell."""
        truths = set(self._truths)
        places = (Place(self._path, line, column + 1) for column in self._columns)
        return [
            checked_feature(cell, place, j in truths)
            for j, (cell, place) in enumerate(zip(chosen, places, strict=True))
        ]


def read_training_text(
    path: str, suffix: str, target: str | None, target_kind: TargetKind, delimiter: str | None, max_rows: int | None
) -> Table:
    """Read a text file with a target column."""
    with opened_text(path) as file:
        header, records = _header_and_records(file, suffix, delimiter)
        chosen = target_column(header, target, f"{file.name}:1")
        columns = [column for column in range(len(header)) if column != chosen]
        features, targets = _Features(file.name, columns), Targets(file.name, chosen, target_kind)
        limit = row_limit(features.row_bytes + targets.row_bytes, max_rows)
        for line, cells in records_of_width(records, len(header), file.name, limit):
            features.append(cells, line)
            targets.append(cells, line)
    names = tuple(header[column] for column in columns)
    return Table(features.matrix(), targets.vector(), names, header[chosen])


def read_prediction_text(
    path: str,
    suffix: str,
    feature_names: Sequence[str] | None,
    target_name: str | None,
    delimiter: str | None,
    max_rows: int | None,
) -> Table:
    """Read the features of a text file."""
    with opened_text(path) as file:
        header, records = _header_and_records(file, suffix, delimiter)
        columns = feature_columns(header, feature_names, target_name, f"{file.name}:1")
        features = _Features(file.name, columns)
        limit = row_limit(features.row_bytes, max_rows)
        for line, cells in records_of_width(records, len(header), file.name, limit):
            features.append(cells, line)
    return Table(features.matrix(), None, tuple(header[column] for column in columns), None)


def _header_and_records(file: TextFile, suffix: str, delimiter: str | None) -> tuple[tuple[str, ...], Records]:
    """Return the column names and the remaining records."""
    supposed = DELIMITER_OF.get(suffix)
    records = read_records(file, delimiter or supposed)
    return strict_header(records, file.name, None if delimiter else supposed or ","), records

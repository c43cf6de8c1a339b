"""Tables in ``.csv`` and ``.tsv`` files: of numbers alone, or of text still to be interpreted."""

from __future__ import annotations

import io
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrow_columns import ArrowColumn
from .arrow_csv import LoadedText, read_arrow_csv
from .cells import Cells, recognised
from .column_names import BLANKS, feature_columns, target_column
from .columns import Column, Reading, Table, TextFormat
from .errors import DataError
from .limits import RowLimit, check_bytes, row_limit
from .targets import TargetKind, Targets
from .text_files import DELIMITER_OF, TextFile, opened_text
from .text_headers import DELIMITER_NAMES, HEAD_BYTES, lenient_header, likely_delimiter, strict_header
from .text_numbers import Place, as_truth, checked_feature, is_code, row_of_floats
from .text_records import Records, read_records, records_of_width

__all__ = ["TextTable", "TextTableOptions", "read_prediction_text", "read_text_table", "read_training_text"]

_BLOCK_CHARACTERS = 2**20


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
    """A text table before its cells are interpreted.

    Attributes
    ----------
    name : str
        Name of the file in error messages.
    names : tuple of str
        Column names, all different.
    columns : sequence of TextColumn or ArrowColumn
        One column per name.
    notes : tuple of str
        Remarks for the user, such as an unusual delimiter.
    format : TextFormat
        The format of the file.
    """

    name: str
    names: tuple[str, ...]
    columns: Sequence[TextColumn] | Sequence[ArrowColumn]
    notes: tuple[str, ...]
    format: TextFormat


class TextColumn:
    """A column of text: blocks of UTF-8, in which NUL, which no cell contains, separates the cells.

    Parameters
    ----------
    name : str
        Name of the column.
    place : callable
        Function from a row, counted from 0, to its place in error messages.
    """

    def __init__(self, name: str, place: Callable[[int], object]) -> None:
        self.name = name
        self._place = place
        self._blocks: list[bytes] = []

    def append(self, texts: Sequence[str]) -> int:
        """Add the cells of some rows; return their size in bytes."""
        block = "\0".join(text.strip(BLANKS) for text in texts).encode()
        self._blocks.append(block)
        return len(block)

    def cells(self) -> Cells:
        """Return the cells with their places."""
        return Cells.of(self.name, self._texts(), self._place)

    def recognised(self, decimal: str) -> Column:
        """Return the column with the kind inferred from its cells."""
        return self._plain_numbers(decimal) or recognised(self.cells(), decimal)

    def _texts(self) -> Iterator[str]:
        for block in self._blocks:
            yield from block.decode().split("\0")

    def _plain_numbers(self, decimal: str) -> Column | None:
        """Return the numbers of a column of nothing but numbers; None for any other, or for codes: the fast path."""
        values = array("d")
        if decimal != ".":
            return None
        for block in self._blocks:
            texts = block.decode().split("\0")
            numbers = row_of_floats(texts)
            if numbers is None or any(map(is_code, texts)):
                return None
            values.fromlist(numbers)
        return Column(Reading("number", "."), np.frombuffer(values, dtype=np.float64))


def read_text_table(file: TextFile, suffix: str, options: TextTableOptions) -> TextTable:
    """Read an open text file, without interpreting its cells.

    The delimiter is inferred unless it is given, and columns without a name get one.

    Raises
    ------
    DataError
        If the file is not a table, or too large.
    """
    supposed = options.delimiter or DELIMITER_OF.get(suffix)
    head = file.stream.peek(HEAD_BYTES)  # type: ignore[attr-defined]
    delimiter = options.delimiter or likely_delimiter(head.decode(errors="replace"), supposed or ",")
    notes = [] if supposed in (None, delimiter) else [f"the cells are separated by {DELIMITER_NAMES[delimiter]}"]
    if file.encoding != "utf-8":
        notes.append(f"the text is in {file.encoding}")
    found = TextFormat(delimiter, file.encoding)
    loaded = LoadedText(file)
    if loaded.complete:
        copy = file._replace(stream=io.BytesIO(loaded.data))
        names, _ = lenient_header(read_records(copy, delimiter), file.name, header=options.header)
        most_rows = _row_limit(names, options).rows
        columns = read_arrow_csv(loaded.data, file.name, names, delimiter, header=options.header, most_rows=most_rows)
        if columns is not None:
            return TextTable(file.name, names, columns, tuple(notes), found)
    names, ours = _by_records(loaded.rewound(), delimiter, options)
    return TextTable(file.name, names, ours, tuple(notes), found)


def _row_limit(names: Sequence[str], options: TextTableOptions) -> RowLimit:
    """Return the limit on rows, by the memory of their numbers and cell ends."""
    limit = row_limit(24 * len(names), options.max_rows)
    if limit.rows == options.max_rows:
        return limit
    return limit._replace(reason=f"{limit.reason}; train reads a .parquet table batch by batch, however large")


def _by_records(
    file: TextFile, delimiter: str, options: TextTableOptions
) -> tuple[tuple[str, ...], Sequence[TextColumn]]:
    """Read a text file record by record, without PyArrow."""
    records = read_records(file, delimiter)
    names, records = lenient_header(records, file.name, header=options.header)
    lines = array("q")

    def place_in(column: int) -> Callable[[int], object]:
        return lambda row: Place(file.name, lines[row], column)

    columns = [TextColumn(name, place_in(number)) for number, name in enumerate(names, start=1)]
    limit = _row_limit(names, options)
    block: list[list[str]] = []
    n_characters, n_bytes = 0, 0
    for line, cells in records_of_width(records, len(names), file.name, limit):
        lines.append(line)
        block.append(cells)
        n_characters += sum(map(len, cells))
        if n_characters >= _BLOCK_CHARACTERS:
            n_bytes += _append(columns, block)
            n_characters = 0
            check_bytes(file.name, "a text", n_bytes)
    if block:
        _append(columns, block)
    if not lines:
        raise DataError(f"{file.name}: no row after the header line")
    return names, columns


def _append(columns: Sequence[TextColumn], block: list[list[str]]) -> int:
    """Move the cells of some rows into the columns; return their size in bytes."""
    n_bytes = sum(column.append(texts) for column, texts in zip(columns, zip(*block, strict=True), strict=True))
    block.clear()
    return n_bytes


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

"""Text tables as people have them: the header, the delimiter, and every column's cells as they are written."""

from __future__ import annotations

import csv
import io
import itertools
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from . import arrow_csv
from .array_checks import numbered_names
from .cells import Cells, recognised
from .column_names import BLANKS, check_different
from .columns import Column, Reading
from .errors import DataError
from .limits import RowLimit, check_bytes, row_limit
from .text_files import DELIMITER_OF, DELIMITERS, TextFile
from .text_numbers import Place, as_float, is_code, row_of_floats
from .text_records import Records, read_records, records_of_width
from .text_tables import check_no_number

__all__ = ["TextTable", "TextTableOptions", "read_text_table"]

_BLOCK_CHARACTERS = 2**20
_HEAD_BYTES, _HEAD_LINES = 2**13, 20


class TextTableOptions(NamedTuple):
    """How a text table is written.

    Attributes
    ----------
    delimiter : str or None
        What stands between its cells; None where the file's name and its first lines tell.
    header : bool
        Whether its first line has the names of the columns.
    max_rows : int or None
        How many rows it may have.
    """

    delimiter: str | None = None
    header: bool = True
    max_rows: int | None = None


class TextTable(NamedTuple):
    """A text table whose cells are still texts.

    Attributes
    ----------
    name : str
        Of the file, for messages.
    names : tuple of str
        Of its columns, all different.
    columns : sequence of TextColumn or ArrowColumn
        One for each name.
    notes : tuple of str
        What was noticed.
    """

    name: str
    names: tuple[str, ...]
    columns: Sequence[TextColumn] | Sequence[arrow_csv.ArrowColumn]
    notes: tuple[str, ...]


class TextColumn:
    """The cells of a column: texts in blocks, each a run of UTF-8 with NUL, which no cell has, between the cells.

    Parameters
    ----------
    name : str
        The column's.
    place : callable
        From a row, counted from 0, to where its cell stands.
    """

    def __init__(self, name: str, place: Callable[[int], object]) -> None:
        self.name = name
        self._place = place
        self._blocks: list[bytes] = []

    def append(self, texts: Sequence[str]) -> int:
        """Take the cells of some rows; return how many bytes they take."""
        block = "\0".join(text.strip(BLANKS) for text in texts).encode()
        self._blocks.append(block)
        return len(block)

    def cells(self) -> Cells:
        """Return the cells with their places."""
        return Cells.of(self.name, self._texts(), self._place)

    def recognised(self, decimal: str) -> Column:
        """Return the column of what its cells are."""
        return self._plain_numbers(decimal) or recognised(self.cells(), decimal)

    def _texts(self) -> Iterator[str]:
        for block in self._blocks:
            yield from block.decode().split("\0")

    def _plain_numbers(self, decimal: str) -> Column | None:
        """Return the numbers of a column that has nothing else, and no code such as 007; made for speed."""
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
    """Read a text file that is open.

    Raises
    ------
    DataError
        If it is no table: as for training, but that one delimiter of several is recognised, that columns may have no
        name, and that cells may be anything.
    """
    supposed = options.delimiter or DELIMITER_OF.get(suffix)
    head = file.stream.peek(_HEAD_BYTES)  # type: ignore[attr-defined]
    delimiter = options.delimiter or _delimiter_of(head.decode(errors="replace"), supposed or ",")
    notes = [] if supposed in (None, delimiter) else [f"the cells are separated by {_DELIMITER_NAMES[delimiter]}"]
    if file.encoding != "utf-8":
        notes.append(f"the text is in {file.encoding}")
    slurped = arrow_csv.Slurped(file)
    if slurped.complete:
        copy = file._replace(stream=io.BytesIO(slurped.data))
        names, _ = header_of(read_records(copy, delimiter), file.name, header=options.header)
        most_rows = _row_limit(names, options).rows
        columns = arrow_csv.arrow_columns(
            slurped.data, file.name, names, delimiter, header=options.header, most_rows=most_rows
        )
        if columns is not None:
            return TextTable(file.name, names, columns, tuple(notes))
    names, ours = _by_records(slurped.replayed(), delimiter, options)
    return TextTable(file.name, names, ours, tuple(notes))


def _row_limit(names: Sequence[str], options: TextTableOptions) -> RowLimit:
    """Return how many rows there may be, by what their numbers and the ends of their cells take."""
    return row_limit(24 * len(names), options.max_rows)


_DELIMITER_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}


def _delimiter_of(head: str, supposed: str) -> str:
    r"""Return the delimiter that makes a table of the first lines, the supposed one if it does.

    >>> _delimiter_of("a;b;c\n1,5;2;3\n", ","), _delimiter_of("a,b\n1;2,3\n", ",")
    (';', ',')
    """
    lines = head.splitlines()
    # The last line may be cut.
    lines = lines[: max(1, min(len(lines) - 1, _HEAD_LINES))]
    widths = {mark: [len(cells) for cells in csv.reader(lines, delimiter=mark)] for mark in DELIMITERS}
    even = {mark: found[0] for mark, found in widths.items() if found and found[0] > 1 and len(set(found)) == 1}
    split = even or {mark: found[0] for mark, found in widths.items() if found and found[0] > 1}
    return supposed if supposed in split or not split else max(split, key=split.__getitem__)


def _by_records(
    file: TextFile, delimiter: str, options: TextTableOptions
) -> tuple[tuple[str, ...], Sequence[TextColumn]]:
    """Read a text file record by record."""
    records = read_records(file, delimiter)
    names, records = header_of(records, file.name, header=options.header)
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
    """Give the columns their cells of some rows, which are forgotten; return how many bytes these take."""
    n_bytes = sum(column.append(texts) for column, texts in zip(columns, zip(*block, strict=True), strict=True))
    block.clear()
    return n_bytes


def header_of(records: Records, path: str, *, header: bool) -> tuple[tuple[str, ...], Records]:
    """Return the names of the columns, and the records that follow; what has no name is called as pandas calls it."""
    first = next(records, None)
    if first is None:
        raise DataError(f"{path}: the file is empty; a {'header line' if header else 'row'} is expected")
    if not header:
        return numbered_names(len(first[1])), itertools.chain([first], records)
    names = [cell.strip(BLANKS) or f"Unnamed: {number}" for number, cell in enumerate(first[1])]
    if all(as_float(name) is not None for name in names):
        raise DataError(f"{path}:1: the first line is all numbers; a header line with names is expected (--no-header)")
    check_no_number(names, path)
    check_different(names, f"{path}:1:")
    return tuple(names), records

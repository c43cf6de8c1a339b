"""Text tables read by PyArrow, where it is installed and gives the same cells as `text_records`.

PyArrow is several times faster, and less strict: it accepts a quote inside a cell, blank lines, lone carriage returns
and NUL. Files with any of these are left to `text_records`.
"""

from __future__ import annotations

import codecs
import importlib.util
import io
import re
import zlib
from collections.abc import Callable, Sequence
from io import BufferedReader, RawIOBase
from typing import Any

from .arrow_columns import ArrowColumn
from .column_names import BLANKS
from .limits import table_bytes
from .parquet_files import load_pyarrow
from .text_files import TextFile
from .text_numbers import Place

__all__ = ["LoadedText", "read_arrow_csv"]

SMALLEST = 2**20
"""Fewer bytes are read faster without PyArrow, which takes a while to import."""

_PIECE = 2**20


class LoadedText:
    """The text of a file in memory, read if PyArrow is installed and memory suffices.

    Parameters
    ----------
    file : TextFile
        The file, positioned at its beginning.

    Attributes
    ----------
    data : bytes
        The bytes read so far.
    complete : bool
        Whether ``data`` is the whole file, and at least `SMALLEST` bytes.
    """

    def __init__(self, file: TextFile) -> None:
        self._file = file
        self._error: Exception | None = None
        self.complete = False
        pieces: list[bytes] = []
        if importlib.util.find_spec("pyarrow") is not None:
            left = table_bytes() // 4
            try:
                while left > 0 and (piece := file.stream.read1(_PIECE)):
                    pieces.append(piece)
                    left -= len(piece)
                self.complete = left > 0 and sum(map(len, pieces)) >= SMALLEST
            except (EOFError, zlib.error, OSError) as error:
                self._error = error
        self.data = b"".join(pieces)

    def rewound(self) -> TextFile:
        """Return the file as if nothing had been read of it."""
        return self._file._replace(stream=BufferedReader(_Rewound(self.data, self._file, self._error)))


class _Rewound(RawIOBase):
    """The bytes already read, followed by the rest of the file, or by the error that reading it raised."""

    def __init__(self, data: bytes, file: TextFile, error: Exception | None) -> None:
        self._data = io.BytesIO(data)
        self._file = file
        self._error = error

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer from the bytes already read, then from the file."""
        n_bytes = self._data.readinto(buffer)
        if n_bytes:
            return n_bytes
        if self._error is not None:
            raise self._error
        view = memoryview(buffer)
        given = self._file.stream.read1(len(view))
        view[: len(given)] = given
        return len(given)


def read_arrow_csv(
    data: bytes, path: str, names: Sequence[str], delimiter: str, *, header: bool, most_rows: int
) -> Sequence[ArrowColumn] | None:
    """Return the columns of UTF-8 text, or None where PyArrow refuses it or might give other cells.

    Parameters
    ----------
    data : bytes
        The whole file, UTF-8.
    path : str
        Name of the file in error messages.
    names : sequence of str
        Column names, as many as there are columns.
    delimiter : str
        Separator of the cells.
    header : bool
        Whether the first line is a header, to be skipped.
    most_rows : int
        Longest table to read.
    """
    text = data.removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n")
    if len(names) == 1 or not _is_plain(text, delimiter):
        return None
    table = _parsed(text, len(names), delimiter, skipped=int(header))
    # Fewer rows than lines: some cells span several lines, and the line numbers of error messages would be wrong.
    if table is None or not 0 < table.num_rows <= most_rows or table.num_rows + header != text.count(b"\n") + 1:
        return None
    pc = load_pyarrow("pyarrow.compute")

    def place_in(column: int) -> Callable[[int], object]:
        return lambda row: Place(path, row + 1 + header, column)

    trimmed = [pc.utf8_trim(column, BLANKS) for column in table.columns]
    return [
        ArrowColumn(name, array, place_in(number))
        for number, (name, array) in enumerate(zip(names, trimmed, strict=True), start=1)
    ]


def _is_plain(text: bytes, delimiter: str) -> bool:
    """Tell whether the text is free of everything that PyArrow accepts and `csv` does not."""
    if b"\0" in text or text.count(b"\r") != text.count(b"\r\n") or re.search(rb"\n\r?\n", text):
        return False
    if b'"' not in text:
        return True
    mark = re.escape(delimiter.encode())
    # Quotes are read from the left: one that does not begin a cell is left over.
    whole = re.compile(rb'(?:(?<=[\n%b])|\A)"(?:[^"]|"")*+"(?=%b|\r?\n|\Z)' % (mark, mark))
    return b'"' not in whole.sub(b"", text)


def _parsed(text: bytes, n_columns: int, delimiter: str, *, skipped: int) -> Any:
    """Return PyArrow's table, with every column as text; None if PyArrow refuses the file."""
    pa = load_pyarrow()
    reader = load_pyarrow("pyarrow.csv")
    names = [str(i) for i in range(n_columns)]
    try:
        return reader.read_csv(
            pa.BufferReader(text),
            read_options=reader.ReadOptions(column_names=names, skip_rows=skipped),
            parse_options=reader.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False, quote_char='"'
            ),
            convert_options=reader.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, null_values=[]
            ),
        )
    except pa.ArrowInvalid:
        return None

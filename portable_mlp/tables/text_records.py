"""The records of a text file: lines of UTF-8, split into lists of cells."""

from __future__ import annotations

import codecs
import csv
import zlib
from collections.abc import Iterator
from gzip import BadGzipFile

from .errors import DataError, counted
from .limits import RowLimit, most_columns, record_bytes
from .text_files import TextFile

__all__ = ["Records", "read_records", "records_of_width"]

Records = Iterator[tuple[int, list[str]]]
"""Pairs of the number of a record's first line and its cells."""

_MOST_BLANK_LINES = 10_000

# Reasons by a part of the message of `csv.Error`, which is written for programmers.
_CSV_REASONS = {
    "new-line character": r"a carriage return inside an unquoted cell (lines end with \n or \r\n)",
    "unexpected end": "the closing quote of a cell is missing",
    "expected after": "text after the closing quote of a cell",
    "field larger": "a cell is too long (is a closing quote missing?)",
}


def read_records(file: TextFile, delimiter: str | None) -> Records:
    """Yield the records, header included, without blank lines at the end.

    The default delimiter is a tab if the first line has one and no comma, else a comma.
    """
    lines = _TextLines(file)
    if delimiter is None:
        first = lines.peek()
        delimiter = "\t" if "\t" in first and "," not in first else ","
    lines.delimiter = delimiter.encode()
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    blank, n_blank = 0, 0
    while True:
        line = lines.start_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{file.name}:{line}: {_csv_reason(error)}") from error
        if not cells:
            blank, n_blank = blank or line, n_blank + 1
            if n_blank > _MOST_BLANK_LINES:
                raise DataError(f"{file.name}:{blank}: more than {_MOST_BLANK_LINES} blank lines")
        elif blank:
            raise DataError(f"{file.name}:{blank}: blank line (blank lines may stand at the end only)")
        else:
            yield line, cells


def records_of_width(records: Records, width: int, path: str, limit: RowLimit) -> Records:
    """Yield the records after the header; check that each is as wide as the header, and their number."""
    for row, (line, cells) in enumerate(records, start=1):
        if len(cells) != width:
            raise DataError(f"{path}:{line}: {counted(len(cells), 'cell')} where the header has {width}")
        if row > limit.rows:
            raise DataError(f"{path}:{line}: {limit.reason}")
        yield line, cells


class _TextLines:
    """The lines of a text file, line ends included, and the number of the last one.

    The limits on length and cells apply to a whole record, since an open quote may join many lines. They are checked
    before a line is split, which needs twenty times its memory.
    """

    delimiter = b","

    def __init__(self, file: TextFile) -> None:
        self._file = file
        self._number = 0
        self._record = 1
        self._most_bytes = record_bytes(file.n_bytes)
        self._most_cells = most_columns(file.n_bytes)
        self._bytes_left = self._most_bytes
        self._cells_left = self._most_cells
        self._peeked: bytes | None = None

    def start_record(self) -> int:
        """Begin a record; return the number of its first line, the next one."""
        self._bytes_left, self._cells_left = self._most_bytes, self._most_cells
        self._record = self._number + 1
        return self._record

    def peek(self) -> str:
        """Return the first line without consuming it; undecodable bytes are replaced."""
        self._peeked = self._read()
        return self._peeked.decode(errors="replace")

    def __iter__(self) -> _TextLines:
        return self

    def __next__(self) -> str:
        line, self._peeked = self._read() if self._peeked is None else self._peeked, None
        if not line:
            raise StopIteration
        self._number += 1
        self._check_size(line)
        if b"\0" in line:
            raise DataError(
                f"{self._file.name}:{self._number}: a NUL byte; the file is not UTF-8 text (--encoding reads others)"
            )
        return self._decoded(line)

    def _read(self) -> bytes:
        """Return the next line, or as much of it as the record's limit allows."""
        try:
            return self._file.stream.readline(self._bytes_left + 1)
        except (EOFError, zlib.error, BadGzipFile) as error:
            raise DataError(f"{self._file.name}:{self._number + 1}: {_gzip_reason(error)}") from error

    def _check_size(self, line: bytes) -> None:
        """Check the limits of a record after another of its lines."""
        self._bytes_left -= len(line)
        self._cells_left -= line.count(self.delimiter)
        if self._bytes_left < 0:
            raise DataError(f"{self._file.name}:{self._record}: the row is longer than {self._most_bytes} bytes")
        if self._cells_left <= 0:
            raise DataError(
                f"{self._file.name}:{self._record}: more than {self._most_cells} cells; no more can be read from a "
                "file of this size"
            )

    def _decoded(self, line: bytes) -> str:
        """Decode a line; the byte-order mark before the first one is removed."""
        if self._number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            byte = line[error.start]
            raise DataError(
                f"{self._file.name}:{self._number}: byte 0x{byte:02x} is not valid UTF-8 (save the file as UTF-8; "
                "--encoding reads others)"
            ) from error


def _csv_reason(error: csv.Error) -> str:
    """Return the fault of a record, in words for the author of the file."""
    message = str(error)
    return next((reason for part, reason in _CSV_REASONS.items() if part in message), message)


def _gzip_reason(error: Exception) -> str:
    """Return the fault of compressed data."""
    if isinstance(error, EOFError):
        return "the compressed data stop before their end (is the file complete?)"
    if str(error).startswith("Not a gzipped file"):
        return "something that is not gzip follows the compressed data"
    return "the compressed data are damaged from here, or a little before"

"""Text files opened for reading: decompressed, decoded, and refused if their first bytes contradict their names."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import os
import sys
from collections.abc import Iterator
from io import BufferedIOBase, BufferedReader, RawIOBase
from typing import Any, NamedTuple

from .errors import DataError, opened

__all__ = ["DELIMITERS", "DELIMITER_OF", "STANDARD_INPUT", "TextFile", "check_encoding", "opened_text"]

STANDARD_INPUT = "-"
"""The path that means standard input."""

_INPUT_NAME = "standard input"

DELIMITER_OF = {".csv": ",", ".tsv": "\t", ".csv.gz": ",", ".tsv.gz": "\t"}
"""Default delimiters by suffix."""

DELIMITERS = (",", "\t", ";", "|")
"""The delimiters to choose from."""

_UTF_8 = "utf-8"
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by byte-order mark, longer marks first."""

_GZIP = b"\x1f\x8b"
_NO_TEXT = {
    _GZIP: ("compressed with gzip", ".gz"),
    b"PK\x03\x04": ("a zip archive or an Excel workbook", None),
    b"PAR1": ("a Parquet file", ".parquet"),
    b"\x93NUMPY": ("an array of NumPy", ".npy"),
}
"""Files that are not text, by their magic bytes: a description, and the suffix that makes them readable, if any."""
_LONGEST_MAGIC = max(map(len, _NO_TEXT))


class TextFile(NamedTuple):
    """An open text file.

    Attributes
    ----------
    stream : binary file
        Decompressed text in UTF-8.
    name : str
        Name in error messages: the path, or "standard input".
    n_bytes : int
        Size of the file as stored; 0 if unknown, as of a pipe.
    encoding : str
        Encoding of the file itself.
    """

    stream: BufferedIOBase
    name: str
    n_bytes: int
    encoding: str = _UTF_8


def check_encoding(encoding: str) -> None:
    """Raise ValueError unless Python knows the text encoding."""
    try:
        known = codecs.lookup(encoding)._is_text_encoding
    except LookupError:
        known = False
    if not known:
        raise ValueError(f"unknown encoding {encoding!r}; there are utf-8, utf-16, cp1252, latin-1 and many others")


@contextlib.contextmanager
def opened_text(path: str, encoding: str | None = _UTF_8) -> Iterator[TextFile]:
    """Open a text file, or standard input for ``-``; compressed text is decompressed while it is read.

    Compressed files are recognised by the suffix .gz, compressed standard input by its first bytes. With
    ``encoding=None`` a byte-order mark selects UTF-16 or UTF-32; without a mark the text is UTF-8.
    """
    if path == STANDARD_INPUT:
        with _opened_input() as file, _opened(file, _INPUT_NAME, file.peek().startswith(_GZIP)) as text:
            yield _in_utf_8(text, encoding)
    else:
        with opened(path) as file, _opened(file, path, path.lower().endswith(".gz")) as text:
            yield _in_utf_8(text, encoding)


def _in_utf_8(text: TextFile, encoding: str | None) -> TextFile:
    """Return the file with a stream of UTF-8."""
    if encoding is None:
        start = text.stream.peek(4)[:4]  # type: ignore[attr-defined]
        encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if start.startswith(mark)), _UTF_8)
    name = codecs.lookup(encoding).name
    if name == _UTF_8:
        return text
    return text._replace(stream=BufferedReader(_Transcoded(text, name)), encoding=name)


class _Transcoded(RawIOBase):
    """A stream of UTF-8 from text in another encoding."""

    def __init__(self, text: TextFile, encoding: str) -> None:
        self._text = text
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._line = 1
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer with decoded text."""
        while not self._ready and not self._ended:
            piece = self._text.stream.read1(2**16)
            self._ended = not piece
            self._ready = self._decoded(piece)
        view = memoryview(buffer)
        given, self._ready = self._ready[: len(view)], self._ready[len(view) :]
        view[: len(given)] = given
        return len(given)

    def _decoded(self, piece: bytes) -> bytes:
        """Decode a piece and encode it in UTF-8."""
        try:
            text = self._decoder.decode(piece, self._ended)
            self._line += text.count("\n")
            return text.encode()
        except UnicodeError as error:
            raise DataError(
                f"{self._text.name}: the text is not valid {self._encoding}, in line {self._line} or later (--encoding "
                "names another)"
            ) from error


@contextlib.contextmanager
def _opened(file: BufferedReader, name: str, is_gzip: bool) -> Iterator[TextFile]:
    """Yield an open file as text, unless its magic bytes are those of another format."""
    start = file.peek(_LONGEST_MAGIC)
    if is_gzip:
        if not start.startswith(_GZIP):
            raise DataError(f"{name}: the file is not compressed with gzip, as its name says")
        with gzip.GzipFile(fileobj=file, mode="rb") as decompressed:
            yield TextFile(decompressed, name, _size(file))
        return
    for magic, (kind, suffix) in _NO_TEXT.items():
        if start.startswith(magic):
            raise DataError(f"{name}: the file is {kind}; {_remedy(suffix, name)}")
    yield TextFile(file, name, _size(file))


def _remedy(suffix: str | None, name: str) -> str:
    """Return a remedy for a file that is not text."""
    if suffix is None:
        return "save the table as text"
    if name == _INPUT_NAME:
        return "standard input takes text alone, name the file"
    return f"its name must end in {suffix}"


@contextlib.contextmanager
def _opened_input() -> Iterator[BufferedReader]:
    """Yield standard input as a file with ``peek``, whatever object replaces it; it stays open."""
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None or stream.closed:
        raise DataError(f"{_INPUT_NAME}: it is closed, or gives no bytes")
    try:
        yield BufferedReader(_Rejoined(stream.read(_LONGEST_MAGIC), stream))
    except OSError as error:
        raise DataError(f"{_INPUT_NAME}: {error.strerror or error}") from error


class _Rejoined(RawIOBase):
    """A stream preceded by the first bytes read from it: one read of a pipe may return fewer than the magic bytes."""

    def __init__(self, start: bytes, stream: BufferedIOBase) -> None:
        self._start = start
        self._stream = stream

    def readable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the file descriptor, by which the size of a file is found."""
        return self._stream.fileno()

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer from the first bytes, then from the stream."""
        view = memoryview(buffer)
        given = self._start or self._stream.read1(len(view))
        self._start = b""
        view[: len(given)] = given
        return len(given)


def _size(file: BufferedReader) -> int:
    """Return the size of a file, 0 if the system does not report one."""
    try:
        return os.fstat(file.fileno()).st_size
    except OSError:
        return 0

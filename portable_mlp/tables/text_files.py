"""Text opened for reading, plain or compressed with gzip, from files whose first bytes agree with their names."""

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
"""The path that stands for it."""

_INPUT_NAME = "standard input"

DELIMITER_OF = {".csv": ",", ".tsv": "\t", ".csv.gz": ",", ".tsv.gz": "\t"}
"""What stands between the cells of a file, by its suffix, where nothing else is said."""

DELIMITERS = (",", "\t", ";", "|")
"""What may stand between them."""

_UTF_8 = "utf-8"
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by the bytes that their texts begin with; the longer marks come first."""

_GZIP = b"\x1f\x8b"
_NO_TEXT = {
    _GZIP: ("compressed with gzip", ".gz"),
    b"PK\x03\x04": ("a zip archive or an Excel workbook", None),
    b"PAR1": ("a Parquet file", ".parquet"),
    b"\x93NUMPY": ("an array of NumPy", ".npy"),
}
"""What a file that is no text is by its first bytes, and how its name must end, if it can be read."""
_LONGEST_MAGIC = max(map(len, _NO_TEXT))


class TextFile(NamedTuple):
    """A text file that is open.

    Attributes
    ----------
    stream : binary file
        Its bytes, decompressed.
    name : str
        For messages: the path, or "standard input".
    n_bytes : int
        How long it is, compressed if it is; 0 where that is not known, as of a pipe.
    encoding : str
        That of the file; the stream gives UTF-8.
    """

    stream: BufferedIOBase
    name: str
    n_bytes: int
    encoding: str = _UTF_8


def check_encoding(encoding: str) -> None:
    """Raise ValueError unless Python knows the encoding of texts."""
    try:
        known = codecs.lookup(encoding)._is_text_encoding
    except LookupError:
        known = False
    if not known:
        raise ValueError(f"unknown encoding {encoding!r}; there are utf-8, utf-16, cp1252, latin-1 and many others")


@contextlib.contextmanager
def opened_text(path: str, encoding: str | None = _UTF_8) -> Iterator[TextFile]:
    """Open a text file, or standard input for ``-``; what is compressed is decompressed while it is read.

    The name of a compressed file ends in .gz; standard input has no name, and its first bytes tell. Where no encoding
    is named, the mark at the beginning of UTF-16 and UTF-32 tells, and what has none is UTF-8.
    """
    if path == STANDARD_INPUT:
        with _opened_input() as file, _opened(file, _INPUT_NAME, file.peek().startswith(_GZIP)) as text:
            yield _in_utf_8(text, encoding)
    else:
        with opened(path) as file, _opened(file, path, path.lower().endswith(".gz")) as text:
            yield _in_utf_8(text, encoding)


def _in_utf_8(text: TextFile, encoding: str | None) -> TextFile:
    """Return a text file whose stream gives UTF-8, whatever its encoding is."""
    if encoding is None:
        start = text.stream.peek(4)[:4]  # type: ignore[attr-defined]
        encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if start.startswith(mark)), _UTF_8)
    name = codecs.lookup(encoding).name
    if name == _UTF_8:
        return text
    return text._replace(stream=BufferedReader(_Transcoded(text, name)), encoding=name)


class _Transcoded(RawIOBase):
    """The bytes of a text in another encoding, as UTF-8."""

    def __init__(self, text: TextFile, encoding: str) -> None:
        self._text = text
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._line = 1
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        """Tell that it can be read, as it always can."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Decode a piece, and give as much of it as fits."""
        while not self._ready and not self._ended:
            piece = self._text.stream.read1(2**16)
            self._ended = not piece
            self._ready = self._decoded(piece)
        view = memoryview(buffer)
        given, self._ready = self._ready[: len(view)], self._ready[len(view) :]
        view[: len(given)] = given
        return len(given)

    def _decoded(self, piece: bytes) -> bytes:
        """Return a piece as UTF-8."""
        try:
            text = self._decoder.decode(piece, self._ended)
            self._line += text.count("\n")
            return text.encode()
        except UnicodeError as error:
            at_least = f"line {self._line} or later"
            raise DataError(f"{self._text.name}: the text is not valid {self._encoding}, in {at_least}") from error


@contextlib.contextmanager
def _opened(file: BufferedReader, name: str, is_gzip: bool) -> Iterator[TextFile]:
    """Give an open file as text, if its first bytes say that it may be."""
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
    """Return what can be done about a file that is no text."""
    if suffix is None:
        return "save the table as text"
    if name == _INPUT_NAME:
        return "standard input takes text alone, name the file"
    return f"its name must end in {suffix}"


@contextlib.contextmanager
def _opened_input() -> Iterator[BufferedReader]:
    """Give standard input as a file whose first bytes can be looked at, whatever stands in its place; it stays open."""
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None or stream.closed:
        raise DataError(f"{_INPUT_NAME}: it is closed, or gives no bytes")
    try:
        yield BufferedReader(_Rejoined(stream.read(_LONGEST_MAGIC), stream))
    except OSError as error:
        raise DataError(f"{_INPUT_NAME}: {error.strerror or error}") from error


class _Rejoined(RawIOBase):
    """A stream and the first bytes that were read from it: a pipe gives as few at a time as were written."""

    def __init__(self, start: bytes, stream: BufferedIOBase) -> None:
        self._start = start
        self._stream = stream

    def readable(self) -> bool:
        """Tell that it can be read, as it always can."""
        return True

    def fileno(self) -> int:
        """Return the stream's descriptor, whose file may have a size."""
        return self._stream.fileno()

    def readinto(self, buffer: Any, /) -> int:
        """Read the first bytes, then what follows."""
        view = memoryview(buffer)
        given = self._start or self._stream.read1(len(view))
        self._start = b""
        view[: len(given)] = given
        return len(given)


def _size(file: BufferedReader) -> int:
    """Return how long a file is, 0 where the system does not say."""
    try:
        return os.fstat(file.fileno()).st_size
    except OSError:
        return 0

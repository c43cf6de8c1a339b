"""The text of a file in memory, as far as it is not too large, and the file as if nothing had been read of it."""

from __future__ import annotations

import io
import zlib
from io import BufferedReader, RawIOBase
from typing import Any

from .limits import text_bytes
from .text_files import TextFile

__all__ = ["LoadedText"]

_PIECE = 2**20


class LoadedText:
    """The text of a file, read into memory unless it is larger than `text_bytes`.

    Parameters
    ----------
    file : TextFile
        The file, positioned at its beginning.

    Attributes
    ----------
    data : bytes
        The bytes read so far; none of a file that is stored in more bytes than the limit.
    complete : bool
        Whether ``data`` is the whole text.
    is_large : bool
        Whether the text is larger than the limit.
    """

    def __init__(self, file: TextFile) -> None:
        self._file = file
        self._error: Exception | None = None
        most = text_bytes()
        pieces: list[bytes] = []
        left = most - (file.n_bytes if file.n_bytes > most else 0)
        try:
            while left > 0 and (piece := file.stream.read1(_PIECE)):
                pieces.append(piece)
                left -= len(piece)
        except (EOFError, zlib.error, OSError) as error:
            self._error = error
        self.data = b"".join(pieces)
        self.complete = left > 0 and self._error is None
        self.is_large = left <= 0

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

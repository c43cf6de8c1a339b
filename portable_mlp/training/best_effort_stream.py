"""A text stream for output that may be lost: progress and messages must never cost a result."""

from __future__ import annotations

import contextlib
import io
from typing import TextIO


class BestEffortStream(io.TextIOBase):
    """Writes to a stream, and drops what cannot be written: on a full disk, into a closed pipe, without a stream.

    Parameters
    ----------
    stream : text file or None
        The stream; None, the value of ``sys.stderr`` where standard error is closed, drops everything.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream."""
        return getattr(self.stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        if self.stream is not None:
            with contextlib.suppress(OSError, ValueError):  # a ValueError if it is closed, or cannot encode the text
                self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, or drop it."""
        if self.stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self.stream.flush()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal; one that can only write is none."""
        with contextlib.suppress(AttributeError, ValueError):  # a ValueError if it is closed
            return self.stream is not None and self.stream.isatty()
        return False

    def fileno(self) -> int:
        """Return the stream's descriptor."""
        if self.stream is None:
            raise OSError("there is no stream")
        return self.stream.fileno()

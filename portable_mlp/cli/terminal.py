"""Output for people: text from files and command lines reaches a terminal escaped, never as a control sequence."""

from __future__ import annotations

import contextlib
import errno
import io
import sys
from collections.abc import Iterator
from typing import TextIO

from ..printable import printable
from ..training.best_effort_stream import BestEffortStream

__all__ = ["StandardOutput", "command_streams", "echo", "streams_as_started"]


def echo(text: str, *, err: bool = False) -> None:
    """Print a line on stdout or stderr."""
    stream = sys.stderr if err else sys.stdout
    stream.write(printable(text) + "\n")
    stream.flush()


class StandardOutput:
    """Stdout for a table: a program gets the bytes that a file would hold, a terminal gets the cells escaped."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()

    def write(self, row: str) -> None:
        """Write a row, which ends its line."""
        if self._is_terminal or not isinstance(sys.stdout, _Output):
            sys.stdout.write(printable(row[:-1]) + "\n")
        else:
            sys.stdout.write_utf8(row)


@contextlib.contextmanager
def command_streams() -> Iterator[None]:
    """Name standard output in its errors while the block runs, and drop what cannot be written to stderr."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Output(sys.stdout), BestEffortStream(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@contextlib.contextmanager
def streams_as_started() -> Iterator[None]:
    """Give the block stdout and stderr as they were when the command began."""
    out, err = (getattr(stream, "stream", stream) for stream in (sys.stdout, sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


class _Output(io.TextIOBase):
    """Standard output: what it cannot encode is escaped, and a failed write is an error that names it.

    Parameters
    ----------
    stream : text file or None
        Stream of the process; None, as ``sys.stdout`` is where standard output is closed.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self.stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        shown = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        with self.named() as stream:
            stream.write(shown)
        return len(text)

    def write_utf8(self, text: str) -> None:
        """Write a text in UTF-8, whatever the encoding of the stream is."""
        with self.named() as stream:
            bytes_of = getattr(stream, "buffer", None)  # a stream of texts alone, as a notebook has, takes any
            stream.write(text) if bytes_of is None else bytes_of.write(text.encode("utf-8"))

    def flush(self) -> None:
        if self.stream is not None:
            with self.named() as stream:
                stream.flush()

    def isatty(self) -> bool:
        return self.stream is not None and self.stream.isatty()

    def fileno(self) -> int:
        with self.named() as stream:
            return stream.fileno()

    @contextlib.contextmanager
    def named(self) -> Iterator[TextIO]:
        """Yield the stream; its errors name standard output."""
        try:
            if self.stream is None:
                raise OSError(errno.EBADF, "it is closed")
            yield self.stream
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from error

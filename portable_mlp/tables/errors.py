"""Errors about data files, and helpers that format their messages."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from io import BufferedReader

from ..printable import printable

__all__ = [
    "OBJECTS",
    "DataError",
    "GapError",
    "MatrixSizeError",
    "MixedTargetError",
    "broken_file",
    "counted",
    "listed",
    "opened",
    "shown",
]

OBJECTS = "it holds Python objects (a pickle), which are refused"
"""The reason given for a NumPy file that is not read."""

_SHOWN_CHARACTERS = 40
_SHOWN_NAMES = 20
_REASON_CHARACTERS = 200


class DataError(ValueError):
    """A mistake in a data file; the message is one printable line that begins with the file's path.

    In text files the path is followed by the line and, where there is one, the number of the column, both counted
    from 1: ``data.csv:3:2: 'abc' is not a number``. In Parquet files the message names the row, counted from 1, and the
    column; of arrays it names the index. Control characters are escaped, those of the path too.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class MixedTargetError(DataError):
    """A target column of numbers with a little text: mistakes, unless the column holds classes."""


class MatrixSizeError(DataError):
    """A table whose features take more memory than there is, though the table itself may fit."""


class GapError(DataError):
    """A missing cell, or a NaN, in a table of numbers without gaps."""


@contextlib.contextmanager
def opened(path: str) -> Iterator[BufferedReader]:
    """Open a file for reading; an OSError becomes a DataError."""
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


@contextlib.contextmanager
def broken_file(path: str, what: str) -> Iterator[None]:
    """Turn any exception into a DataError: libraries raise a dozen types for a broken file."""
    try:
        yield
    except Exception as error:
        if "allow_pickle" in str(error) or "Python objects in dtype" in str(error):
            reason = OBJECTS
        else:
            reason = " ".join(str(error).split())[:_REASON_CHARACTERS] or type(error).__name__
        raise DataError(f"{path}: {what} cannot be read: {reason}") from error


def shown(text: str) -> str:
    """Format a cell or a name for a message: quoted, escaped, and cut if long."""
    return repr(text) if len(text) <= _SHOWN_CHARACTERS else repr(text[:_SHOWN_CHARACTERS]) + "..."


def listed(names: Sequence[str]) -> str:
    """Format names for a message; of many, only the first."""
    first = ", ".join(map(shown, names[:_SHOWN_NAMES]))
    more = len(names) - _SHOWN_NAMES
    return f"{first} and {more} more" if more > 0 else first


def counted(number: int, noun: str) -> str:
    """Format a number with its noun, singular or plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

"""How a data file is refused: the errors, and the pieces of their messages."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

__all__ = ["DataError", "MixedTargetError", "counted", "listed", "opened", "shown"]

_SHOWN_CHARACTERS = 40
_SHOWN_NAMES = 20


class DataError(ValueError):
    """A mistake in a data file, told in one line that begins with the file's path.

    In text files the path is followed by the line and, where there is one, the number of the column, both counted
    from 1: ``data.csv:3:2: 'abc' is not a number``.
    """


class MixedTargetError(DataError):
    """A target column of numbers with a few texts among them, which are mistakes unless the column holds classes."""


@contextlib.contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Open a file for reading; whatever the system has against it is a DataError."""
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def shown(text: str) -> str:
    """Return a cell or a name for a message: quoted, escaped and not too long."""
    return repr(text) if len(text) <= _SHOWN_CHARACTERS else repr(text[:_SHOWN_CHARACTERS]) + "..."


def listed(names: Sequence[str]) -> str:
    """Return names for a message, the first of them if there are many."""
    first = ", ".join(map(shown, names[:_SHOWN_NAMES]))
    more = len(names) - _SHOWN_NAMES
    return f"{first} and {more} more" if more > 0 else first


def counted(number: int, noun: str) -> str:
    """Return the number with the noun in the singular or the plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

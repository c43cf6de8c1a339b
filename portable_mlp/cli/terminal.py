"""What people read: text from files and command lines reaches a terminal escaped, never as an order to it."""

from __future__ import annotations

import sys
from typing import TextIO

import typer

from ..storage.printable import printable

__all__ = ["StandardOutput", "say"]


def say(text: str, *, err: bool = False) -> None:
    """Print a line on stdout or stderr."""
    typer.echo(printable(text), err=err)


class StandardOutput:
    """Stdout for a table: a program gets every byte of its cells, a person at a terminal gets them escaped."""

    def __init__(self) -> None:
        self._file: TextIO = sys.stdout
        self._is_terminal = self._file.isatty()

    def write(self, row: str) -> None:
        """Write a row, which ends its line."""
        self._file.write(printable(row[:-1]) + "\n" if self._is_terminal else row)

"""Columns written as text, row by row."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Protocol

__all__ = ["Writable", "write_rows"]


class Writable(Protocol):
    """Whatever takes text row by row."""

    def write(self, row: str, /) -> object:
        """Take one row with its line end."""


def write_rows(
    file: Writable, header: Sequence[str], columns: Sequence[Sequence[object]], delimiter: str = ","
) -> None:
    r"""Write the header and the rows as text.

    Floats are written with the fewest digits that read back as the same float64, strings are quoted where needed,
    lines end with ``\n``.

    Parameters
    ----------
    file : text file
        What takes the rows; stays open.
    header : sequence of str
        One name per column.
    columns : sequence of sequences
        Plain Python values, column by column, all of one length.
    delimiter : str
        What stands between the cells.
    """
    writer = csv.writer(_LineFeedRows(file), delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(zip(*columns, strict=True))


class _LineFeedRows:
    r"""A text file for `csv.writer` that ends rows with ``\n`` where the writer puts ``\r\n``.

    Before Python 3.13 the writer leaves a carriage return unquoted unless it is part of the line end.
    """

    def __init__(self, file: Writable) -> None:
        self._file = file

    def write(self, row: str) -> None:
        """Write one row."""
        self._file.write(row.removesuffix("\r\n") + "\n")

"""Columns written as comma-separated text."""

from __future__ import annotations

import codecs
import csv
import os
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .atomic import replace_file
from .table_errors import counted

__all__ = ["write_csv"]

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class Writable(Protocol):
    """Whatever takes text row by row."""

    def write(self, row: str, /) -> object:
        """Take one row with its line end."""


def write_csv(
    path_or_file: str | os.PathLike[str] | Writable,
    header: Sequence[str],
    columns: Sequence[NDArray[Any] | Sequence[object]],
    *,
    spreadsheet_safe: bool = False,
) -> None:
    r"""Write columns as comma-separated text.

    Floats are written with the fewest digits that read back as the same float64, strings are quoted where needed,
    lines end with ``\n``. A path is written in UTF-8 and in one step: the file holds everything, or is what it was
    before.

    Parameters
    ----------
    path_or_file : str, os.PathLike of str or text file
        Path to create or to replace, or a text file open for writing, which stays open.
    header : sequence of str
        One name per column.
    columns : sequence of numpy.ndarray of shape (n_rows,), or of sequences
        Cells of any dtype, column by column.
    spreadsheet_safe : bool
        Whether to put an apostrophe before texts that a spreadsheet would take for a formula: those that start with
        one of ``= + - @``, a tab or a carriage return. Numbers stay as they are.

    Raises
    ------
    ValueError
        If there is not one name per column, or if the columns are not 1-D and of one length.
    OSError
        If the file cannot be written.
    """
    cells = _checked_columns(header, columns)
    if spreadsheet_safe:
        header, cells = [_harmless(name) for name in header], [list(map(_harmless, column)) for column in cells]
    if not isinstance(path_or_file, (str, os.PathLike)):
        _write_rows(path_or_file, header, cells)
        return
    with replace_file(path_or_file) as file:
        _write_rows(codecs.getwriter("utf-8")(file), header, cells)


def _checked_columns(header: Sequence[str], columns: Sequence[NDArray[Any] | Sequence[object]]) -> list[list[object]]:
    """Return the columns as lists of plain Python values."""
    if len(header) != len(columns):
        raise ValueError(f"{counted(len(header), 'name')} for {counted(len(columns), 'column')}")
    if any(column.ndim != 1 for column in columns if isinstance(column, np.ndarray)):
        raise ValueError("every column must have one dimension")
    lengths = sorted({len(column) for column in columns})
    if len(lengths) > 1:
        raise ValueError(f"the columns have different lengths: {', '.join(map(str, lengths))}")
    return [[_plain(cell) for cell in column] for column in columns]


def _plain(cell: object) -> object:
    """Return a NumPy scalar as the Python value that is written with the digits of a float64."""
    return cell.item() if isinstance(cell, np.generic) else cell


def _harmless(cell: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell


def _write_rows(file: Writable, header: Sequence[str], columns: list[list[object]]) -> None:
    """Write the header and the rows."""
    writer = csv.writer(_LineFeedRows(file), lineterminator="\r\n")
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

"""Writing columns to a file, in the format of its suffix."""

from __future__ import annotations

import codecs
import csv
import gzip
import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from ..storage.atomic import replace_file
from .errors import counted
from .parquet_files import load_pyarrow
from .text_files import DELIMITER_OF

__all__ = ["OUTPUT_SUFFIXES", "Writable", "check_output", "write_parts", "write_rows", "write_table"]

_PARQUET = ".parquet"
OUTPUT_SUFFIXES = (*DELIMITER_OF, _PARQUET)
"""Suffixes of the formats that can be written."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_table(
    path_or_file: str | os.PathLike[str] | Writable,
    header: Sequence[str],
    columns: Sequence[NDArray[Any] | Sequence[object]],
    *,
    spreadsheet_safe: bool = False,
) -> None:
    r"""Write columns as text in UTF-8, or as a Parquet file.

    In text, floats have the fewest digits that read back as the same float64, strings are quoted where needed, and
    lines end with ``\n``. A path is written in one step: the file holds everything, or is what it was before.

    Parameters
    ----------
    path_or_file : str, os.PathLike of str or text file
        Path to create or to replace: a ``.csv`` (comma) or ``.tsv`` (tab) file, also compressed (``.csv.gz``,
        ``.tsv.gz``), or a ``.parquet`` file. Or a text file open for writing, which receives comma-separated text and
        stays open.
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
        If a path ends in something else, if there is not one name per column, or if the columns are not 1-D and of one
        length.
    OSError
        If the file cannot be written.
    ImportError
        If the file is in Parquet and PyArrow is missing.
    """
    write_parts(path_or_file, [(header, columns)], spreadsheet_safe=spreadsheet_safe)


def write_parts(
    path_or_file: str | os.PathLike[str] | Writable,
    parts: Iterable[tuple[Sequence[str], Sequence[NDArray[Any] | Sequence[object]]]],
    *,
    spreadsheet_safe: bool = False,
) -> None:
    """Write a table whose rows come in parts, at least one; each is a header, the same for all, and columns.

    Nothing is written before there is the first part. Other parameters and errors are those of `write_table`.
    """
    checked = (_checked_part(*part, spreadsheet_safe=spreadsheet_safe) for part in parts)
    header, first = next(checked)
    every = itertools.chain([first], (cells for _, cells in checked))
    if not isinstance(path_or_file, (str, os.PathLike)):
        write_rows(path_or_file, header, every)
        return
    suffix = check_output(path_or_file)
    with replace_file(path_or_file) as file:
        if suffix == _PARQUET:
            _write_parquet(file, header, every)
        elif suffix.endswith(".gz"):
            # Without the time and a name, so that the same table gives the same bytes.
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as compressed:
                write_rows(codecs.getwriter("utf-8")(compressed), header, every, DELIMITER_OF[suffix])
        else:
            write_rows(codecs.getwriter("utf-8")(file), header, every, DELIMITER_OF[suffix])


def check_output(path: str | os.PathLike[str]) -> str:
    """Return the suffix of a path, the format in which a table is written to it.

    Raises
    ------
    ValueError
        If the path has no such suffix; the message lists them.
    ImportError
        If the format is Parquet, and PyArrow is missing.
    """
    name = os.fspath(path).lower()
    for suffix in OUTPUT_SUFFIXES:
        if name.endswith(suffix):
            if suffix == _PARQUET:
                load_pyarrow("pyarrow.parquet")
            return suffix
    names = f"{', '.join(OUTPUT_SUFFIXES[:-1])} or {OUTPUT_SUFFIXES[-1]}"
    raise ValueError(f"{os.fspath(path)}: a table is written in the format that its name ends in: {names}")


def _write_parquet(file: BinaryIO, header: Sequence[str], parts: Iterable[list[list[object]]]) -> None:
    pa, parquet = load_pyarrow(), load_pyarrow("pyarrow.parquet")
    tables = (pa.table([pa.array(column) for column in columns], names=list(header)) for columns in parts)
    first = next(tables)
    with parquet.ParquetWriter(file, first.schema) as writer:
        for table in itertools.chain([first], tables):
            writer.write_table(table)


def _checked_part(
    header: Sequence[str], columns: Sequence[NDArray[Any] | Sequence[object]], *, spreadsheet_safe: bool
) -> tuple[Sequence[str], list[list[object]]]:
    """Return a header and its columns as they are written."""
    cells = _checked_columns(header, columns)
    if not spreadsheet_safe:
        return header, cells
    return [_escaped(name) for name in header], [list(map(_escaped, column)) for column in cells]


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
    """Return a NumPy scalar as a Python value, which is printed with the digits of a float64."""
    return cell.item() if isinstance(cell, np.generic) else cell


def _escaped(cell: Any) -> Any:
    """Return a cell that no spreadsheet interprets as a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell


class Writable(Protocol):
    """A text file, as far as it is written to."""

    def write(self, row: str, /) -> object:
        """Write one row, line end included."""


def write_rows(
    file: Writable, header: Sequence[str], parts: Iterable[Sequence[Sequence[object]]], delimiter: str = ","
) -> None:
    r"""Write a header and rows as delimited text.

    Floats are written with the fewest digits that read back as the same float64, strings are quoted where needed,
    lines end with ``\n``.

    Parameters
    ----------
    file : text file
        File open for writing; it stays open.
    header : sequence of str
        One name per column.
    parts : iterable of sequences of sequences
        Some rows each: plain Python values, column by column, all of one length.
    delimiter : str
        Separator of the cells.
    """
    writer = csv.writer(_LineFeedRows(file), delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(header)
    for columns in parts:
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

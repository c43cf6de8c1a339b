"""Limits on the size of a table, checked before memory is allocated for it."""

from __future__ import annotations

import functools
import os
import pathlib
import sys
from typing import NamedTuple

from .errors import DataError, MatrixSizeError, counted

__all__ = [
    "MAX_LABEL_BYTES",
    "RowLimit",
    "above",
    "check_bytes",
    "check_columns",
    "check_label",
    "check_matrix_bytes",
    "check_rows",
    "most_columns",
    "record_bytes",
    "row_limit",
    "text_bytes",
]

MAX_LABEL_BYTES = 2**30
"""Limit on the text of a target column, both joined and as a NumPy array."""

_CONTAINER_LIMIT = pathlib.Path("/sys/fs/cgroup/memory.max")


class RowLimit(NamedTuple):
    """The largest number of rows to read, and the reason for the limit."""

    rows: int
    reason: str


def row_limit(row_bytes: int, max_rows: int | None) -> RowLimit:
    """Return the smaller of the caller's own limit and the number of rows that fit into `table_bytes`."""
    fitting = table_bytes() // row_bytes
    if max_rows is not None and max_rows <= fitting:
        return RowLimit(max_rows, above(max_rows))
    return RowLimit(fitting, f"more than {fitting} rows, which take half of this machine's memory")


def above(max_rows: int) -> str:
    """Return the words for a table with more rows than the caller's own limit."""
    return f"more than {counted(max_rows, 'row')}, the limit that was set"


def check_rows(path: str, n_rows: int, row_bytes: int, max_rows: int | None) -> None:
    """Check the number of rows that a file announces."""
    limit = row_limit(row_bytes, max_rows)
    if n_rows > limit.rows:
        raise DataError(f"{path}: {n_rows} rows are {limit.reason}")


def check_bytes(path: str, what: str, n_bytes: int) -> None:
    """Check the size that a part of a file announces."""
    if n_bytes > table_bytes():
        raise DataError(f"{path}: {what} of {n_bytes} bytes takes more than half of this machine's memory")


def check_matrix_bytes(n_rows: int, n_features: int) -> None:
    """Check the size of a matrix of float64, with a copy of it for the device, before it is made of a table."""
    if 16 * n_rows * n_features > table_bytes():
        raise MatrixSizeError(
            f"the {n_features} features of {counted(n_rows, 'row')} take more than half of this machine's memory"
        )


def check_columns(place: str, n_columns: int, file_bytes: int) -> None:
    """Check the number of columns of a file of so many bytes."""
    most = most_columns(file_bytes)
    if n_columns > most:
        raise DataError(f"{place}: {n_columns} columns; at most {most} can be read from a file of this size")


def most_columns(file_bytes: int) -> int:
    """Return the largest number of columns of a file. Names take memory, and a small file may take only a little.

    An uncompressed column takes at least a name and a number, so that such a file never reaches the limit.
    """
    return 2**16 + file_bytes // 16


def record_bytes(file_bytes: int) -> int:
    """Return the longest row of a text file; a compressed file may have rows only a little longer than itself."""
    return 2**22 + file_bytes // 2


def check_label(place: object, longest: int, n_rows: int) -> None:
    """Check the length of the longest label: NumPy pads all labels to it, at four bytes a character."""
    if 4 * longest * n_rows > MAX_LABEL_BYTES:
        raise DataError(f"{place}: a target of {longest} characters is too long for a label")


@functools.cache
def table_bytes() -> int:
    """Return the limit on a table: half of the memory, since further processing needs as much again."""
    return min(_physical_memory(), _container_memory()) // 2


def text_bytes() -> int:
    """Return the limit on a text in memory, whose cells take several times as much while they are read."""
    return table_bytes() // 4


def _physical_memory() -> int:
    """Return the bytes of this machine's memory, `sys.maxsize` if the system does not report them."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return sys.maxsize


def _container_memory() -> int:
    """Return the memory limit of the container, `sys.maxsize` if there is none."""
    try:
        return int(_CONTAINER_LIMIT.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return sys.maxsize

"""What an array in a file announces of itself, before memory is taken for it."""

from __future__ import annotations

import math
from typing import IO, Any, NamedTuple

import numpy as np

from .errors import OBJECTS, DataError, broken_file
from .limits import check_columns, check_rows

__all__ = ["ArrayHeader", "read_header"]


class ArrayHeader(NamedTuple):
    """Shape and dtype of an array that is not read yet."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """How many dimensions it has."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def n_columns(self) -> int:
        """How many numbers there are for each entry of its first dimension."""
        return math.prod(self.shape[1:])

    def check_rows(self, path: str, max_rows: int | None) -> None:
        """Check that there are not too many rows for the memory, where it will be float64, if it is not wider."""
        row_bytes = max(1, self.n_columns) * max(self.dtype.itemsize, 8)
        check_rows(path, self.shape[0] if self.shape else 1, row_bytes, max_rows)


def read_header(file: IO[bytes], what: str, path: str, *, n_bytes: int, file_bytes: int) -> ArrayHeader:
    """Read the header of an array, and check that it announces no more than is there.

    Parameters
    ----------
    file : binary file
        At the beginning of the array.
    what, path : str
        For messages: which array of which file.
    n_bytes : int
        How many bytes there are for the header and the array.
    file_bytes : int
        How long the whole file is, compressed if it is.

    Raises
    ------
    DataError
        If it does, or has too many columns, or is of Python objects.
    """
    with broken_file(path, what):
        version = np.lib.format.read_magic(file)
        # Version 3 differs from 2 in the names of fields, which a table does not have.
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    header = ArrayHeader(shape, dtype)
    if dtype.hasobject:
        raise DataError(f"{path}: {what} cannot be read: {OBJECTS}")
    if any(length < 0 for length in shape):
        raise DataError(f"{path}: {what} cannot be read: its header announces the shape {shape}")
    announced, there = header.size * dtype.itemsize, n_bytes - file.tell()
    if announced > there:
        raise DataError(f"{path}: {what} cannot be read: its header announces {announced} bytes, and {there} are there")
    check_columns(path, header.n_columns, file_bytes)
    return header

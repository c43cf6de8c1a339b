"""The rows of an ``.npy`` file, which is mapped into memory: the system reads the pages that are touched."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .array_checks import check_feature_left, check_magic, check_matrix, numbered_names
from .array_headers import read_header
from .errors import DataError, broken_file, opened
from .row_source import RowSource

__all__ = ["NpyRows"]

_GROUP_ROWS = 2**16


class NpyRows(RowSource):
    """The rows of one 2-D array of numbers, whose last column is the target.

    Nobody may shorten the file while it is open: the system ends a process that touches a page beyond its end.

    Parameters
    ----------
    path : str
        The file.

    Raises
    ------
    DataError
        If it does not hold a 2-D array of real numbers with at least one row and two columns.
    """

    target_name = None

    def __init__(self, path: str) -> None:
        self.path = path
        with opened(path) as file:
            check_magic(file, ".npy", path)
            n_bytes = os.fstat(file.fileno()).st_size
            header = read_header(file, "the array", path, n_bytes=n_bytes, file_bytes=n_bytes)
        check_matrix(header, "array", path)
        check_feature_left(header, path)
        with broken_file(path, "the array"):
            self._matrix: NDArray[Any] = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        n_rows, n_columns = self._matrix.shape
        self.feature_names = numbered_names(n_columns - 1)
        self.groups = tuple(min(_GROUP_ROWS, n_rows - start) for start in range(0, n_rows, _GROUP_ROWS))
        stored = self._matrix.dtype
        self._dtype = stored.newbyteorder("=") if stored.kind == "f" and stored.itemsize in (4, 8) else np.float64

    def close(self) -> None:
        """Give the mapping back."""
        del self._matrix

    def _rows(self, indices: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        taken = self._matrix[indices]
        with np.errstate(over="ignore"):
            X = np.ascontiguousarray(taken[:, :-1], dtype=self._dtype)
        y = taken[:, -1].astype(taken.dtype.newbyteorder("="))
        finite = np.column_stack((np.isfinite(X), np.isfinite(y)))
        if not finite.all():
            row, column = map(int, np.unravel_index(np.argmin(finite), finite.shape))
            place = f"{self.path}: array[{indices[row]}, {column}]"
            raise DataError(f"{place} is {taken[row, column]}; finite numbers are expected")
        return X, y

"""Tables larger than memory: rows that are read from the file when they are asked for."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["RowSource"]


class RowSource(abc.ABC):
    """The rows of a file that is open, for one thread at a time; a context manager that closes it.

    Attributes
    ----------
    path : str
        The file's.
    feature_names : tuple of str
        One name per feature.
    target_name : str or None
        Name of the target column; None for arrays.
    groups : tuple of int
        How many rows each group has. Groups follow each other in the file, and rows of one group are quick to reach
        after each other.
    groups_in_memory : int
        From so many groups rows can be taken in any order while each group is read once. An epoch therefore shuffles
        the groups, takes so many at a time, and shuffles the rows of these.
    """

    path: str
    feature_names: tuple[str, ...]
    target_name: str | None
    groups: tuple[int, ...]
    groups_in_memory = 4

    @property
    def n_rows(self) -> int:
        """How many rows the file has."""
        return sum(self.groups)

    @property
    def n_features(self) -> int:
        """How many features a row has."""
        return len(self.feature_names)

    def rows(self, indices: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return some rows, in the order that is asked for.

        Parameters
        ----------
        indices : ndarray of shape (n,), integer
            Rows, counted from 0; at least one.

        Returns
        -------
        X : ndarray of shape (n, n_features), float32 or float64
            Features, C-contiguous and finite: float32 where the file's numbers are, float64 where they are anything
            else.
        y : ndarray of shape (n,)
            Targets in the file's own dtype, or texts.

        Raises
        ------
        DataError
            If a value is missing or not finite, or a part of the file cannot be read; names the row.
        IndexError
            If there is no such row.
        """
        if indices.ndim != 1 or indices.dtype.kind not in "iu" or not len(indices):
            raise IndexError(f"rows are asked for by whole numbers, at least one; got {indices.dtype}{indices.shape}")
        if indices.min() < 0 or indices.max() >= self.n_rows:
            raise IndexError(f"rows {indices.min()} to {indices.max()} were asked for; there are {self.n_rows}")
        return self._rows(indices)

    def blocks(self, size: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Yield all rows in the file's order, ``size`` at a time, as `rows` gives them; the last block may be short."""
        for start in range(0, self.n_rows, size):
            yield self.rows(np.arange(start, min(start + size, self.n_rows)))

    @abc.abstractmethod
    def close(self) -> None:
        """Close the file; no rows can be taken any more."""

    @abc.abstractmethod
    def _rows(self, indices: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return rows that exist."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

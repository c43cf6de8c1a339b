"""The feature columns of a text file, taken row by row and given as an array."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .text_numbers import Place, as_truth, checked_feature, row_of_floats

__all__ = ["Features"]


class Features:
    """The feature cells of the rows read so far, as one run of float64; True is 1, and False is 0."""

    def __init__(self, path: str, columns: list[int]) -> None:
        self._path = path
        self._columns = columns
        self._values = array("d")
        self._truths: list[int] = []

    @property
    def row_bytes(self) -> int:
        """What a row takes."""
        return 8 * len(self._columns)

    def append(self, cells: list[str], line: int) -> None:
        """Take the features of one row; the first row tells columns of truth values from those of numbers."""
        chosen = [cells[column] for column in self._columns]
        if not self._values:
            self._truths = [j for j, cell in enumerate(chosen) if as_truth(cell) is not None]
        written = chosen if not self._truths else self._with_digits(chosen)
        values = row_of_floats(written)
        self._values.fromlist(self._cell_by_cell(chosen, line) if values is None else values)

    def matrix(self) -> NDArray[np.float64]:
        """Return the features, of shape (n_samples, n_features), without a copy."""
        if not self._values:
            raise DataError(f"{self._path}: no row after the header line")
        return np.frombuffer(self._values, dtype=np.float64).reshape(-1, len(self._columns))

    def _with_digits(self, chosen: list[str]) -> list[str]:
        """Return cells with 1 and 0 in the columns of truth values, and no number where something else stands there."""
        written = chosen.copy()
        for j in self._truths:
            value = as_truth(chosen[j])
            written[j] = "no truth value" if value is None else "01"[value]
        return written

    def _cell_by_cell(self, chosen: list[str], line: int) -> list[float]:
        """Return the numbers of a row in which a cell may be wrong."""
        truths = set(self._truths)
        places = (Place(self._path, line, column + 1) for column in self._columns)
        return [
            checked_feature(cell, place, j in truths)
            for j, (cell, place) in enumerate(zip(chosen, places, strict=True))
        ]

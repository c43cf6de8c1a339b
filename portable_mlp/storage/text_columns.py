"""The columns of a text file, taken row by row and given as arrays."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .column_names import BLANKS
from .table_errors import DataError, MixedTargetError
from .table_limits import MAX_LABEL_BYTES, check_label
from .table_types import TargetKind
from .text_numbers import Place, as_float, checked_float, not_a_number, row_of_floats

__all__ = ["Features", "Targets"]

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")


class Features:
    """The feature cells of the rows read so far, as one run of float64."""

    def __init__(self, path: str, columns: list[int]) -> None:
        self._path = path
        self._columns = columns
        self._values = array("d")

    @property
    def row_bytes(self) -> int:
        """What a row takes."""
        return 8 * len(self._columns)

    def append(self, cells: list[str], line: int) -> None:
        """Take the features of one row."""
        chosen = [cells[column] for column in self._columns]
        values = row_of_floats(chosen)
        if values is None:
            places = [Place(self._path, line, column + 1) for column in self._columns]
            values = [checked_float(cell, place) for cell, place in zip(chosen, places, strict=True)]
        self._values.fromlist(values)

    def matrix(self) -> NDArray[np.float64]:
        """Return the features, of shape (n_samples, n_features), without a copy."""
        if not self._values:
            raise DataError(f"{self._path}: no row after the header line")
        return np.frombuffer(self._values, dtype=np.float64).reshape(-1, len(self._columns))


class Targets:
    """The target cells of the rows read so far, as text, and the lines they stand on."""

    row_bytes = 3 * 8
    """What a row takes besides its text: where that ends, its line, and the target itself."""

    def __init__(self, path: str, column: int, kind: TargetKind) -> None:
        self._path = path
        self._column = column
        self._kind = kind
        self._texts = _Texts()
        self._lines = array("q")

    def append(self, cells: list[str], line: int) -> None:
        """Take the target of one row, which may be any text but none."""
        text = cells[self._column].strip(BLANKS)
        self._texts.append(text)
        self._lines.append(line)
        if not text:
            raise DataError(f"{self._place(-1)}: the target is empty (remove the row or fill the cell)")
        if self._texts.n_bytes > MAX_LABEL_BYTES:
            raise DataError(f"{self._place(-1)}: the targets up to here are longer than {MAX_LABEL_BYTES} bytes")

    def vector(self) -> NDArray[Any]:
        """Return the targets, of shape (n_samples,), as numbers if all of them are, else as text if it may be text."""
        numbers = map(as_float, self._texts)
        values = np.fromiter((np.nan if number is None else number for number in numbers), np.float64, len(self._texts))
        finite = np.isfinite(values)
        if finite.all():
            whole = self._whole_numbers()
            return values if whole is None else whole
        # Among numbers, 'nan' is a missing value rather than the name of a class.
        if self._kind == "numbers" or not self._has_words(finite):
            raise self._first_mistake(finite)
        if self._kind == "unmixed":
            self._check_unmixed(finite)
        return self._labels()

    def _whole_numbers(self) -> NDArray[np.int64] | None:
        """Return the targets as integers, None where one is written otherwise or does not fit."""
        if not all(map(_WHOLE_NUMBER.fullmatch, self._texts)):
            return None
        try:
            return np.fromiter(map(int, self._texts), np.int64, len(self._texts))
        except OverflowError:
            return None

    def _has_words(self, finite: NDArray[np.bool_]) -> bool:
        """Tell whether any of the targets that are not finite is not even 'nan', 'inf' or too large a number."""
        return any(as_float(self._texts[int(row)]) is None for row in np.flatnonzero(~finite))

    def _check_unmixed(self, finite: NDArray[np.bool_]) -> None:
        """Refuse texts among numbers if at least ten targets, and nine out of ten, are finite numbers."""
        n_numbers, n_targets = int(np.count_nonzero(finite)), len(finite)
        if n_numbers >= 10 and 10 * n_numbers >= 9 * n_targets:
            mistake = self._first_mistake(finite)
            raise MixedTargetError(f"{mistake}, while {n_numbers} of the {n_targets} targets are numbers")

    def _labels(self) -> NDArray[np.str_]:
        """Return the targets as text; NumPy gives each of them the room of the longest."""
        lengths = np.fromiter(map(len, self._texts), np.int64, len(self._texts))
        longest = int(lengths.max())
        check_label(self._place(int(lengths.argmax())), longest, len(lengths))
        return np.fromiter(self._texts, f"<U{longest}", len(self._texts))

    def _first_mistake(self, finite: NDArray[np.bool_]) -> DataError:
        """Return the error that says why the first target that is not a finite number is none."""
        row = int(np.argmin(finite))
        return not_a_number(self._texts[row], self._place(row))

    def _place(self, row: int) -> Place:
        """Return where the target of a row stands."""
        return Place(self._path, self._lines[row], self._column + 1)


class _Texts:
    """Texts one after the other in a run of UTF-8, which takes a fifth of the memory of as many short str."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("q", [0])

    @property
    def n_bytes(self) -> int:
        """How long the run is."""
        return len(self._bytes)

    def append(self, text: str) -> None:
        self._bytes += text.encode()
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        return self._bytes[self._ends[index] : self._ends[index + 1]].decode()

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

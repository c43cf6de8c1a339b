"""Targets, classes or a quantity: the rules that tell them apart, and their conversion from text."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .column_names import BLANKS
from .errors import DataError, MixedTargetError
from .limits import MAX_LABEL_BYTES, check_label
from .text_numbers import TRUTH_VALUES, Place, as_float, is_code, not_a_number, not_a_truth_value

__all__ = [
    "LARGEST_EXACT",
    "MOST_WHOLE_NUMBER_CLASSES",
    "SHORT_INTEGER",
    "TargetKind",
    "Targets",
    "are_whole",
    "class_names",
    "is_classification",
    "numeric_targets",
    "target_vector",
]

TargetKind = Literal["any", "unmixed", "numbers"]
"""Targets to accept. "any": classes, as numbers or text. "unmixed": classes or a quantity, but not a column of numbers
with a little text among them. "numbers": numbers alone."""

MOST_WHOLE_NUMBER_CLASSES = 20
"""Whole-number targets with more distinct values than this are a quantity, not classes."""

FEWEST_ROWS_OF_A_CLASS = 3
"""Fewer rows for each whole number, on the mean, make a quantity of them."""

MOST_RATINGS = 10
"""At most so many consecutive whole numbers from 0 or 1 are ratings or labels, of which fewer rows are enough."""

FEWEST_ROWS_OF_A_RATING = 2
"""The fewest rows for each of these, on the mean."""

LARGEST_EXACT = 2**53
"""The limit of exact integers in float64: every larger float64 is whole, which proves nothing about its origin."""


def is_classification(y: NDArray[Any]) -> bool:
    """Tell classes from quantities: text, booleans, or whole numbers with few distinct values are classes.

    Whole numbers may have any dtype: a column of 0 and 1 becomes one of floats when tables are joined. Where more than
    two of them have fewer than three rows each, on the mean, they are a quantity: the years, or the counts, of a short
    table. Of at most ten consecutive numbers from 0 or 1, such as ratings, two rows each are enough.

    >>> is_classification(np.array([0.0, 1.0, 1.0])), is_classification(np.array([0.0, 0.5, 1.0]))
    (True, False)
    >>> is_classification(np.array([1947, 1948, 1949])), is_classification(np.array([37, 9, 6, 4, 3, 1, 1, 1]))
    (False, False)
    >>> is_classification(np.array([1, 2, 3, 4, 5] * 2))
    True
    """
    if y.dtype.kind in "USb" or y.ndim > 1:
        return y.ndim == 1
    if not are_whole(y):
        return False
    values = np.unique(y)
    n_values = len(values)
    are_ratings = n_values <= MOST_RATINGS and values[0] in (0, 1) and values[-1] - values[0] == n_values - 1
    fewest = FEWEST_ROWS_OF_A_RATING if are_ratings else FEWEST_ROWS_OF_A_CLASS
    return n_values <= 2 or n_values <= min(MOST_WHOLE_NUMBER_CLASSES, len(y) // fewest)


def are_whole(y: NDArray[Any]) -> bool:
    """Tell whether all targets are whole numbers: integers, or floats that are integers too."""
    if y.dtype.kind == "f":
        return bool(np.all((np.abs(y) <= LARGEST_EXACT) & (y == np.trunc(y))))
    return y.dtype.kind in "iu"


def class_names(y: NDArray[Any]) -> list[Any]:
    """Return the sorted classes of targets (n_samples,) as plain Python values; whole numbers become int.

    >>> class_names(np.array([1.0, -1.0, 1.0]))
    [-1, 1]
    """
    names: list[Any] = np.unique(y).tolist()
    return list(map(int, names)) if y.dtype.kind == "f" and are_whole(y) else names


def numeric_targets(y: NDArray[Any], target_type: str) -> NDArray[np.float64]:
    """Return targets as numbers (n_samples, n_outputs): quantities as they are, two classes as 0 and 1, more one-hot.

    >>> numeric_targets(np.array(["b", "a", "b"]), "auto").tolist()
    [[1.0], [0.0], [1.0]]
    """
    if target_type == "auto":
        target_type = "classification" if y.dtype.kind == "O" or is_classification(y) else "regression"
    if target_type == "regression":
        return (y[:, None] if y.ndim == 1 else y).astype(np.float64)
    classes, codes = np.unique(y, return_inverse=True)
    one_hot = (codes.reshape(-1)[:, None] == np.arange(len(classes))).astype(np.float64)
    return one_hot[:, 1:] if len(classes) == 2 else one_hot


SHORT_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
"""A whole number of no more digits than int64 holds."""

_INTEGER = re.compile(r"[+-]?[0-9]+")


class Targets:
    """The target cells of the rows read so far, as text, with their line numbers."""

    row_bytes = 3 * 8
    """Bytes of a row beside its text: the end of the text, the line number, and the converted target."""

    def __init__(self, path: str, column: int, kind: TargetKind) -> None:
        self._path = path
        self._column = column
        self._kind = kind
        self._texts = _Texts()
        self._lines = array("q")

    def append(self, cells: list[str], line: int) -> None:
        """Add the target of one row, any text that is not empty."""
        text = cells[self._column].strip(BLANKS)
        self._texts.append(text)
        self._lines.append(line)
        if not text:
            raise DataError(f"{self._place(-1)}: the target is empty (remove the row or fill the cell)")
        if self._texts.n_bytes > MAX_LABEL_BYTES:
            raise DataError(f"{self._place(-1)}: the targets up to here are longer than {MAX_LABEL_BYTES} bytes")

    def vector(self) -> NDArray[Any]:
        """Return the targets, of shape (n_samples,)."""
        return target_vector(self._texts, self._place, self._kind)

    def _place(self, row: int) -> Place:
        """Return the place of a row's target, for error messages."""
        return Place(self._path, self._lines[row], self._column + 1)


class Texts(Protocol):
    """A sequence of text, row by row."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> str: ...
    def __iter__(self) -> Iterator[str]: ...


def target_vector(texts: Texts, place: Callable[[int], object], kind: TargetKind) -> NDArray[Any]:
    """Convert targets from text: to numbers if all of them are, else to labels where these are accepted.

    Parameters
    ----------
    texts : sequence of str
        Targets as written, none of them empty.
    place : callable
        Function from a row, counted from 0, to its place in error messages.
    kind : {"any", "unmixed", "numbers"}
        Targets to accept, as in `TargetKind`.

    Raises
    ------
    DataError
        If a target is not accepted, or is a NaN or an infinity among numbers.
    """
    return _TargetTexts(texts, place, kind).vector()


class _TargetTexts:
    """Targets as text, and the rules of `target_vector`."""

    def __init__(self, texts: Texts, place: Callable[[int], object], kind: TargetKind) -> None:
        self._texts = texts
        self._place = place
        self._kind = kind

    def vector(self) -> NDArray[Any]:
        """Return the targets, of shape (n_samples,)."""
        numbers = map(as_float, self._texts)
        values = np.fromiter((np.nan if number is None else number for number in numbers), np.float64, len(self._texts))
        finite = np.isfinite(values)
        if finite.all():
            return self._numbers(values)
        if self._kind == "numbers" and self._texts[0] in TRUTH_VALUES:
            return self._truth_values()
        # Among numbers, 'nan' is a missing value rather than the name of a class.
        if self._kind == "numbers" or not self._has_words(finite):
            raise self._first_mistake(finite)
        if self._kind == "unmixed":
            self._check_unmixed(finite)
        return self._labels()

    def _numbers(self, values: NDArray[np.float64]) -> NDArray[Any]:
        """Return targets that are all finite numbers as integers if whole, as text if codes, else as floats."""
        whole = self._integers(values)
        if self._kind != "numbers" and self._are_codes(values, whole is not None):
            return self._labels()
        return values if whole is None else whole

    def _integers(self, values: NDArray[np.float64]) -> NDArray[np.int64] | None:
        """Return the targets as integers, None if one is not whole or does not fit into int64."""
        found = array("q")
        for text, value in zip(self._texts, values, strict=True):
            if SHORT_INTEGER.fullmatch(text):
                number = int(text)
            elif abs(value) <= LARGEST_EXACT and value.is_integer():
                number = int(value)
            else:
                return None
            try:
                found.append(number)
            except OverflowError:
                return None
        return np.frombuffer(found, dtype=np.int64)

    def _are_codes(self, values: NDArray[np.float64], whole: bool) -> bool:
        """Tell whether the targets are codes: whole numbers that would not be printed as they are written.

        A leading zero, as in 007, always makes a code. A plus sign, or more digits than int64 holds, make one if there
        are few distinct targets; many are a quantity. So are numbers with fractions, such as 1.50. If only classes are
        expected, whatever is not printed as written is a code.
        """
        if not whole and not all(map(_INTEGER.fullmatch, self._texts)):
            return self._kind == "any" and not all(
                repr(float(value)) == text for text, value in zip(self._texts, values, strict=True)
            )
        if any(map(is_code, self._texts)):
            return True
        odd = not whole or any(text[0] == "+" and _INTEGER.fullmatch(text) for text in self._texts)
        return odd and (self._kind == "any" or self._are_few())

    def _are_few(self) -> bool:
        """Tell whether the distinct targets are few enough for classes."""
        different: set[str] = set()
        for text in self._texts:
            different.add(text)
            if len(different) > MOST_WHOLE_NUMBER_CLASSES:
                return False
        return True

    def _truth_values(self) -> NDArray[np.bool_]:
        """Return the targets as truth values; the first one is known to be one."""
        for row, text in enumerate(self._texts):
            if text not in TRUTH_VALUES:
                raise not_a_truth_value(text, self._place(row))
        return np.fromiter(map(TRUTH_VALUES.__getitem__, self._texts), np.bool_, len(self._texts))

    def _has_words(self, finite: NDArray[np.bool_]) -> bool:
        """Tell whether some target is a word, not merely 'nan', 'inf' or a number too large for float64."""
        return any(as_float(self._texts[int(row)]) is None for row in np.flatnonzero(~finite))

    def _check_unmixed(self, finite: NDArray[np.bool_]) -> None:
        """Refuse text among numbers if at least ten targets, and nine out of ten, are finite numbers.

        True and False beside numbers are refused whatever their share.
        """
        n_numbers, n_targets = int(np.count_nonzero(finite)), len(finite)
        many = n_numbers >= 10 and 10 * n_numbers >= 9 * n_targets
        if many or (n_numbers and all(self._texts[int(row)] in TRUTH_VALUES for row in np.flatnonzero(~finite))):
            mistake = self._first_mistake(finite)
            raise MixedTargetError(f"{mistake}, while {n_numbers} of the {n_targets} targets are numbers")

    def _labels(self) -> NDArray[np.str_]:
        """Return the targets as text, all of the width of the longest."""
        lengths = np.fromiter(map(len, self._texts), np.int64, len(self._texts))
        longest = int(lengths.max())
        check_label(self._place(int(lengths.argmax())), longest, len(lengths))
        return np.fromiter(self._texts, f"<U{longest}", len(self._texts))

    def _first_mistake(self, finite: NDArray[np.bool_]) -> DataError:
        """Return the error for the first target that is not a finite number."""
        row = int(np.argmin(finite))
        return not_a_number(self._texts[row], self._place(row))


class _Texts:
    """A list of text in one buffer of UTF-8, which takes a fifth of the memory of as many short str."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("q", [0])

    @property
    def n_bytes(self) -> int:
        """Length of the buffer."""
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

"""Numbers and truth values in the cells of a text file.

A number is an optional sign, digits with an optional point (or a point with digits) and an optional exponent, in
ASCII, with spaces or tabs around it. No text ever becomes NaN. A column holds numbers or truth values, not both.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from .column_names import BLANKS
from .errors import DataError, shown

__all__ = [
    "TRUTH_VALUES",
    "Place",
    "as_float",
    "as_truth",
    "checked_feature",
    "is_code",
    "not_a_number",
    "not_a_truth_value",
    "row_of_floats",
]

TRUTH_VALUES = {word: word.lower() == "true" for word in ("True", "TRUE", "true", "False", "FALSE", "false")}
"""Truth values by spelling: those of pandas, of R and spreadsheets, and of JSON."""

# Text of these characters alone that `float` accepts is a number of the grammar above: the underscores, words and
# non-ASCII digits that `float` accepts too need other characters.
_NUMBER_CHARACTERS = re.compile(r"[0-9eE+\-. \t,]*")
_CODE = re.compile(r"[+-]?0[0-9]+")
_NON_FINITE_WORD = re.compile(r"[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)


class Place(NamedTuple):
    """The place of a cell, line and column counted from 1."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


def row_of_floats(cells: list[str]) -> list[float] | None:
    """Return the numbers of a row, None if a cell may be wrong: the fast path."""
    if _NUMBER_CHARACTERS.fullmatch(",".join(cells)) is None:
        return None
    try:
        values = list(map(float, cells))
    except ValueError:
        return None
    return values if math.isfinite(sum(values)) else None


def as_float(text: str) -> float | None:
    """Return the number in a stripped cell, None if it holds none; 'nan', 'inf' and 1e999 give non-finite numbers."""
    if _NUMBER_CHARACTERS.fullmatch(text) is None and _NON_FINITE_WORD.fullmatch(text) is None:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def is_code(text: str) -> bool:
    """Tell whether a stripped cell is a code such as 007, whose leading zero a number would lose."""
    return _CODE.fullmatch(text) is not None


def as_truth(cell: str) -> bool | None:
    """Return the truth value in a cell, None if it holds none."""
    return TRUTH_VALUES.get(cell.strip(BLANKS))


def checked_feature(cell: str, place: object, is_truth: bool) -> float:
    """Return the finite number in a cell; in a column of truth values 1 or 0."""
    if is_truth:
        truth = as_truth(cell)
        if truth is None:
            raise not_a_truth_value(cell, place)
        return float(truth)
    value = as_float(cell.strip(BLANKS))
    if value is None or not math.isfinite(value):
        raise not_a_number(cell, place)
    return value


def not_a_truth_value(cell: str, place: object) -> DataError:
    """Return the error for a cell that is not a truth value, in a column of these."""
    if not cell.strip(BLANKS):
        return DataError(f"{place}: the cell is empty; True or False is expected (remove the row or fill the cell)")
    return DataError(f"{place}: {shown(cell)} is not True or False, as the cells above it are")


def not_a_number(cell: str, place: object) -> DataError:
    """Return the error for a cell that is not a finite number, with the reason."""
    text = cell.strip(BLANKS)
    if not text:
        reason = "the cell is empty; a number is expected (remove the row or fill the cell)"
    elif _NON_FINITE_WORD.fullmatch(text):
        reason = f"{shown(cell)} is not a finite number"
    elif as_float(text) is not None:
        reason = f"{shown(cell)} is too large for float64"
    elif text in TRUTH_VALUES:
        reason = f"{shown(cell)} is not a number (a column holds numbers, or True and False, not both)"
    else:
        reason = f"{shown(cell)} is not a number"
    return DataError(f"{place}: {reason}")

"""Numbers in the cells of a text file.

A number is an optional sign, digits with an optional point (or a point with digits) and an optional exponent, in
ASCII, with spaces or tabs around it. No text ever becomes NaN.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from .column_names import BLANKS
from .table_errors import DataError, shown

__all__ = ["Place", "as_float", "checked_float", "not_a_number", "row_of_floats"]

# Whatever `float` reads and is written in these characters alone is a number of the grammar above:
# the underscores, words and non-ASCII digits that `float` also reads need others.
_NUMBER_CHARACTERS = re.compile(r"[0-9eE+\-. \t,]*")
_NON_FINITE_WORD = re.compile(r"[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)


class Place(NamedTuple):
    """Where a cell stands, counted from 1."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


def row_of_floats(cells: list[str]) -> list[float] | None:
    """Return the numbers of a row, None where a cell may be wrong; made for speed."""
    if _NUMBER_CHARACTERS.fullmatch(",".join(cells)) is None:
        return None
    try:
        values = list(map(float, cells))
    except ValueError:
        return None
    return values if math.isfinite(sum(values)) else None


def as_float(text: str) -> float | None:
    """Return the number that a stripped cell holds, None if it holds none; 'nan', 'inf' and 1e999 are not finite."""
    if _NUMBER_CHARACTERS.fullmatch(text) is None and _NON_FINITE_WORD.fullmatch(text) is None:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def checked_float(cell: str, place: Place) -> float:
    """Return the finite number in a cell."""
    value = as_float(cell.strip(BLANKS))
    if value is None or not math.isfinite(value):
        raise not_a_number(cell, place)
    return value


def not_a_number(cell: str, place: Place) -> DataError:
    """Return the error that says why a cell is not a finite number."""
    text = cell.strip(BLANKS)
    if not text:
        reason = "the cell is empty; a number is expected (remove the row or fill the cell)"
    elif _NON_FINITE_WORD.fullmatch(text):
        reason = f"{shown(cell)} is not a finite number"
    elif as_float(text) is not None:
        reason = f"{shown(cell)} is too large for float64"
    else:
        reason = f"{shown(cell)} is not a number"
    return DataError(f"{place}: {reason}")

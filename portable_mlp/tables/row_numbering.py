"""Numbers that identify the rows of a table, or the subjects in them, and are no quantity."""

from __future__ import annotations

import re
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["RowNumbering", "are_whole_and_different", "counted_from", "numbers_rows"]

_IDENTIFIERS = "id|idx|uuid|guid|key|ident|identifier"
_NAMES_OF_ROWS = re.compile(
    rf"|index|ids|uid|{_IDENTIFIERS}|rows?|rownum|rownames|row[ _.]?(?:id|number|name|names)|no|nr|unnamed: 0|\.\.\.1"
    rf"|.*[ _.-](?:{_IDENTIFIERS})"
    r"|(?:account|barcode|ean|fax|invoice|isbn|mobile|passport|(?:tele)?phone|serial|ssn|ticket)(?:[ _.-]?(?:no|nr|num"
    r"|number))?",
    re.IGNORECASE,
)
_CAMEL_CASE_ID = re.compile(r".*[a-z](?:Id|ID)")
"""Names of columns that may number the rows: distinct numbers under such a name are no quantity."""
_NAMES_OF_NUMBERS = re.compile(r".*[ _.-](?:no|nr|num|number)", re.IGNORECASE)
"""Names that end in "number", or answer a question: distinct numbers are none where they are close together."""
_NAMES_OF_COUNTS = re.compile(r"id|seq|case|obs|row|num|index|nr", re.IGNORECASE)
"""Parts of the names of columns that count the rows from 0 or 1."""


class RowNumbering(NamedTuple):
    """What tells of numbers, one in each row, whether they identify the rows.

    Attributes
    ----------
    are_different : bool
        Whether they are whole, and no two alike.
    spread : float
        The difference between the greatest and the least.
    n_rows : int
        How many there are.
    counted_from : float or None
        The number of the table's first row, if each other number is that of its row, counted on; None if not.
    """

    are_different: bool
    spread: float
    n_rows: int
    counted_from: float | None

    @classmethod
    def of(cls, numbers: NDArray[np.float64], rows: NDArray[np.intp]) -> Self:
        """Return it of the numbers of these rows."""
        spread = float(numbers.max()) - float(numbers.min())  # infinite where float64 overflows
        return cls(are_whole_and_different(numbers), spread, len(numbers), counted_from(numbers, rows))


def are_whole_and_different(numbers: NDArray[np.float64]) -> bool:
    """Tell whether all numbers are whole, and no two alike."""
    return bool((numbers == np.trunc(numbers)).all()) and len(np.unique(numbers)) == len(numbers)


def counted_from(numbers: NDArray[np.float64], rows: NDArray[np.intp]) -> float | None:
    """Return the number of row 0 if all numbers are those of their rows, counted on from it; None if not.

    >>> counted_from(np.array([1.0, 2.0, 5.0]), np.array([0, 1, 4]))
    1.0
    """
    ahead = numbers - rows
    return ahead[0].item() if (ahead == ahead[0]).all() else None


def numbers_rows(name: str, numbering: RowNumbering) -> bool:
    """Tell whether numbers identify the rows, or their subjects, judging by the column's name and the numbers."""
    if not numbering.are_different:
        return False
    if _NAMES_OF_ROWS.fullmatch(name.strip()) or _CAMEL_CASE_ID.fullmatch(name.strip()):
        return True
    if _NAMES_OF_NUMBERS.fullmatch(name.strip()):
        return numbering.spread < 2 * numbering.n_rows
    return numbering.counted_from in (0.0, 1.0) and _NAMES_OF_COUNTS.search(name) is not None

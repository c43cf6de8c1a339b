"""The different texts of a column that is read group by group, from which follows what they mean."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .cells import Cells
from .text_numbers import as_float, is_code
from .typed_columns import RawColumn

__all__ = ["GroupedColumn", "TextCensus", "too_many"]

MOST_TEXTS = 2**17
"""The most different texts of a column that are counted."""

ROWS_COUNTED = 2**17
"""The number of rows, about, whose texts say what kind a column is: each different text has its share of them."""


def too_many(what: str) -> str:
    """Return the words for more texts than are counted."""
    return f"more than {MOST_TEXTS} {what}"


class GroupedColumn(Protocol):
    """A column whose rows are read in groups."""

    name: str

    def read(self, groups: range) -> RawColumn:
        """Read some consecutive groups."""


class TextCensus:
    """The different texts of a column, and how many rows have each.

    Beyond `MOST_TEXTS` of them plain numbers are counted, but not told apart: they all mean numbers.

    Parameters
    ----------
    column : GroupedColumn
        The column that is counted.
    """

    def __init__(self, column: GroupedColumn) -> None:
        self._column = column
        self._n_rows_of: Counter[str] = Counter()
        self._group_of: dict[str, int] = {}
        self._a_number: str | None = None

    @property
    def is_full(self) -> bool:
        """Whether there are more texts than are counted."""
        return len(self._group_of) > MOST_TEXTS

    @property
    def is_hopeless(self) -> bool:
        """Whether there are too many texts, and none of them is a plain number."""
        return len(self._group_of) > MOST_TEXTS and (self._a_number is None or len(self._group_of) > 2 * MOST_TEXTS)

    def add(self, group: int, cells: Cells) -> None:
        """Add the cells of a group, whose number is given."""
        counts = np.bincount(cells.codes, minlength=len(cells.texts)).tolist()
        for text, n_rows in zip(cells.texts, counts, strict=True):
            if text not in self._group_of and _is_plain_number(text):
                if self.is_full and self._a_number is not None:
                    text = self._a_number
                self._a_number = text
            self._n_rows_of[text] += n_rows
            self._group_of.setdefault(text, group)

    def cells(self) -> Cells:
        """Return a column in which each text has as many rows, or in proportion, in the order of their first rows."""
        texts = list(self._group_of)
        codes = _in_proportion([self._n_rows_of[text] for text in texts])
        return Cells(self._column.name, texts, codes, lambda row: self._place(texts[int(codes[row])]))

    def _place(self, text: str) -> object:
        """Return the place of the first row with a text, which is looked up."""
        group = self._group_of[text]
        cells = self._column.read(range(group, group + 1)).cells()
        return cells.place(cells.first(other == text for other in cells.texts))


def _is_plain_number(text: str) -> bool:
    """Tell whether a text is a finite number without marks, and no code."""
    value = as_float(text)
    return value is not None and math.isfinite(value) and not is_code(text)


def _in_proportion(counts: Sequence[int]) -> NDArray[np.intp]:
    """Return each number 0, 1, ... as often as it counts, or in proportion where that would take much memory."""
    n_rows = np.asarray(counts, dtype=np.int64)
    divisor = max(1, int(n_rows.sum()) // ROWS_COUNTED)
    return np.repeat(np.arange(n_rows.size), np.maximum(n_rows // divisor, 1))

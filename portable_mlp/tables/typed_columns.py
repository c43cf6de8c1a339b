"""Columns whose file or frame says what their cells are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .cells import PLURAL, Cells, read_as
from .columns import Column, Reading
from .errors import DataError, shown

__all__ = ["RawColumn", "TypedColumn", "conformed", "number_column", "text_of"]


class RawColumn(Protocol):
    """A column whose cells are still to be understood."""

    name: str

    def cells(self) -> Cells:
        """Return the cells as texts."""

    def recognised(self, decimal: str) -> Column:
        """Return the column of what its cells are."""


class TypedColumn:
    """A column that says what its cells are, in the place of one of texts.

    Parameters
    ----------
    name : str
        The column's.
    column : Column
        Its cells.
    stored : ndarray of shape (n_rows,)
        The cells in their own dtype.
    place : callable
        From a row, counted from 0, to where its cell stands.
    """

    def __init__(self, name: str, column: Column, stored: NDArray[Any], place: Callable[[int], object]) -> None:
        self.name = name
        self.column = column
        self.stored = stored
        self.place = place

    def cells(self) -> Cells:
        """Return the cells as texts: whole numbers without a fraction, dates as ISO 8601 has them."""
        missing = self.column.missing
        texts = ("" if gone else text_of(value) for gone, value in zip(missing, self.stored.tolist(), strict=True))
        return Cells.of(self.name, texts, self.place)

    def recognised(self, decimal: str) -> Column:
        """Return the column."""
        return self.column


def conformed(column: RawColumn, reading: Reading) -> Column:
    """Return a column as one that is known to hold something.

    Numbers 1 and 0 are truth values and the other way round; numbers, truth values and dates are texts where these
    are known; texts are read in the form that is known.

    Raises
    ------
    DataError
        If the column holds something else; names the first such cell.
    """
    if not isinstance(column, TypedColumn):
        return read_as(column.cells(), reading)
    kind, values = column.column.reading.kind, column.column.values
    if kind == "text" or reading.kind == "text":
        return read_as(column.cells(), reading)
    if (kind == "date") != (reading.kind == "date") and not column.column.missing.all():
        raise DataError(f"column {shown(column.name)} holds {PLURAL[kind]}, where {PLURAL[reading.kind]} are expected")
    if kind == "date" or reading.kind == "date":
        return Column(reading, values if kind == "date" else np.full(len(values), "NaT", "datetime64[us]"))
    if reading.kind == "truth" and not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
        row = int(np.argmax(~np.isin(values, (0.0, 1.0)) & ~np.isnan(values)))
        raise DataError(f"{column.place(row)}: {values[row]:g} is not a truth value (1, 0, True, False)")
    return Column(reading, values)


def text_of(value: object) -> str:
    """Return a cell as text.

    >>> text_of(2.0), text_of(2.5), text_of(True)
    ('2', '2.5', 'True')
    """
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return str(int(value))
    return str(value)


def number_column(name: str, stored: NDArray[Any], place: Callable[[int], object]) -> TypedColumn:
    """Return a column of real numbers or truth values, in which NaN is a missing cell."""
    kind = "truth" if stored.dtype.kind == "b" else "number"
    with np.errstate(over="ignore"):
        return TypedColumn(name, Column(Reading(kind), stored.astype(np.float64)), stored, place)

"""Columns that know the kind of their cells, from a file's or a data frame's dtypes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .cells import PLURAL, Cells, read_as, with_dates
from .columns import Column, Reading
from .dates import DIGIT_FORMS
from .errors import DataError, shown
from .written_columns import WrittenColumn

__all__ = ["RawColumn", "TypedColumn", "conformed", "meaning_of", "number_column", "text_of", "whole_numbers"]

_FIRST_GAP = 2**53
"""The first whole number whose successor is not one of float64."""


class RawColumn(Protocol):
    """A column whose cells are still to be interpreted."""

    name: str

    def cells(self) -> Cells:
        """Return the cells as text."""

    def recognised(self, decimal: str) -> Column:
        """Return the column with the kind inferred from its cells."""


class TypedColumn:
    """A column of known kind, with the interface of a column of text.

    Parameters
    ----------
    name : str
        Name of the column.
    column : Column
        Cells with their kind.
    stored : ndarray of shape (n_rows,)
        The same cells in the dtype of their source.
    place : callable
        Function from a row, counted from 0, to its place in error messages.
    """

    def __init__(self, name: str, column: Column, stored: NDArray[Any], place: Callable[[int], object]) -> None:
        self.name = name
        self.column = column
        self.stored = stored
        self.place = place

    def cells(self) -> Cells:
        """Return the cells as text: whole numbers without a fraction, dates in ISO 8601."""
        missing = self.column.missing
        texts = ("" if gone else text_of(value) for gone, value in zip(missing, self.stored.tolist(), strict=True))
        return Cells.of(self.name, texts, self.place)

    def recognised(self, decimal: str) -> Column:
        """Return the column."""
        return self.column


def conformed(column: RawColumn, reading: Reading) -> Column:
    """Return a column with the kind that a model was trained on.

    The numbers 1 and 0 become truth values and vice versa; numbers such as 20200127 become dates; numbers, truth values
    and dates become text; text is parsed in the notation of the training table.

    Raises
    ------
    DataError
        If the cells cannot be converted; the message names the first such cell.
    """
    if not isinstance(column, TypedColumn):
        return column.conformed(reading) if isinstance(column, WrittenColumn) else read_as(column.cells(), reading)
    kind, values = column.column.reading.kind, column.column.values
    if kind == "text" or reading.kind == "text" or (kind == "number" and reading.form in DIGIT_FORMS):
        return read_as(column.cells(), reading)
    if (kind == "date") != (reading.kind == "date") and not column.column.missing.all():
        raise DataError(f"column {shown(column.name)} holds {PLURAL[kind]}, where {PLURAL[reading.kind]} are expected")
    if kind == "date" or reading.kind == "date":
        return Column(reading, values if kind == "date" else np.full(len(values), "NaT", "datetime64[us]"))
    if reading.kind == "truth" and not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
        row = int(np.argmax(~np.isin(values, (0.0, 1.0)) & ~np.isnan(values)))
        raise DataError(f"{column.place(row)}: {values[row]:g} is not a truth value (1, 0, True, False)")
    return Column(reading, values)


def meaning_of(column: RawColumn, decimal: str) -> Column:
    """Return a column with the kind inferred from its cells and its name."""
    return with_dates(column.name, column.recognised(decimal))


def text_of(value: object) -> str:
    """Return a cell as text.

    >>> text_of(2.0), text_of(2.5), text_of(True)
    ('2', '2.5', 'True')
    """
    if isinstance(value, float) and value.is_integer() and abs(value) <= _FIRST_GAP:
        return str(int(value))
    return str(value)


def number_column(name: str, stored: NDArray[Any], place: Callable[[int], object]) -> TypedColumn:
    """Return a column of real numbers or truth values, whose NaN are missing cells; or of objects, int or None."""
    kind = "truth" if stored.dtype.kind == "b" else "number"
    with np.errstate(over="ignore"):
        return TypedColumn(name, Column(Reading(kind), stored.astype(np.float64)), stored, place)


def whole_numbers(numbers: NDArray[np.float64], exact: Callable[[], Sequence[int | None]]) -> NDArray[Any]:
    """Return whole numbers with gaps as they are to be stored.

    Parameters
    ----------
    numbers : ndarray of shape (n_rows,), float64
        The numbers, NaN where a cell is missing.
    exact : callable
        Function that returns them as int, None where a cell is missing; called where float64 cannot tell them apart.

    Returns
    -------
    ndarray of shape (n_rows,), float64 or object
        ``numbers``, or int and None.
    """
    if not (np.abs(numbers) >= _FIRST_GAP).any():
        return numbers
    stored = np.empty(len(numbers), dtype=object)
    stored[:] = exact()
    return stored

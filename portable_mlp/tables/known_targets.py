"""The targets of rows that a model predicts, read as its own targets, where a file has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrow_columns import ParquetColumn
from .cells import MISSING, numbers_of, read_as
from .columns import Reading
from .errors import DataError
from .targets import SHORT_INTEGER
from .typed_columns import RawColumn, TypedColumn, conformed

__all__ = ["KnownTarget", "rows_with_targets"]


class KnownTarget(NamedTuple):
    """The target of a model.

    Attributes
    ----------
    name : str or None
        The column's; None where the targets of a file have no name.
    classes : sequence or None
        The classes that the model knows; None for a quantity.
    required : bool
        Whether a file without it, or with a cell that cannot be its target, is refused.
    decimal : {".", ","}
        The mark before the fraction of a number.
    """

    name: str | None
    classes: Sequence[Any] | None
    required: bool = False
    decimal: str = "."

    def read(self, column: RawColumn) -> NDArray[Any]:
        """Return the target of each row: float64 for quantities, NaN where it is missing; else object, None there.

        Raises
        ------
        DataError
            If a cell is not of the kind of the model's targets; names it.
        """
        if isinstance(column, ParquetColumn):
            column = column.read()
        kind = type(self.classes[0]) if self.classes else float
        if kind is str:
            return _texts(column, set(self.classes or ()))
        values = _numbers(column, Reading("truth") if kind is bool else Reading("number", self.decimal))
        if self.classes is None:
            return values
        exact = _exact(column, values) if kind is int else values.tolist()
        return _objects([None if math.isnan(value) else _class(value, kind) for value in exact])

    def of_array(self, y: NDArray[Any], path: str) -> NDArray[Any]:
        """Return the targets of an array, as `read` does.

        Raises
        ------
        DataError
            If its shape or its dtype cannot be that of the model's targets.
        """
        if self.classes is not None and y.ndim > 1:
            raise DataError(f"{path}: y has shape {y.shape}; classes are one for each row")
        if self.classes is None and y.dtype.kind not in "biuf":
            raise DataError(f"{path}: y holds {y.dtype}, where numbers are expected")
        return y.astype(np.float64 if self.classes is None else object)


def rows_with_targets(y: NDArray[Any]) -> NDArray[np.intp]:
    """Return the rows whose target is not missing."""
    if y.dtype.kind == "O":
        return np.flatnonzero([value is not None for value in y])
    return np.flatnonzero(np.isfinite(y.reshape(len(y), -1)).all(axis=1))


def _texts(column: RawColumn, classes: set[str]) -> NDArray[Any]:
    """Return the texts of a column; a word for a missing cell may be a class."""
    cells = column.cells().stripped()
    return cells.spread([text if text in classes or text not in MISSING else None for text in cells.texts], object)


def _numbers(column: RawColumn, reading: Reading) -> NDArray[np.float64]:
    """Return numbers or truth values, also numbers that are written with more than digits."""
    if isinstance(column, TypedColumn):
        return conformed(column, reading).values
    cells = column.cells()
    grouped = numbers_of(cells, reading.form) if reading.kind == "number" else None
    return (grouped or read_as(cells, reading)).values


def _exact(column: RawColumn, values: NDArray[np.float64]) -> list[float]:
    """Return whole numbers as they are stored or written, since float64 has gaps beyond 2**53; others as read."""
    if isinstance(column, TypedColumn):
        stored = column.stored if column.stored.dtype.kind in "iuO" else values
        return [math.nan if value is None else value for value in stored.tolist()]
    cells = column.cells()
    integers = cells.spread([int(text) if SHORT_INTEGER.fullmatch(text) else None for text in cells.texts], object)
    return [value if integer is None else integer for integer, value in zip(integers, values.tolist(), strict=True)]


def _class(value: float, kind: type) -> Any:
    """Return a number as classes are kept; one that is no class stays what it is."""
    return kind(value) if kind(value) == value else value


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    objects = np.empty(len(values), dtype=object)
    objects[:] = values
    return objects

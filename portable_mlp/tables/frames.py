"""Tables in memory as columns by name: data frames of pandas, polars and PyArrow (by narwhals), mappings, arrays."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from ..backends.extras import load
from .cells import Cells, read_as, recognised
from .column_names import BLANKS
from .columns import Column, Columns, RawTable, Reading, Table
from .errors import DataError, shown
from .typed_columns import RawColumn, TypedColumn, number_column, text_of, whole_numbers

__all__ = ["columns_of_array", "columns_of_frame", "is_frame", "is_missing", "with_gaps_for_masks"]

_REMEDIES = {
    "collect": "X.collect() gives one",
    "compute": "X.compute() gives one",
    "to_frame": "X.to_frame() gives one of a single column, frame.iloc[[0]] one of a single row",
    "__arrow_c_array__": "pyarrow.table(X) gives one",
    "__arrow_c_stream__": "pyarrow.table(X) gives one",
}
"""For methods of what is no table in memory, how it becomes one."""


def is_frame(X: Any) -> bool:
    """Tell whether a table in memory has named columns: a data frame, a mapping, `Columns`, or a structured array."""
    if isinstance(X, np.ndarray):
        return X.dtype.names is not None
    if hasattr(X, "toarray"):
        return False  # a sparse matrix, of which one is a dict too
    marks = ("__dataframe__", "__arrow_c_array__", "__arrow_c_stream__", "collect_schema", "columns")
    return isinstance(X, Mapping | RawTable | Table) or any(hasattr(type(X), mark) for mark in marks)


def columns_of_frame(X: Any) -> dict[str, Callable[[], RawColumn]]:
    """Return functions by name that give the columns of a table in memory, so that only those in use are checked.

    Parameters
    ----------
    X : Columns, mapping of names to 1-D arrays, structured array, or data frame of pandas, polars or PyArrow
        Table with named columns.

    Raises
    ------
    TypeError
        If it is something else; from the functions, if a column has an unsupported type.
    ValueError
        If two columns have the same name; from the functions, if a number is infinite.
    ImportError
        If narwhals is missing, for a data frame.
    """
    if isinstance(X, Columns):
        return {name: partial(_known, name, X.column(name)) for name in X}
    if isinstance(X, RawTable | Table):
        raise TypeError("X is a table with its targets: pass its columns, table.X, as X, and table.y as y")
    if isinstance(X, np.ndarray):
        X = {name: X[name] for name in X.dtype.names}
    if isinstance(X, Mapping):
        _check_different(list(map(str, X)))
        return {str(name): partial(array_column, str(name), values) for name, values in X.items()}
    narwhals = load("narwhals", "data frames need narwhals", "tables")
    try:
        frame = narwhals.from_native(X, eager_only=True)
    except narwhals.exceptions.DuplicateError:
        names = X.columns if hasattr(X, "iloc") else X.column_names  # of pandas, or of PyArrow
        _check_different(list(map(str, names)))
        raise
    except TypeError:
        remedy = next((f" ({how})" for method, how in _REMEDIES.items() if hasattr(X, method)), "")
        raise TypeError(
            f"a table in memory is a data frame of pandas, polars or PyArrow, a mapping of names to arrays, or what "
            f"read_table gives; got {type(X).__name__}{remedy}"
        ) from None
    _check_different(list(map(str, frame.columns)))
    return {str(name): partial(_series_column, narwhals, frame, i) for i, name in enumerate(frame.columns)}


def _check_different(names: list[str]) -> None:
    """Raise ValueError if two columns have the same name."""
    if len(set(names)) < len(names):
        raise ValueError(f"{len(names)} columns have {len(set(names))} different names; each needs one of its own")


def columns_of_array(X: np.ndarray, names: list[str]) -> dict[str, Callable[[], RawColumn]]:
    """Return the same for an array (n_rows, n_columns) of numbers, truth values, text or objects."""
    return {name: partial(array_column, name, X[:, j]) for j, name in enumerate(names)}


def with_gaps_for_masks(values: np.ndarray) -> np.ndarray:
    """Return an array whose missing cells are NaN, NaT or None, in place of those that a mask hides."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    hidden = np.ma.getmaskarray(values)
    if not hidden.any():
        return values.data
    filled = values.data.astype(values.dtype if values.dtype.kind in "fmM" else object)
    filled[hidden] = None  # NaN among numbers, NaT among dates
    return filled


def array_column(name: str, values: Any) -> RawColumn:
    """Return a 1-D array-like as a column; durations become microseconds."""
    values = np.asarray(with_gaps_for_masks(values))
    if values.ndim != 1:
        raise TypeError(f"column {shown(name)} has {values.ndim} dimensions; 1 is expected")
    if values.dtype.kind in "biuf":
        return _finite(number_column(name, values, _place_in(name)))
    if values.dtype.kind == "M":
        dates = values.astype("datetime64[us]")
        return TypedColumn(name, Column(Reading("date"), dates), dates, _place_in(name))
    if values.dtype.kind == "m":
        microseconds = np.where(np.isnat(values), np.nan, values.astype("timedelta64[us]").astype(np.float64))
        return number_column(name, microseconds, _place_in(name))
    if values.dtype.kind in "UOT":
        return TextsInMemory(name, values.tolist())
    raise TypeError(
        f"column {shown(name)} has the dtype {values.dtype}; numbers, texts, truth values and dates are expected"
    )


class TextsInMemory:
    """A column of str, or of Python objects that are converted to text."""

    def __init__(self, name: str, values: list[Any]) -> None:
        self.name = name
        self._values = values

    def cells(self) -> Cells:
        """Return the cells as text."""
        return Cells.of(self.name, map(self._text, self._values), _place_in(self.name))

    def recognised(self, decimal: str) -> Column:
        """Return the column with the kind inferred from its cells."""
        return recognised(self.cells(), decimal)

    def _text(self, value: object) -> str:
        if isinstance(value, str):
            return value.strip(BLANKS)
        if is_missing(value):
            return ""
        if isinstance(value, datetime.timedelta):
            return text_of(value / datetime.timedelta(microseconds=1))
        if isinstance(value, Fraction):
            return text_of(float(value))
        has_no_text = type(value).__str__ is object.__str__ and type(value).__repr__ is object.__repr__
        if has_no_text or isinstance(value, list | dict | set | tuple | np.ndarray | bytes | complex):
            raise TypeError(
                f"column {shown(self.name)} holds a {type(value).__name__}; numbers, texts, truth values and dates are "
                "expected"
            )
        return value.isoformat() if isinstance(value, datetime.date | datetime.time) else text_of(value)


class CategoriesInMemory(TextsInMemory):
    """A column of categories: text, whatever its cells look like."""

    def recognised(self, decimal: str) -> Column:
        """Return the column as text."""
        return read_as(self.cells(), Reading("text"))


def is_missing(value: object) -> bool:
    """Tell whether an object is None, or a NaN, NaT or NA of any library."""
    if value is None or type(value).__name__ == "NAType":
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return False


def _series_column(narwhals: Any, frame: Any, number: int) -> RawColumn:
    """Return the column of a data frame with this number."""
    series = frame[:, number]
    name, dtype = str(series.name), series.dtype
    if isinstance(dtype, narwhals.Categorical | narwhals.Enum):
        return CategoriesInMemory(name, [None if is_missing(v) else text_of(v) for v in series.to_list()])
    if dtype.is_numeric() or isinstance(dtype, narwhals.Boolean):
        # NumPy has no integers of 128 bits.
        is_wide = isinstance(dtype, narwhals.Int128 | narwhals.UInt128)
        stored = (series.cast(narwhals.Float64) if is_wide else series).to_numpy()
        if stored.dtype.kind not in "biuf":
            stored = series.cast(narwhals.Float64).to_numpy().astype(np.float64)
        whole = dtype.is_integer() or (isinstance(dtype, narwhals.Decimal) and _has_no_decimals(series))
        if whole and stored.dtype.kind == "f":
            stored = whole_numbers(stored, lambda: [None if is_missing(v) else int(v) for v in series.to_list()])
        column = number_column(name, stored, _place_in(name))
        if isinstance(dtype, narwhals.Boolean):
            column.column = column.column._replace(reading=Reading("truth"))
        return _finite(column)
    if isinstance(dtype, narwhals.Datetime | narwhals.Date):
        if getattr(dtype, "time_zone", None) is not None:
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        dates = series.cast(narwhals.Datetime("us")).to_numpy().astype("datetime64[us]")
        return TypedColumn(name, Column(Reading("date"), dates), dates, _place_in(name))
    if isinstance(dtype, narwhals.Duration):
        return number_column(name, series.dt.total_microseconds().to_numpy().astype(np.float64), _place_in(name))
    if isinstance(dtype, narwhals.String | narwhals.Object | narwhals.Time | narwhals.Unknown):
        return TextsInMemory(name, series.to_list())
    raise TypeError(f"column {shown(name)} has the type {dtype}; numbers, texts, truth values and dates are expected")


def _has_no_decimals(series: Any) -> bool:
    """Tell whether decimals, which all have as many digits behind the point, have none; narwhals 2.0 keeps no scale."""
    first = next((value for value in series.to_list() if not is_missing(value)), None)
    return first is None or first.as_tuple().exponent >= 0


def _known(name: str, column: Column) -> TypedColumn:
    """Return a column of known kind."""
    return TypedColumn(name, column, column.public(), _place_in(name))


def _finite(column: TypedColumn) -> TypedColumn:
    """Return a column of numbers after checking that none is infinite."""
    infinite = np.isinf(column.column.values)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise DataError(f"{column.place(row)}: {column.stored[row]} is not a finite number")
    return column


def _place_in(name: str) -> Callable[[int], object]:
    return lambda row: f"column {shown(name)}, row {row + 1}"

"""Columns in PyArrow's memory, from Parquet and text files, with the interface of columns of plain text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np

from .cells import MISSING_NUMBERS, Cells, read_as
from .column_names import BLANKS
from .columns import Column, Reading
from .errors import DataError, broken_file, shown
from .limits import check_rows
from .parquet_files import ParquetLayout, group_batches, load_pyarrow, opened_parquet
from .typed_columns import TypedColumn, number_column, whole_numbers
from .written_columns import WrittenColumn

__all__ = ["ArrowColumn", "ParquetColumn", "arrow_column", "parquet_columns"]


def parquet_columns(file: IO[bytes], path: str, max_rows: int | None) -> Mapping[str, ParquetColumn]:
    """Return the columns of a Parquet file by name. They are read on demand: the file must stay open until then.

    Raises
    ------
    DataError
        If this is not a Parquet file, or is empty or too large.
    ImportError
        If PyArrow is missing.
    """
    layout = ParquetLayout(file, path)
    check_rows(path, layout.n_rows, layout.row_bytes, max_rows)
    parquet = opened_parquet(file, layout)
    return {name: ParquetColumn(parquet, layout, column) for column, name in enumerate(layout.names)}


class ParquetColumn:
    """A column of a Parquet file, read on demand."""

    def __init__(self, file: Any, layout: ParquetLayout, column: int) -> None:
        self.name = layout.names[column]
        self._file = file
        self._layout = layout
        self._column = column
        self._stored_name = layout.stored_name(column)

    @property
    def is_text(self) -> bool:
        """Whether the file has texts, whose meaning is still to be found."""
        return self._layout.is_text(self._column)

    def cells(self) -> Cells:
        """Return the cells as text."""
        return self.read().cells()

    def recognised(self, decimal: str) -> Column:
        """Return the column with the kind inferred from its cells."""
        return self.read().recognised(decimal)

    def read(self, groups: range | None = None) -> ArrowColumn | TypedColumn:
        """Read the column, or some consecutive row groups of it.

        Raises
        ------
        DataError
            If it cannot be read, differs in length from what the metadata announce, or has an unsupported type.
        """
        pa = load_pyarrow()
        path, group_rows, pieces = self._layout.path, self._layout.group_rows, []
        groups = range(len(group_rows)) if groups is None else groups
        for group in groups:
            n_rows = group_rows[group]
            found = list(group_batches(self._file, group, [self._stored_name], path))
            if sum(batch.num_rows for batch in found) != n_rows:
                raise DataError(f"{path}: row group {group + 1} does not have the {n_rows} rows that it announces")
            pieces += [batch.column(0) for batch in found]
        with broken_file(path, f"column {shown(self.name)}"):
            array = pa.chunked_array(pieces)
        first = sum(group_rows[: groups.start]) + 1

        def place(row: int) -> str:
            return f"{path}: row {first + row}, column {shown(self.name)}"

        column = arrow_column(self.name, array, path, place)
        if not isinstance(column, TypedColumn) or not self._layout.is_category(self._column):
            return column
        return TypedColumn(self.name, read_as(column.cells(), Reading("text")), column.stored, place)


def arrow_column(name: str, array: Any, path: str, place: Callable[[int], object]) -> ArrowColumn | TypedColumn:
    """Return a PyArrow array as a column of a table.

    Text may turn out to be dates or numbers, and times of day are read as text. Text stored as a dictionary, as a data
    frame stores its categories, stays text.

    Raises
    ------
    DataError
        If the type is not one of numbers, truth values, texts, dates and times, or a number is infinite.
    """
    pa = load_pyarrow()
    types, kind = pa.types, array.type
    with broken_file(path, f"column {shown(name)}"):
        if types.is_dictionary(kind) and _is_text(types, kind.value_type):
            return ArrowCategories(name, _stripped(array), place)
        if _is_text(types, kind) or types.is_time(kind):
            return ArrowColumn(name, _stripped(array), place)
        if types.is_null(kind):
            return number_column(name, np.full(len(array), np.nan), place)
        if types.is_date(kind) or types.is_timestamp(kind):
            dates = _in_microseconds(array).to_numpy().astype("datetime64[us]")
            return TypedColumn(name, Column(Reading("date"), dates), dates, place)
        if types.is_boolean(kind) and array.null_count:
            truths = array.cast(pa.int8()).to_numpy().astype(np.float64)
            return TypedColumn(name, Column(Reading("truth"), truths), array.to_numpy(zero_copy_only=False), place)
        if _may_lack_digits(types, array):
            numbers = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            return number_column(name, whole_numbers(numbers, lambda: list(map(_whole, array.to_pylist()))), place)
        if types.is_duration(kind):
            array = _in_microseconds(array).cast(pa.int64())
        elif types.is_decimal(kind):
            array = array.cast(pa.float64())
        elif not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
            array = None
    if array is None:
        raise DataError(
            f"{path}: column {shown(name)} has the type {shown(str(kind))}; numbers, texts, truth values and dates are "
            "expected (--drop leaves it out)"
        )
    numbers = number_column(name, np.asarray(array.to_numpy(zero_copy_only=False)), place)
    infinite = np.isinf(numbers.column.values)
    if infinite.any():
        raise DataError(
            f"{place(int(np.argmax(infinite)))}: {numbers.stored[np.argmax(infinite)]} is not a finite number"
        )
    return numbers


def _may_lack_digits(types: Any, array: Any) -> bool:
    """Tell whether an array has whole numbers that NumPy keeps as float64: beside gaps, or decimals of any size."""
    whole_decimals = types.is_decimal(array.type) and array.type.scale <= 0
    return whole_decimals or (types.is_integer(array.type) and bool(array.null_count))


def _in_microseconds(array: Any) -> Any:
    """Return dates or durations of any unit in microseconds; of nanoseconds, what is less than one is dropped."""
    pa, pc = load_pyarrow(), load_pyarrow("pyarrow.compute")
    is_duration = pa.types.is_duration(array.type)
    unit = pa.duration("us") if is_duration else pa.timestamp("us", getattr(array.type, "tz", None))
    return pc.cast(array, options=pc.CastOptions(unit, allow_time_truncate=True))


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _stripped(array: Any) -> Any:
    """Return the texts of a PyArrow array without blanks around them, empty where they are missing."""
    pa, pc = load_pyarrow(), load_pyarrow("pyarrow.compute")
    return pc.utf8_trim(pc.fill_null(array.cast(pa.string()), ""), BLANKS)


def _is_text(types: Any, kind: Any) -> bool:
    """Tell whether a PyArrow type is one of its string types."""
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


_CODE = r"^[+-]?0[0-9]+$"


class ArrowColumn(WrittenColumn):
    """A column of text in PyArrow's memory; `text_tables.TextColumn` is its counterpart without PyArrow."""

    def __init__(self, name: str, array: Any, place: Callable[[int], object]) -> None:
        self.name = name
        self._array = array
        self._place = place

    def cells(self) -> Cells:
        """Return the cells with their places."""
        encoded = self._array.dictionary_encode().unify_dictionaries()
        codes = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in encoded.chunks]
        texts = encoded.chunk(0).dictionary.to_pylist()
        return Cells(self.name, texts, np.concatenate(codes).astype(np.int64), self._place)

    def plain_numbers(self, decimal: str) -> Column | None:
        """Return the numbers of a column of nothing but numbers and missing cells; None for any other, or for codes."""
        pa, pc = load_pyarrow(), load_pyarrow("pyarrow.compute")
        if decimal != ".":
            return None
        missing = pc.is_in(self._array, value_set=pa.array(sorted(MISSING_NUMBERS)))
        present = pc.if_else(missing, pa.scalar(None, pa.string()), self._array)
        are_numbers = pc.all(pc.match_substring_regex(present, _NUMBER)).as_py()
        if not are_numbers or pc.any(pc.match_substring_regex(present, _CODE)).as_py():
            return None
        values = pc.cast(present, pa.float64())
        if not pc.all(pc.is_finite(values)).as_py():
            return None
        return Column(Reading("number", "."), np.array(values.to_numpy(), dtype=np.float64))


class ArrowCategories(ArrowColumn):
    """A column of categories in PyArrow's memory: text, whatever its cells look like."""

    def plain_numbers(self, decimal: str) -> Column | None:
        """Return None."""
        return None

    def recognised(self, decimal: str) -> Column:
        """Return the column as text."""
        return read_as(self.cells(), Reading("text"))

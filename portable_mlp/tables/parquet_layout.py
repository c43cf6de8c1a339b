"""What the metadata of a Parquet file say: its columns, their types and its rows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, Any

from ..backends.extras import load
from .column_names import BLANKS, check_different
from .errors import DataError, broken_file, shown
from .limits import check_bytes, check_columns

__all__ = ["ParquetLayout", "load_pyarrow"]

_MAGIC = b"PAR1"
_NARROW = ("float", "halffloat")
_NUMBERS = (*_NARROW, "double", "bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
_NUMBER_BYTES, _LABEL_BYTES, _COLUMN_BYTES = 24, 2**16, 2**12
"""What a number, a text and the headers of a column's pages may take, each several times what they do."""

_TEXTS = ("string", "large_string", "string_view")


def load_pyarrow(part: str = "pyarrow") -> Any:
    """Return PyArrow, or one of its modules such as "pyarrow.parquet".

    Raises
    ------
    ImportError
        If PyArrow is missing.
    """
    return load(part, ".parquet files need PyArrow", "parquet")


class ParquetLayout:
    """The columns and the row groups of a Parquet file, whose data are not read yet.

    Parameters
    ----------
    file : binary file
        The file, at its beginning.
    path : str
        For messages.

    Attributes
    ----------
    path : str
        As given.
    metadata : pyarrow.parquet.FileMetaData
        As PyArrow gives them.
    names : tuple of str
        Of the columns, all different; the index of a pandas frame is not one of them.
    group_rows : tuple of int
        How many rows each row group has.

    Raises
    ------
    DataError
        If this is not a Parquet file, or has no row, no column, too many columns or two of one name.
    """

    def __init__(self, file: IO[bytes], path: str) -> None:
        parquet = load_pyarrow("pyarrow.parquet")
        self.path = path
        if file.read(len(_MAGIC)) != _MAGIC:
            raise DataError(f"{path}: not a Parquet file")
        with broken_file(path, "the Parquet file"):
            self.metadata = parquet.read_metadata(file)
            schema = self.metadata.schema.to_arrow_schema()
            index = (schema.pandas_metadata or {}).get("index_columns", [])
            self._fields = [field for field in schema if field.name not in index]
            # The metadata of a single column are left alone: where a file's are wrong, PyArrow 26 ends the process.
            groups = [self.metadata.row_group(i) for i in range(self.metadata.num_row_groups)]
            self.group_rows = tuple(group.num_rows for group in groups)
            group_bytes = [group.total_byte_size for group in groups]
        check_bytes(path, "a row group", max(group_bytes, default=0))
        self.names = tuple(field.name.strip(BLANKS) for field in self._fields)
        self._check_sizes(group_bytes, len(schema))
        check_columns(path, len(self.names), os.fstat(file.fileno()).st_size)
        check_different(self.names, f"{path}: column ")
        if not self.names or self.n_rows < 1 or min(self.group_rows) < 0:
            raise DataError(f"{path}: a table of {self.n_rows} rows and {len(self.names)} columns is empty")

    def _check_sizes(self, group_bytes: Sequence[int], n_columns: int) -> None:
        """Check that no row group becomes larger than rows of numbers with a label can be, since it does in memory."""
        for number, (n_bytes, n_rows) in enumerate(zip(group_bytes, self.group_rows, strict=True), start=1):
            if n_bytes > n_rows * (_NUMBER_BYTES * n_columns + _LABEL_BYTES) + _COLUMN_BYTES * n_columns:
                announced = f"row group {number} announces {n_bytes} bytes"
                raise DataError(f"{self.path}: {announced}, more than {n_rows} rows of numbers take")

    @property
    def n_rows(self) -> int:
        """How many rows the file has."""
        return sum(self.group_rows)

    def stored_name(self, column: int) -> str:
        """Return a column's name as the file has it, with blanks around it."""
        return str(self._fields[column].name)

    def is_text(self, column: int) -> bool:
        """Tell whether a column holds texts, one by one or by their number in a dictionary."""
        kind = self._fields[column].type
        return str(kind.value_type if hasattr(kind, "index_type") else kind) in _TEXTS

    def is_narrow(self, column: int) -> bool:
        """Tell whether float32 holds a column's numbers."""
        return str(self._fields[column].type) in _NARROW

    def is_number(self, column: int) -> bool:
        """Tell whether a column holds integers, floating-point numbers or booleans."""
        return str(self._fields[column].type) in _NUMBERS

    def check_numbers(self, column: int) -> None:
        """Raise DataError unless a column holds integers, floating-point numbers or booleans."""
        if not self.is_number(column):
            name, kind = shown(self.names[column]), str(self._fields[column].type)
            raise DataError(f"{self.path}: column {name} has the type {shown(kind)}; real numbers are expected")

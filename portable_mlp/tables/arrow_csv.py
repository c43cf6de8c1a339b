"""Text tables read by PyArrow, where it is installed and gives the same cells as `text_records`.

PyArrow is several times faster, and less strict: it accepts a quote inside a cell, blank lines, lone carriage returns
and NUL. Files with any of these are left to `text_records`.
"""

from __future__ import annotations

import codecs
import importlib.util
import re
from collections.abc import Callable, Sequence
from typing import Any

from .arrow_columns import ArrowColumn
from .column_names import BLANKS
from .parquet_files import load_pyarrow
from .text_numbers import Place

__all__ = ["is_for_arrow", "read_arrow_csv"]

SMALLEST = 2**20
"""Fewer bytes are read faster without PyArrow, which takes a while to import."""


def is_for_arrow(data: bytes) -> bool:
    """Tell whether PyArrow is installed, and the faster reader of a text of this size."""
    return len(data) >= SMALLEST and importlib.util.find_spec("pyarrow") is not None


def read_arrow_csv(
    data: bytes, path: str, names: Sequence[str], delimiter: str, *, header: bool, most_rows: int
) -> Sequence[ArrowColumn] | None:
    """Return the columns of UTF-8 text, or None where PyArrow refuses it or might give other cells.

    Parameters
    ----------
    data : bytes
        The whole file, UTF-8.
    path : str
        Name of the file in error messages.
    names : sequence of str
        Column names, as many as there are columns.
    delimiter : str
        Separator of the cells.
    header : bool
        Whether the first line is a header, to be skipped.
    most_rows : int
        Longest table to read.
    """
    text = data.removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n")
    if len(names) == 1 or not _is_plain(text, delimiter):
        return None
    table = _parsed(text, len(names), delimiter, skipped=int(header))
    # Fewer rows than lines: some cells span several lines, and the line numbers of error messages would be wrong.
    if table is None or not 0 < table.num_rows <= most_rows or table.num_rows + header != text.count(b"\n") + 1:
        return None
    pc = load_pyarrow("pyarrow.compute")

    def place_in(column: int) -> Callable[[int], object]:
        return lambda row: Place(path, row + 1 + header, column)

    trimmed = [pc.utf8_trim(column, BLANKS) for column in table.columns]
    return [
        ArrowColumn(name, array, place_in(number))
        for number, (name, array) in enumerate(zip(names, trimmed, strict=True), start=1)
    ]


def _is_plain(text: bytes, delimiter: str) -> bool:
    """Tell whether the text is free of everything that PyArrow accepts and `csv` does not."""
    if b"\0" in text or text.count(b"\r") != text.count(b"\r\n") or re.search(rb"\n\r?\n", text):
        return False
    if b'"' not in text:
        return True
    mark = re.escape(delimiter.encode())
    # Quotes are read from the left: one that does not begin a cell is left over.
    whole = re.compile(rb'(?:(?<=[\n%b])|\A)"(?:[^"]|"")*+"(?=%b|\r?\n|\Z)' % (mark, mark))
    return b'"' not in whole.sub(b"", text)


def _parsed(text: bytes, n_columns: int, delimiter: str, *, skipped: int) -> Any:
    """Return PyArrow's table, with every column as text; None if PyArrow refuses the file."""
    pa = load_pyarrow()
    reader = load_pyarrow("pyarrow.csv")
    names = [str(i) for i in range(n_columns)]
    try:
        return reader.read_csv(
            pa.BufferReader(text),
            read_options=reader.ReadOptions(column_names=names, skip_rows=skipped),
            parse_options=reader.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False, quote_char='"'
            ),
            convert_options=reader.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, null_values=[]
            ),
        )
    except pa.ArrowInvalid:
        return None

"""The header of a text table: its delimiter, and the names of its columns."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence

from .column_names import BLANKS, check_different, numbered_names
from .errors import DataError, shown
from .number_forms import SPACES
from .text_files import DELIMITERS
from .text_numbers import as_float
from .text_records import Records

__all__ = ["DELIMITER_NAMES", "HEAD_BYTES", "lenient_header", "likely_delimiter", "strict_header"]

HEAD_BYTES = 2**13
"""Number of bytes in which the delimiter is looked for."""

_HEAD_LINES = 20

DELIMITER_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}


def likely_delimiter(head: str, supposed: str) -> str:
    r"""Return the delimiter that divides the first lines into columns; the supposed one if it does.

    >>> likely_delimiter("a;b;c\n1,5;2;3\n", ","), likely_delimiter("a,b\n1;2,3\n", ",")
    (';', ',')
    """
    lines = head.splitlines()
    # The last line may be cut off.
    lines = lines[: max(1, min(len(lines) - 1, _HEAD_LINES))]
    widths = {mark: [len(cells) for cells in csv.reader(lines, delimiter=mark)] for mark in DELIMITERS}
    even = {mark: found[0] for mark, found in widths.items() if found and found[0] > 1 and len(set(found)) == 1}
    split = even or {mark: found[0] for mark, found in widths.items() if found and found[0] > 1}
    return supposed if supposed in split or not split else max(split, key=split.__getitem__)


def lenient_header(records: Records, path: str, *, header: bool) -> tuple[tuple[str, ...], Records]:
    """Return the column names and the remaining records; nameless columns are named as by pandas."""
    first = next(records, None)
    if first is None:
        raise DataError(f"{path}: the file is empty; a {'header line' if header else 'row'} is expected")
    if not header:
        return numbered_names(len(first[1])), itertools.chain([first], records)
    names = [cell.strip(SPACES) or f"Unnamed: {number}" for number, cell in enumerate(first[1])]
    if all(as_float(name) is not None for name in names):
        raise DataError(f"{path}:1: the first line is all numbers; a header line with names is expected (--no-header)")
    _check_no_number(names, path)
    check_different(names, f"{path}:1:")
    return tuple(names), records


def strict_header(records: Records, path: str, supposed: str | None) -> tuple[str, ...]:
    """Return the column names, all different and none empty; ``supposed`` is the delimiter if it is only assumed."""
    _, cells = next(records, (0, None))
    if cells is None:
        raise DataError(f"{path}: the file is empty; a header line is expected")
    names = tuple(cell.strip(BLANKS) for cell in cells)
    if len(names) == 1 and supposed is not None:
        _check_delimiter(names[0], supposed, path)
    if all(as_float(name) is not None for name in names):
        raise DataError(f"{path}:1: the first line is all numbers; a header line with names is expected")
    _check_no_number(names, path)
    check_different(names, f"{path}:1:")
    return names


def _check_no_number(names: Sequence[str], path: str) -> None:
    """Check that no name is a number such as 5.1; whole numbers (0, 1, 2) are names in use."""
    for column, name in enumerate(names, start=1):
        if as_float(name) is not None and not name.isdecimal():
            raise DataError(f"{path}:1:{column}: {shown(name)} is a number; a header line with names is expected")


def _check_delimiter(name: str, supposed: str, path: str) -> None:
    """Refuse a header of a single name that another delimiter would split."""
    others = [repr(other) for other in DELIMITERS if other in name]
    if others:
        found = " and ".join(others)
        raise DataError(f"{path}:1: no {supposed!r} in the header line, but {found} (--delimiter names the delimiter)")

"""Tables in ``.csv`` and ``.tsv`` files: the header, and the choice of columns by their names."""

from __future__ import annotations

from collections.abc import Sequence

from .column_names import BLANKS, check_different, feature_columns, target_column
from .errors import DataError, shown
from .limits import row_limit
from .text_columns import Features
from .text_files import DELIMITER_OF, DELIMITERS, TextFile, opened_text
from .text_numbers import as_float
from .text_records import Records, read_records, records_of_width
from .text_targets import Targets
from .types import Table, TargetKind

__all__ = ["check_no_number", "read_prediction_text", "read_training_text"]


def read_training_text(
    path: str, suffix: str, target: str | None, target_kind: TargetKind, delimiter: str | None, max_rows: int | None
) -> Table:
    """Read a text file with a target column."""
    with opened_text(path) as file:
        header, records = _header_and_records(file, suffix, delimiter)
        chosen = target_column(header, target, f"{file.name}:1")
        columns = [column for column in range(len(header)) if column != chosen]
        features, targets = Features(file.name, columns), Targets(file.name, chosen, target_kind)
        limit = row_limit(features.row_bytes + targets.row_bytes, max_rows)
        for line, cells in records_of_width(records, len(header), file.name, limit):
            features.append(cells, line)
            targets.append(cells, line)
    names = tuple(header[column] for column in columns)
    return Table(features.matrix(), targets.vector(), names, header[chosen])


def read_prediction_text(
    path: str,
    suffix: str,
    feature_names: Sequence[str] | None,
    target_name: str | None,
    delimiter: str | None,
    max_rows: int | None,
) -> Table:
    """Read a text file without regard to its target column."""
    with opened_text(path) as file:
        header, records = _header_and_records(file, suffix, delimiter)
        columns = feature_columns(header, feature_names, target_name, f"{file.name}:1")
        features = Features(file.name, columns)
        limit = row_limit(features.row_bytes, max_rows)
        for line, cells in records_of_width(records, len(header), file.name, limit):
            features.append(cells, line)
    return Table(features.matrix(), None, tuple(header[column] for column in columns), None)


def _header_and_records(file: TextFile, suffix: str, delimiter: str | None) -> tuple[tuple[str, ...], Records]:
    """Return the names of the columns, and the records that follow."""
    supposed = DELIMITER_OF.get(suffix)
    records = read_records(file, delimiter or supposed)
    return _read_header(records, file.name, None if delimiter else supposed or ","), records


def _read_header(records: Records, path: str, supposed: str | None) -> tuple[str, ...]:
    """Return the names of the columns, all different and none empty; ``supposed`` is a delimiter that nobody named."""
    _, cells = next(records, (0, None))
    if cells is None:
        raise DataError(f"{path}: the file is empty; a header line is expected")
    names = tuple(cell.strip(BLANKS) for cell in cells)
    if len(names) == 1 and supposed is not None:
        _check_delimiter(names[0], supposed, path)
    if all(as_float(name) is not None for name in names):
        raise DataError(f"{path}:1: the first line is all numbers; a header line with names is expected")
    check_no_number(names, path)
    check_different(names, f"{path}:1:")
    return names


def check_no_number(names: Sequence[str], path: str) -> None:
    """Check that no name is a number: columns may be called 0, 1, 2; none is called 5.1."""
    for column, name in enumerate(names, start=1):
        if as_float(name) is not None and not name.isdecimal():
            raise DataError(f"{path}:1:{column}: {shown(name)} is a number; a header line with names is expected")


def _check_delimiter(name: str, supposed: str, path: str) -> None:
    """Refuse a header of a single name which another delimiter would make several of."""
    others = [repr(other) for other in DELIMITERS if other in name]
    if others:
        found = " and ".join(others)
        raise DataError(f"{path}:1: no {supposed!r} in the header line, but {found} (--delimiter names the delimiter)")

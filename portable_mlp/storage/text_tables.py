"""Tables in ``.csv`` and ``.tsv`` files: the header, and the choice of columns by their names."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from .table_errors import DataError, listed, opened, shown
from .table_types import Table, TargetKind
from .text_columns import Features, Targets
from .text_numbers import BLANKS, as_float
from .text_records import Records, read_records, records_of_width

__all__ = ["DELIMITERS", "read_prediction_text", "read_training_text"]

DELIMITERS = {".csv": ",", ".tsv": "\t"}
_MAX_COLUMNS = 10_000


def read_training_text(path: str, delimiter: str, target: str | None, target_kind: TargetKind) -> Table:
    """Read a text file with a target column."""
    with opened(path) as file:
        records = read_records(file, path, delimiter)
        header = _read_header(records, path)
        target_column = _target_column(header, target, path)
        columns = [column for column in range(len(header)) if column != target_column]
        if not columns:
            raise _no_feature(header, path)
        features, targets = Features(path, columns), Targets(path, target_column, target_kind)
        for line, cells in records_of_width(records, len(header), path):
            features.append(cells, line)
            targets.append(cells, line)
    names = tuple(header[column] for column in columns)
    return Table(features.matrix(), targets.vector(), names, header[target_column])


def read_prediction_text(
    path: str, delimiter: str, feature_names: Sequence[str] | None, target_name: str | None
) -> Table:
    """Read a text file without regard to its target column."""
    with opened(path) as file:
        records = read_records(file, path, delimiter)
        header = _read_header(records, path)
        if feature_names is None:
            feature_names = [name for name in header if name != target_name]
        _check_names(header, feature_names, target_name, path)
        column_of = {name: column for column, name in enumerate(header)}
        features = Features(path, [column_of[name] for name in feature_names])
        for line, cells in records_of_width(records, len(header), path):
            features.append(cells, line)
    return Table(features.matrix(), None, tuple(feature_names), None)


def _read_header(records: Records, path: str) -> tuple[str, ...]:
    """Return the names of the columns, all different and none empty."""
    _, cells = next(records, (0, None))
    if cells is None:
        raise DataError(f"{path}: the file is empty; a header line is expected")
    if len(cells) > _MAX_COLUMNS:
        raise DataError(f"{path}:1: {len(cells)} columns; at most {_MAX_COLUMNS} can be read")
    names = tuple(cell.strip(BLANKS) for cell in cells)
    if all(as_float(name) is not None for name in names):
        raise DataError(f"{path}:1: the first line is all numbers; a header line with names is expected")
    seen: dict[str, int] = {}
    for column, name in enumerate(names, start=1):
        # Columns may be called 0, 1, 2; none is called 5.1.
        if as_float(name) is not None and not name.isdecimal():
            raise DataError(f"{path}:1:{column}: {shown(name)} is a number; a header line with names is expected")
        if not name:
            raise DataError(f"{path}:1:{column}: the column has no name")
        if name in seen:
            raise DataError(f"{path}:1:{column}: the name {shown(name)} is that of column {seen[name]} too")
        seen[name] = column
    return names


def _target_column(header: tuple[str, ...], target: str | None, path: str) -> int:
    """Return the position of the target column."""
    if target is None:
        return len(header) - 1
    name = target.strip(BLANKS)
    if name in header:
        return header.index(name)
    near = difflib.get_close_matches(name, header, n=1)
    hint = f" (did you mean {shown(near[0])}?)" if near else ""
    raise DataError(f"{path}:1: no column {shown(name)}{hint}; the columns are {listed(header)}")


def _check_names(header: tuple[str, ...], feature_names: Sequence[str], target_name: str | None, path: str) -> None:
    """Check that a file for prediction has the columns it should have and, but for the target, no other."""
    if not feature_names:
        raise _no_feature(header, path)
    present, known = set(header), {*feature_names, target_name}
    lacking = [name for name in feature_names if name not in present]
    besides = [name for name in header if name not in known]
    faults = [f"lacks {listed(lacking)}"] if lacking else []
    faults += [f"has besides {listed(besides)}"] if besides else []
    if faults:
        expected, found = listed(feature_names), " and ".join(faults)
        raise DataError(f"{path}:1: the model expects the columns {expected}, the file {found}")


def _no_feature(header: tuple[str, ...], path: str) -> DataError:
    """Return the error for a file that has its target and nothing else."""
    return DataError(f"{path}:1: {listed(header)} is the only column; no feature is left")

"""Column names: checks, the choice of the target and of the features."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from .errors import DataError, listed, shown

__all__ = ["BLANKS", "check_different", "feature_columns", "no_feature", "numbered_names", "target_column", "unsplit"]

BLANKS = " \t"
"""Characters stripped from both ends of a name or a cell."""


def check_different(names: Sequence[str], before: str) -> None:
    """Check that names are unique and not empty; ``before`` precedes the column's number in the error message."""
    seen: dict[str, int] = {}
    for column, name in enumerate(names, start=1):
        if not name:
            raise DataError(f"{before}{column}: the column has no name")
        if name in seen:
            raise DataError(f"{before}{column}: the name {shown(name)} is that of column {seen[name]} too")
        seen[name] = column


def target_column(names: Sequence[str], target: str | None, place: str) -> int:
    """Return the position of the target, by default the last column; at least one other column must remain."""
    if target is None:
        column = len(names) - 1
    elif (name := target.strip(BLANKS)) in names:
        column = names.index(name)
    else:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" (did you mean {shown(near[0])}?)" if near else ""
        raise DataError(f"{place}: no column {shown(name)}{hint}; the columns are {listed(names)}{unsplit(names)}")
    if len(names) == 1:
        raise no_feature(names, place)
    return column


def feature_columns(
    names: Sequence[str], feature_names: Sequence[str] | None, target_name: str | None, place: str
) -> list[int]:
    """Return the positions of the features to predict from; the target is the only other column allowed."""
    if feature_names is None:
        feature_names = [name for name in names if name != target_name]
    if not feature_names:
        raise no_feature(names, place)
    column_of = {name: column for column, name in enumerate(names)}
    known = {*feature_names, target_name}
    lacking = [name for name in feature_names if name not in column_of]
    besides = [name for name in names if name not in known]
    faults = [f"lacks {listed(lacking)}"] if lacking else []
    faults += [f"has besides {listed(besides)}"] if besides else []
    if faults:
        expected, found = listed(feature_names), " and ".join(faults)
        raise DataError(f"{place}: the model expects the columns {expected}, the file {found}")
    return [column_of[name] for name in feature_names]


def no_feature(names: Sequence[str], place: str) -> DataError:
    """Return the error for a file whose only column is the target."""
    return DataError(f"{place}: {listed(names)} is the only column; no feature is left{unsplit(names)}")


def unsplit(names: Sequence[str]) -> str:
    """Return a hint where a text file's only column may be several, separated by blanks or colons; else nothing."""
    if len(names) > 1 or not set(names[0]) & {*BLANKS, ":"}:
        return ""
    return " (cells are separated by commas, tabs, semicolons or bars, and --delimiter, or delimiter=, says by which)"


def numbered_names(n_features: int) -> tuple[str, ...]:
    """Return names for columns that have none: x0, x1, ..."""
    return tuple(f"x{column}" for column in range(n_features))

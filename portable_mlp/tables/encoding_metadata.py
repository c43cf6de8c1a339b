"""Encodings of columns as values that JSON can keep, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from .column_encodings import CategoryColumn, ColumnEncoding, DroppedColumn, NumberColumn, TargetMeanColumn, TruthColumn
from .date_encoding import DateColumn

__all__ = ["ENCODINGS", "column_from_metadata", "column_to_metadata"]

ENCODINGS: dict[str, type[ColumnEncoding]] = {
    cls.kind: cls for cls in (DroppedColumn, NumberColumn, TruthColumn, CategoryColumn, TargetMeanColumn, DateColumn)
}
"""The kinds of columns by their names."""

_CHECKS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: type(value) is int and value >= 0,
    "float": lambda value: type(value) is float,
    "list[str]": lambda value: isinstance(value, list) and all(isinstance(text, str) for text in value),
    "list[float]": lambda value: isinstance(value, list) and all(type(number) is float for number in value),
    "list[list[float]]": lambda value: isinstance(value, list) and all(map(_CHECKS["list[float]"], value)),
}
"""Type checks by the annotations of fields."""


def column_to_metadata(encoding: ColumnEncoding) -> dict[str, Any]:
    """Return what JSON can keep of a column; a field that has a default is left out where it is empty."""
    kept = dataclasses.asdict(encoding)
    empty = [field.name for field in dataclasses.fields(encoding) if _has_default(field) and not kept[field.name]]
    return {"kind": encoding.kind, **{name: value for name, value in kept.items() if name not in empty}}


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default_factory is not dataclasses.MISSING


def column_from_metadata(described: Any) -> ColumnEncoding:
    """Return the encoding of a column that `column_to_metadata` described."""
    cls = ENCODINGS.get(str(described.get("kind"))) if isinstance(described, dict) else None
    if cls is None:
        raise ValueError("a column is of no known kind")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    needed = {name for name, field in fields.items() if not _has_default(field)}
    values = {name: value for name, value in described.items() if name != "kind"}
    if not needed <= values.keys() <= fields.keys() or not all(
        _CHECKS[str(fields[name].type)](value) for name, value in values.items()
    ):
        raise ValueError(f"a column of the kind {cls.kind} has other fields")
    encoding = cls(**values)
    if not encoding.is_sound or column_to_metadata(encoding) != described:
        raise ValueError(f"a column of the kind {cls.kind} contradicts itself")
    return encoding

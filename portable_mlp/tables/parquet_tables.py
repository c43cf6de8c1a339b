"""Tables in ``.parquet`` files, read whole."""

from __future__ import annotations

from collections.abc import Sequence

from .column_names import feature_columns, target_column
from .errors import opened
from .limits import check_rows
from .parquet_columns import ParquetColumns
from .parquet_layout import ParquetLayout
from .types import Table, TargetKind

__all__ = ["read_prediction_parquet", "read_training_parquet"]


def read_training_parquet(path: str, target: str | None, target_kind: TargetKind, max_rows: int | None) -> Table:
    """Read a Parquet file with a target column."""
    with opened(path) as file:
        layout = ParquetLayout(file, path)
        chosen = target_column(layout.names, target, path)
        features = [column for column in range(len(layout.names)) if column != chosen]
        check_rows(path, layout.n_rows, 8 * len(layout.names), max_rows)
        columns = ParquetColumns(file, layout, features, chosen, target_kind)
        X, y = columns.read(range(len(layout.group_rows)))
    return Table(X, y, tuple(layout.names[column] for column in features), layout.names[chosen])


def read_prediction_parquet(
    path: str, feature_names: Sequence[str] | None, target_name: str | None, max_rows: int | None
) -> Table:
    """Read a Parquet file without regard to its target column."""
    with opened(path) as file:
        layout = ParquetLayout(file, path)
        features = feature_columns(layout.names, feature_names, target_name, path)
        check_rows(path, layout.n_rows, 8 * len(features), max_rows)
        X, _ = ParquetColumns(file, layout, features).read(range(len(layout.group_rows)))
    return Table(X, None, tuple(layout.names[column] for column in features), None)

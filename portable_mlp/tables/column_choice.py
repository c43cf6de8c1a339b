"""The encoding that each column of the training rows gets: chosen by its kind and its cells, and learnt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .category_levels import Levels, encoding_of_texts
from .column_encodings import ColumnEncoding, DroppedColumn, NumberColumn, TargetMeanColumn, TruthColumn
from .columns import Column
from .date_encoding import DateColumn
from .drop_reasons import ALL_MISSING, AS_ASKED, always, identifies_rows
from .encoder_options import EncoderOptions
from .errors import counted
from .row_numbering import RowNumbering, numbers_rows

__all__ = ["learn_column", "number_after_all", "with_features"]


def learn_column(
    name: str,
    column: Column,
    outputs: NDArray[np.float64] | None,
    options: EncoderOptions,
    rows: NDArray[np.intp],
) -> tuple[ColumnEncoding, NDArray[np.float64] | None]:
    """Return the encoding of a column, and its columns of the matrix if they are not those of `transform`."""
    if name in options.drop:
        return DroppedColumn(name, AS_ASKED), None
    kind = column.reading.kind
    if kind == "text":
        levels = Levels.of(Counter(column.values.tolist()))
        encoding = encoding_of_texts(name, column.reading.form, levels, options)
        is_kept = not isinstance(encoding, DroppedColumn)
        if is_kept and outputs is not None and len(levels.frequent(options)) > options.max_levels:
            return TargetMeanColumn.learn(name, column, outputs)
        return encoding, None
    reason = _reason_to_drop(name, column, rows)
    if reason is not None:
        return DroppedColumn(name, reason), None
    if kind == "number":
        return NumberColumn.learn(name, column, options.n_pieces), None
    if kind == "truth":
        return TruthColumn.learn(name, column), None
    return DateColumn.learn(name, column), None


def with_features(
    encodings: Sequence[ColumnEncoding], number_after_all: Callable[[ColumnEncoding], ColumnEncoding]
) -> tuple[ColumnEncoding, ...]:
    """Return the encodings of a table, of which one at least has a feature.

    Where none has, a column that counts the rows is better than no feature: ``number_after_all`` returns the encoding
    of a dropped column of numbers, and that of any other column as it is.

    Raises
    ------
    ValueError
        If none has even so; the message gives the reasons.
    """
    if not any(encoding.feature_names for encoding in encodings):
        encodings = [e if e.treatment == AS_ASKED else number_after_all(e) for e in encodings]
    if not any(encoding.feature_names for encoding in encodings):
        reasons = "; ".join(f"{encoding.name}: {encoding.treatment}" for encoding in encodings)
        raise ValueError(f"no feature is left of {counted(len(encodings), 'column')} ({reasons})")
    return tuple(encodings)


def number_after_all(encoding: ColumnEncoding, column: Column) -> ColumnEncoding:
    """Return an encoding of a dropped column of numbers, for a table of which nothing else is left."""
    if column.reading.kind != "number" or column.missing.all():
        return encoding
    return NumberColumn.learn(encoding.name, column)


def _reason_to_drop(name: str, column: Column, rows: NDArray[np.intp]) -> str | None:
    """Return the reason to leave a column that is not of texts out, None if there is none."""
    missing = column.missing
    present = column.values[~missing]
    if not len(present):
        return ALL_MISSING
    if (present == present[0]).all():
        return None if missing.any() and column.reading.kind != "date" else always(present[0].item())
    if column.reading.kind == "number" and not missing.any() and numbers_rows(name, RowNumbering.of(present, rows)):
        return identifies_rows(len(present))
    return None

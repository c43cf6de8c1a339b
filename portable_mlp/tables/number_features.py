"""The features of columns of numbers, those of all columns at once: scaled numbers, pieces, and indicators of gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .column_encodings import NumberColumn

__all__ = ["NumberFeatures", "Pieces"]


class Pieces(NamedTuple):
    """The features that columns have beside themselves, one for each piece between two edges.

    A piece is ``clip((x - low) / width, 0, 1)`` of its column x.

    Attributes
    ----------
    n_columns : int
        How many columns there are.
    column : ndarray of shape (n_pieces,), int64
        The number of each piece's column.
    low, width : ndarray of shape (n_pieces,), float64
        Where each piece begins, and how wide it is.
    """

    n_columns: int
    column: NDArray[np.int64]
    low: NDArray[np.float64]
    width: NDArray[np.float64]

    @classmethod
    def between(cls, edges: Sequence[Sequence[float]]) -> Self | None:
        """Return the pieces between the edges of each column, which ascend; None where there are no edges."""
        if not any(map(len, edges)):
            return None
        bounds = [np.asarray(column, dtype=np.float64) for column in edges]
        widths = [np.diff(column) for column in bounds]
        column = np.repeat(np.arange(len(bounds)), [len(width) for width in widths])
        return cls(len(bounds), column, np.concatenate([bound[:-1] for bound in bounds]), np.concatenate(widths))

    @property
    def order(self) -> NDArray[np.int64]:
        """The features, each column and behind it its pieces: their places among all columns, followed by all pieces.

        Of shape (n_columns + n_pieces,), int64.
        """
        return np.argsort(np.concatenate([np.arange(self.n_columns), self.column]), kind="stable")

    def of(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the pieces (n_rows, n_pieces) of columns (n_rows, n_columns)."""
        with np.errstate(over="ignore"):
            return np.clip((x[:, self.column] - self.low) / self.width, 0.0, 1.0)


class NumberFeatures(NamedTuple):
    """What columns of numbers become, each as its `NumberColumn` says.

    Attributes
    ----------
    medians, means, scales : ndarray of shape (n_columns,), float64
        Statistics of the training rows.
    pieces : Pieces or None
        The pieces of the columns.
    with_gaps : ndarray of shape (n_with_gaps,), int64
        The columns that have an indicator.
    order : ndarray of shape (n_features,), int64
        The features column by column: their places among all scaled numbers, all pieces and all indicators.
    """

    medians: NDArray[np.float64]
    means: NDArray[np.float64]
    scales: NDArray[np.float64]
    pieces: Pieces | None
    with_gaps: NDArray[np.int64]
    order: NDArray[np.int64]

    @classmethod
    def of(cls, columns: Sequence[NumberColumn]) -> Self:
        """Return the features of some columns, at least one."""
        pieces = Pieces.between([column.edges for column in columns])
        with_gaps = np.flatnonzero([column.gaps for column in columns])
        parts = [np.arange(len(columns)), *([] if pieces is None else [pieces.column]), with_gaps]
        return cls(
            np.array([column.median for column in columns]),
            np.array([column.mean for column in columns]),
            np.array([column.scale for column in columns]),
            pieces,
            with_gaps,
            np.argsort(np.concatenate(parts), kind="stable"),
        )

    def transform(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the features (n_rows, n_features) of numbers (n_rows, n_columns), NaN where a cell is missing."""
        missing = np.isnan(values)
        filled = np.where(missing, self.medians, values)
        parts = [(filled - self.means) / self.scales]
        if self.pieces is not None:
            parts.append(self.pieces.of(filled))
        if len(self.with_gaps):
            parts.append(missing[:, self.with_gaps])
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)[:, self.order]

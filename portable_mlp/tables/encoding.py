"""Encoding of a table as a real matrix: each column by its kind, fitted to the training rows and applied to others.

The kinds of columns are classes in `column_encodings` and `date_encoding`; `column_choice` finds the kind of a column.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..training.batches import blocks
from .column_choice import learn_column, number_after_all, with_features
from .column_encodings import ColumnEncoding, DroppedColumn, NumberColumn, is_number_without_gaps
from .columns import Columns, Reading
from .drop_reasons import AS_ASKED
from .encoder_options import EncoderOptions
from .encoding_metadata import column_from_metadata, column_to_metadata
from .limits import check_matrix_bytes
from .number_features import NumberFeatures

__all__ = ["ColumnReport", "Encoder"]


class ColumnReport(NamedTuple):
    """The treatment of a column: its name, its kind, its number of features, and a description for people."""

    name: str
    kind: str
    n_features: int
    treatment: str


_NUMBERS_AT_ONCE = 2**18
"""The most features that are computed at a time: so many fit into a processor's cache."""


class _Layout(NamedTuple):
    """The places of columns in a matrix: those of numbers, whose features are computed together, and others.

    Attributes
    ----------
    n_features : int
        Number of columns of the matrix.
    others : list of (slice, ColumnEncoding)
        The columns that are no numbers, with the places of their features.
    names : list of str
        Names of the columns of numbers.
    numbers : NumberFeatures or None
        Their features, if there are any.
    places : ndarray of shape (n_features_of_numbers,)
        The places of these.
    """

    n_features: int
    others: list[tuple[slice, ColumnEncoding]]
    names: list[str]
    numbers: NumberFeatures | None
    places: NDArray[np.intp]


@dataclass(frozen=True)
class Encoder:
    """The fitted encoding of a table.

    Attributes
    ----------
    columns : tuple of ColumnEncoding
        Encodings of the columns, in the table's order.
    """

    columns: tuple[ColumnEncoding, ...]

    @classmethod
    def learn(
        cls,
        X: Columns,
        outputs: NDArray[np.float64] | None,
        options: EncoderOptions,
        rows: NDArray[np.intp] | None = None,
    ) -> tuple[Encoder, NDArray[np.float64]]:
        """Learn from training rows; return the matrix of these rows as well.

        Parameters
        ----------
        X : Columns
            Training rows, at least one.
        outputs : ndarray of shape (n_rows, n_outputs), or None
            Their targets as numbers; without them a column of many texts is encoded one-hot, within `EncoderOptions`.
        options : EncoderOptions
            Options of the encoding.
        rows : ndarray of shape (n_rows,), optional
            Their numbers in the table, counted from 0; by default the table has no other rows.

        Raises
        ------
        ValueError
            If no column is left; the message gives the reasons. If a column's numbers are too large to be scaled.
        DataError
            If the matrix is too large for memory.
        """
        numbering = np.arange(X.shape[0]) if rows is None else rows
        learnt = [learn_column(name, X.column(name), outputs, options, numbering) for name in X]
        found = [encoding for encoding, _ in learnt]
        encodings = with_features(found, lambda encoding: number_after_all(encoding, X.column(encoding.name)))
        check_matrix_bytes(X.shape[0], sum(len(encoding.feature_names) for encoding in encodings))
        pieces = [
            encoding.transform(X.column(encoding.name).values) if piece is None else piece
            for encoding, (_, piece) in zip(encodings, learnt, strict=True)
        ]
        return cls(encodings), np.column_stack(pieces)

    @functools.cached_property
    def readings(self) -> dict[str, Reading]:
        """Kind and notation of each column that is needed."""
        return {encoding.name: encoding.reading for encoding in self.columns if encoding.reading is not None}

    @property
    def feature_names(self) -> list[str]:
        """The names of the columns of the matrix, all different."""
        names: dict[str, None] = {}
        for name in (name for encoding in self.columns for name in encoding.feature_names):
            while name in names:
                name += "_"
            names[name] = None
        return list(names)

    @property
    def numbers(self) -> list[NumberColumn] | None:
        """The columns that are needed, if all of them are numbers without gaps: what any matrix may hold."""
        needed = [encoding for encoding in self.columns if encoding.reading is not None]
        numbers = list(filter(is_number_without_gaps, needed))
        return numbers if len(numbers) == len(needed) else None

    @property
    def report(self) -> list[ColumnReport]:
        """The treatment of each column."""
        return [ColumnReport(c.name, c.kind, len(c.feature_names), c.treatment) for c in self.columns]

    def transform(self, X: Columns) -> NDArray[np.float64]:
        """Return the matrix (n_rows, n_features) of rows with the kinds and notations of `readings`.

        Raises
        ------
        DataError
            If it is too large for memory.
        """
        layout = self._layout
        check_matrix_bytes(X.shape[0], layout.n_features)
        matrix = np.empty((X.shape[0], layout.n_features))
        for places, encoding in layout.others:
            matrix[:, places] = encoding.transform(X.column(encoding.name).values)
        if layout.numbers is not None:
            numbers = [X.column(name).values for name in layout.names]
            for start, stop in blocks(len(matrix), layout.n_features, _NUMBERS_AT_ONCE):
                values = np.array([column[start:stop] for column in numbers]).T
                matrix[start:stop, layout.places] = layout.numbers.transform(values)
        return matrix

    @functools.cached_property
    def _layout(self) -> _Layout:
        """The places of the columns' features in the matrix."""
        needed = [encoding for encoding in self.columns if encoding.reading is not None]
        stops = np.cumsum([len(encoding.feature_names) for encoding in needed]).tolist()
        placed = [
            (slice(*ends), encoding) for ends, encoding in zip(itertools.pairwise([0, *stops]), needed, strict=True)
        ]
        numbers = [(places, encoding) for places, encoding in placed if isinstance(encoding, NumberColumn)]
        return _Layout(
            stops[-1],
            [(places, encoding) for places, encoding in placed if not isinstance(encoding, NumberColumn)],
            [encoding.name for _, encoding in numbers],
            NumberFeatures.of([encoding for _, encoding in numbers]) if numbers else None,
            np.concatenate([np.arange(stops[-1])[places] for places, _ in numbers] or [np.empty(0, np.intp)]),
        )

    def among(self, names: Sequence[str]) -> Encoder:
        """Return the encoder of a table with all these columns, of which those that are not known were left out."""
        known = {encoding.name: encoding for encoding in self.columns}
        return Encoder(tuple(known.get(name, DroppedColumn(name, AS_ASKED)) for name in names))

    def to_metadata(self) -> list[dict[str, Any]]:
        """Return a description for JSON."""
        return list(map(column_to_metadata, self.columns))

    @classmethod
    def from_metadata(cls, described: Any) -> Encoder:
        """Return the encoder from its description.

        Raises
        ------
        ValueError
            If this is not a result of `to_metadata`.
        """
        if not isinstance(described, list):
            raise ValueError("the columns are not a list")
        return cls(tuple(map(column_from_metadata, described)))

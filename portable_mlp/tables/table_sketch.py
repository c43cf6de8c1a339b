"""The encoding of a table read block by block: categories counted, moments added up, medians those of a sample."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .column_encodings import ColumnEncoding, DroppedColumn, NumberColumn, TruthColumn, edges_between
from .columns import Columns, Reading
from .date_encoding import DateColumn, numbers_of_dates
from .encoding import (
    ALL_MISSING,
    Encoder,
    EncoderOptions,
    Levels,
    always,
    encoding_of_texts,
    identifies_rows,
    numbers_rows,
    with_features,
)
from .moments import Moments, RunningMoments

__all__ = ["SAMPLE_ROWS", "TableSketch"]

SAMPLE_ROWS = 2**14
"""The rows of the sample: its median has half of all rows below it, up to one in 250 (the standard error)."""


class Sample:
    """A random sample of numbers that come block by block: each has a random key, and the smallest keys stay."""

    def __init__(self) -> None:
        self.values = np.empty(0)
        self._keys = np.empty(0)
        self._rng = np.random.default_rng(0)

    def add(self, values: NDArray[np.float64]) -> None:
        """Add numbers."""
        keys = np.concatenate([self._keys, self._rng.random(len(values))])
        values = np.concatenate([self.values, values])
        if len(keys) > SAMPLE_ROWS:
            smallest = np.sort(np.argpartition(keys, SAMPLE_ROWS)[:SAMPLE_ROWS])
            keys, values = keys[smallest], values[smallest]
        self._keys, self.values = keys, values


class ColumnSketch(Protocol):
    """What is remembered of a column."""

    def add(self, values: NDArray[Any]) -> None:
        """Add the `Column.values` of some rows."""

    def encoding(self, options: EncoderOptions) -> ColumnEncoding:
        """Return the encoding of the column."""


class NumberSketch:
    """What is remembered of numbers or truth values."""

    def __init__(self, name: str, reading: Reading) -> None:
        self._name, self._reading = name, reading
        self._n_missing = 0
        self._present = RunningMoments()
        self._sample = Sample()

    def add(self, values: NDArray[np.float64]) -> None:
        """Add numbers, NaN where a cell is missing."""
        missing = np.isnan(values)
        self._n_missing += int(missing.sum())
        self._present.add(values[~missing][:, None])
        self._sample.add(values)

    def encoding(self, options: EncoderOptions) -> ColumnEncoding:
        """Return the encoding of the column."""
        if not self._present.n_rows:
            return DroppedColumn(self._name, ALL_MISSING)
        moments, sample = self._present.moments, self._sample.values
        low, high = moments.low.item(), moments.high.item()
        is_number = self._reading.kind == "number"
        if not self._n_missing and low == high:
            return DroppedColumn(self._name, always(low))
        if not self._n_missing and is_number and numbers_rows(self._name, sample):
            return DroppedColumn(self._name, identifies_rows(self._present.n_rows))
        present = sample[~np.isnan(sample)]
        median = float(np.median(present)) if len(present) else moments.mean.item()
        if self._n_missing:
            gaps = Moments.of(np.array([[median]]))._replace(n_rows=self._n_missing)
            moments = moments.with_more(gaps)
        (mean,), (scale,) = moments.mean_and_scale([self._name])
        filled = np.where(np.isnan(sample), median, sample)
        extremes = np.setdiff1d([low, high], filled)
        edges = edges_between(np.concatenate([filled, extremes]), options.n_pieces) if is_number else []
        cls = NumberColumn if is_number else TruthColumn
        return cls(self._name, self._reading.form, median, mean, scale, self._n_missing > 0, edges)


class DateSketch:
    """What is remembered of dates."""

    def __init__(self, name: str, reading: Reading) -> None:
        self._name, self._reading = name, reading
        self._has_gaps = False
        self._first: Any = None
        self._parts: dict[str, RunningMoments] = defaultdict(RunningMoments)

    def add(self, values: NDArray[Any]) -> None:
        """Add dates, NaT where a cell is missing."""
        present = values[~np.isnat(values)]
        self._has_gaps |= len(present) < len(values)
        if len(present):
            self._first = present[0].item() if self._first is None else self._first
            for part, numbers in numbers_of_dates(present).items():
                self._parts[part].add(numbers)

    def encoding(self, options: EncoderOptions) -> ColumnEncoding:
        """Return the encoding of the column."""
        if self._first is None:
            return DroppedColumn(self._name, ALL_MISSING)
        moments = {part: running.moments for part, running in self._parts.items()}
        if moments["elapsed"].low == moments["elapsed"].high:
            return DroppedColumn(self._name, always(self._first))
        return DateColumn.of_moments(self._name, self._reading.form, moments, gaps=self._has_gaps)


class TextSketch:
    """The numbers of rows of each text."""

    def __init__(self, name: str, reading: Reading) -> None:
        self._name, self._reading = name, reading
        self._counts: Counter[str | None] = Counter()

    def add(self, values: NDArray[Any]) -> None:
        """Add texts, None where a cell is missing."""
        self._counts.update(values.tolist())

    def encoding(self, options: EncoderOptions) -> ColumnEncoding:
        """Return the encoding of the column: the commonest texts have a column each."""
        return encoding_of_texts(self._name, self._reading.form, Levels.of(self._counts), options)


SKETCHES: Mapping[str, type[NumberSketch | DateSketch | TextSketch]] = {
    "number": NumberSketch,
    "truth": NumberSketch,
    "date": DateSketch,
    "text": TextSketch,
}
"""By the kinds of columns."""


class TableSketch:
    """What is remembered of a table's rows, block by block.

    Parameters
    ----------
    readings : mapping of str to Reading
        Kind and notation of each column.
    """

    def __init__(self, readings: Mapping[str, Reading]) -> None:
        self._columns: dict[str, ColumnSketch] = {
            name: SKETCHES[reading.kind](name, reading) for name, reading in readings.items()
        }

    def add(self, X: Columns) -> None:
        """Add rows."""
        for name, sketch in self._columns.items():
            sketch.add(X.column(name).values)

    def encoder(self, options: EncoderOptions, left_out: Mapping[str, str]) -> Encoder:
        """Return the encoder of the table.

        Texts beyond the commonest ones are rare, since the means of their targets would have to be cross-fitted.

        Parameters
        ----------
        options : EncoderOptions
            Options of the encoding.
        left_out : mapping of str to str
            Columns that were not looked at, and the reasons.

        Raises
        ------
        ValueError
            If no feature is left; if a column's numbers are too large to be scaled.
        """
        learnt = [sketch.encoding(options) for sketch in self._columns.values()]
        return Encoder(with_features([*learnt, *(DroppedColumn(name, reason) for name, reason in left_out.items())]))

"""The encoding of a table read block by block: categories counted, moments added up, medians those of a sample."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .category_levels import Levels, encoding_of_texts
from .column_choice import with_features
from .column_encodings import ColumnEncoding, DroppedColumn, NumberColumn, TruthColumn, edges_between
from .columns import Columns, Reading
from .date_encoding import DateColumn, numbers_of_dates
from .drop_reasons import ALL_MISSING, AS_ASKED, always, identifies_rows
from .encoder_options import EncoderOptions
from .encoding import Encoder
from .moments import Moments, RunningMoments
from .row_numbering import RowNumbering, are_whole_and_different, counted_from, numbers_rows

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

    def add(self, values: NDArray[Any], rows: NDArray[np.intp]) -> None:
        """Add the `Column.values` of some rows, whose numbers in the table are given."""

    def encoding(self, options: EncoderOptions) -> ColumnEncoding:
        """Return the encoding of the column."""


class NumberSketch:
    """What is remembered of numbers or truth values."""

    def __init__(self, name: str, reading: Reading) -> None:
        self._name, self._reading = name, reading
        self._n_missing = 0
        self._present = RunningMoments()
        self._sample = Sample()
        self._are_whole = True
        self._counted_from: set[float | None] = set()

    def add(self, values: NDArray[np.float64], rows: NDArray[np.intp]) -> None:
        """Add numbers, NaN where a cell is missing."""
        missing = np.isnan(values)
        self._n_missing += int(missing.sum())
        self._present.add(values[~missing][:, None])
        self._sample.add(values)
        if len(values) and not self._n_missing:
            self._are_whole &= bool((values == np.trunc(values)).all())
            if len(self._counted_from) < 2:
                self._counted_from.add(counted_from(values, rows))

    def encoding(self, options: EncoderOptions) -> ColumnEncoding:
        """Return the encoding of the column."""
        reason = self._reason_to_drop()
        if reason is not None:
            return DroppedColumn(self._name, reason)
        return self._learnt(options.n_pieces if self._is_number else 0)

    def number_after_all(self, encoding: ColumnEncoding) -> ColumnEncoding:
        """Return an encoding of numbers that were dropped, for a table of which nothing else is left."""
        return self._learnt(0) if self._is_number and self._present.n_rows else encoding

    @property
    def _is_number(self) -> bool:
        return self._reading.kind == "number"

    def _reason_to_drop(self) -> str | None:
        """Return the reason to leave the column out, None if there is none."""
        if not self._present.n_rows:
            return ALL_MISSING
        low, high = self._present.moments.low.item(), self._present.moments.high.item()
        if self._n_missing:
            return None
        if low == high:
            return always(low)
        # Two alike among all rows are found among the sample's too, unless there are many millions of different ones.
        different = self._are_whole and are_whole_and_different(self._sample.values)
        first = next(iter(self._counted_from)) if len(self._counted_from) == 1 else None
        numbering = RowNumbering(different, high - low, self._present.n_rows, first)
        return identifies_rows(numbering.n_rows) if self._is_number and numbers_rows(self._name, numbering) else None

    def _learnt(self, n_pieces: int) -> NumberColumn:
        """Return the encoding of numbers, at least one of which is there."""
        moments, sample = self._present.moments, self._sample.values
        present = sample[~np.isnan(sample)]
        median = float(np.median(present)) if len(present) else moments.mean.item()
        extremes = [moments.low.item(), moments.high.item()]
        if self._n_missing:
            gaps = Moments.of(np.array([[median]]))._replace(n_rows=self._n_missing)
            moments = moments.with_more(gaps)
        (mean,), (scale,) = moments.mean_and_scale([self._name])
        filled = np.where(np.isnan(sample), median, sample)
        edges = edges_between(np.concatenate([filled, np.setdiff1d(extremes, filled)]), n_pieces)
        cls = NumberColumn if self._is_number else TruthColumn
        return cls(self._name, self._reading.form, median, mean, scale, self._n_missing > 0, edges)


class DateSketch:
    """What is remembered of dates."""

    def __init__(self, name: str, reading: Reading) -> None:
        self._name, self._reading = name, reading
        self._has_gaps = False
        self._first: Any = None
        self._parts: dict[str, RunningMoments] = defaultdict(RunningMoments)

    def add(self, values: NDArray[Any], rows: NDArray[np.intp]) -> None:
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

    def add(self, values: NDArray[Any], rows: NDArray[np.intp]) -> None:
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

    def add(self, X: Columns, rows: NDArray[np.intp]) -> None:
        """Add rows, whose numbers in the table are given, counted from 0."""
        for name, sketch in self._columns.items():
            sketch.add(X.column(name).values, rows)

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
        learnt = [
            DroppedColumn(name, AS_ASKED) if name in options.drop else sketch.encoding(options)
            for name, sketch in self._columns.items()
        ]
        unread = [DroppedColumn(name, reason) for name, reason in left_out.items()]

        def number_after_all(encoding: ColumnEncoding) -> ColumnEncoding:
            sketch = self._columns.get(encoding.name)
            return sketch.number_after_all(encoding) if isinstance(sketch, NumberSketch) else encoding

        return Encoder(with_features([*learnt, *unread], number_after_all))

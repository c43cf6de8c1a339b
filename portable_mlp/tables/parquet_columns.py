"""The columns of a Parquet file as arrays, piece by piece."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .errors import DataError, broken_file, shown
from .limits import check_label
from .parquet_layout import ParquetLayout, load_pyarrow
from .types import TargetKind

__all__ = ["ParquetColumns"]

_PIECE_ROWS = 2**16


class ParquetColumns:
    """The chosen columns of a Parquet file.

    Parameters
    ----------
    file : binary file
        The file, open as long as this object is used.
    layout : ParquetLayout
        Of this file.
    features : sequence of int
        Positions of the features, which are numbers.
    target : int, optional
        Position of the target, which may be text too.
    target_kind : {"any", "unmixed", "numbers"}
        Whether it may: not if it is "numbers".
    dtype : dtype
        Of the features.

    Raises
    ------
    DataError
        If a column is of another type.
    """

    def __init__(
        self,
        file: IO[bytes],
        layout: ParquetLayout,
        features: Sequence[int],
        target: int | None = None,
        target_kind: TargetKind = "any",
        dtype: DTypeLike = np.float64,
    ) -> None:
        for column in features:
            layout.check_numbers(column)
        self._target_is_text = target is not None and target_kind != "numbers" and layout.is_text(target)
        if target is not None and not self._target_is_text:
            layout.check_numbers(target)
        self._path = layout.path
        self._group_rows = layout.group_rows
        self._starts = tuple(itertools.accumulate(layout.group_rows, initial=0))
        self._features = [layout.stored_name(column) for column in features]
        self._target = None if target is None else layout.stored_name(target)
        self._dtype = np.dtype(dtype)
        with broken_file(layout.path, "the Parquet file"):
            self._file = load_pyarrow("pyarrow.parquet").ParquetFile(
                file,
                metadata=layout.metadata,
                # A text that many rows share is then in memory once.
                read_dictionary=[self._target] if self._target_is_text else None,
                # A buffer would grow to whatever size a damaged page announces, gigabytes for a file of kilobytes.
                # Without one PyArrow reads a column of a row group at once, and never more than the file has.
                pre_buffer=False,
                buffer_size=0,
                page_checksum_verification=True,
            )

    def read(self, groups: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Return the features (n, n_features) and the targets (n,), if there is one, of some row groups.

        Raises
        ------
        DataError
            If a group cannot be read, or a value is missing or not finite; names the row, counted from 1.
        """
        X = np.empty((sum(self._group_rows[group] for group in groups), len(self._features)), dtype=self._dtype)
        targets: list[NDArray[Any]] = []
        start = 0
        for some_X, some_y in itertools.chain.from_iterable(map(self._pieces, groups)):
            X[start : start + len(some_X)] = some_X
            start += len(some_X)
            if some_y is not None:
                targets.append(some_y)
        return X, self._joined(targets) if targets else None

    def _joined(self, pieces: list[NDArray[Any]]) -> NDArray[Any]:
        """Return the targets of several pieces as one array."""
        if self._target_is_text:
            longest = max(piece.dtype.itemsize // 4 for piece in pieces)
            check_label(f"{self._path}: column {shown(self._target or '')}", longest, sum(map(len, pieces)))
        return np.concatenate(pieces)

    def _pieces(self, group: int) -> Iterator[tuple[NDArray[Any], NDArray[Any] | None]]:
        """Yield the features and the targets of a row group, in order."""
        start, left = self._starts[group], self._group_rows[group]
        for batch in self._batches(group):
            left -= batch.num_rows
            if left < 0:
                break
            yield self._numbers(batch, start), self._targets(batch, start)
            start += batch.num_rows
        if left:
            announced = self._group_rows[group]
            raise DataError(f"{self._path}: row group {group + 1} does not have the {announced} rows that it announces")

    def _batches(self, group: int) -> Iterator[Any]:
        """Yield a row group as PyArrow gives it."""
        names = self._features if self._target is None else [*self._features, self._target]
        with broken_file(self._path, f"row group {group + 1}"):
            batches = self._file.iter_batches(_PIECE_ROWS, row_groups=[group], columns=names)
        while True:
            with broken_file(self._path, f"row group {group + 1}"):
                batch = next(batches, None)
                if batch is None:
                    return
                # PyArrow itself trusts the positions in a file's dictionary.
                batch.validate(full=True)
            yield batch

    def _numbers(self, batch: Any, start: int) -> NDArray[Any]:
        """Return the features of a batch, whose first row is ``start``."""
        X = np.empty((batch.num_rows, len(self._features)), dtype=self._dtype)
        for j, name in enumerate(self._features):
            X[:, j] = batch.column(name).to_numpy(zero_copy_only=False)  # what is missing becomes NaN
        finite = np.isfinite(X)
        if not finite.all():
            row, j = map(int, np.unravel_index(np.argmin(finite), X.shape))
            raise self._mistake(batch.column(self._features[j]), self._features[j], row, start)
        return X

    def _targets(self, batch: Any, start: int) -> NDArray[Any] | None:
        """Return the targets of a batch, whose first row is ``start``: numbers in their own dtype, or texts."""
        if self._target is None:
            return None
        column = batch.column(self._target)
        if column.null_count:
            missing = column.is_null().to_numpy(zero_copy_only=False)
            raise self._mistake(column, self._target, int(np.argmax(missing)), start)
        if self._target_is_text:
            return self._labels(column, self._target, start)
        values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        finite = np.isfinite(values)
        if not finite.all():
            raise self._mistake(column, self._target, int(np.argmin(finite)), start)
        return values

    def _labels(self, column: Any, name: str, start: int) -> NDArray[np.str_]:
        """Return texts that are held as a dictionary and the position of each row's text in it."""
        with broken_file(self._path, f"column {shown(name)}"):
            texts = column.dictionary.to_pylist()
        rows = column.indices.to_numpy()
        # NumPy would drop NUL characters at the end.
        unusable = np.isin(rows, [i for i, text in enumerate(texts) if not text or "\0" in text])
        if unusable.any():
            row = int(np.argmax(unusable))
            place = self._place(name, start + row)
            raise DataError(f"{place}: {shown(texts[rows[row]])} is no label (remove the row or fill the value)")
        check_label(f"{self._path}: column {shown(name)}", max(map(len, texts), default=0), len(rows))
        return np.array(texts, dtype=np.str_)[rows]

    def _mistake(self, column: Any, name: str, row: int, start: int) -> DataError:
        """Return the error for a value that is missing or not finite."""
        value = column[row].as_py()
        if value is None:
            reason = "the value is missing (remove the row or fill the value)"
        else:
            reason = f"{value} is not a finite number"
        return DataError(f"{self._place(name, start + row)}: {reason}")

    def _place(self, name: str, row: int) -> str:
        """Return where a value stands."""
        return f"{self._path}: row {row + 1}, column {shown(name)}"

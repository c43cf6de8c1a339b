"""The pass over streamed rows before training: classes, moments and a digest."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np

from ..training.batches import NUMBERS_AT_ONCE, blocks
from .columns import Column
from .encoder_options import EncoderOptions
from .hold_out import GroupSplit
from .moments import Moments, RunningMoments
from .preparation import Preparation, made_of, of_encoder
from .reading import RowSource
from .table_sketch import TableSketch
from .targets import MOST_WHOLE_NUMBER_CLASSES, are_whole, class_names

_USUAL_ENCODING = EncoderOptions()


class Survey(NamedTuple):
    """The results of the pass.

    Attributes
    ----------
    split : GroupSplit
        Training rows and hold-out; every class keeps at least one training row.
    preparation : Preparation
        Preparation learnt from the training rows.
    variation : ndarray of shape (1,), float64, or None
        Sum of squared deviations of the scaled targets of the hold-out; None for classes.
    digest : str
        Hash of all rows and of their division into groups.
    """

    split: GroupSplit
    preparation: Preparation
    variation: np.ndarray | None
    digest: str


def survey(
    source: RowSource,
    *,
    task: str,
    fraction: float,
    seed: int,
    encoding: EncoderOptions = _USUAL_ENCODING,
) -> Survey:
    """Read every row, and again as long as a class has no training row.

    Parameters
    ----------
    source : RowSource
        Open file with the rows.
    task : {"auto", "classification", "regression"}
        Task; "auto" follows `is_classification`.
    fraction : float
        Fraction of the rows to hold out, in [0, 1).
    seed : int
        Seed of the split.
    encoding : EncoderOptions
        Options of the encoding of a table that is not a matrix of numbers.

    Raises
    ------
    DataError
        If a value is missing or not finite, or a part of the file cannot be read.
    ValueError
        If there is only one class, no feature is left, or a column's numbers are too large to be scaled.
    """
    split, found = _split(source, task, fraction, seed)
    digest, classes = found.digest.hexdigest(), found.classes.in_order()
    preparation = _preparation(source, found, found.targets.moments if classes is None else classes, encoding)
    if classes is not None:
        return Survey(split, preparation, None, digest)
    return Survey(split, preparation, _variation(found.held_out, np.asarray(preparation.target_scale)), digest)


def _preparation(
    source: RowSource, found: _Pass, targets: list[Any] | Moments, encoding: EncoderOptions
) -> Preparation:
    """Return the preparation of what was found in the rows."""
    schema = source.schema
    if schema is None or not isinstance(found.inputs, TableSketch):
        assert isinstance(found.inputs, RunningMoments)
        names: dict[str, Any] = {"feature_names": source.feature_names, "target_name": source.target_name}
        return made_of(found.inputs.moments, targets, **names)
    encoder = found.inputs.encoder(encoding, schema.left_out)
    return of_encoder(encoder, targets, target_name=source.target_name, table=schema.options)


def test_split(source: RowSource, *, task: str, fraction: float, seed: int) -> tuple[GroupSplit, str]:
    """Return the split into rows to train on and rows to score a model on, and the task, which all rows decide.

    Every class keeps a row to train on. Parameters and errors are those of `survey`.
    """
    split, found = _split(source, task, fraction, seed)
    return split, "regression" if found.classes.in_order() is None else "classification"


def _split(source: RowSource, task: str, fraction: float, seed: int) -> tuple[GroupSplit, _Pass]:
    """Return a split in which every class keeps a training row, and what the pass over it found."""
    protected: set[int] = set()
    while True:
        split = GroupSplit(source.groups, fraction, seed, protected)
        found = _Pass(source, split, task)
        lost = found.classes.without_training_rows()
        if not lost:
            return split, found
        # All rows of a rare class are in the hold-out: the last of them becomes a training row.
        protected |= lost


def _variation(held_out: RunningMoments, scale: np.ndarray) -> np.ndarray:
    """Return the sum of squared deviations of scaled targets."""
    if not held_out.n_rows:
        return np.zeros(1)
    exponent = np.frexp(scale)[1]
    return held_out.moments.squares_in(exponent) / np.square(np.ldexp(scale, -exponent))


class Classes:
    """The classes of the targets; none once the targets turn out to be a quantity.

    Parameters
    ----------
    task : {"auto", "classification", "regression"}
        Task; "auto" follows `is_classification`.
    """

    def __init__(self, task: str) -> None:
        self._task = task
        self._kept: set[Any] = set()
        self._last_held_out: dict[Any, int] = {}

    def add(self, kept: np.ndarray, held_out: np.ndarray, rows: np.ndarray) -> None:
        """Add targets of training rows and of the hold-out, with the row numbers of the latter."""
        are_numbers = kept.dtype.kind in "iuf"
        if self._task == "auto" and are_numbers and not (are_whole(kept) and are_whole(held_out)):
            self._task = "regression"
        if self._task == "regression":
            return
        self._kept |= set(np.unique(kept).tolist())
        labels, last = np.unique(held_out[::-1], return_index=True)
        self._last_held_out |= zip(labels.tolist(), rows[::-1][last].tolist(), strict=True)
        n_classes = len(self._kept | self._last_held_out.keys())
        if self._task == "auto" and are_numbers and n_classes > MOST_WHOLE_NUMBER_CLASSES:
            self._task = "regression"

    def without_training_rows(self) -> set[int]:
        """Return the last row, in the order of the permutation, of each class without a training row."""
        if self._task == "regression":
            return set()
        return {row for label, row in self._last_held_out.items() if label not in self._kept}

    def in_order(self) -> list[Any] | None:
        """Return the classes, sorted; None if the targets are quantities."""
        return None if self._task == "regression" else class_names(np.asarray(sorted(self._kept)))


class _Pass:
    """One pass over all rows, in the file's order."""

    def __init__(self, source: RowSource, split: GroupSplit, task: str) -> None:
        self.digest = hashlib.sha256()
        self.classes = Classes(task)
        schema = source.schema
        self.inputs: RunningMoments | TableSketch = RunningMoments() if schema is None else TableSketch(schema.readings)
        self.targets, self.held_out = RunningMoments(), RunningMoments()
        start = 0
        for group, n_rows in enumerate(source.groups):
            if n_rows:
                self._add_group(source, start, n_rows, *split.of_group(group))
            start += n_rows

    def _add_group(self, source: RowSource, start: int, n_rows: int, kept: np.ndarray, held_out: np.ndarray) -> None:
        """Add a group whose first row is ``start``."""
        is_kept = np.zeros(n_rows, dtype=bool)
        is_kept[kept - start] = True
        pieces = []
        for first, stop in blocks(n_rows, source.n_features, NUMBERS_AT_ONCE):
            rows = np.arange(start + first, start + stop)
            X, y = source.rows(rows)
            pieces.append(y)
            for array in (X,) if isinstance(X, np.ndarray) else map(X.column, X):
                self.digest.update(_bytes_of(array))
            inside = is_kept[first:stop]
            if isinstance(self.inputs, TableSketch):
                self.inputs.add(X[inside], source.row_numbers(rows[inside]))
            else:
                self.inputs.add(X[inside])
        y = np.concatenate(pieces)
        # After the features of each group, so that the digest depends on the division into groups.
        self.digest.update("\0".join(y.tolist()).encode() if y.dtype.kind == "U" else y.data)
        y_kept, y_held_out = y[is_kept], y[held_out - start]
        self.classes.add(y_kept, y_held_out, held_out)
        if y.dtype.kind != "U":
            self.targets.add(y_kept[:, None])
            self.held_out.add(y_held_out[:, None])


def _bytes_of(column: np.ndarray | Column) -> Any:
    """Return what a digest takes of a matrix, or of a column."""
    values = column if isinstance(column, np.ndarray) else column.values
    if values.dtype.kind == "O":
        return "\0".join("" if text is None else text for text in values).encode()
    return np.ascontiguousarray(values).view(np.uint8).data

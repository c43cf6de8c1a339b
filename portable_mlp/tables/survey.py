"""What must be known of rows that stay in their file before training starts: found in one pass over them."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np

from ..training.batches import NUMBERS_AT_ONCE, blocks
from .hold_out import GroupSplit
from .moments import Moments
from .preparation import Preparation, made_of
from .reading import RowSource
from .targets import MOST_WHOLE_NUMBER_CLASSES, are_whole, class_names


class Survey(NamedTuple):
    """What was found.

    Attributes
    ----------
    split : GroupSplit
        Which rows are held out; every class keeps a row to train on.
    preparation : Preparation
        Learnt from the rows to train on.
    variation : ndarray of shape (1,), float64, or None
        The sum of squared deviations of the scaled targets that are held out; None for classes.
    digest : str
        Of all rows and of their groups.
    """

    split: GroupSplit
    preparation: Preparation
    variation: np.ndarray | None
    digest: str


def survey(source: RowSource, *, task: str, fraction: float, seed: int) -> Survey:
    """Look at every row.

    Parameters
    ----------
    source : RowSource
        The rows.
    task : {"auto", "classification", "regression"}
        What the targets are for.
    fraction : float
        How many of the rows to hold out, in [0, 1).
    seed : int
        Of the draw.

    Raises
    ------
    DataError
        If a value is missing or not finite, or a part of the file cannot be read.
    ValueError
        If there is only one class, or a column's numbers are too large to be scaled.
    """
    protected: set[int] = set()
    while True:
        split = GroupSplit(source.groups, fraction, seed, protected)
        found = _Pass(source, split, task)
        lost = found.classes.lost()
        if not lost:
            break
        # A class whose rows were all held out, a rare one, gets the last of them back.
        protected |= lost
    names: dict[str, Any] = {"feature_names": source.feature_names, "target_name": source.target_name}
    digest, classes = found.digest.hexdigest(), found.classes.in_order()
    if classes is not None:
        return Survey(split, made_of(found.inputs.moments, classes, **names), None, digest)
    preparation = made_of(found.inputs.moments, found.targets.moments, **names)
    return Survey(split, preparation, _variation(found.held_out, np.asarray(preparation.target_scale)), digest)


def _variation(held_out: _Sum, scale: np.ndarray) -> np.ndarray:
    """Return the sum of squared deviations of scaled targets."""
    if not held_out.n_rows:
        return np.zeros(1)
    exponent = np.frexp(scale)[1]
    return held_out.moments.squares_in(exponent) / np.square(np.ldexp(scale, -exponent))


class Classes:
    """The classes of the targets, as long as these can be classes.

    Parameters
    ----------
    task : {"auto", "classification", "regression"}
        "auto" follows `targets.is_classification`.
    """

    def __init__(self, task: str) -> None:
        self._task = task
        self._kept: set[Any] = set()
        self._last_held_out: dict[Any, int] = {}

    def add(self, kept: np.ndarray, held_out: np.ndarray, rows: np.ndarray) -> None:
        """Take note of targets to train on, and of those held out, which stand in these rows."""
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

    def lost(self) -> set[int]:
        """Return for each class without a row to train on the row of it that was drawn last."""
        if self._task == "regression":
            return set()
        return {row for label, row in self._last_held_out.items() if label not in self._kept}

    def in_order(self) -> list[Any] | None:
        """Return the classes, sorted; None if the targets are quantities."""
        return None if self._task == "regression" else class_names(np.asarray(sorted(self._kept)))


class _Sum:
    """Moments of rows that are added block by block."""

    moments: Moments

    def __init__(self) -> None:
        self.n_rows = 0

    def add(self, x: np.ndarray) -> None:
        if len(x):
            more = Moments.of(x)
            self.moments = self.moments.with_more(more) if self.n_rows else more
            self.n_rows += len(x)


class _Pass:
    """One pass over all rows, in the file's order."""

    def __init__(self, source: RowSource, split: GroupSplit, task: str) -> None:
        self.digest = hashlib.sha256()
        self.classes = Classes(task)
        self.inputs, self.targets, self.held_out = _Sum(), _Sum(), _Sum()
        start = 0
        for group, n_rows in enumerate(source.groups):
            if n_rows:
                self._look_at(source, start, n_rows, *split.of_group(group))
            start += n_rows

    def _look_at(self, source: RowSource, start: int, n_rows: int, kept: np.ndarray, held_out: np.ndarray) -> None:
        """Take note of a group, whose first row is ``start``."""
        is_kept = np.zeros(n_rows, dtype=bool)
        is_kept[kept - start] = True
        pieces = []
        for first, stop in blocks(n_rows, source.n_features, NUMBERS_AT_ONCE):
            X, y = source.rows(np.arange(start + first, start + stop))
            pieces.append(y)
            self.digest.update(X.data)
            self.inputs.add(X[is_kept[first:stop]])
        y = np.concatenate(pieces)
        # After the features of each group: a file with other groups is another.
        self.digest.update("\0".join(y.tolist()).encode() if y.dtype.kind == "U" else y.data)
        y_kept, y_held_out = y[is_kept], y[held_out - start]
        self.classes.add(y_kept, y_held_out, held_out)
        if y.dtype.kind != "U":
            self.targets.add(y_kept[:, None])
            self.held_out.add(y_held_out[:, None])

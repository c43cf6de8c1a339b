"""An epoch's order of rows that are stored in groups: each group is visited once, without a list of all rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from .shuffle import Shuffle


class Selection(NamedTuple):
    """Some rows of a file, listed group by group.

    Attributes
    ----------
    counts : tuple of int
        The number of chosen rows of each group.
    of_group : callable
        ``of_group(group)`` returns their numbers in the file, (counts[group],), int64.
    """

    counts: tuple[int, ...]
    of_group: Callable[[int], np.ndarray]


class GroupOrder:
    """The order of one epoch: groups in a drawn order, some at a time, and the rows of these in a drawn order.

    Rows of a single window (few groups) come in the order that `Shuffle` gives all samples.

    Parameters
    ----------
    selection : Selection
        The rows of the file that the epoch visits.
    groups_at_a_time : int
        The number of groups whose rows are mixed.
    shuffle : Shuffle or None
        The source of random orders; None keeps the order of the groups, and of the rows in each.
    epoch : int
        The number of the epoch, from 0.
    """

    def __init__(self, selection: Selection, groups_at_a_time: int, shuffle: Shuffle | None, epoch: int) -> None:
        self._selection, self._shuffle, self._epoch = selection, shuffle, epoch
        n_groups, at_a_time = len(selection.counts), 1 if shuffle is None else groups_at_a_time
        starts = range(0, n_groups, at_a_time)
        # Windows are the parts 0, 1, ... of the epoch, and the groups the part after them.
        groups = range(n_groups) if shuffle is None else shuffle.order(epoch, n_groups, part=len(starts)).tolist()
        self._windows = [groups[start : start + at_a_time] for start in starts]
        self._stops = np.cumsum([sum(selection.counts[group] for group in window) for window in self._windows])

    def parts(self, start: int, size: int) -> Iterator[np.ndarray]:
        """Yield the numbers of the rows from the place ``start`` on, ``size`` at a time; the last part may be short."""
        left = np.empty(0, dtype=np.int64)
        for rows in self._from(start):
            left = np.concatenate((left, rows))
            whole = len(left) - len(left) % size
            yield from (left[i : i + size] for i in range(0, whole, size))
            left = left[whole:]
        if len(left):
            yield left

    def _from(self, start: int) -> Iterator[np.ndarray]:
        """Yield the rows of each window, of the first one without those before ``start``."""
        first = int(np.searchsorted(self._stops, start, side="right"))
        skipped = start - int(self._stops[first - 1]) if first else start
        for window in range(first, len(self._windows)):
            yield self._rows(window)[skipped:]
            skipped = 0

    def _rows(self, window: int) -> np.ndarray:
        rows = np.concatenate([self._selection.of_group(group) for group in self._windows[window]])
        return rows if self._shuffle is None else rows[self._shuffle.order(self._epoch, len(rows), part=window)]

"""The hold-out: a random split of the rows of a table in memory, or of a file group by group."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from ..training.group_order import Selection

__all__ = ["GroupSplit", "split", "stratified_splits"]


def split(y: np.ndarray, fraction: float, *, classification: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the training rows and of the hold-out; every class keeps at least one training row.

    Parameters
    ----------
    y : ndarray of shape (n_samples, ...)
        Targets, of which classes are looked up and the length is used.
    fraction : float
        Fraction of the rows to hold out, in [0, 1); the number of rows is rounded.
    classification : bool
        Whether targets are classes.
    seed : int
        Seed of the permutation.
    """
    order = np.random.RandomState(seed).permutation(len(y))
    wanted = min(round(len(y) * fraction), len(y) - 1)
    if not classification:
        return np.sort(order[wanted:]), order[:wanted]
    _, classes, left = np.unique(y, return_inverse=True, return_counts=True)
    held_out: list[int] = []
    for i in order:
        if len(held_out) == wanted:
            break
        if left[classes[i]] > 1:
            left[classes[i]] -= 1
            held_out.append(int(i))
    kept = np.ones(len(y), dtype=bool)
    kept[held_out] = False
    return np.flatnonzero(kept), np.asarray(held_out, dtype=np.int64)


def stratified_splits(
    y: np.ndarray, fraction: float, n_splits: int, *, classification: bool, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return several splits into training rows and hold-out, as indices, stratified by class.

    Every class keeps at least one training row. With a ``fraction`` of ``1 / n_splits`` the splits are folds: each of
    the other rows is held out once.

    Parameters
    ----------
    y : ndarray of shape (n_samples, ...)
        Targets, whose classes are spread evenly.
    fraction : float
        Fraction of the rows to hold out in each split, in [0, 1).
    n_splits : int
        The number of splits.
    classification : bool
        Whether targets are classes; quantities are not stratified.
    seed : int
        Seed of the permutation.
    """
    drawn = np.random.RandomState(seed).permutation(len(y))
    classes = np.unique(y, return_inverse=True)[1].reshape(-1) if classification else np.zeros(len(y), dtype=np.intp)
    order = drawn[np.argsort(classes[drawn], kind="stable")]
    firsts = np.searchsorted(classes[order], np.arange(classes.max() + 1))
    return [_every_so_often(order, firsts, fraction, (i + 0.5) / n_splits) for i in range(n_splits)]


def _every_so_often(
    order: np.ndarray, firsts: np.ndarray, fraction: float, phase: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that are kept, ascending, and those held out: of rows class by class one in ``1 / fraction``.

    ``firsts`` are the places in ``order`` where classes begin.
    """
    is_out = np.diff(np.floor(np.arange(len(order) + 1) * fraction + phase)) > 0
    is_out[firsts[np.logical_and.reduceat(is_out, firsts)]] = False
    return np.sort(order[~is_out]), order[is_out]


class GroupSplit:
    """The training rows and the hold-out of each group of a file, without a list of all rows.

    Every group contributes its share, and is permuted again at each call. A single group is split as by `split`.

    Parameters
    ----------
    groups : sequence of int
        Number of rows of each group.
    fraction : float
        Fraction of all rows to hold out, in [0, 1); the number of rows is rounded.
    seed : int
        Seed of the permutation.
    protected : collection of int
        Rows to keep out of the hold-out.
    """

    def __init__(self, groups: Sequence[int], fraction: float, seed: int, protected: Collection[int] = ()) -> None:
        self._starts = np.cumsum((0, *groups))
        self._seed = seed
        self._protected = np.sort(np.asarray([*protected], dtype=np.int64))
        n_rows = int(self._starts[-1])
        wanted = min(round(n_rows * fraction), n_rows - 1)
        n_protected = np.diff(np.searchsorted(self._protected, self._starts))
        share = np.diff([wanted * start // n_rows for start in self._starts.tolist()])
        self._n_held_out = np.minimum(share, np.diff(self._starts) - n_protected)

    @property
    def kept(self) -> Selection:
        """The training rows; within a group in the file's order."""
        counts = np.diff(self._starts) - self._n_held_out
        return Selection(tuple(counts.tolist()), lambda group: np.sort(self.of_group(group)[0]))

    @property
    def held_out(self) -> Selection:
        """The hold-out; within a group in the order of its permutation."""
        return Selection(tuple(self._n_held_out.tolist()), lambda group: self.of_group(group)[1])

    def of_group(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the training rows of a group, and its hold-out."""
        start, stop = self._starts[group : group + 2].tolist()
        # The first group is permuted as `split` permutes a table.
        draw = np.random.RandomState([self._seed, group] if group else self._seed)
        drawn = start + draw.permutation(stop - start)
        first, last = np.searchsorted(self._protected, (start, stop))
        protected = self._protected[first:last]
        free = drawn[~np.isin(drawn, protected)]
        n_held_out = self._n_held_out[group]
        return np.concatenate((protected, free[n_held_out:])), free[:n_held_out]

"""The samples of a batch for one rank: its shards of all samples, or those of the batch that it was given."""

from __future__ import annotations

import itertools
from typing import Any

from ..backends import Backend
from ..kernels.arrays import Array
from ..kernels.batch import Span
from ..kernels.propagation import Masks
from .group import Group


class SharedSamples:
    """Every rank has all samples: a batch is cut into as many shards as the group has, of equal size give or take one.

    Invariant: the limits of the shards depend on their number alone, not on the number of ranks, of which each computes
    a contiguous run of them. So a reproducible sum has the same terms in groups of 1, 2, 4 and 8.

    Parameters
    ----------
    group : Group
        The group of this rank.
    backend : Backend
        The library and device of the row numbers.
    n_samples : int
        The number of samples of the data.
    order : ndarray of shape (n_samples,) or None
        The order of the epoch, on the host; None for the samples' own.
    """

    def __init__(self, group: Group, backend: Backend, n_samples: int, order: Any) -> None:
        self._order = backend.xp.arange(n_samples, device=backend.device) if order is None else backend.asarray(order)
        each = group.n_shards // group.size
        self._n_shards, self._mine = group.n_shards, range(group.rank * each, (group.rank + 1) * each)

    def shards(self, batch: Span, masks: Masks) -> list[tuple[Array, Masks]]:
        """Return this rank's shards of a batch: rows of the data, and which of the batch's masks go with them."""
        start, stop = batch
        cuts = [shard * (stop - start) // self._n_shards for shard in (*self._mine, self._mine.stop)]
        return [
            (self._order[start + a : start + b], None if masks is None else [mask[a:b] for mask in masks])
            for a, b in itertools.pairwise(cuts)
        ]


class OwnSamples:
    """Every rank has samples of its own, those of rank 0 being the first of all: one shard is what it has of a batch.

    Parameters
    ----------
    group, backend
        The group of this rank, and the library and device of the row numbers.
    n_samples : int
        The number of samples of this rank.
    order : ndarray of shape (n_samples of all,) or None
        The order of the epoch over the samples of all ranks, on the host; None for their own.
    """

    def __init__(self, group: Group, backend: Backend, n_samples: int, order: Any) -> None:
        before = [count for (count,) in group.gathered(n_samples)][: group.rank]
        self._backend, self._order = backend, order
        self._first = sum(before)
        self._last = self._first + n_samples

    def shards(self, batch: Span, masks: Masks) -> list[tuple[Array, Masks]]:
        """Return the rows of this rank that a batch has, and which of the batch's masks go with them."""
        if self._order is None:
            start, stop = (min(max(edge, self._first), self._last) for edge in batch)
            rows = self._backend.xp.arange(start - self._first, stop - self._first, device=self._backend.device)
            return [(rows, None if masks is None else [mask[start - batch[0] : stop - batch[0]] for mask in masks])]
        in_order = self._order[batch[0] : batch[1]]
        (places,) = ((self._first <= in_order) & (in_order < self._last)).nonzero()
        rows, there = map(self._backend.asarray, (in_order[places] - self._first, places))
        take = self._backend.primitives.take
        return [(rows, None if masks is None else [take(mask, there, 0) for mask in masks])]

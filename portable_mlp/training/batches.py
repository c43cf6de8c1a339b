"""Mini-batches: the samples on their device, and the spans of an epoch's order that make its batches."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np

from ..kernels.batch import Batch, Span
from .shuffle import Shuffle

NUMBERS_AT_ONCE = 2**22
"""The most numbers of the data that are examined at a time."""


class Data(Batch):
    """All samples of a training run, in memory."""

    __slots__ = ()

    def order(self, shuffle: Shuffle | None, epoch: int, n_samples: int | None = None) -> np.ndarray | None:
        """Return an epoch's order of these samples, or of all ``n_samples`` of a group; None for their own order."""
        return None if shuffle is None else shuffle.order(epoch, self.n_samples if n_samples is None else n_samples)

    def pieces(self, order: np.ndarray | None, batches: Sequence[Span], done: int = 0) -> Generator[Piece]:
        """Yield the one piece that all samples are, with the batches after those that are done."""
        yield Piece(self, order, batches[done:] if done else batches)


class Piece(NamedTuple):
    """Samples that are on the device together.

    Attributes
    ----------
    data : Data
        The samples, on the device.
    order : ndarray of int64, or None
        The order in which batches take them, on the host; None for their own order.
    batches : sequence of Span
        The batches of these samples, by their places in the order.
    """

    data: Data
    order: np.ndarray | None
    batches: Sequence[Span]


def spans(n_samples: int, batch_size: int) -> Sequence[Span]:
    """Return an epoch's batches; the last one is short where the size does not divide the samples.

    >>> list(spans(5, 2)), list(spans(5, 2)[1:])
    ([(0, 2), (2, 4), (4, 5)], [(2, 4), (4, 5)])
    """
    return _Spans(range(0, n_samples, batch_size), batch_size, n_samples)


@dataclass(frozen=True)
class _Spans(Sequence[Span]):
    """Batches computed on access: an epoch of a large file has millions."""

    starts: range
    size: int
    n_samples: int

    @property
    def covered(self) -> int:
        """The number of samples, known without a look at each batch."""
        return min(self.starts[-1] + self.size, self.n_samples) - self.starts[0] if self.starts else 0

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[Span]:
        # Without a call of Python for each batch, which small networks would notice.
        first, last, step = self.starts.start, self.starts.stop, self.starts.step
        stops = range(first + self.size, last + self.size, step)
        return zip(self.starts, map(min, stops, itertools.repeat(self.n_samples)), strict=True)

    @overload
    def __getitem__(self, i: int) -> Span: ...

    @overload
    def __getitem__(self, i: slice) -> Sequence[Span]: ...

    def __getitem__(self, i: int | slice) -> Span | Sequence[Span]:
        if isinstance(i, slice):
            return _Spans(self.starts[i], self.size, self.n_samples)
        start = self.starts[i]
        return start, min(start + self.size, self.n_samples)


def n_samples_of(batches: Sequence[Span]) -> int:
    """Return the number of samples of batches.

    >>> n_samples_of(spans(5, 2)), n_samples_of(spans(5, 2)[1:]), n_samples_of([(0, 2), (4, 5)])
    (5, 3, 3)
    """
    if isinstance(batches, _Spans):
        return batches.covered
    return sum(stop - start for start, stop in batches)


def joined_orders(orders: Sequence[np.ndarray | None], batches: Sequence[Span]) -> tuple[np.ndarray | None, list[Span]]:
    """Return the orders of several epochs as one, and the batches of each in it; None keeps the samples' own.

    >>> joined_orders([np.asarray([1, 2, 0]), np.asarray([0, 1, 2])], [(0, 2), (2, 3)])
    (array([1, 2, 0, 0, 1, 2]), [(0, 2), (2, 3), (3, 5), (5, 6)])
    """
    shuffled = [order for order in orders if order is not None]
    if not shuffled:
        return None, [*batches] * len(orders)
    places = itertools.accumulate(map(len, shuffled[:-1]), initial=0)
    return np.concatenate(shuffled), [(place + start, place + stop) for place in places for start, stop in batches]


def counting(batches: Sequence[Span], weights: np.ndarray | None, order: Any) -> Sequence[Span]:
    """Return the batches without those whose weights, (n_samples,) on the host, sum to zero.

    >>> counting([(0, 2), (2, 4)], np.asarray([1.0, 0.0, 0.0, 2.0]), np.asarray([1, 2, 0, 3]))
    [(2, 4)]
    """
    if weights is None:
        return batches
    in_order = weights if order is None else weights[order]
    return [(start, stop) for start, stop in batches if in_order[start:stop].sum() != 0]


def blocks(n_samples: int, numbers_a_sample: int, numbers_at_once: int = NUMBERS_AT_ONCE) -> Sequence[Span]:
    """Return the samples in blocks of so many numbers at most, or of one sample.

    >>> list(blocks(5, 100, 250))
    [(0, 2), (2, 4), (4, 5)]
    """
    return spans(n_samples, max(1, numbers_at_once // numbers_a_sample))

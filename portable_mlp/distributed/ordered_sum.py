"""Sums whose additions have a fixed order, pairs, then pairs of pairs: within a process, and over several."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..kernels.arrays import Array


def pairwise_sum(messages: Sequence[Array]) -> Array:
    """Return ``((m0 + m1) + (m2 + m3)) + ...``, for a power of two of them.

    >>> pairwise_sum([1.0, 2.0, 3.0, 4.0])
    10.0
    """
    while len(messages) > 1:
        messages = [a + b for a, b in zip(messages[::2], messages[1::2], strict=True)]
    return messages[0]


def sum_in_order(flat: np.ndarray, rank: int, size: int, exchange: Callable[[np.ndarray, int], np.ndarray]) -> None:
    """Replace ``flat`` by its sum over processes, whose number is a power of two (recursive doubling).

    In round k each process exchanges its partial sum with the process whose rank differs in bit k. Addition of
    floating-point numbers commutes, though it does not associate: both get the same bits, and the tree of additions is
    that of `pairwise_sum` in the order of ranks. It stays the same when each half of the processes is one process that
    sums pairwise itself.

    Parameters
    ----------
    flat : ndarray
        Summands of this process; the sum is written into it.
    rank, size : int
        Number of this process, and of all processes.
    exchange : callable
        ``exchange(flat, partner)`` sends an array and returns the partner's.
    """
    distance = 1
    while distance < size:
        flat += exchange(flat, rank ^ distance)
        distance *= 2

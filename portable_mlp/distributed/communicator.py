"""What joins processes: a communicator of three members, and what more some of them can do."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from ..kernels.arrays import Array


class Communicator(Protocol):
    """Joins the processes that make the same calls in the same order.

    Attributes
    ----------
    rank : int
        Which process this is, from 0.
    size : int
        How many there are.
    """

    rank: int
    size: int

    def allreduce(self, flat: np.ndarray) -> None:
        """Replace each number by its sum over all processes, the same bits on each.

        Parameters
        ----------
        flat : ndarray
            C-contiguous, float32, float64 or int64, of the same shape on every process; written into.
        """


@runtime_checkable
class Exchanging(Protocol):
    """Can swap numbers between two processes, so that the order of a sum is ours."""

    def exchange(self, flat: np.ndarray, partner: int) -> np.ndarray:
        """Send an array to a process that sends one like it at the same time; return that one."""


@runtime_checkable
class OnDevice(Protocol):
    """Can add up arrays that are not on the host."""

    def takes(self, x: Array) -> bool:
        """Tell whether ``x`` is an array of the kind."""

    def allreduce_on_device(self, x: Array) -> None:
        """Do what ``allreduce`` does."""


class Serial:
    """One process, by itself."""

    rank, size = 0, 1

    def allreduce(self, flat: np.ndarray) -> None:
        """Leave what is its own sum."""

    def exchange(self, flat: np.ndarray, partner: int) -> np.ndarray:
        """There is nobody to exchange with."""
        raise AssertionError(f"one process has no partner {partner}")

"""The protocol of communicators, which connect processes, and the further methods that some of them have."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from ..kernels.arrays import Array


class Communicator(Protocol):
    """Connection of processes that make the same calls in the same order.

    Attributes
    ----------
    rank : int
        Number of this process, from 0.
    size : int
        Number of processes, at least 1.
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
    """A communicator that can exchange arrays between two processes, so that the order of a sum is ours."""

    def exchange(self, flat: np.ndarray, partner: int) -> np.ndarray:
        """Send an array to a process that sends one like it at the same time; return that one."""


@runtime_checkable
class OnDevice(Protocol):
    """A communicator that can add up arrays on a device."""

    def takes(self, x: Array) -> bool:
        """Return whether ``x`` is an array on such a device."""

    def allreduce_on_device(self, x: Array) -> None:
        """Replace each number by its sum over all processes, as ``allreduce`` does on the host."""


class Serial:
    """The communicator of a single process."""

    rank, size = 0, 1

    def allreduce(self, flat: np.ndarray) -> None:
        """Leave the array as it is: one process has its sum."""

    def exchange(self, flat: np.ndarray, partner: int) -> np.ndarray:
        """Raise AssertionError: there is no other process."""
        raise AssertionError(f"one process has no partner {partner}")

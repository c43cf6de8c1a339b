"""A group of processes around a communicator, as `portable_mlp.training` asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ..backends import backend_of
from ..kernels.arrays import Array
from .communicator import Communicator, Exchanging, OnDevice
from .ordered_sum import sum_in_order
from .supervision.heartbeat import Heartbeat

T = TypeVar("T")

SHARDS = 8
"""Into how many parts a batch is cut in a reproducible training."""


class ProcessGroup:
    """Processes that train one model.

    Parameters
    ----------
    comm : Communicator
        What joins them.
    reproducible : bool
        Whether a batch is always cut into ``SHARDS`` parts, whose gradients are added up in one order, whatever the
        number of processes.
    has_all_samples : bool
        Whether each of them is given all samples.

    Raises
    ------
    ValueError
        If a reproducible training is not possible with that many processes, with samples of their own, or with that
        communicator.
    """

    def __init__(self, comm: Communicator, *, reproducible: bool = False, has_all_samples: bool = True) -> None:
        self.rank, self.size = comm.rank, comm.size
        self.reproducible, self.has_all_samples = reproducible, has_all_samples
        self.n_shards = SHARDS if reproducible else comm.size
        self._comm, self._heartbeat = comm, Heartbeat(comm.rank)
        # Looked at once: it takes longer than a small sum.
        self._on_device = comm if isinstance(comm, OnDevice) else None
        if reproducible:
            _check_reproducible(comm, has_all_samples)

    def summed(self, message: Array) -> Array:
        """Return the sum over all processes; ``message`` is used up."""
        if self.reproducible:
            result = self._staged(message, self._sum_in_order)
        elif self._on_device is not None and self._on_device.takes(message):
            self._on_device.allreduce_on_device(message)
            result = message
        else:
            result = self._staged(message, self._comm.allreduce)
        self._heartbeat.beat()
        return result

    def gathered(self, *numbers: int) -> list[list[int]]:
        """Return the numbers of every process: a sum, to which each of them adds a row."""
        table = np.zeros((self.size, len(numbers)), dtype=np.int64)
        table[self.rank] = numbers
        self._comm.allreduce(table)
        self._heartbeat.beat()
        rows: list[list[int]] = table.tolist()
        return rows

    def on_root(self, compute: Callable[[], T]) -> T:
        """Return rank 0's ``compute()``; its ValueError, OSError or KeyboardInterrupt is raised on every rank."""
        if self.rank != 0:
            return _opened(json.loads(self.broadcast(None)))
        try:
            value = compute()
        except (ValueError, OSError, KeyboardInterrupt) as error:
            kind = next(kind for kind in _RAISED_BY_ALL if isinstance(error, _RAISED_BY_ALL[kind]))
            self.broadcast(json.dumps({"raised": kind, "message": str(error)}).encode())
            raise
        self.broadcast(json.dumps({"value": value}).encode())
        return value

    def broadcast(self, payload: bytes | None) -> bytes:
        """Return rank 0's bytes: a sum, to which the others add nothing."""
        ((n_bytes, *_), *_) = self.gathered(len(payload or b"") if self.rank == 0 else 0)
        words = np.zeros(-(-n_bytes // 8), dtype=np.int64)
        if self.rank == 0:
            words.view(np.uint8)[:n_bytes] = np.frombuffer(payload or b"", dtype=np.uint8)
        self._comm.allreduce(words)
        return words.tobytes()[:n_bytes]

    def broadcast_array(self, x: Array) -> Array:
        """Return rank 0's array, given one of the same shape and dtype."""
        backend = backend_of(x)
        host = backend.to_numpy(x)
        numbers = np.frombuffer(self.broadcast(host.tobytes()), dtype=host.dtype)
        return backend.asarray(numbers.reshape(host.shape), dtype=host.dtype.name)

    def _sum_in_order(self, flat: np.ndarray) -> None:
        assert isinstance(self._comm, Exchanging)  # looked at in the beginning
        sum_in_order(flat, self.rank, self.size, self._comm.exchange)

    @staticmethod
    def _staged(message: Array, add_up: Callable[[np.ndarray], None]) -> Array:
        """Add up on the host, in the array's own memory where it is there."""
        if isinstance(message, np.ndarray):
            add_up(message)
            return message
        backend = backend_of(message)
        host = backend.to_numpy(message)
        can_be_written = host.flags.writeable and host.flags.c_contiguous
        if not can_be_written:
            host = host.copy()
        add_up(host)
        # PyTorch's memory of the CPU is the host's; elsewhere the host has a copy.
        if can_be_written and str(backend.device) == "cpu":
            return message
        return backend.asarray(host, dtype=host.dtype.name)


_RAISED_BY_ALL: dict[str, type[BaseException]] = {
    "ValueError": ValueError,
    "OSError": OSError,
    "KeyboardInterrupt": KeyboardInterrupt,
}


def _opened(decision: dict[str, Any]) -> Any:
    if "raised" in decision:
        raise _RAISED_BY_ALL[decision["raised"]](decision["message"])
    return decision["value"]


def _check_reproducible(comm: Communicator, has_all_samples: bool) -> None:
    if comm.size & (comm.size - 1) or comm.size > SHARDS:
        raise ValueError(f"a reproducible training takes 1, 2, 4 or {SHARDS} processes, got {comm.size}")
    if not has_all_samples:
        raise ValueError(
            'a reproducible training needs all samples on every process (a file opened with mmap_mode="r" costs no '
            'memory), got samples="own"'
        )
    if not isinstance(comm, Exchanging):
        raise ValueError(
            f"a reproducible training adds up in an order of its own: {type(comm).__name__} needs a method "
            "exchange(flat, partner), which sends an array to a process and returns what that one sends"
        )

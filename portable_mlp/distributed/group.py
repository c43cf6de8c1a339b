"""The group of processes that train one model, and which group this process trains in."""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from ..backends import backend_of
from ..kernels.arrays import Array
from .communicator import Communicator, Exchanging, OnDevice
from .ordered_sum import sum_in_order
from .supervision.heartbeat import Heartbeat

T = TypeVar("T")

SHARDS = 8
"""Number of parts into which a batch is cut in reproducible training."""

WORD = 8
"""The number of bytes of an int64, as which bytes are sent."""


class Group:
    """The processes, called ranks, that train one model; each of them makes the same calls in the same order.

    Parameters
    ----------
    comm : Communicator
        Connection of the ranks.
    reproducible : bool
        Whether a batch is always cut into ``SHARDS`` parts, whose gradients are added up in one order, whatever the
        number of ranks.
    has_all_samples : bool
        Whether each rank is given all samples, or those of its own.

    Attributes
    ----------
    rank : int
        Number of this process, from 0.
    size : int
        Number of ranks in the group.
    n_shards : int
        Number of parts into which a batch is cut; a multiple of ``size``.
    reproducible, has_all_samples : bool
        The parameters of the same names.

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
        # Checked once: the check takes longer than a small sum.
        self._on_device = comm if isinstance(comm, OnDevice) else None
        if reproducible:
            _check_reproducible(comm, has_all_samples)

    def summed(self, message: Array) -> Array:
        """Return the sum over all ranks, the same bits on each; ``message`` is used up."""
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
        """Return the numbers of every rank: a sum, to which each of them adds a row."""
        table = np.zeros((self.size, len(numbers)), dtype=np.int64)
        table[self.rank] = numbers
        self._comm.allreduce(table)
        self._heartbeat.beat()
        rows: list[list[int]] = table.tolist()
        return rows

    def on_root(self, compute: Callable[[], T]) -> T:
        """Return on every rank what ``compute()`` returns on rank 0, which alone calls it: a value that JSON can hold.

        Meanwhile rank 0 trains alone: a fit in a callback meets no other rank. A ValueError, OSError or
        KeyboardInterrupt there is raised on every rank.
        """
        if self.rank != 0:
            return _value_or_raised(json.loads(self.broadcast(None)))
        try:
            with training_in(None):
                value = compute()
        except (ValueError, OSError, KeyboardInterrupt) as error:
            kind = next(kind for kind in _RAISED_BY_ALL if isinstance(error, _RAISED_BY_ALL[kind]))
            self.broadcast(json.dumps({"raised": kind, "message": str(error)}).encode())
            raise
        self.broadcast(json.dumps({"value": value}).encode())
        return value

    def broadcast(self, payload: bytes | None) -> bytes:
        """Return rank 0's bytes; what the others give is not sent."""
        return self.bytes_of_all((payload or b"") if self.rank == 0 else b"")[0]

    def bytes_of_all(self, payload: bytes) -> list[bytes]:
        """Return the bytes of every rank: a sum, to which each of them adds its part."""
        lengths = [length for (length,) in self.gathered(len(payload))]
        starts = [0, *itertools.accumulate(-(-length // WORD) for length in lengths)]
        words = np.zeros(starts[-1], dtype=np.int64)
        words[starts[self.rank] :].view(np.uint8)[: len(payload)] = np.frombuffer(payload, dtype=np.uint8)
        self._comm.allreduce(words)
        return [words[i:].view(np.uint8)[:length].tobytes() for i, length in zip(starts[:-1], lengths, strict=True)]

    def broadcast_array(self, x: Array) -> Array:
        """Return rank 0's array, given one of the same shape and dtype."""
        backend = backend_of(x)
        host = backend.to_numpy(x)
        numbers = np.frombuffer(self.broadcast(host.tobytes()), dtype=host.dtype)
        return backend.asarray(numbers.reshape(host.shape), dtype=host.dtype.name)

    def _sum_in_order(self, flat: np.ndarray) -> None:
        assert isinstance(self._comm, Exchanging)  # checked by _check_reproducible
        sum_in_order(flat, self.rank, self.size, self._comm.exchange)

    @staticmethod
    def _staged(message: Array, add_up: Callable[[np.ndarray], None]) -> Array:
        """Return the sum, added up on the host: in the array's own memory where that is the host's."""
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


def _value_or_raised(decision: dict[str, Any]) -> Any:
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


_current: contextvars.ContextVar[Group | None] = contextvars.ContextVar("group", default=None)


def current_group() -> Group | None:
    """Return the group that this process trains in, None where it trains alone."""
    return _current.get()


def several_ranks() -> Group | None:
    """Return the current group if it has more ranks than this one."""
    group = _current.get()
    return group if group is not None and group.size > 1 else None


@contextlib.contextmanager
def training_in(group: Group | None) -> Iterator[None]:
    """Make a group the current one while the context lasts; with None the process trains alone."""
    token = _current.set(group)
    try:
        yield
    finally:
        _current.reset(token)


def on_root(compute: Callable[[], T]) -> T:
    """Return what ``compute()`` returns on rank 0 of the current group; without a group, what it returns here."""
    group = current_group()
    return compute() if group is None else group.on_root(compute)


def is_root() -> bool:
    """Return whether this process is rank 0 of its group, or trains alone."""
    group = current_group()
    return group is None or group.rank == 0


def refuse_in_group(what: str) -> None:
    """Raise ValueError if this process trains in a group."""
    group = current_group()
    if group is not None and group.size == 1:
        raise ValueError(f"{what} is for one process without a group: leave parallel(...), or --reproducible, out")
    if group is not None:
        raise ValueError(f"{what} is for one process, but {group.size} train together: leave parallel(...) for it")


def refuse_own_samples(what: str) -> None:
    """Raise ValueError where each rank has samples of its own."""
    group = current_group()
    if group is not None and not group.has_all_samples:
        raise ValueError(f'{what} takes all samples on every process, but parallel(...) has samples="own"')

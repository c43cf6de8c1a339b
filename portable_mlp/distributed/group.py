"""Several processes that train one model: what training asks of them, and which they are."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from ..kernels.arrays import Array

T = TypeVar("T")


class Group(Protocol):
    """The processes, called ranks, that train one model. Each of them makes the same calls in the same order.

    Attributes
    ----------
    rank : int
        Which one this is, from 0.
    size : int
        How many there are.
    n_shards : int
        Into how many parts a batch is cut; a multiple of ``size``.
    reproducible : bool
        Whether ``n_shards`` and the order in which their gradients are added up are the same for every ``size``.
    has_all_samples : bool
        Whether each rank is given all samples, or those of its own.
    """

    rank: int
    size: int
    n_shards: int
    reproducible: bool
    has_all_samples: bool

    def summed(self, message: Array) -> Array:
        """Return the sum over all ranks, the same bits on each; ``message`` is used up."""

    def gathered(self, *numbers: int) -> list[list[int]]:
        """Return the numbers of every rank."""

    def on_root(self, compute: Callable[[], T]) -> T:
        """Return on every rank what ``compute()`` returns on rank 0, which alone calls it: a value that JSON can hold.

        A ValueError, OSError or KeyboardInterrupt there is raised on every rank.
        """

    def broadcast(self, payload: bytes | None) -> bytes:
        """Return rank 0's bytes."""

    def broadcast_array(self, x: Array) -> Array:
        """Return rank 0's array, given one of the same shape and dtype."""


_current: contextvars.ContextVar[Group | None] = contextvars.ContextVar("group", default=None)


def current_group() -> Group | None:
    """Return the group that trains now, None where this process trains alone."""
    return _current.get()


@contextlib.contextmanager
def training_in(group: Group) -> Iterator[None]:
    """Let a group train while the context lasts."""
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
    """Raise ValueError if several processes train."""
    group = current_group()
    if group is not None:
        raise ValueError(f"{what} is for one process, but {group.size} train together: leave parallel(...) for it")


def refuse_own_samples(what: str) -> None:
    """Raise ValueError where each rank has samples of its own."""
    group = current_group()
    if group is not None and not group.has_all_samples:
        raise ValueError(f'{what} takes all samples on every process, but parallel(...) has samples="own"')

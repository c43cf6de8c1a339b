"""Many steps in one call on a GPU: recorded once as a graph of kernels, from there on launched in one go.

A recording repeats the very same kernels on the very same memory. So whatever changes from call to call lies in memory
that the recording reads: the row numbers of its batches and the optimizer's scalars go in, the losses come out. A
Python number that changed would be the one it was when the recording was made.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import array_api_compat

from ..kernels.arrays import Array
from ..kernels.optimizers import Scalars
from ..kernels.room import Room

_ONE_AT_A_TIME = threading.Lock()
"""Held while recording: what another thread records, or destroys, at the same time can break both recordings."""


class Recorder(Protocol):
    """How a library records what it launches.

    Attributes
    ----------
    xp : namespace
        The library's functions; its arrays can be written into by index.
    """

    xp: Any

    def aside(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which steps run that are not recorded: on the stream of recordings, in order."""

    def table(self, rows: Sequence[Scalars], dtype: Any) -> Array:
        """Bring numbers (n_rows, n_columns) to the device, without waiting for it."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what ``work`` launches, without running it; return what launches all of it again.

        What is allocated meanwhile stays the recording's own, which nothing else may use while it can be launched.
        """


class _Recording(NamedTuple):
    """Steps that were recorded, and the memory that they read (rows, table) and write (total, losses)."""

    launch: Callable[[], None]
    rows: Array
    table: Array
    total: Array
    losses: Array


class RecordedSteps:
    """``many(carry, data, order, starts, size, scalars, room)`` of `Backend.repeat`, for primitives that write.

    The first call with batches of a size launches kernel after kernel, and everything is compiled and planned; later
    ones are recorded. What cannot be recorded goes on as in the first call, with one warning.

    One loop in one thread uses it.

    Parameters
    ----------
    step : callable
        As `Backend.repeat` takes it.
    recorder : Recorder
        Of the library.
    """

    def __init__(self, step: Callable[..., Any], recorder: Recorder) -> None:
        self._step, self._recorder, self._records = step, recorder, True
        self._memory: list[Any] = []
        self._rooms: dict[int, Room] = {}
        self._prepared: set[int] = set()
        self._recordings: dict[tuple[int, int], _Recording] = {}

    def __call__(
        self,
        carry: Any,
        data: Any,
        order: Array,
        starts: Sequence[int],
        size: int,
        scalars: Sequence[Scalars],
        room: Room,
    ) -> tuple[Any, Array]:
        """Take the steps; parameters and moments are written over."""
        table = self._recorder.table(scalars, data.X.dtype)
        self._bind([carry.held, *carry.state, *data], size, room)
        key = (len(starts), size)
        if self._records and size in self._prepared and key not in self._recordings:
            self._try_to_record(key, carry, data, order, table, room)
        self._prepared.add(size)
        if key in self._recordings:
            return self._replayed(self._recordings[key], carry, order, starts, size, table)
        with self._recorder.aside():
            batches = (order[start : start + size] for start in starts)
            carry, losses = _stepped(self._step, carry, data, batches, table, room)
            return carry, self._recorder.xp.stack(losses)

    def _bind(self, memory: list[Any], size: int, room: Room) -> None:
        """Forget recordings of other memory; keep alive what they use, since a recording owns nothing."""
        same = len(memory) == len(self._memory) and all(a is b for a, b in zip(memory, self._memory, strict=True))
        if not (same and self._rooms.get(size, room) is room):
            self._recordings, self._prepared, self._rooms = {}, set(), {}
        self._memory, self._rooms[size] = memory, room

    def _try_to_record(
        self, key: tuple[int, int], carry: Any, data: Any, order: Array, table: Array, room: Room
    ) -> None:
        try:
            with _ONE_AT_A_TIME:
                self._recordings[key] = self._record(*key, carry, data, order, table, room)
        except Exception as error:
            self._records, self._recordings = False, {}
            warnings.warn(
                f"training steps could not be recorded as a graph ({type(error).__name__}: {error}); they are launched "
                "one by one, with the same results, later",
                RuntimeWarning,
                stacklevel=2,
            )

    def _record(
        self, n_steps: int, size: int, carry: Any, data: Any, order: Array, table: Array, room: Room
    ) -> _Recording:
        """Record so many steps, with memory of their own for what goes in and out."""
        xp, device = self._recorder.xp, array_api_compat.device(data.X)
        rows = xp.empty((n_steps * size,), dtype=order.dtype, device=device)
        table, total = xp.empty_like(table), xp.empty_like(carry.total)
        losses = xp.empty((n_steps, *total.shape), dtype=total.dtype, device=device)

        step = self._step  # not self, which holds the recording: what it uses would outlive the training

        def work() -> None:
            batches = (rows[start : start + size] for start in range(0, n_steps * size, size))
            after, each = _stepped(step, carry._replace(total=total), data, batches, table, room)
            if after.total is not total:
                total[...] = after.total
            for i, loss in enumerate(each):
                losses[i, ...] = loss

        return _Recording(self._recorder.record(work), rows, table, total, losses)

    def _replayed(
        self, recording: _Recording, carry: Any, order: Array, starts: Sequence[int], size: int, table: Array
    ) -> tuple[Any, Array]:
        """Put in what this call brings, and launch."""
        for place, (start, stop) in _runs(starts, size):
            recording.rows[place : place + stop - start] = order[start:stop]
        recording.table[...] = table
        recording.total[...] = carry.total
        recording.launch()
        # A copy: the losses of all calls are looked at together, at the end of the epoch.
        return carry._replace(total=recording.total), self._recorder.xp.asarray(recording.losses, copy=True)


def _stepped(
    step: Callable[..., Any], carry: Any, data: Any, batches: Iterable[Array], table: Array, room: Room
) -> tuple[Any, list[Array]]:
    """Take one step after another; leave parameters and moments in the memory they came in."""
    now, losses = carry, []
    for i, rows in enumerate(batches):
        now, loss = step(now, data, rows, table[i], room)
        losses.append(loss)
    for ours, theirs in zip((carry.held, *carry.state), (now.held, *now.state), strict=True):
        if theirs is not ours:
            ours[...] = theirs
    return carry._replace(total=now.total), losses


def _runs(starts: Sequence[int], size: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield stretches of the order that follow each other, ``(place, (start, stop))``: one copy for many batches.

    >>> list(_runs([10, 15, 20, 0], 5))
    [(0, (10, 25)), (15, (0, 5))]
    """
    first = 0
    for i in range(1, len(starts) + 1):
        if i == len(starts) or starts[i] != starts[i - 1] + size:
            yield first * size, (starts[first], starts[i - 1] + size)
            first = i

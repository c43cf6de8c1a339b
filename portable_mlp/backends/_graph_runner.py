"""Many steps in one call on a GPU: recorded once as a graph of kernels, then launched as one.

A recording repeats the same kernels on the same memory. So everything that changes from call to call is in memory that
the recording reads or writes: the row numbers of its batches and the optimizer's scalars are inputs, the losses are
outputs. A Python number would keep the value that it had during the recording.
"""

from __future__ import annotations

import contextlib
import gc
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from ..kernels.arrays import Array, device_of
from ..kernels.batch import Batch, Span
from ..kernels.optimizers import Scalars, State
from ..kernels.step import Carry, Program
from ..kernels.workspace import Workspace
from .portable_runner import PortableRunner
from .runner import STEPS_A_CALL, RunnerCall, runs

if TYPE_CHECKING:
    from ._base import Backend

ONE_AT_A_TIME = threading.RLock()
"""The lock of recordings: a thread that records, or makes the device wait, can break the recording of another."""

T = TypeVar("T")

LAUNCHES_FIRST = 2
"""How often a call that comes once an epoch is launched before it is recorded, which costs about as much as that."""


@contextlib.contextmanager
def lent(idle: list[T], make: Callable[[], T]) -> Iterator[T]:
    """Lend a thing to one user at a time, until the context ends in whichever thread; make one if none is idle."""
    with ONE_AT_A_TIME:
        found = idle.pop() if idle else make()
    try:
        yield found
    finally:
        idle.append(found)


class Recorder(Protocol):
    """The interface for recording the kernels that a library launches.

    Attributes
    ----------
    xp : namespace
        The library's namespace; its arrays can be written into by index.
    """

    xp: Any

    def aside(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context for steps that are not recorded, which must run on the stream of recordings, in order."""

    def table(self, rows: Sequence[Scalars], dtype: Any) -> Array:
        """Move numbers (n_rows, n_columns) to the device, without waiting for it."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record the kernels that ``work`` launches, without running them; return a function that launches them all.

        Memory allocated meanwhile belongs to the recording: nothing else may use it as long as it can be launched.
        """


class _Recording(NamedTuple):
    """Recorded steps, and the memory that they read (rows, table) and write (total, losses)."""

    launch: Callable[[], None]
    rows: Array
    table: Array
    total: Array
    losses: Array


class GraphRunner(PortableRunner):
    """Records steps once, and launches all of a call as one graph; for primitives that write.

    The first call with a size of batches launches kernel by kernel, and so compiles and plans everything; later ones
    are recorded if they come again. If that fails, all calls continue kernel by kernel, with one warning. A step with
    masks is always launched kernel by kernel.

    Parameters
    ----------
    backend, program
        The library and device, and the definition of a step, as for `Runner`.
    recorder : Recorder
        The recorder of the library.
    """

    steps_a_call = STEPS_A_CALL
    takes_masks = False
    joins_epochs = False

    def __init__(self, backend: Backend, program: Program, recorder: Recorder) -> None:
        super().__init__(backend, program)
        self._recorder, self._records = recorder, True
        self._memory: list[Any] = []
        self._compiled: set[int] = set()
        self._launched: Counter[tuple[int, int]] = Counter()
        self._due: Counter[tuple[int, int]] = Counter()
        self._recordings: dict[tuple[int, int], _Recording] = {}

    def start(self, flat: Array, moments: State, total: Array) -> Carry:
        """Return the first carry; drop recordings, which use the memory of another."""
        self._bind([])
        return super().start(flat, moments, total)

    def calls(self, spans: Sequence[Span], n_steps: int, every: int | None) -> Iterable[Sequence[Span]]:
        """Divide batches into those of one call each, and count the calls of each kind that are due."""
        calls = list(super().calls(spans, n_steps, every))
        self._due = Counter(map(_kind, calls))
        return calls

    def take(self, carry: Carry, call: RunnerCall) -> tuple[Carry, Array]:
        """Take the steps; parameters and moments are overwritten."""
        data, order, spans, scalars, masks = call
        if masks is not None:
            return super().take(carry, call)
        self._bind([carry.parameters, *carry.state, *data])
        table = self._recorder.table(scalars, data.X.dtype)
        key = _, size = _kind(spans)
        workspace = self._workspace(carry.parameters, size)
        if self._records and size in self._compiled and key not in self._recordings and self._comes_again(key):
            self._try_to_record(key, carry, data, order, table, workspace)
        self._compiled.add(size)
        self._due[key] -= 1
        if key in self._recordings:
            return self._replayed(self._recordings[key], carry, order, spans, table)
        self._launched[key] += 1
        with self._recorder.aside():
            batches, losses = (order[start:stop] for start, stop in spans), self._empty_losses(carry, len(spans))
            return _stepped(self._step, carry, data, batches, table, workspace, losses), losses

    def _empty_losses(self, carry: Carry, n_steps: int) -> Array:
        total = carry.total
        device = device_of(total)
        return self._recorder.xp.empty((n_steps, *total.shape), dtype=total.dtype, device=device)

    def _bind(self, memory: list[Any]) -> None:
        """Drop recordings of other memory; keep references to the arrays in use, since a recording owns none."""
        if len(memory) != len(self._memory) or any(a is not b for a, b in zip(memory, self._memory, strict=True)):
            self._memory, self._compiled, self._launched, self._recordings = memory, set(), Counter(), {}

    def _comes_again(self, key: tuple[int, int]) -> bool:
        """Return whether a recording would be launched again: in this epoch, or by all signs in later ones."""
        return self._due[key] > 1 or self._launched[key] >= LAUNCHES_FIRST

    def _try_to_record(
        self, key: tuple[int, int], carry: Carry, data: Batch, order: Array, table: Array, workspace: Workspace | None
    ) -> None:
        try:
            with ONE_AT_A_TIME, _no_garbage_collection():
                self._recordings[key] = self._record(*key, carry, data, order, table, workspace)
        except Exception as error:
            self._records, self._recordings = False, {}
            warnings.warn(
                f"training steps could not be recorded as a graph ({type(error).__name__}: {error}); they are launched "
                "one by one, with the same results, later",
                RuntimeWarning,
                stacklevel=2,
            )

    def _record(
        self,
        n_steps: int,
        size: int,
        carry: Carry,
        data: Batch,
        order: Array,
        table: Array,
        workspace: Workspace | None,
    ) -> _Recording:
        """Record ``n_steps`` steps, with memory of their own for inputs and outputs."""
        xp, device = self._recorder.xp, device_of(data.X)
        rows = xp.empty((n_steps * size,), dtype=order.dtype, device=device)
        table, total = xp.empty_like(table), xp.empty_like(carry.total)
        losses = self._empty_losses(carry, n_steps)

        step = self._step  # not self: it owns the recording, and the cycle would keep GPU memory beyond the training

        def work() -> None:
            batches = (rows[start : start + size] for start in range(0, n_steps * size, size))
            after = _stepped(step, carry._replace(total=total), data, batches, table, workspace, losses)
            if after.total is not total:
                total[...] = after.total

        return _Recording(self._recorder.record(work), rows, table, total, losses)

    def _replayed(
        self, recording: _Recording, carry: Carry, order: Array, spans: Sequence[Span], table: Array
    ) -> tuple[Carry, Array]:
        """Copy the inputs of this call into the recording's memory, and launch it."""
        for place, (start, stop) in runs(spans):
            recording.rows[place : place + stop - start] = order[start:stop]
        recording.table[...] = table
        recording.total[...] = carry.total
        recording.launch()
        # A copy: the next launch overwrites them, and all losses are read together at the end of the epoch.
        return carry._replace(total=recording.total), self._recorder.xp.asarray(recording.losses, copy=True)


def _kind(spans: Sequence[Span]) -> tuple[int, int]:
    """Return the number of steps of a call, and the size of its batches."""
    return len(spans), spans[0][1] - spans[0][0]


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Suspend the garbage collector: destroying an old stream or event would break the recording."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _stepped(
    step: Callable[..., Any],
    carry: Carry,
    data: Batch,
    batches: Iterable[Array],
    table: Array,
    workspace: Workspace | None,
    losses: Array,
) -> Carry:
    """Take one step after another; write parameters and moments into the memory of ``carry``, and each loss."""
    now = carry
    for i, rows in enumerate(batches):
        place = losses[i, ...]
        now, loss = step(now, data, rows, table[i], workspace and workspace._replace(loss=place))
        if loss is not place:
            place[...] = loss
    for ours, theirs in zip((carry.parameters, *carry.state), (now.parameters, *now.state), strict=True):
        if theirs is not ours:
            ours[...] = theirs
    return carry._replace(total=now.total)

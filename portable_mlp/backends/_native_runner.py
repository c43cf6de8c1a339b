"""Many steps in one call on a CPU: recorded on a tape once, then replayed by compiled code, without Python in between.

A tape (`_tape`, `_recording`) records the step of `portable_mlp.kernels.step` itself, so that every activation, loss
and option made of NumPy's own functions is supported, to the same bits. Steps are computed one by one, to the same bits
again, for

- several models at once, float16, labels other than int64, inputs that are not in row order;
- large batches in the samples' own order, which are not gathered, unless they are all samples;
- formulas that read a value or call a function that tapes do not support, and optimizers without a loop;
- all steps until the compiled code is loaded: from disk after the first few steps of a process, or by compilation once
  the process has trained for so long that the delay does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kernels.arrays import Array
from ..kernels.batch import Batch, Span
from ..kernels.optimizers import State
from ..kernels.step import Carry, Program
from ._compiled_steps import compiled_steps, take_steps
from ._recording import BatchKind, RunTapes
from .portable_runner import PortableRunner
from .runner import RunnerCall, calls_of_any_sizes, steps_of_short_call

if TYPE_CHECKING:
    from ._base import Backend


class NativeRunner(PortableRunner):
    """Takes many steps in one compiled call, for NumPy with Numba."""

    def __init__(self, backend: Backend, program: Program) -> None:
        super().__init__(backend, program)
        self._dtype: Any = None
        self._tapes: RunTapes | None = None

    def start(self, flat: Array, moments: State, total: Array) -> Carry:
        """Return the first carry; drop recordings of other memory."""
        self._tapes = None
        self._dtype = flat.dtype
        return super().start(flat, moments, total)

    def prepared(self, data: Batch, order: Any) -> Any:
        """Return an order as it is: the steps read it on the host."""
        return order

    def calls(self, spans: Sequence[Span], n_steps: int, every: int | None) -> Iterator[Sequence[Span]]:
        """Divide batches into calls: as many as keep Ctrl-C prompt, where they are compiled, else one batch each."""
        return calls_of_any_sizes(spans, n_steps, every, self._most)

    def take(self, carry: Carry, call: RunnerCall) -> tuple[Carry, Array]:
        """Take the steps; parameters and moments are overwritten."""
        if compiled_steps.may_pay:
            tapes = self._tapes_of(carry, call.data)
            sizes = {stop - start for start, stop in call.spans}
            places: dict[int, Any] = {size: tapes.place(_kind(call, size)) for size in sizes}
            if None not in places.values() and compiled_steps.get(self._dtype):
                self._workspaces.clear()  # of steps before the compiled code was loaded
                return _replayed(tapes, places, carry, call)
        if len(call.spans) == 1:
            with compiled_steps.counted():
                return super().take(carry, call)
        losses = []
        for step in call.one_by_one():
            carry, loss = super().take(carry, step)
            losses.append(loss)
        return carry, np.stack(losses)

    def _most(self, size: int) -> int:
        """Return the most steps of a call that begins with a batch of a size."""
        if not compiled_steps.is_there(self._dtype) or (self._tapes is not None and self._tapes.lacks_some):
            return 1
        return steps_of_short_call(self.program.net, size)

    def _tapes_of(self, carry: Carry, data: Batch) -> RunTapes:
        """Return the recorded steps for this memory; drop those for other memory."""
        if self._tapes is None or not self._tapes.are_of(carry, data):
            self._tapes = RunTapes(self.program, carry, data)
        return self._tapes


def _kind(call: RunnerCall, size: int) -> BatchKind:
    """Return what batches of a size are to a recording."""
    # In the samples' own order no gathering is needed, and copying a large batch would cost more than it saves.
    gathers = call.order is not None or 2 * size <= call.data.n_samples
    return BatchKind(size, gathers, call.masks is not None)


def _replayed(tapes: RunTapes, places: Mapping[int, Span], carry: Carry, call: RunnerCall) -> tuple[Carry, Array]:
    """Replay the recorded steps of a call; the operations for batches of each size are at these places."""
    numbers = tapes.numbers
    dtype, losses = numbers.loss.dtype, np.empty(len(call.spans), numbers.loss.dtype)
    steps = np.asarray([(*places[stop - start], start, stop, 0) for start, stop in call.spans], dtype=np.int64)
    order, masks = call.order, np.empty(0, dtype)
    if order is None:
        first = int(steps[:, 2].min())
        order = np.arange(first, int(steps[:, 3].max()))
        steps[:, 2:4] -= first
    if call.masks is not None:
        sizes = [sum(mask.size for mask in each) for each in call.masks]
        steps[:, 4] = np.cumsum(sizes) - sizes
        masks = np.concatenate([masks, *(mask.reshape(-1) for each in call.masks for mask in each)])
    numbers.total[...] = carry.total
    take_steps(
        tapes.operations,
        steps,
        order.astype(np.int64, copy=False),
        masks,
        np.asarray(call.scalars, dtype=dtype),
        numbers.scalars,
        numbers.loss,
        losses,
        dtype.type(0),
        True,
    )
    return Carry(carry.parameters, carry.state, numbers.total[()]), losses

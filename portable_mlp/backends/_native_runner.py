"""Many steps in one call on a CPU: recorded on a tape once, then replayed by compiled code, without Python in between.

A tape (`_tape`, `_recording`) records the step of `portable_mlp.kernels.step` itself, so that every activation, loss
and option made of NumPy's own functions is supported, to the same bits. Steps are computed one by one, to the same bits
again, for

- several models at once, float16, labels other than int64, inputs that are not in row order;
- dropout, whose masks come from the host; large batches in the samples' own order, which are not gathered, unless they
  are all samples;
- formulas that read a value or call a function that tapes do not support, and optimizers without a loop;
- all steps until the compiled code is loaded: from disk after the first few steps of a process, or by compilation once
  the process has trained for so long that the delay does not matter.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kernels.arrays import Array
from ..kernels.batch import Batch, Span
from ..kernels.optimizers import Scalars, State
from ..kernels.step import Carry, Program
from ._compiled_steps import compiled_steps, take_steps
from ._recording import TapedSteps, recording_of
from .portable_runner import PortableRunner
from .runner import STEPS_A_CALL, RunnerCall, runs

if TYPE_CHECKING:
    from ._base import Backend

OPERATIONS_A_CALL = 1e9
"""Arithmetic operations per call: a twentieth of a second on a slow processor, the longest delay of a Ctrl-C."""


class NativeRunner(PortableRunner):
    """Takes many steps in one compiled call, for NumPy with Numba."""

    def __init__(self, backend: Backend, program: Program) -> None:
        super().__init__(backend, program)
        self._dtype: Any = None
        self._memory: list[Any] = []
        self._recordings: dict[tuple[int, bool], TapedSteps | None] = {}

    def start(self, flat: Array, moments: State, total: Array) -> Carry:
        """Return the first carry; drop recordings of other memory."""
        self._bind([])
        self._dtype = flat.dtype
        return super().start(flat, moments, total)

    def prepared(self, data: Batch, order: Any) -> Any:
        """Return an order as it is: the steps read it on the host."""
        return order

    def calls(self, spans: Sequence[Span], n_steps: int, every: int | None) -> Iterator[Sequence[Span]]:
        """Divide batches into calls: one batch each until steps are recorded, then as many as keep Ctrl-C prompt."""
        done = 0
        while done < len(spans):
            start, stop = spans[done]
            n_now = self._most(stop - start)
            if every is not None:
                n_now = min(n_now, every - (n_steps + done) % every)
            yield spans[done : done + n_now]
            done += n_now

    def take(self, carry: Carry, call: RunnerCall) -> tuple[Carry, Array]:
        """Take the steps; parameters and moments are overwritten."""
        data, order, spans, scalars, masks = call
        first, losses = 0, []
        for size, same in itertools.groupby([stop - start for start, stop in spans]):
            last = first + len(list(same))
            part = RunnerCall(data, order, list(spans[first:last]), scalars[first:last], masks)
            carry, loss = self._take_of_one_size(carry, part, size)
            losses.append(loss)
            first = last
        return carry, losses[0] if len(losses) == 1 else np.concatenate(losses, axis=None)

    def _take_of_one_size(self, carry: Carry, call: RunnerCall, size: int) -> tuple[Carry, Array]:
        data, order, spans, scalars, masks = call
        # In the samples' own order no gathering is needed, and copying a large batch would cost more than it saves.
        gathers = order is not None or 2 * size <= data.n_samples
        if masks is None and (gathers or size == data.n_samples) and compiled_steps.may_pay:
            recording = self._recorded(carry, data, size, gathers=gathers)
            if recording is not None and compiled_steps.get(self._dtype):
                self._workspaces.clear()  # of steps before the compiled code was loaded
                return _replayed(recording, carry, order, spans, scalars)
        if len(spans) == 1:
            with compiled_steps.counted():
                return super().take(carry, call)
        losses = []
        for span, numbers in zip(spans, scalars, strict=True):
            carry, loss = super().take(carry, call._replace(spans=[span], scalars=[numbers]))
            losses.append(loss)
        return carry, np.stack(losses)

    def _most(self, size: int) -> int:
        """Return the most steps of a call that begins with a batch of a size."""
        if not self._recordings or None in self._recordings.values() or not compiled_steps.is_there(self._dtype):
            return 1
        sizes = self.program.net.sizes
        products = 6 * sum(a * b for a, b in itertools.pairwise(sizes))
        return max(1, min(STEPS_A_CALL, int(OPERATIONS_A_CALL / (size * (products + 200 * sum(sizes))))))

    def _bind(self, memory: list[Any]) -> None:
        """Drop recordings of other memory."""
        if len(memory) != len(self._memory) or not all(map(operator.is_, memory, self._memory)):
            self._memory, self._recordings = memory, {}

    def _recorded(self, carry: Carry, data: Batch, size: int, *, gathers: bool) -> TapedSteps | None:
        """Return the recorded step for batches of this size, None if it cannot be recorded."""
        self._bind([carry.parameters, *carry.state, *data])
        key = size, gathers
        if key not in self._recordings:
            given = [x for x in self._memory if x is not None]
            try:
                recording = recording_of(self.program, size, carry, data, gathers=gathers)
                self._recordings[key] = recording.bound_to(given)
            except Exception:  # a real error is raised again when the step is computed
                self._recordings[key] = None
        return self._recordings[key]


def _replayed(
    recording: TapedSteps, carry: Carry, order: np.ndarray | None, spans: Sequence[Span], scalars: Sequence[Scalars]
) -> tuple[Carry, Array]:
    """Replay the recorded step for the batches and scalars of a call."""
    dtype = recording.loss.dtype
    losses = np.empty(len(spans), dtype)
    recording.total[...] = carry.total
    take_steps(
        recording.operations,
        _rows(order, spans) if recording.rows.size else np.empty((len(spans), 0), np.int64),  # all samples, as they are
        recording.rows,
        np.asarray(scalars, dtype=dtype),
        recording.scalars,
        recording.loss,
        losses,
        dtype.type(0),
        True,
    )
    return Carry(carry.parameters, carry.state, recording.total[()]), losses


def _rows(order: np.ndarray | None, spans: Sequence[Span]) -> np.ndarray:
    """Return the row numbers of batches of one size, (n_batches, batch_size), int64."""
    first, last = spans[0][0], spans[-1][1]
    if last - first == len(spans) * (spans[0][1] - first):  # most often they are one after the other
        stretches = [(first, last)]
    else:
        stretches = [some for _, some in runs(spans)]
    rows = [np.arange(*some) if order is None else order[slice(*some)] for some in stretches]
    together = rows[0] if len(rows) == 1 else np.concatenate(rows)
    return together.astype(np.int64, copy=False).reshape(len(spans), -1)

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

    def calls(self, spans: Sequence[Span], n_steps: int, every: int | None) -> Iterator[Sequence[Span]]:
        """Divide batches into calls: one batch each until steps are recorded, then as many as keep Ctrl-C prompt."""
        if len(spans) == 1:
            yield spans
            return
        done = 0
        while done < len(spans):
            size = _n_samples(spans[done])
            recorded = any(self._recordings.get((size, gathers)) for gathers in (True, False))
            is_native = recorded and compiled_steps.is_there(self._dtype)
            n_now = self._most(size) if is_native else 1
            if every is not None:
                n_now = min(n_now, every - (n_steps + done) % every)
            some = spans[done : done + n_now]
            same = next((i for i, span in enumerate(some) if _n_samples(span) != size), len(some))
            yield some[:same]
            done += same

    def take(self, carry: Carry, call: RunnerCall) -> tuple[Carry, Array]:
        """Take the steps; parameters and moments are overwritten."""
        data, order, spans, scalars, masks = call
        size = _n_samples(spans[0])
        # In the samples' own order no gathering is needed, and copying a large batch would cost more than it saves.
        gathers = order is not None or 2 * size <= data.n_samples
        if masks is None and (gathers or size == data.n_samples) and compiled_steps.may_pay:
            recording = self._recorded(carry, data, size, gathers=gathers)
            if recording is not None and compiled_steps.get(self._dtype):
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
        sizes = self.program.net.sizes
        products = 6 * sum(a * b for a, b in itertools.pairwise(sizes))
        return max(1, min(STEPS_A_CALL, int(OPERATIONS_A_CALL / (size * (products + 200 * sum(sizes))))))

    def _bind(self, memory: list[Any]) -> None:
        """Drop recordings of other memory."""
        if len(memory) != len(self._memory) or any(a is not b for a, b in zip(memory, self._memory, strict=True)):
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


def _n_samples(span: Span) -> int:
    return span[1] - span[0]


def _replayed(
    recording: TapedSteps, carry: Carry, order: np.ndarray | None, spans: Sequence[Span], scalars: Sequence[Scalars]
) -> tuple[Carry, Array]:
    """Replay the recorded step for the batches and scalars of a call."""
    dtype = recording.loss.dtype
    losses = np.empty(len(spans), dtype)
    recording.total[...] = carry.total
    if recording.rows.size:
        stretches = [np.arange(*some) if order is None else order[slice(*some)] for _, some in runs(spans)]
        rows = np.concatenate(stretches, dtype=np.int64)
    else:  # all samples, as they are
        rows = np.empty(0, np.int64)
    take_steps(
        recording.operations,
        rows.reshape(len(spans), recording.rows.size),
        recording.rows,
        np.asarray(scalars, dtype=dtype),
        recording.scalars,
        recording.loss,
        losses,
        dtype.type(0),
        True,
    )
    return carry._replace(total=recording.total[()]), losses

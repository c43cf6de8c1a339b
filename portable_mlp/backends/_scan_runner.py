"""Many steps in one call of JAX: a scan over the batches, compiled with the step."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ..kernels.arrays import Array
from ..kernels.optimizers import Scalars
from ..kernels.primitives import Primitives
from ..kernels.step import FUNCTIONS_KEPT, Carry, Program, step
from .portable_runner import PortableRunner
from .runner import STEPS_A_CALL, RunnerCall

if TYPE_CHECKING:
    from ._base import Backend


class ScanRunner(PortableRunner):
    """Compiles many steps into one call, once for each size and number of batches; with masks a single step.

    Parameters
    ----------
    backend, program
        The library and device, and the definition of a step, as for `Runner`.
    donated : bool
        Whether XLA may overwrite the old state with the new one, which saves a copy on the device. Not on the CPU:
        calls are synchronous there, so that Ctrl-C would nearly always come when the old parameters are gone and the
        new ones not there yet.
    """

    steps_a_call = STEPS_A_CALL
    takes_masks = False
    joins_epochs = False

    def __init__(self, backend: Backend, program: Program, *, donated: bool) -> None:
        super().__init__(backend, program)
        self._step = _compiled_step(self._ops, program)
        self._scan = _compiled_scan(self._ops, program, donated)

    def take(self, carry: Carry, call: RunnerCall) -> tuple[Carry, Array]:
        """Take the steps."""
        data, order, spans, scalars, masks = call
        if masks is not None:
            return super().take(carry, call)
        starts = np.asarray([start for start, _ in spans], dtype=np.int32)
        table = tuple(np.asarray(column, dtype=data.X.dtype) for column in zip(*scalars, strict=True))
        start, stop = spans[0]
        carry_and_losses: tuple[Carry, Array] = self._scan(carry, data, order, starts, table, size=stop - start)
        return carry_and_losses


@functools.lru_cache(FUNCTIONS_KEPT)
def _compiled_step(ops: Primitives, program: Program) -> Callable[..., Any]:
    return jax.jit(functools.partial(step, ops, program))


@functools.lru_cache(FUNCTIONS_KEPT)
def _compiled_scan(ops: Primitives, program: Program, donated: bool) -> Callable[..., Any]:
    """Return ``scan(carry, data, order, starts, table, size=...) -> (carry, losses)``, the same for equal programs."""

    @functools.partial(jax.jit, static_argnames="size", donate_argnames="carry" if donated else None)
    def scan(carry: Any, data: Any, order: Array, starts: Array, table: Any, *, size: int) -> tuple[Any, Array]:
        def one(carry: Any, now: tuple[Array, Scalars]) -> tuple[Any, Array]:
            start, scalars = now
            return step(ops, program, carry, data, jax.lax.dynamic_slice_in_dim(order, start, size), scalars)

        return jax.lax.scan(one, carry, (starts, table))

    return scan

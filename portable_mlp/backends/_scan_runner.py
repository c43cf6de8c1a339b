"""Many steps in one call of JAX on a GPU: a scan over the batches, compiled with the step."""

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
from ._jax_programs import JaxRunner, program_of
from .runner import STEPS_A_CALL, RunnerCall

if TYPE_CHECKING:
    from ._base import Backend


class ScanRunner(JaxRunner):
    """Compiles many steps into one call, once for each size and number of batches; with masks a single step.

    XLA may overwrite the old state with the new one, which saves a copy on the device.

    Parameters
    ----------
    backend, program
        The library and device, and the definition of a step, as for `Runner`.
    """

    steps_a_call = STEPS_A_CALL
    joins_epochs = False

    def __init__(self, backend: Backend, program: Program) -> None:
        super().__init__(backend, program)
        self._scan = _compiled_scan(self._ops, self._form)

    def take(self, carry: Carry, call: RunnerCall) -> tuple[Carry, Array]:
        """Take the steps."""
        data, order, spans, scalars, masks = call
        if masks is not None:
            return super().take(carry, call)
        starts = np.asarray([start for start, _ in spans], dtype=np.int32)
        table = tuple(np.asarray(column, dtype=data.X.dtype) for column in zip(*scalars, strict=True))
        start, stop = spans[0]
        carry_and_losses: tuple[Carry, Array] = self._scan(
            self.numbers(data), carry, data, order, starts, table, size=stop - start
        )
        return carry_and_losses


@functools.lru_cache(FUNCTIONS_KEPT)
def _compiled_scan(ops: Primitives, form: Program) -> Callable[..., Any]:
    """Return ``scan(numbers, carry, data, order, starts, table, size=...) -> (carry, losses)``."""

    @functools.partial(jax.jit, static_argnames="size", donate_argnames="carry")
    def scan(
        numbers: Array, carry: Any, data: Any, order: Array, starts: Array, table: Any, *, size: int
    ) -> tuple[Any, Array]:
        program = program_of(form, numbers)

        def one(carry: Any, now: tuple[Array, Scalars]) -> tuple[Any, Array]:
            start, scalars = now
            return step(ops, program, carry, data, jax.lax.dynamic_slice_in_dim(order, start, size), scalars)

        return jax.lax.scan(one, carry, (starts, table))

    return scan

"""Many steps in one call of JAX: a scan over the batches, compiled with the step.

XLA compiles for a second what runs for milliseconds. So a program is compiled without its numbers, such as the strength
of the penalty: the fits of a search, which differ in these alone, run the same code.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ..kernels.arrays import Array
from ..kernels.batch import Batch
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
        form = _form_of(program)
        self._numbers = np.asarray(_numbers_of(program))
        self._compiled_step = _compiled_step(self._ops, form)
        self._scan = _compiled_scan(self._ops, form, donated)
        self._step = self._one_step

    def take(self, carry: Carry, call: RunnerCall) -> tuple[Carry, Array]:
        """Take the steps."""
        data, order, spans, scalars, masks = call
        if masks is not None:
            return super().take(carry, call)
        starts = np.asarray([start for start, _ in spans], dtype=np.int32)
        table = tuple(np.asarray(column, dtype=data.X.dtype) for column in zip(*scalars, strict=True))
        start, stop = spans[0]
        numbers = self._numbers.astype(data.X.dtype)
        carry_and_losses: tuple[Carry, Array] = self._scan(
            numbers, carry, data, order, starts, table, size=stop - start
        )
        return carry_and_losses

    def _one_step(self, carry: Carry, data: Batch, *arguments: Any) -> tuple[Carry, Array]:
        carry_and_loss: tuple[Carry, Array] = self._compiled_step(
            self._numbers.astype(data.X.dtype), carry, data, *arguments
        )
        return carry_and_loss


def _form_of(program: Program) -> Program:
    """Return a program without its numbers; whether there is a penalty, a decay or a bound of the norm remains."""
    objective, optimizer = program.objective, program.optimizer
    return program._replace(
        objective=objective._replace(l2=float(objective.l2 != 0.0)),
        optimizer=optimizer._replace(
            scalars=_given_to_steps, constants=(), weight_decay=float(optimizer.weight_decay != 0.0)
        ),
        clip_norm=None if program.clip_norm is None else 1.0,
        warmup_steps=0,
    )


def _given_to_steps(t: int, rate: float, sqrt: Callable[[float], float] = math.sqrt) -> Scalars:
    """Stand in a form for the function of the scalars, which a compiled step is given."""
    raise NotImplementedError


def _numbers_of(program: Program) -> list[float]:
    """Return the numbers of a program that a step needs beside its scalars, which have the others."""
    return [program.objective.l2, program.clip_norm or 0.0, *program.optimizer.constants]


def _program_of(form: Program, numbers: Array) -> Program:
    """Return the program of a form and numbers, the inverse of both."""
    l2, clip_norm, *constants = numbers
    objective, optimizer = form.objective, form.optimizer
    return form._replace(
        objective=objective if objective.l2 == 0.0 else objective._replace(l2=l2),
        optimizer=optimizer._replace(constants=constants),
        clip_norm=None if form.clip_norm is None else clip_norm,
    )


@functools.lru_cache(FUNCTIONS_KEPT)
def _compiled_step(ops: Primitives, form: Program) -> Callable[..., Any]:
    """Return ``step(numbers, carry, data, rows, scalars) -> (carry, loss)``."""

    def one_step(numbers: Array, *arguments: Any) -> tuple[Any, Array]:
        return step(ops, _program_of(form, numbers), *arguments)

    return jax.jit(one_step)


@functools.lru_cache(FUNCTIONS_KEPT)
def _compiled_scan(ops: Primitives, form: Program, donated: bool) -> Callable[..., Any]:
    """Return ``scan(numbers, carry, data, order, starts, table, size=...) -> (carry, losses)``."""

    @functools.partial(jax.jit, static_argnames="size", donate_argnames="carry" if donated else None)
    def scan(
        numbers: Array, carry: Any, data: Any, order: Array, starts: Array, table: Any, *, size: int
    ) -> tuple[Any, Array]:
        program = _program_of(form, numbers)

        def one(carry: Any, now: tuple[Array, Scalars]) -> tuple[Any, Array]:
            start, scalars = now
            return step(ops, program, carry, data, jax.lax.dynamic_slice_in_dim(order, start, size), scalars)

        return jax.lax.scan(one, carry, (starts, table))

    return scan

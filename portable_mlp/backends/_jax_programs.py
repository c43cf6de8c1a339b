"""Programs that JAX compiles without their numbers, such as the strength of the penalty.

XLA compiles for a second what runs for milliseconds. The fits of a search, which differ in numbers alone, run the same
code.
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

if TYPE_CHECKING:
    from ._base import Backend


class JaxRunner(PortableRunner):
    """Takes one step a call, compiled; subclasses take many where there are no masks.

    Parameters
    ----------
    backend, program
        The library and device, and the definition of a step, as for `Runner`.
    """

    takes_masks = False

    def __init__(self, backend: Backend, program: Program) -> None:
        super().__init__(backend, program)
        self._form, self._numbers = form_of(program), np.asarray(_numbers_of(program))
        self._compiled_step, self._step = _compiled_step(self._ops, self._form), self._one_step

    def numbers(self, data: Batch) -> np.ndarray:
        """Return the numbers of the program in the dtype of the data, as compiled functions take them."""
        return self._numbers.astype(data.X.dtype)

    def _one_step(self, carry: Carry, data: Batch, *arguments: Any) -> tuple[Carry, Array]:
        carry_and_loss: tuple[Carry, Array] = self._compiled_step(self.numbers(data), carry, data, *arguments)
        return carry_and_loss


def form_of(program: Program) -> Program:
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


def program_of(form: Program, numbers: Array) -> Program:
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
        return step(ops, program_of(form, numbers), *arguments)

    return jax.jit(one_step)

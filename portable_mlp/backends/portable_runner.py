"""One step after another, each a call of the portable function."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from ..kernels.arrays import Array
from ..kernels.primitives import Primitives
from ..kernels.step import Carry, Program, step
from .runner import Runner, RunnerCall

if TYPE_CHECKING:
    from ._base import Backend


class PortableRunner(Runner):
    """Takes one step a call, on any library."""

    def __init__(self, backend: Backend, program: Program, ops: Primitives | None = None) -> None:
        super().__init__(backend, program, ops)
        self._step: Any = functools.partial(step, self._ops, program)

    def take(self, carry: Carry, call: RunnerCall) -> tuple[Carry, Array]:
        """Take the step of the one batch: a slice of the data in the samples' own order, else gathered."""
        data, order, ((start, stop),), (scalars,), masks = call
        rows = None if order is None else order[start:stop]
        if rows is None:
            data = data.part(start, stop)
        if masks is not None:
            data = data._replace(masks=masks[0])
        workspace = self._workspace(carry.parameters, stop - start, gathers=rows is not None)
        carry_and_loss: tuple[Carry, Array] = self._step(carry, data, rows, scalars, workspace)
        return carry_and_loss

"""The first steps of a process by plain NumPy: many processes end before the import of a compiler would have paid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..kernels.arrays import Array
from ..kernels.batch import Span
from ..kernels.optimizers import State
from ..kernels.primitives import Primitives
from ..kernels.step import Carry, Program
from ._step_clock import StepClock
from .portable_runner import PortableRunner
from .runner import Runner, RunnerCall

if TYPE_CHECKING:
    from ._base import Backend

SECONDS_OF_PLAIN_STEPS = 0.25
"""How long a process takes plain steps: importing Numba takes half a second, compiling its loops a few seconds."""


class PlainSteps(StepClock):
    """The time that a process has spent on plain steps."""

    @property
    def suffice(self) -> bool:
        """Whether the steps so far have taken too little time for a compiler to be worth loading."""
        return self._seconds < SECONDS_OF_PLAIN_STEPS


plain_steps = PlainSteps()


class PatientRunner(PortableRunner):
    """Takes steps by plain primitives while they suffice, then by another runner, to the same bits.

    Parameters
    ----------
    backend : Backend
        NumPy, on the host.
    program : Program
        The definition of a step.
    plain : Primitives
        The primitives of the first steps.
    make_next : callable
        Returns the runner of the later steps.
    """

    def __init__(
        self, backend: Backend, program: Program, plain: Primitives, make_next: Callable[[Program], Runner]
    ) -> None:
        super().__init__(backend, program, plain)
        self._make_next = make_next
        self._next: Runner | None = None

    def start(self, flat: Array, moments: State, total: Array) -> Carry:
        """Return the first carry."""
        return super().start(flat, moments, total) if self._next is None else self._next.start(flat, moments, total)

    def calls(self, spans: Sequence[Span], n_steps: int, every: int | None) -> Iterable[Sequence[Span]]:
        """Divide batches into calls: of one batch each, until the next runner divides them."""
        return super().calls(spans, n_steps, every) if self._next is None else self._next.calls(spans, n_steps, every)

    def take(self, carry: Carry, call: RunnerCall) -> tuple[Carry, Array]:
        """Take the step, or the steps that the next runner has divided off."""
        if self._next is None:
            if plain_steps.suffice:
                with plain_steps.counted():
                    return super().take(carry, call)
            self._workspaces = {}  # the next runner has its own
            self._next = self._make_next(self.program)
            carry = self._next.start(*carry)
        return self._next.take(carry, call)

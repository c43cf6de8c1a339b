"""Many steps in one call of JAX on a CPU: a loop whose length is an argument, so that any number is the same code.

On a CPU a short training takes less time than the compilation of its step, and a call as long as several steps of a
small network. On a GPU the device would wait for the host at each turn of such a loop.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as xp
import numpy as np

from ..kernels.arrays import Array
from ..kernels.batch import Batch, Span
from ..kernels.primitives import Primitives
from ..kernels.step import FUNCTIONS_KEPT, Carry, Program, step
from ._jax_programs import JaxRunner, program_of
from .runner import COMPILED_STEPS_A_CALL, STEPS_A_CALL, RunnerCall, calls_of_any_sizes, runs, steps_of_short_call

ROWS_A_CALL = 2**20
"""The most row numbers in a call of many steps, for which memory is allocated however many the steps are."""


class LoopRunner(JaxRunner):
    """Takes many steps in one call, also of several epochs, compiled once for the sizes of batches; with masks one.

    The old state is kept: calls are synchronous on the CPU, so that Ctrl-C would nearly always come when it is
    overwritten and the new one not there yet.
    """

    steps_a_call = COMPILED_STEPS_A_CALL

    def prepared(self, data: Batch, order: Any) -> Any:
        """Return an order on the host, from which each call moves its part."""
        return np.arange(data.n_samples) if order is None else order

    def calls(self, spans: Sequence[Span], n_steps: int, every: int | None) -> Iterator[Sequence[Span]]:
        """Divide batches into calls, of any number and sizes."""
        most = self._most_steps(max(map(_size, spans), default=1))
        return calls_of_any_sizes(spans, n_steps, every, lambda _: most)

    def take(self, carry: Carry, call: RunnerCall) -> tuple[Carry, Array]:
        """Take the steps."""
        if call.masks is not None:
            return super().take(carry, call)
        carry, losses, _ = self._looped(carry, call, None)
        return carry, _first(losses, len(call.spans))

    def take_epochs(self, carry: Carry, call: RunnerCall, n_epochs: int) -> tuple[Carry, Array]:
        """Take the steps of several epochs."""
        epoch = len(call.spans) // n_epochs
        carry, _, totals = self._looped(carry, call, epoch)
        n_samples = sum(map(_size, call.spans[:epoch]))
        # By NumPy: XLA's division of several numbers has other last bits than that of one, as of an epoch alone.
        return carry, self._backend.asarray(np.asarray(totals)[:n_epochs] / totals.dtype.type(n_samples))

    def _most_steps(self, size: int) -> int:
        """Return the most steps of a call whose largest batches have this size."""
        return min(max(STEPS_A_CALL, steps_of_short_call(self.program.net, size)), max(1, ROWS_A_CALL // size))

    def _looped(self, carry: Carry, call: RunnerCall, epoch: int | None) -> tuple[Carry, Array, Array]:
        """Take the steps, of epochs of so many if there are several.

        Returns
        -------
        carry : Carry
            The carry after the last step.
        losses, totals : array
            The loss of each step, and the total after each round: as many as a call has steps at most.
        """
        data, order, spans, scalars, _ = call
        sizes = [_size(span) for span in spans]
        kinds, n = tuple(dict.fromkeys(sizes)), self._most_steps(max(sizes))
        rows, starts = np.zeros(n * max(sizes), np.int32), np.zeros(n, np.int32)
        for place, (start, stop) in runs(spans):
            rows[place : place + stop - start] = order[start:stop]
        starts[1 : len(spans)] = np.cumsum(sizes[:-1])
        table = np.zeros((len(scalars[0]), n), data.X.dtype)
        table[:, : len(spans)] = np.transpose(scalars)
        rounds = _rounds([kinds.index(size) for size in sizes], len(kinds), epoch)
        bounds = np.zeros((n, len(kinds) + 1), np.int32)
        bounds[: len(rounds)] = rounds
        loop = _compiled_loop(self._ops, self._form)
        looped: tuple[Carry, Array, Array] = loop(
            self.numbers(data), carry, data, rows, starts, table, bounds, len(rounds), epoch is not None, kinds
        )
        return looped


def _size(span: Span) -> int:
    return span[1] - span[0]


def _rounds(kinds: Sequence[int], n_kinds: int, length: int | None) -> list[np.ndarray]:
    """Return where the batches of each size begin in each round, and its end.

    Within a round sizes come in one order. Rounds have a length, or else are as long as possible.

    >>> _rounds([0, 0, 1, 0, 0, 1], 2, None)
    [array([0, 2, 3]), array([3, 5, 6])]
    """
    steps = np.asarray(kinds)
    cuts = np.flatnonzero(np.diff(steps) < 0) + 1 if length is None else np.arange(length, len(steps), length)
    edges = [0, *cuts.tolist(), len(steps)]
    return [
        start + np.searchsorted(steps[start:stop], np.arange(n_kinds + 1)) for start, stop in itertools.pairwise(edges)
    ]


@functools.partial(jax.jit, static_argnums=1)
def _first(x: Array, n: int) -> Array:
    return x[:n]


@functools.lru_cache(FUNCTIONS_KEPT)
def _compiled_loop(ops: Primitives, form: Program) -> Callable[..., Any]:
    """Return the loop over rounds, with a loop over the batches of each size in each round."""

    @functools.partial(jax.jit, static_argnums=9)
    def loop(
        numbers: Array,
        carry: Any,
        data: Any,
        rows: Array,
        starts: Array,
        table: Array,
        bounds: Array,
        n_rounds: Array,
        anew: Array,
        sizes: tuple[int, ...],
    ) -> tuple[Any, Array, Array]:
        program = program_of(form, numbers)

        def steps_of(size: int) -> Callable[..., Any]:
            def one(i: Array, state: Any) -> Any:
                carry, losses = state
                some = jax.lax.dynamic_slice_in_dim(rows, starts[i], size)
                carry, loss = step(ops, program, carry, data, some, tuple(table[:, i]))
                return carry, losses.at[i].set(loss)

            return one

        def one_round(k: Array, state: Any) -> Any:
            carry, losses, totals = state
            carry = carry._replace(total=xp.where(anew, xp.zeros_like(carry.total), carry.total))
            for i, size in enumerate(sizes):
                carry, losses = jax.lax.fori_loop(bounds[k, i], bounds[k, i + 1], steps_of(size), (carry, losses))
            return carry, losses, totals.at[k].set(carry.total)

        none = xp.zeros((len(starts), *carry.total.shape), carry.total.dtype)
        state: tuple[Any, Array, Array] = jax.lax.fori_loop(0, n_rounds, one_round, (carry, none, none))
        return state

    return loop

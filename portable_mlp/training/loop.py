"""The training loop: an epoch of mini-batches, each one step on the device, where nothing is read back."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..backends import Backend
from ..backends.runner import Runner, RunnerCall
from ..distributed.group import current_group
from ..distributed.group_runner import GroupRunner
from ..kernels.arrays import Array, snapshot
from ..kernels.batch import Span
from ..kernels.optimizers import State
from ..kernels.step import Program
from .batches import Data, joined_orders, n_samples_of
from .progress import Silent
from .stream import Samples


def make_loop(backend: Backend, program: Program, flat: Array, state: State | None = None, n_steps: int = 0) -> Loop:
    """Return the loop of this process, or of its group, in which all ranks start from the parameters of rank 0.

    Parameters
    ----------
    backend : Backend
        The library and device of all arrays.
    program : Program
        The definition of a step.
    flat, state, n_steps
        The starting point, as for `Loop`.
    """
    group = current_group()
    if group is None:
        return Loop(backend, backend.runner(program), flat, state, n_steps)
    state = None if state is None else tuple(map(group.broadcast_array, state))
    return Loop(backend, GroupRunner(group, backend, program), group.broadcast_array(flat), state, n_steps)


class Loop:
    """The moving parts: the parameters, the optimizer's state and the step count.

    Parameters
    ----------
    backend : Backend
        The library and device of all arrays.
    runner : Runner
        The runner that takes the steps, used by this loop alone.
    flat : array of shape (n_parameters,) or (n_models, n_parameters)
        The initial parameters; not written into.
    state : tuple of array, optional
        The optimizer's moments to continue from; by default zeros.
    n_steps : int
        The number of steps behind ``state``.

    Attributes
    ----------
    n_steps : int
        The number of steps so far.
    """

    def __init__(
        self, backend: Backend, runner: Runner, flat: Array, state: State | None = None, n_steps: int = 0
    ) -> None:
        self.backend = backend
        self.n_steps = n_steps
        self._runner, self._scalars = runner, runner.program.scalars
        moments = runner.program.optimizer.init(backend.xp, flat) if state is None else state
        self._carry = runner.start(flat, moments, backend.xp.zeros_like(flat[..., 0]))
        self._losses_before: list[tuple[Array, int]] = []
        self._losses: list[tuple[Array, int]] = []
        self._done_before = 0

    @property
    def flat(self) -> Array:
        """The current parameters, (n_parameters,) or (n_models, n_parameters)."""
        return self._runner.to_flat(self._carry.parameters)

    @property
    def state(self) -> State:
        """The optimizer's current moments, flat."""
        return tuple(map(self._runner.to_flat, self._carry.state))

    @property
    def total(self) -> Array:
        """The epoch's loss so far, summed over samples."""
        return self._carry.total

    def kept(self) -> tuple[Array, State, Array, int]:
        """Return copies of the parameters, moments and loss so far, and the step count: what `restore` takes."""
        xp = self.backend.xp
        flat, *moments, total = (snapshot(xp, x) for x in (self.flat, *self.state, self.total))
        return flat, tuple(moments), total, self.n_steps

    def restore(self, flat: Any, state: Sequence[Any], total: Any, n_steps: int) -> None:
        """Continue from copies of ``flat``, ``state`` and ``total``, on the host or on the device."""
        moved, *moments, so_far = (self.backend.asarray(x, dtype=x.dtype.name) for x in (flat, *state, total))
        self._carry = self._runner.start(moved, tuple(moments), so_far)
        self.n_steps = n_steps

    def is_finite(self, *, within_epoch: bool) -> bool:
        """Return whether every parameter is a finite number, and within an epoch its loss so far, too."""
        total = self.total
        differences = self.differences() + (total - total) if within_epoch else self.differences()
        return all_finite(self.backend.to_numpy(differences))

    def differences(self) -> Array:
        """Return, for each model, 0 where all parameters are finite, else NaN: the sum of x - x."""
        flat = self.flat
        return self.backend.xp.sum(flat - flat, axis=-1)

    @property
    def n_batches(self) -> int:
        """The number of batches of the last epoch."""
        return self._done_before + sum(n_steps for _, n_steps in self._losses_before + self._losses)

    def epoch(
        self,
        data: Samples,
        batches: Sequence[Span],
        rate: Callable[[int], float],
        *,
        order: Any = None,
        masks: Iterable[Sequence[Array]] | None = None,
        bar: Silent | None = None,
        done: int = 0,
        every: int | None = None,
        between: Callable[[int], None] | None = None,
    ) -> Array:
        """Take one step for every batch; return the mean loss over their samples, on the device.

        Parameters
        ----------
        data : Data or Stream
            All training samples, in memory or streamed.
        batches : sequence of Span
            Where each batch starts and stops in the order.
        rate : callable
            ``rate(step)`` returns the learning rate of a step, counted from 1 over the whole training.
        order : ndarray of shape (n_samples,), int64, or None; of a stream GroupOrder
            A permutation of the samples, on the host; None keeps the order.
        masks : iterable of masks, optional
            The dropout masks of each batch.
        bar : Silent, optional
            The progress bar to advance.
        done : int
            The number of batches of this epoch done already, whose loss is in ``total``.
        every : int, optional
            ``between`` is called after each step whose number this divides, at least.
        between : callable, optional
            ``between(n_batches)``, called between steps with the number of batches of the epoch done.
        """
        self._losses_before, self._losses, self._done_before = [], [], done
        if done == 0:
            self._carry = self._carry._replace(total=self.backend.xp.zeros_like(self._carry.total))
        n_samples = n_samples_of(batches)
        runner, each = self._runner, None if masks is None else iter(masks)
        with contextlib.closing(data.pieces(order, batches, done)) as pieces:
            for some, on_host, spans in pieces:
                self._fold_losses()
                prepared = runner.prepared(some, on_host)
                together = each is None or runner.takes_masks
                for now in runner.calls(spans, self.n_steps, every) if together else zip(spans):
                    masks_now = None if each is None else list(itertools.islice(each, len(now)))
                    steps = range(self.n_steps + 1, self.n_steps + len(now) + 1)
                    losses = self._take(some, prepared, now, map(rate, steps), masks_now)
                    self._losses.append((losses, len(now)))
                    done += len(now)
                    if bar is not None:
                        bar.advance(n_samples_of(now))
                    if between is not None:
                        between(done)
        return self._carry.total / float(n_samples)

    def n_joined(self, batches: Sequence[Span], n_epochs: int) -> int:
        """Return how many of ``n_epochs`` epochs, each of these batches, one call takes; 0 if not even one."""
        if not self._runner.joins_epochs:
            return 0
        return len(next(iter(self._runner.calls([*batches] * n_epochs, self.n_steps, None)))) // len(batches)

    def joined_epochs(
        self, data: Data, orders: Sequence[Any], batches: Sequence[Span], rates: Sequence[float]
    ) -> Array:
        """Take several epochs in one call; return the mean loss of each, (n_epochs,).

        Parameters
        ----------
        data : Data
            All training samples, in memory.
        orders : sequence of ndarray of shape (n_samples,), int64, or of None
            The order of the samples in each of these epochs, on the host; None keeps their order.
        batches : sequence of Span
            Where each batch of an epoch starts and stops in its order.
        rates : sequence of float
            The learning rate of each step.
        """
        order, all_batches = joined_orders(orders, batches)
        return self._take(data, self._runner.prepared(data, order), all_batches, rates, n_epochs=len(orders))

    def _take(
        self,
        data: Data,
        order: Any,
        batches: Sequence[Span],
        rates: Iterable[float],
        masks: Sequence[Sequence[Array]] | None = None,
        n_epochs: int | None = None,
    ) -> Array:
        """Take one step for each batch of a call, at its rate; return their losses, or those of joined epochs."""
        scalars = list(map(self._scalars, itertools.count(self.n_steps + 1), rates))
        call, runner = RunnerCall(data, order, batches, scalars, masks), self._runner
        taken = runner.take(self._carry, call) if n_epochs is None else runner.take_epochs(self._carry, call, n_epochs)
        self._carry, losses = taken
        self.n_steps += len(batches)
        return losses

    def _fold_losses(self) -> None:
        """Join the losses of the previous piece in one array: one array a step would pile up in a long epoch."""
        last, self._losses = self._losses, []
        if last:
            by_step = [self.backend.xp.reshape(losses, (n_steps, -1)) for losses, n_steps in last]
            self._losses_before.append((self.backend.xp.concat(by_step), sum(n_steps for _, n_steps in last)))

    def first_bad_batch(self) -> int:
        """Return the number, from 1, of the first batch of the last epoch whose loss is not finite."""
        n_before = self._done_before
        for losses, n_steps in self._losses_before + self._losses:
            by_step = self.backend.to_numpy(losses).reshape(n_steps, -1)
            for i, numbers in enumerate(by_step, start=1):
                if not all_finite(numbers):
                    return n_before + i
            n_before += n_steps
        return n_before


def all_finite(numbers: Any) -> bool:
    """Return whether a few numbers on the host are finite."""
    return all(map(math.isfinite, numbers.reshape(-1).tolist()))

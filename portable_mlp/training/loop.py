"""The training loop: an epoch of mini-batches, each one step on the device, where nothing is read back."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..backends import Backend
from ..kernels.arrays import Array, snapshot
from ..kernels.optimizers import State
from ..kernels.primitives import Held
from ..kernels.propagation import Masks
from ..kernels.room import Room, make_room
from ..kernels.step import Carry, Program, make_step
from .batches import Data, Piece, Span
from .progress import Silent
from .stream import Samples

STEPS_A_CALL = 64
"""At most, where a backend takes many at once: between calls the progress is shown, and Ctrl-C is heard."""


class Loop:
    """The moving parts: the parameters, the optimizer's state and the step count.

    Parameters
    ----------
    backend : Backend
        Where everything lives.
    program : Program
        The step.
    flat : array of shape (n_parameters,) or (n_models, n_parameters)
        Where to start; left as it is.
    state : tuple of array, optional
        The optimizer's, to go on from; by default its first.
    n_steps : int
        Steps that ``state`` has behind it.

    Attributes
    ----------
    n_steps : int
        As it is now.
    """

    _takes_many = True
    """Whether the backend may take many steps in a call."""

    def __init__(
        self,
        backend: Backend,
        program: Program,
        flat: Array,
        state: State | None = None,
        n_steps: int = 0,
    ) -> None:
        self.backend = backend
        self.n_steps = n_steps
        self._net, self._ops, self._scalars = program.net, backend.primitives, program.scalars
        # Copies: a step may write into them.
        self._carry = Carry(
            self._held(flat),
            tuple(map(self._held, program.optimizer.init(backend.xp, flat) if state is None else state)),
            backend.xp.zeros_like(flat[..., 0]),
        )
        step = make_step(self._ops, program)
        self._step = backend.compile(step)
        self._many = backend.repeat(step) if self._takes_many else None
        self._rooms: dict[tuple[int, bool], Room] = {}
        self._losses_before: list[tuple[Array, int]] = []
        self._losses: list[tuple[Array, int]] = []
        self._done_before = 0

    @property
    def flat(self) -> Array:
        """The parameters, (n_parameters,) or (n_models, n_parameters), as they are now."""
        return self._ops.flat(self._carry.held)

    @property
    def state(self) -> State:
        """The optimizer's moments, flat, as they are now."""
        return tuple(map(self._ops.flat, self._carry.state))

    @property
    def total(self) -> Array:
        """The epoch's loss so far, summed over samples."""
        return self._carry.total

    def restore(self, flat: Any, state: Sequence[Any], total: Any, n_steps: int) -> None:
        """Go on from arrays of the host that ``flat``, ``state`` and ``total`` were."""
        moved, *moments, so_far = (self.backend.asarray(x, dtype=x.dtype.name) for x in (flat, *state, total))
        self._carry = Carry(self._held(moved), tuple(map(self._held, moments)), so_far)
        self.n_steps = n_steps
        self._rooms = {}

    def is_finite(self) -> bool:
        """Look, on the device, whether every parameter is a finite number."""
        return all_finite(self.backend.to_numpy(self.differences()))

    def differences(self) -> Array:
        """Return 0 where all parameters of a model are finite, else NaN, as x - x is."""
        flat = self.flat
        return self.backend.xp.sum(flat - flat, axis=-1)

    @property
    def n_batches(self) -> int:
        """How many batches the last epoch has had."""
        return self._done_before + sum(n_steps for _, n_steps in self._losses_before + self._losses)

    def epoch(
        self,
        data: Samples,
        batches: Sequence[Span],
        rate: float,
        *,
        order: Any = None,
        masks: Iterable[Masks] | None = None,
        bar: Silent | None = None,
        done: int = 0,
        every: int | None = None,
        between: Callable[[int], None] | None = None,
    ) -> Array:
        """Take one step for every batch; return the mean loss over their samples, on the device.

        Parameters
        ----------
        data : Data or Stream
            All samples.
        batches : sequence of Span
            Where each batch starts and stops in the order.
        rate : float
            The learning rate.
        order : ndarray of shape (n_samples,), int64, or None; of a stream GroupOrder
            A permutation of the samples, on the host; None keeps the order.
        masks : iterable of masks, optional
            For each batch.
        bar : Silent, optional
            Told of the samples as they are done.
        done : int
            Batches of this epoch that lie behind already, and whose loss is in ``total``.
        every : int, optional
            ``between`` is called after each step whose number this divides, at least.
        between : callable, optional
            ``between(n_batches)``, called between steps with how many batches of the epoch are done.
        """
        self._losses_before, self._losses, self._done_before = [], [], done
        if done == 0:
            self._carry = self._carry._replace(total=self.backend.xp.zeros_like(self._carry.total))
        n_samples = sum(stop - start for start, stop in batches)
        with contextlib.closing(data.pieces(order, batches, done)) as pieces:
            for piece in pieces:
                self._fold_losses()
                steps = self._steps(piece, rate, masks, every)
                for (self._carry, losses), taken in steps:
                    self.n_steps += len(taken)
                    self._losses.append((losses, len(taken)))
                    done += len(taken)
                    if bar is not None:
                        bar.advance(sum(stop - start for start, stop in taken))
                    if between is not None:
                        between(done)
        return self._carry.total / float(n_samples)

    def _fold_losses(self) -> None:
        """Make one array of the losses of the piece before: an array a step would add up in a long epoch."""
        last, self._losses = self._losses, []
        if last:
            by_step = [self.backend.xp.reshape(losses, (n_steps, -1)) for losses, n_steps in last]
            self._losses_before.append((self.backend.xp.concat(by_step), sum(n_steps for _, n_steps in last)))

    def first_bad_batch(self) -> int:
        """Return which batch of the last epoch was the first whose loss is not finite, counted from 1."""
        n_before = self._done_before
        for losses, n_steps in self._losses_before + self._losses:
            by_step = self.backend.to_numpy(losses).reshape(n_steps, -1)
            for i, numbers in enumerate(by_step, start=1):
                if not all_finite(numbers):
                    return n_before + i
            n_before += n_steps
        return n_before

    def _steps(
        self, piece: Piece, rate: float, masks: Iterable[Masks] | None, every: int | None
    ) -> Iterator[tuple[tuple[Carry, Array], Sequence[Span]]]:
        data, order, batches = piece
        if self._many is not None and masks is None:
            return self._in_calls(data, batches, rate, order, every)
        return self._one_by_one(data, batches, rate, order, masks)

    def _one_by_one(
        self, data: Data, batches: Sequence[Span], rate: float, order: Array | None, masks: Iterable[Masks] | None
    ) -> Iterator[tuple[tuple[Carry, Array], Sequence[Span]]]:
        on_device = None if order is None else self.backend.asarray(order)
        each = itertools.repeat(None) if masks is None else masks
        for span, mask in zip(batches, each, strict=False):
            start, stop = span
            rows = None if on_device is None else on_device[start:stop]
            some = data.part(start, stop) if rows is None else data
            batch = some if mask is None else some._replace(masks=mask)
            scalars = self._scalars(self.n_steps + 1, rate)
            yield (
                self._step(self._carry, batch, rows, scalars, self._room(stop - start, gathers=rows is not None)),
                (span,),
            )

    def _in_calls(
        self, data: Data, batches: Sequence[Span], rate: float, order: Array | None, every: int | None
    ) -> Iterator[tuple[tuple[Carry, Array], Sequence[Span]]]:
        """Let the backend take many steps of one size in a call."""
        assert self._many is not None
        xp, device = self.backend.xp, self.backend.device
        rows = xp.arange(data.n_samples, device=device) if order is None else self.backend.asarray(order)
        for size, same_size in itertools.groupby(batches, key=lambda span: span[1] - span[0]):
            left = list(same_size)
            while left:
                until_due = STEPS_A_CALL if every is None else every - self.n_steps % every
                # The largest power of two that may be: each number of steps is compiled.
                n_now = 1 << (min(len(left), STEPS_A_CALL, until_due).bit_length() - 1)
                now, left = left[:n_now], left[n_now:]
                scalars = [self._scalars(self.n_steps + i, rate) for i in range(1, len(now) + 1)]
                starts = [start for start, _ in now]
                room = self._room(size, gathers=True)
                yield self._many(self._carry, data, rows, starts, size, scalars, room), now

    def _held(self, flat: Array) -> Held:
        return self._ops.held(self._net, snapshot(self.backend.xp, flat))

    def _room(self, n_samples: int, *, gathers: bool) -> Room | None:
        """Return the memory for batches of that size, of which an epoch has two at most."""
        if not self._ops.writes:
            return None
        gathers = gathers and not self.backend.takes_sparse
        if (n_samples, gathers) not in self._rooms:
            room = make_room(self.backend.xp, self._net, self._carry.held, n_samples, gathers=gathers)
            self._rooms[n_samples, gathers] = room
        return self._rooms[n_samples, gathers]


def all_finite(numbers: Any) -> bool:
    """Look at a few numbers that are on the host already."""
    return all(map(math.isfinite, numbers.reshape(-1).tolist()))

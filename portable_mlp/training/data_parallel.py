"""The loop of a group: each rank takes the gradients of its part of a batch, and one sum over all ranks joins them.

Every rank then takes the same step, so that all hold the same parameters, bit for bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import array_api_compat

from ..backends import Backend
from ..distributed.group import Group, current_group
from ..kernels.arrays import Array
from ..kernels.optimizers import State
from ..kernels.parameters import n_parameters, unpack
from ..kernels.propagation import Masks
from ..kernels.room import Room
from ..kernels.step import Carry, Program
from .batches import Data, Span
from .loop import Loop
from .shard_step import make_descent, make_shard_sums, message_length, pairwise_sum
from .shards import OwnSamples, SharedSamples


def make_loop(
    backend: Backend,
    program: Program,
    flat: Array,
    state: State | None = None,
    n_steps: int = 0,
) -> Loop:
    """Return the loop of this process, or of the group that it trains in."""
    group = current_group()
    if group is None:
        return Loop(backend, program, flat, state, n_steps)
    return GroupLoop(group, backend, program, flat, state, n_steps)


class GroupLoop(Loop):
    """The parameters, the optimizer's state and the step count, the same on every rank.

    Parameters
    ----------
    group : Group
        Who trains. Where rank 0 starts, the others start too.
    backend, program, flat, state, n_steps
        As for `Loop`.
    """

    _takes_many = False  # between two steps the ranks meet

    def __init__(
        self,
        group: Group,
        backend: Backend,
        program: Program,
        flat: Array,
        state: State | None = None,
        n_steps: int = 0,
    ) -> None:
        same_state = None if state is None else tuple(map(group.broadcast_array, state))
        super().__init__(backend, program, group.broadcast_array(flat), same_state, n_steps)
        self._group, self._program = group, program
        self._sums = backend.compile(make_shard_sums(self._ops, program.objective))
        self._places: dict[tuple[int, int], tuple[Room, Array]] = {}

    def restore(self, flat: Any, state: Sequence[Any], total: Any, n_steps: int) -> None:
        """Go on from arrays of the host that ``flat``, ``state`` and ``total`` were."""
        super().restore(flat, state, total, n_steps)
        self._places = {}

    def _one_by_one(
        self, data: Data, batches: Sequence[Span], rate: float, order: Any, masks: Iterable[Masks] | None
    ) -> Iterator[tuple[tuple[Carry, Array], Sequence[Span]]]:
        kind = SharedSamples if self._group.has_all_samples else OwnSamples
        samples = kind(self._group, self.backend, data.n_samples, order)
        descend = self.backend.compile(make_descent(self._ops, self._program, data.weights is not None))
        for span, mask in zip(batches, itertools.repeat(None) if masks is None else masks, strict=False):
            messages = [
                self._message(place, data._replace(masks=some), rows)
                for place, (rows, some) in enumerate(samples.shards(span, mask))
            ]
            message = self._group.summed(pairwise_sum(messages))
            scalars = self._scalars(self.n_steps + 1, rate)
            room = self._room_of(message)
            yield descend(self._carry, message, float(span[1] - span[0]), scalars, room), (span,)

    def _message(self, place: int, data: Data, rows: Array) -> Array:
        """Return what a shard adds to its batch, in the memory of its place among the shards where there is one."""
        n_samples = rows.shape[0]
        if n_samples == 0:
            return self._empty_message(data, self.backend.xp.zeros)
        # The samples that a rank has of a batch are another number each time: memory for all of them would pile up.
        if not (self._ops.writes and self._group.has_all_samples):
            return self._sums(self._carry.held, data, rows, None, None)
        if (place, n_samples) not in self._places:
            self._places[place, n_samples] = self._memory(data, n_samples)
        return self._sums(self._carry.held, data, rows, *self._places[place, n_samples])

    def _memory(self, data: Data, n_samples: int) -> tuple[Room, Array]:
        """Return the memory for a shard, and for its message, whose first part is the room's gradient."""
        message = self._empty_message(data, self.backend.xp.empty)
        return self._with_gradient(n_samples, message), message

    def _room_of(self, message: Array) -> Room | None:
        """Return the memory that a message belongs to; if it is another's, such as a sum of messages, only with it."""
        if not self._ops.writes:
            return None
        for room, own in self._places.values():
            if own is message:
                return room
        return self._with_gradient(1, message)

    def _with_gradient(self, n_samples: int, message: Array) -> Room:
        room = self._room(n_samples, gathers=True)
        assert room is not None  # it writes
        gradient = message[..., : n_parameters(self._net.sizes)]
        return room._replace(gradient=gradient, grads=unpack(self._net, gradient))

    def _empty_message(self, data: Data, make: Any) -> Array:
        total = self._carry.total
        length = message_length(self._net, weighted=data.weights is not None)
        return make((*total.shape, length), dtype=total.dtype, device=array_api_compat.device(total))

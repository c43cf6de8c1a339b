"""The runner of a group: each rank computes gradients of its shards of a batch, which one sum over all ranks adds up.

Every rank then takes the same step from the same sum. Invariant: all ranks have the same carry, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends import Backend
from ..backends.runner import Runner, RunnerCall
from ..kernels.arrays import Array, device_of
from ..kernels.batch import Batch
from ..kernels.optimizers import State
from ..kernels.parameters import n_parameters
from ..kernels.step import Carry, Program
from ..kernels.workspace import Workspace
from .group import Group
from .ordered_sum import pairwise_sum
from .shard_step import make_message_step, make_shard_message, message_length
from .shards import OwnSamples, SharedSamples


class GroupRunner(Runner):
    """Takes one step a call, in which the ranks meet.

    Parameters
    ----------
    group : Group
        The processes that train; each of them starts from the same carry.
    backend, program
        The library and device, and the definition of a step, as for `Runner`.
    """

    def __init__(self, group: Group, backend: Backend, program: Program) -> None:
        super().__init__(backend, program)
        self._group = group
        self._shard_message = backend.compile(make_shard_message(self._ops, program.objective))
        self._message_step = backend.compile(make_message_step(self._ops, program))
        self._places: dict[tuple[int, int], tuple[Workspace, Array]] = {}

    def start(self, flat: Array, moments: State, total: Array) -> Carry:
        """Return the first carry; free the memory for shards, which belongs to the parameters of another."""
        self._places = {}
        return super().start(flat, moments, total)

    def prepared(self, data: Batch, order: Any) -> SharedSamples | OwnSamples:
        """Return the assignment of a batch's samples to this rank."""
        samples = SharedSamples if self._group.has_all_samples else OwnSamples
        return samples(self._group, self._backend, data.n_samples, order)

    def take(self, carry: Carry, call: RunnerCall) -> tuple[Carry, Array]:
        """Take the step of the one batch, of which the other ranks compute the other shards."""
        data, order, (span,), (scalars,), masks = call
        messages = [
            self._message(carry, place, data._replace(masks=some), rows)
            for place, (rows, some) in enumerate(order.shards(span, None if masks is None else masks[0]))
        ]
        message = self._group.summed(pairwise_sum(messages))
        workspace = self._workspace_of(carry, message)
        return self._message_step(carry, message, float(span[1] - span[0]), scalars, workspace)

    def _message(self, carry: Carry, place: int, data: Batch, rows: Array) -> Array:
        """Return the message of a shard, in the memory of its place among the shards if that is allocated."""
        n_samples = rows.shape[0]
        if n_samples == 0:
            return self._empty_message(carry, data, self._backend.xp.zeros)
        # With samples of its own a rank's share of a batch varies in size: memory for every size would pile up.
        if not (self._ops.writes and self._group.has_all_samples):
            return self._shard_message(carry.parameters, data, rows, None, None)
        if (place, n_samples) not in self._places:
            message = self._empty_message(carry, data, self._backend.xp.empty)
            self._places[place, n_samples] = self._with_gradient(carry, n_samples, message), message
        return self._shard_message(carry.parameters, data, rows, *self._places[place, n_samples])

    def _workspace_of(self, carry: Carry, message: Array) -> Workspace | None:
        """Return the workspace with this message as its gradient; a received sum of messages needs one of its own."""
        if not self._ops.writes:
            return None
        for workspace, own in self._places.values():
            if own is message:
                return workspace
        return self._with_gradient(carry, 1, message)

    def _with_gradient(self, carry: Carry, n_samples: int, message: Array) -> Workspace:
        """Return a workspace for a shard, whose gradient is the first part of a message."""
        workspace, net = self._workspace(carry.parameters, n_samples), self.program.net
        assert workspace is not None  # it writes
        gradient = message[..., : n_parameters(net.sizes)]
        return workspace._replace(gradient=gradient, grads=self._ops.layers(net, gradient))

    def _empty_message(self, carry: Carry, data: Batch, make: Callable[..., Array]) -> Array:
        length = message_length(self.program.net, weighted=data.weights is not None)
        total = carry.total
        return make((*total.shape, length), dtype=total.dtype, device=device_of(total))

"""A training step in two halves, between which gradients are added up: what a shard gives, and the update.

A shard's message is flat: the gradients of the summed loss, the summed loss, and, where samples are weighted, their
weight. The sum of all messages of a batch has everything that its step needs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

from ..kernels.arrays import Array
from ..kernels.batch import Batch, gather
from ..kernels.network import Network
from ..kernels.optimizers import Scalars
from ..kernels.parameters import n_parameters, unpack
from ..kernels.primitives import BatchLoss, GradientSums, KeptParameters, Primitives
from ..kernels.step import FUNCTIONS_KEPT, Carry, Objective, Program, advance, encoded, passes, weight_of
from ..kernels.workspace import Workspace

ShardMessage: TypeAlias = Callable[[KeptParameters, Batch, Array, Workspace | None, Array | None], Array]
MessageStep: TypeAlias = Callable[[Carry, Array, float, Scalars, Workspace | None], tuple[Carry, Array]]


@functools.lru_cache(FUNCTIONS_KEPT)
def make_shard_message(ops: Primitives, objective: Objective) -> ShardMessage:
    """Return ``shard_message(parameters, data, rows, workspace, out) -> message`` of the samples ``rows``.

    With ``workspace`` the message is written into ``out``, of which the workspace's gradient is the first part.
    """
    net, xp = objective.net, ops.xp

    def shard_message(
        parameters: KeptParameters,
        data: Batch,
        rows: Array,
        workspace: Workspace | None = None,
        out: Array | None = None,
    ) -> Array:
        batch = encoded(ops, objective, gather(ops, net, data, rows, workspace), workspace)
        params = ops.layers(net, parameters) if workspace is None else workspace.params
        loss, sums, _ = passes(ops, objective, params, batch, divisor=1.0, strength=0.0, workspace=workspace)
        mean = ops.mean_loss(loss, sums)  # divided by 1: a sum
        # Models share the samples, and so their weights.
        tail = [mean] if batch.weights is None else [mean, weight_of(ops, batch) + xp.zeros_like(mean)]
        if out is None:
            return xp.concat([ops.packed(sums.grads), xp.stack(tail, axis=-1)], axis=-1)
        for i, number in enumerate(tail, start=n_parameters(net.sizes)):
            out[..., i] = number
        return out

    return shard_message


@functools.lru_cache(FUNCTIONS_KEPT)
def make_message_step(ops: Primitives, program: Program) -> MessageStep:
    """Return ``message_step(carry, message, n_samples, scalars, workspace) -> (carry, loss)`` for a whole batch.

    The loss is the batch's mean with its penalty. The gradient of ``workspace`` is the message's. With primitives that
    write, the carry and the message are used up.
    """
    net, objective, n_gradients = program.net, program.objective, n_parameters(program.net.sizes)

    def message_step(
        carry: Carry, message: Array, n_samples: float, scalars: Scalars, workspace: Workspace | None = None
    ) -> tuple[Carry, Array]:
        weighted = message.shape[-1] == message_length(net, weighted=True)
        divisor = message[..., n_gradients + 1] if weighted else n_samples
        strength = objective.strength(divisor)
        if workspace is None:
            params, grads = ops.layers(net, carry.parameters), unpack(net, message[..., :n_gradients])
        else:
            params, grads = workspace.params, workspace.grads
        loss = BatchLoss(mean=message[..., n_gradients] / divisor)
        sums = GradientSums(params, grads, strength, divisor)
        return advance(ops, program, carry, loss, sums, n_samples, scalars, workspace)

    return message_step


def message_length(net: Network, *, weighted: bool) -> int:
    """Return the length of a message."""
    return n_parameters(net.sizes) + (2 if weighted else 1)

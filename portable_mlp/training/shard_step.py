"""A training step in two halves, between which gradients are added up: what a shard gives, and the way down.

A shard's message is flat: the gradients of the summed loss, the summed loss, and, where samples are weighted, their
weight. The sum of all messages of a batch says everything that its step needs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ..kernels.arrays import Array
from ..kernels.optimizers import Optimizer, Scalars
from ..kernels.parameters import n_parameters, pack_pieces, unpack
from ..kernels.primitives import Held, Primitives, Sums
from ..kernels.propagation import backward_pass, forward_pass, with_penalty
from ..kernels.room import Room
from .batches import Data
from .step import FUNCTIONS_KEPT, Carry, Objective, encoded, mean_loss, taken, weight_of

ShardSums: TypeAlias = Callable[[Held, Data, Array, Room | None, Array | None], Array]
Descent: TypeAlias = Callable[[Carry, Array, float, Scalars, Room | None], tuple[Carry, Array]]


@functools.lru_cache(FUNCTIONS_KEPT)
def make_shard_sums(ops: Primitives, objective: Objective) -> ShardSums:
    """Return ``sums(held, data, rows, room, out) -> message`` of the samples ``rows``.

    With ``room`` the message is written into ``out``, of which the room's gradient is the first part.
    """
    net, xp = objective.net, ops.xp

    def sums(held: Held, data: Data, rows: Array, room: Room | None = None, out: Array | None = None) -> Array:
        batch = encoded(ops, net, taken(ops, data, rows, room), room)
        params = ops.layers(net, held) if room is None else room.params
        weight = weight_of(ops, batch)
        trace = forward_pass(ops, net, params, batch.X, batch.masks, room)
        loss, dlogits = _summed_loss(ops, objective, trace.logits, batch, weight)
        grads = backward_pass(ops, net, params, trace, dlogits, batch.masks, room)
        # Models share the samples, and so their weights.
        tail = [loss] if batch.weights is None else [loss, weight + xp.zeros_like(loss)]
        if out is None:
            return xp.concat([pack_pieces(xp, grads), xp.stack(tail, axis=-1)], axis=-1)
        for i, number in enumerate(tail, start=n_parameters(net.sizes)):
            out[..., i] = number
        return out

    return sums


@functools.lru_cache(FUNCTIONS_KEPT)
def make_descent(ops: Primitives, objective: Objective, optimizer: Optimizer, weighted: bool) -> Descent:
    """Return ``descend(carry, message, n_samples, scalars, room) -> (carry, loss)`` for the message of a whole batch.

    The loss is the batch's mean with its penalty. ``weighted`` says that the message ends with the samples' weight. The
    gradient of ``room`` is the message's. With primitives that write, the carry and the message are used up.
    """
    net, n_gradients = objective.net, n_parameters(objective.net.sizes)

    def descend(
        carry: Carry, message: Array, n_samples: float, scalars: Scalars, room: Room | None = None
    ) -> tuple[Carry, Array]:
        total = message[..., n_gradients]
        divisor = message[..., n_gradients + 1] if weighted else n_samples
        strength = objective.l2 * divisor if objective.l2_per_batch and objective.l2 > 0.0 else objective.l2
        if room is None:
            params, grads = ops.layers(net, carry.held), unpack(net, message[..., :n_gradients])
        else:
            params, grads = room.params, room.grads
        loss = with_penalty(ops, params, total / divisor, strength, divisor)
        held, state = ops.descend(
            optimizer, carry.held, Sums(params, grads, strength, divisor), carry.state, scalars, room
        )
        return Carry(held, state, ops.accumulated(carry.total, loss, n_samples)), loss

    return descend


def message_length(objective: Objective, *, weighted: bool) -> int:
    """Return how many numbers a message has."""
    return n_parameters(objective.net.sizes) + (2 if weighted else 1)


def pairwise_sum(messages: Sequence[Array]) -> Array:
    """Return ``((m0 + m1) + (m2 + m3)) + ...``, for a power of two of them.

    >>> pairwise_sum([1.0, 2.0, 3.0, 4.0])
    10.0
    """
    while len(messages) > 1:
        messages = [a + b for a, b in zip(messages[::2], messages[1::2], strict=True)]
    return messages[0]


def _summed_loss(
    ops: Primitives, objective: Objective, logits: Array, batch: Data, weight: float | Array
) -> tuple[Array, Array]:
    """Return the weighted sum of the loss over samples, and its derivative at the logits."""
    if objective.report is None:
        return mean_loss(ops, objective, logits, batch, 1.0)
    if batch.weights is None:
        loss, dlogits = objective.report(ops, logits, batch.Y, None)
        return loss * weight, dlogits
    # Where the weights of a shard sum to 0 its mean is that of samples alike, times 0, rather than 0 / 0.
    counted = batch.weights + ops.xp.astype(weight == 0, batch.weights.dtype)
    loss, dlogits = objective.report(ops, logits, batch.Y, counted)
    return loss * weight, dlogits * ops.xp.expand_dims(batch.weights, axis=-1)

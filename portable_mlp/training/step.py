"""One training step: forward, loss, backward, update. Pure functions of arrays that a backend may compile.

The same arguments give the same function object, so that a compiler's cache serves the next training too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from ..kernels.arrays import Array
from ..kernels.network import Network
from ..kernels.optimizers import Optimizer, Scalars, State
from ..kernels.parameters import Params, pack_pieces, unpack
from ..kernels.primitives import Held, Primitives, Sums
from ..kernels.propagation import backward_pass, forward_pass, loss_sum, with_penalty
from ..kernels.room import Room
from ..kernels.targets import are_labels
from .batches import Data

FUNCTIONS_KEPT = 128

Report: TypeAlias = Callable[[Primitives, Array, Array, Array | None], tuple[Array, Array]]


class Objective(NamedTuple):
    """What a step goes downhill on.

    Attributes
    ----------
    net : Network
        What is computed.
    l2 : float
        Penalty ``l2 / 2`` times the sum of squared weights.
    l2_per_batch : bool
        Whether the penalty is added to a batch's mean loss, or else to its sum, so that the mean divides it too.
    report : callable, optional
        Takes the place of the network's mean loss, whose gradient it shares:
        ``report(ops, z, Y, weights) -> (mean loss, dz)``, with ``z`` and ``dz`` as in `portable_mlp.kernels.losses`.
    """

    net: Network
    l2: float = 0.0
    l2_per_batch: bool = True
    report: Report | None = None


class Carry(NamedTuple):
    """What a step hands to the next.

    Attributes
    ----------
    held : array of shape (n_parameters,), or as the backend holds parameters
        The parameters.
    state : tuple
        The optimizer's moments, in the same form.
    total : array of shape () or (n_models,)
        The epoch's loss so far, summed over samples.
    """

    held: Held
    state: State
    total: Array


Evaluate: TypeAlias = Callable[[Array, Data], tuple[Array, Array]]
Step: TypeAlias = Callable[[Carry, Data, Array | None, Scalars, Room | None], tuple[Carry, Array]]


@functools.lru_cache(FUNCTIONS_KEPT)
def make_objective(ops: Primitives, objective: Objective) -> Evaluate:
    """Return ``evaluate(flat, data) -> (loss, gradient)``, the mean loss with the penalty, and its gradient, flat."""

    def evaluate(flat: Array, data: Data) -> tuple[Array, Array]:
        params = unpack(objective.net, flat)
        loss, sums = passes(ops, objective, params, encoded(ops, objective.net, data))
        return loss, pack_pieces(ops.xp, ops.reduced(sums))

    return evaluate


@functools.lru_cache(FUNCTIONS_KEPT)
def make_step(ops: Primitives, objective: Objective, optimizer: Optimizer) -> Step:
    """Return ``step(carry, data, rows, scalars, room) -> (carry, loss)``, with the batch's mean loss and its penalty.

    The batch is made of the samples ``rows`` of the data; with None the data are the batch. Masks are the batch's
    either way. With primitives that write, the carry is used up: what comes back is the same memory.
    """
    net = objective.net

    def step(
        carry: Carry, data: Data, rows: Array | None, scalars: Scalars, room: Room | None = None
    ) -> tuple[Carry, Array]:
        batch = encoded(ops, net, data if rows is None else taken(ops, data, rows, room), room)
        params = ops.layers(net, carry.held) if room is None else room.params
        loss, sums = passes(ops, objective, params, batch, room)
        held, state = ops.descend(optimizer, carry.held, sums, carry.state, scalars, room)
        return Carry(held, state, carry.total + loss * float(batch.n_samples)), loss

    return step


def passes(
    ops: Primitives, objective: Objective, params: Params, batch: Data, room: Room | None = None
) -> tuple[Array, Sums]:
    """Return the mean loss with the penalty, and the gradients, of a batch whose targets are rows."""
    net, xp = objective.net, ops.xp
    divisor = weight_of(ops, batch)
    strength = objective.l2 * divisor if objective.l2_per_batch and objective.l2 > 0.0 else objective.l2
    trace = forward_pass(ops, net, params, batch.X, batch.masks, room)
    loss, dlogits = mean_loss(ops, objective, trace.logits, batch, divisor)
    grads = backward_pass(ops, net, params, trace, dlogits, batch.masks, room)
    return with_penalty(xp, params, loss, strength, divisor), Sums(params, grads, strength, divisor)


def weight_of(ops: Primitives, data: Data) -> float | Array:
    """Return what a sum over samples is divided by: their number, or their weight."""
    return float(data.n_samples) if data.weights is None else ops.xp.sum(data.weights, axis=-1)


def mean_loss(
    ops: Primitives, objective: Objective, logits: Array, data: Data, divisor: float | Array
) -> tuple[Array, Array]:
    """Return the mean loss, without the penalty, and the derivative of the sum at the logits."""
    if objective.report is None:
        total, dlogits = loss_sum(ops, objective.net, logits, data.Y, data.weights)
        return total / divisor, dlogits
    loss, dlogits = objective.report(ops, logits, data.Y, data.weights)
    return loss, dlogits if data.weights is None else dlogits * ops.xp.expand_dims(data.weights, axis=-1)


def taken(ops: Primitives, data: Data, rows: Array, room: Room | None) -> Data:
    """Take the samples of a batch, into the room where models share them."""
    X, Y, weights, masks = data
    X_out = room.X if room is not None and X.ndim == 2 else None
    Y_out = room.Y if room is not None and Y.ndim == 2 and not are_labels(ops.xp, Y) else None
    some = None if weights is None else ops.take(weights, rows, 0)
    return Data(ops.take(X, rows, -2, X_out), ops.take(Y, rows, -2, Y_out), some, masks)


def encoded(ops: Primitives, net: Network, data: Data, room: Room | None = None) -> Data:
    """Turn labels into one-hot rows, in the room where models share them; leave rows as they are."""
    if not are_labels(ops.xp, data.Y):
        return data
    out = room.Y if room is not None and data.Y.ndim == 2 else None
    return Data(data.X, ops.one_hot(data.Y, net.sizes[-1], data.X.dtype, out), data.weights, data.masks)

"""One training step: forward, loss, backward, update. Pure functions of arrays that a backend may compile.

The same arguments give the same function object, so that a compiler's cache serves the next training too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import array_api_compat

from ..kernels.arrays import Array, Namespace
from ..kernels.network import Network
from ..kernels.optimizers import Optimizer, Scalars, State
from ..kernels.parameters import pack_pieces, unpack
from ..kernels.primitives import Primitives
from ..kernels.propagation import Room, backward_pass, forward_pass, loss_sum, reduced
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


Evaluate: TypeAlias = Callable[..., tuple[Array, Array]]
Step: TypeAlias = Callable[[Array, State, Array, Data, Scalars, Room | None], tuple[Array, State, Array, Array]]


@functools.lru_cache(FUNCTIONS_KEPT)
def make_objective(ops: Primitives, objective: Objective) -> Evaluate:
    """Return ``evaluate(flat, data, room=None) -> (loss, gradient)``, the mean loss with the penalty.

    The gradient is flat; with ``room`` it is the room's, until the next call.
    """
    xp, net, l2 = ops.xp, objective.net, objective.l2

    def evaluate(flat: Array, data: Data, room: Room | None = None) -> tuple[Array, Array]:
        divisor = weight_of(xp, data)
        strength = l2 * divisor if objective.l2_per_batch and l2 > 0.0 else l2
        params = unpack(net, flat) if room is None else room.params
        trace = forward_pass(ops, net, params, data.X, data.masks, room)
        loss, dlogits = mean_loss(ops, objective, trace.logits, data)
        sums = backward_pass(ops, net, params, trace, dlogits, data.masks, room)
        loss, grads = reduced(ops, params, loss, sums, strength=strength, divisor=divisor)
        return loss, pack_pieces(xp, grads) if room is None else room.gradient

    return evaluate


def make_room(ops: Primitives, net: Network, flat: Array, n_samples: int) -> Room | None:
    """Return memory for the steps of batches of that size, for primitives that write; else None."""
    if not ops.writes:
        return None
    xp = ops.xp

    def empty(n_units: int) -> Array:
        shape = (*flat.shape[:-1], n_samples, n_units)
        return xp.empty(shape, dtype=flat.dtype, device=array_api_compat.device(flat))

    gradient = xp.empty_like(flat)
    *hidden, n_outputs = net.sizes[1:]
    return Room(
        unpack(net, flat),
        tuple(map(empty, hidden)),
        empty(n_outputs),
        tuple(map(empty, hidden)),
        gradient,
        unpack(net, gradient),
    )


def weight_of(xp: Namespace, data: Data) -> float | Array:
    """Return what a batch's sum is divided by: its samples, or their weight."""
    return float(data.n_samples) if data.weights is None else xp.sum(data.weights, axis=-1)


def mean_loss(ops: Primitives, objective: Objective, logits: Array, data: Data) -> tuple[Array, Array]:
    """Return the mean loss, without the penalty, and the derivative of the sum at the logits."""
    xp = ops.xp
    if objective.report is None:
        total, dlogits = loss_sum(ops, objective.net, logits, data.Y, data.weights)
        return total / weight_of(xp, data), dlogits
    loss, dlogits = objective.report(ops, logits, data.Y, data.weights)
    return loss, dlogits if data.weights is None else dlogits * xp.expand_dims(data.weights, axis=-1)


@functools.lru_cache(FUNCTIONS_KEPT)
def make_step(ops: Primitives, objective: Objective, optimizer: Optimizer) -> Step:
    """Return ``step(flat, state, total, batch, scalars, room) -> (flat, state, total, loss)``.

    ``flat`` holds all parameters, ``state`` belongs to the optimizer, ``loss`` is the batch's mean with the penalty,
    and ``total`` adds it up over the epoch's samples, on the device: the host reads it once an epoch. With primitives
    that write, ``flat`` and ``state`` are used up: what comes back is the same memory.
    """
    evaluate = make_objective(ops, objective)

    def step(
        flat: Array, state: State, total: Array, batch: Data, scalars: Scalars, room: Room | None
    ) -> tuple[Array, State, Array, Array]:
        loss, gradient = evaluate(flat, batch, room)
        flat, state = ops.update(optimizer, flat, gradient, state, scalars)
        return flat, state, total + loss * float(batch.n_samples), loss

    return step

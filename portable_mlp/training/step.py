"""One training step: forward, loss, backward, update. Pure functions of arrays that a backend may compile.

The same arguments give the same function object, so that a compiler's cache serves the next training too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

from ..kernels.arrays import Array, Namespace
from ..kernels.network import Network
from ..kernels.optimizers import Optimizer, Scalars, State
from ..kernels.parameters import pack_pieces, unpack
from ..kernels.propagation import loss_and_sums, reduced
from .batches import Data

Objective: TypeAlias = Callable[[Array, Data], tuple[Array, Array]]
Step: TypeAlias = Callable[[Array, State, Array, Data, Scalars], tuple[Array, State, Array, Array]]

FUNCTIONS_KEPT = 128


@functools.lru_cache(FUNCTIONS_KEPT)
def make_objective(xp: Namespace, net: Network, l2: float) -> Objective:
    """Return ``objective(flat, data) -> (loss, gradient)``: the mean loss with the penalty, and its flat gradient."""

    def objective(flat: Array, data: Data) -> tuple[Array, Array]:
        n = float(data.n_samples)
        params = unpack(net, flat)
        loss_sum, sums = loss_and_sums(xp, net, params, data.X, data.Y, None)
        loss, grads = reduced(xp, params, loss_sum, sums, strength=l2 * n, divisor=n)
        return loss, pack_pieces(xp, grads)

    return objective


@functools.lru_cache(FUNCTIONS_KEPT)
def make_step(xp: Namespace, net: Network, optimizer: Optimizer, l2: float) -> Step:
    """Return ``step(flat, state, total, batch, scalars) -> (flat, state, total, loss)``.

    ``flat`` holds all parameters, ``state`` belongs to the optimizer, ``loss`` is the batch's mean with the penalty,
    and ``total`` adds it up over the epoch's samples, on the device: the host reads it once an epoch.
    """
    objective = make_objective(xp, net, l2)

    def step(
        flat: Array, state: State, total: Array, batch: Data, scalars: Scalars
    ) -> tuple[Array, State, Array, Array]:
        loss, gradient = objective(flat, batch)
        flat, state = optimizer.update(xp, flat, gradient, state, scalars)
        return flat, state, total + loss * float(batch.n_samples), loss

    return step

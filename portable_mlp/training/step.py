"""One training step: forward, loss, backward, update. A pure function of arrays that a backend may compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from ..kernels.arrays import Array, Namespace
from ..kernels.network import Network, loss_and_sums, reduced
from ..kernels.optimizers import Optimizer, Scalars, State
from ..kernels.parameters import pack, unpack

Step: TypeAlias = Callable[[Array, State, Array, Any, Scalars], tuple[Array, State, Array, Array]]


def make_step(xp: Namespace, net: Network, optimizer: Optimizer, l2: float) -> Step:
    """Return ``step(flat, state, total, batch, scalars) -> (flat, state, total, loss)``.

    ``flat`` holds all parameters, ``state`` belongs to the optimizer, ``loss`` is the batch's mean with the penalty,
    and ``total`` adds it up over the epoch's samples, on the device: the host reads it once an epoch.
    """

    def step(
        flat: Array, state: State, total: Array, batch: Any, scalars: Scalars
    ) -> tuple[Array, State, Array, Array]:
        X, Y = batch
        n = float(X.shape[-2])
        params = unpack(net, flat)
        loss_sum, sums = loss_and_sums(xp, net, params, X, Y, None)
        loss, grads = reduced(xp, params, loss_sum, sums, strength=l2 * n, divisor=n)
        flat, state = optimizer.update(xp, flat, pack(grads), state, scalars)
        return flat, state, total + loss * n, loss

    return step

"""A step's primitives for JAX, and many steps in one call."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as xp
import numpy as np

from ..kernels.arrays import Array
from ..kernels.network import Network
from ..kernels.optimizers import Optimizer, Scalars, State
from ..kernels.parameters import Layer, Params, pack_pieces, unpack
from ..kernels.primitives import Held, Primitives, Sums
from ..kernels.room import Room

FUNCTIONS_KEPT = 128


class JaxPrimitives(Primitives):
    """The portable ones, with parameters held as layers: XLA would copy a flat vector apart and together again."""

    def held(self, net: Network, flat: Array) -> Held:
        """Return the layers of a flat vector."""
        return unpack(net, flat)

    def flat(self, held: Held) -> Array:
        """Return the flat vector again."""
        return pack_pieces(self.xp, held)

    def layers(self, net: Network, held: Held) -> Params:
        """Return the layers as they are."""
        return held

    def take(self, x: Array, rows: Array, axis: int, out: Array | None = None) -> Array:
        """Return the samples ``rows``; without "clip" JAX would look whether they are there."""
        return xp.take(x, rows, axis=axis, mode="clip")

    def decayed(self, held: Held, params: Params, kept: float | Array) -> Held:
        """Return the layers with ``kept`` of each weight."""
        return tuple(Layer(self.scaled(W, kept), b) for W, b in params)

    def descend(
        self, optimizer: Optimizer, held: Held, sums: Sums, state: State, scalars: Scalars, room: Room | None = None
    ) -> tuple[Held, State]:
        """Take the optimizer's step for each array of each layer."""
        grads = self.reduced(sums)
        leaves, structure = jax.tree.flatten(held)
        together = zip(leaves, *map(jax.tree.leaves, (grads, *state)), strict=True)
        moved = [self.update(optimizer, p, g, moments, scalars) for p, g, *moments in together]
        moments = zip(*(moments for _, moments in moved), strict=True)
        return structure.unflatten([p for p, _ in moved]), tuple(map(structure.unflatten, moments))


@functools.cache
def jax_primitives() -> JaxPrimitives:
    """Return JAX's primitives, the same object each time."""
    return JaxPrimitives(xp)


@functools.lru_cache(FUNCTIONS_KEPT)
def repeated(step: Callable[..., Any], donated: bool) -> Callable[..., Any]:
    """Return ``many(carry, data, order, starts, size, scalars, room)``, as `Backend.repeat` says; it needs no room.

    ``donated`` lets XLA write the new state over the old one: a copy less on the device. On the CPU, where a call
    returns when it is done, a Ctrl-C would nearly always come while the old parameters are gone and the new ones not
    there yet.
    """

    @functools.partial(jax.jit, static_argnames="size", donate_argnames="carry" if donated else None)
    def compiled(carry: Any, data: Any, order: Array, starts: Array, table: Any, *, size: int) -> tuple[Any, Array]:
        def one(carry: Any, now: tuple[Array, Scalars]) -> tuple[Any, Array]:
            start, scalars = now
            return step(carry, data, jax.lax.dynamic_slice_in_dim(order, start, size), scalars, None)

        return jax.lax.scan(one, carry, (starts, table))

    def many(
        carry: Any,
        data: Any,
        order: Array,
        starts: Sequence[int],
        size: int,
        scalars: Sequence[Scalars],
        room: Room | None,
    ) -> tuple[Any, Array]:
        table = tuple(np.asarray(column, dtype=data.X.dtype) for column in zip(*scalars, strict=True))
        return compiled(carry, data, order, np.asarray(starts, dtype=np.int32), table, size=size)

    return many

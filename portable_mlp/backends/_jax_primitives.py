"""A step's primitives for JAX."""

from __future__ import annotations

import functools

import jax
import jax.numpy as xp

from ..kernels.arrays import Array
from ..kernels.network import Network
from ..kernels.optimizers import Optimizer, Scalars, State
from ..kernels.parameters import Layer, Params, pack_pieces, unpack
from ..kernels.primitives import GradientSums, KeptParameters, Primitives
from ..kernels.workspace import Workspace


class JaxPrimitives(Primitives):
    """The portable ones, with layers for parameters: XLA would copy a flat vector apart and together again."""

    def from_flat(self, net: Network, flat: Array) -> KeptParameters:
        """Return the layers of a flat vector."""
        return _unpacked(net, flat)

    def to_flat(self, net: Network, parameters: KeptParameters) -> Array:
        """Return the flat parameters."""
        return _packed(parameters)

    def layers(self, net: Network, parameters: KeptParameters) -> Params:
        """Return the layers as they are."""
        return parameters

    def take(self, x: Array, rows: Array, axis: int, out: Array | None = None) -> Array:
        """Gather the samples ``rows``; they are rows of ``x``, which JAX need not check in every step."""
        return x.at[(slice(None),) * (axis % x.ndim) + (rows,)].get(mode="promise_in_bounds")

    def decayed(self, parameters: KeptParameters, params: Params, kept: float | Array) -> KeptParameters:
        """Return the layers with ``kept`` of each weight."""
        return tuple(Layer(self.scaled(W, kept), b) for W, b in params)

    def reduce_and_update(
        self,
        optimizer: Optimizer,
        parameters: KeptParameters,
        sums: GradientSums,
        state: State,
        scalars: Scalars,
        workspace: Workspace | None = None,
    ) -> tuple[KeptParameters, State]:
        """Take the optimizer's step for each array of each layer."""
        grads = self.reduced(sums)
        leaves, structure = jax.tree.flatten(parameters)
        together = zip(leaves, *map(jax.tree.leaves, (grads, *state)), strict=True)
        moved = [self.update(optimizer, p, g, moments, scalars) for p, g, *moments in together]
        moments = zip(*(moments for _, moments in moved), strict=True)
        return structure.unflatten([p for p, _ in moved]), tuple(map(structure.unflatten, moments))


# Compiled: each operation that JAX runs by itself takes some 50 microseconds, and a fit packs its state in every epoch.
_unpacked = jax.jit(unpack, static_argnums=0)
_packed = jax.jit(functools.partial(pack_pieces, xp))


@functools.cache
def jax_primitives() -> JaxPrimitives:
    """Return JAX's primitives, the same object each time."""
    return JaxPrimitives(xp)

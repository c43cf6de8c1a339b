"""The primitives of a step: the few functions over whole arrays that a backend may replace by faster ones.

The portable ones here are the formulas of `activations` and `optimizers` in functions of the array API standard, which
make new arrays. A backend's own may write into ``out`` where it is given, and into arguments that are documented as
used up. The returned value is the result either way, so that the same lines run with both.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from .activations import ACTIVATIONS, softmax
from .arrays import Array, Namespace, constant, relevel
from .losses import LOSSES
from .network import Network
from .optimizers import Optimizer, Scalars, State
from .parameters import Layer, Params, pack_pieces, unpack
from .targets import one_hot
from .workspace import Workspace

KeptParameters: TypeAlias = Any
"""All parameters, or a moment of each, as steps keep them: one flat vector, unless a backend's primitives differ."""


class GradientSums(NamedTuple):
    """A batch's gradients as sums; reduced, they are the gradients of ``(loss + strength / 2 sum W^2) / divisor``.

    Attributes
    ----------
    params : tuple of Layer
        The parameters at which they were computed.
    grads : sequence of Layer
        The gradients of the loss alone, summed over samples; in the workspace's memory where there is one.
    strength : float or array
        The strength of the penalty, in units of the sum; 0.0 for none.
    divisor : float or array of shape () or (n_models,)
        The number of samples in the sum, or their weight; 1.0 leaves the sum.
    """

    params: Params
    grads: Sequence[Layer]
    strength: float | Array
    divisor: float | Array


class Primitives:
    """The portable primitives of one library.

    Attributes
    ----------
    xp : namespace
        The library's namespace of the array API standard.
    writes : bool
        Whether results are written into ``out`` and into arguments that are used up.
    numbers_at_once : int or None
        The most numbers that `by_rows` passes on at a time; None for all.
    """

    writes = False
    numbers_at_once: int | None = None

    def __init__(self, xp: Namespace) -> None:
        self.xp = xp

    def from_flat(self, net: Network, flat: Array) -> KeptParameters:
        """Return flat parameters in the form that steps keep; see `KeptParameters`."""
        return flat

    def to_flat(self, parameters: KeptParameters) -> Array:
        """Return the flat parameters, the inverse of `from_flat`."""
        return parameters

    def layers(self, net: Network, parameters: KeptParameters) -> Params:
        """Return the layers of the parameters."""
        return unpack(net, parameters)

    def take(self, x: Array, rows: Array, axis: int, out: Array | None = None) -> Array:
        """Gather ``rows`` along an axis; row numbers are not checked."""
        return self.xp.take(x, rows, axis=axis)

    def one_hot(self, labels: Array, n_classes: int, dtype: Any, out: Array | None = None) -> Array:
        """Return rows with a 1 at the label's place."""
        return one_hot(self.xp, labels, n_classes, dtype)

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """Return the matrix product."""
        return self.xp.matmul(a, b)

    def transposed(self, x: Array) -> Array:
        """Return the transpose of the last two axes."""
        return self.xp.matrix_transpose(x)

    def sum_samples(self, x: Array, out: Array | None = None) -> Array:
        """Return the sum over samples: (..., n_samples, n_units) -> (..., n_units)."""
        return self.xp.sum(x, axis=-2)

    def total(self, losses: Array) -> Array:
        """Return the sum of losses over samples: (..., n_samples) -> (...)."""
        return self.xp.sum(losses, axis=-1)

    def sum_of_squares(self, W: Array) -> Array:
        """Return the sum of all squares: (..., fan_in, fan_out) -> (...)."""
        w = self.xp.reshape(W, (*W.shape[:-2], -1))
        return self.xp.vecdot(w, w)

    def add_bias(self, z: Array, b: Array) -> Array:
        """Return ``z + b``; ``z`` is used up."""
        return z + self.xp.expand_dims(b, axis=-2)

    def activate(self, name: str, z: Array, b: Array) -> tuple[Array, Array | None]:
        """Return ``h = f(z + b)``, and ``z + b`` if the derivative needs it; ``z`` is used up."""
        z = self.add_bias(z, b)
        activation = ACTIVATIONS[name]
        return activation.value(self.xp, z), z if activation.needs_z else None

    def activated(self, name: str, z: Array, b: Array) -> Array:
        """Return ``h = f(z + b)`` alone, for predictions; ``z`` is used up."""
        if self.writes:
            return self.by_rows(lambda part: self.activate(name, part, b)[0], z)
        z = self.add_bias(z, b)
        return ACTIVATIONS[name].value(self.xp, z)

    def by_rows(self, function: Callable[[Array], Array], z: Array) -> Array:
        """Return ``function(z)``, a function of each row by itself; ``z`` is used up.

        With `numbers_at_once` they are computed some at a time, and written into ``z``, so that temporaries are small.
        """
        if self.numbers_at_once is None or math.prod(z.shape) <= self.numbers_at_once:
            return function(z)
        n_rows = z.shape[-2]
        size = max(1, self.numbers_at_once * n_rows // math.prod(z.shape))
        for start in range(0, n_rows, size):
            part = z[..., start : start + size, :]
            computed = function(part)
            if computed is not part:
                part[...] = computed
        return z

    def d_activate(self, name: str, dh: Array, z: Array | None, h: Array) -> Array:
        """Return ``dz = dh f'(z)``; ``dh`` is used up."""
        return ACTIVATIONS[name].backward(self.xp, dh, z, h)

    def sample_losses(self, net: Network, logits: Array, Y: Array) -> tuple[Array, Array]:
        """Return each sample's loss, summed over outputs, and its derivative at the logits."""
        return LOSSES[str(net.loss)].formula(self.xp, logits, Y, net.output, **dict(net.loss_options))

    def accumulated(self, total: Array, loss: Array, n_samples: float) -> Array:
        """Return ``total + loss n_samples``; ``total`` is used up."""
        return total + loss * n_samples

    def softmax(self, z: Array) -> Array:
        """Return ``e^z_j / sum_k e^z_k`` over the last axis."""
        return softmax(self.xp, z)

    def weighted_log(self, Y: Array, p: Array) -> Array:
        """Return ``Y log p``, 0 where Y is 0, with p clipped to [eps, 1 - eps], eps of its dtype."""
        xp, eps = self.xp, float(self.xp.finfo(p.dtype).eps)
        clipped = xp.minimum(xp.maximum(p, constant(xp, p, eps)), constant(xp, p, 1.0 - eps))
        return Y * xp.log(xp.where(Y == 0, constant(xp, p, 1.0), clipped))

    def penalised(self, dW: Array, W: Array, strength: float | Array, divisor: float | Array) -> Array:
        """Return ``(dW + strength W) / divisor``; ``dW`` is used up."""
        return self.divided(dW + relevel(self.xp, strength, 2) * W, divisor, 2)

    def divided(self, x: Array, divisor: float | Array, n_axes: int) -> Array:
        """Return ``x / divisor``, which has one number, or one for each model before the last ``n_axes`` axes of x.

        ``x`` is used up.
        """
        return x if isinstance(divisor, float) and divisor == 1.0 else x / relevel(self.xp, divisor, n_axes)

    def reduced(self, sums: GradientSums) -> Params:
        """Return the gradients of the mean with its penalty; the sums are used up."""
        params, grads, strength, divisor = sums
        plain = isinstance(strength, float) and strength == 0.0
        return tuple(
            Layer(
                self.divided(dW, divisor, 2) if plain else self.penalised(dW, W, strength, divisor),
                self.divided(db, divisor, 1),
            )
            for (dW, db), (W, _) in zip(grads, params, strict=True)
        )

    def update(self, optimizer: Optimizer, p: Array, g: Array, state: State, scalars: Scalars) -> tuple[Array, State]:
        """Return the parameters and the optimizer's state after a step; ``p``, ``g`` and ``state`` are used up."""
        return optimizer.update(self.xp, p, g, state, scalars)

    def scaled(self, x: Array, factor: float | Array) -> Array:
        """Return ``x factor``; ``x`` is used up."""
        return x * factor

    def decayed(self, parameters: KeptParameters, params: Params, kept: float | Array) -> KeptParameters:
        """Multiply the weights of ``params``, the layers of ``parameters``, by ``kept``; ``parameters`` is used up."""
        layers = [Layer(self.scaled(W, kept), b) for W, b in params]
        return parameters if self.writes else pack_pieces(self.xp, layers)

    def reduce_and_update(
        self,
        optimizer: Optimizer,
        parameters: KeptParameters,
        sums: GradientSums,
        state: State,
        scalars: Scalars,
        workspace: Workspace | None = None,
    ) -> tuple[KeptParameters, State]:
        """Reduce sums over samples to gradients, and take the optimizer's step along them; all are used up."""
        grads = self.reduced(sums)
        gradient = pack_pieces(self.xp, grads) if workspace is None else workspace.gradient
        return self.update(optimizer, parameters, gradient, state, scalars)


@functools.cache
def portable(xp: Namespace) -> Primitives:
    """Return the portable primitives of a library, the same object each time."""
    return Primitives(xp)

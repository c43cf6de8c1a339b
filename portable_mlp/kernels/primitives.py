"""The primitives of a step: the few functions over whole arrays that a backend may replace by faster ones.

The portable ones here are the formulas of `activations` and `optimizers` in functions of the array API standard, which
make new arrays. A backend's own may write into ``out`` where it is given, and into arguments that are documented as
used up. The returned value is the result either way, so that the same lines run with both.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .activations import ACTIVATIONS, softmax
from .arrays import Array, Namespace, constant, relevel
from .losses import LOSSES
from .network import Network
from .optimizers import Optimizer, Scalars, State
from .parameters import Layer, Params, pack_pieces, unpack
from .targets import are_labels, one_hot
from .workspace import Workspace

if TYPE_CHECKING:
    from .step import Carry

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


class BatchLoss(NamedTuple):
    """The loss of a batch, without its penalty; one of the two is None.

    Attributes
    ----------
    each : array of shape (..., n_samples), or None
        The loss of each sample, times its weight.
    mean : array of shape () or (n_models,), or None
        The sum of these losses, divided.
    """

    each: Array | None = None
    mean: Array | None = None


class Report(NamedTuple):
    """A loss that is reported in the place of a network's.

    The mean over samples is taken first: ``factor`` times the sum, or the average, over outputs of the weighted terms,
    summed over samples and divided.

    Attributes
    ----------
    terms : callable
        ``terms(ops, z, Y) -> (terms, dz)`` for the logits ``z``, all of shape (n_samples, n_outputs): the terms of the
        loss, and the derivative of the network's loss at z.
    factor : float
        The factor of the sum or average over outputs.
    averages : bool
        Whether the terms are averaged over outputs, rather than summed.
    clips : bool
        Whether it is the network's own loss of probabilities that are clipped to [eps, 1 - eps], eps of their dtype.
    """

    terms: Callable[[Any, Array, Array], tuple[Array, Array]]
    factor: float = 1.0
    averages: bool = False
    clips: bool = False


class Primitives:
    """The portable primitives of one library.

    Attributes
    ----------
    xp : namespace
        The library's namespace of the array API standard.
    writes : bool
        Whether results are written into ``out`` and into arguments that are used up.
    sums_layers_together : bool
        Whether `sum_samples_of_layers` is faster than one `sum_samples` after another.
    numbers_at_once : int or None
        The most numbers that `by_rows` passes on at a time; None for all.
    """

    writes = False
    sums_layers_together = False
    numbers_at_once: int | None = None

    def __init__(self, xp: Namespace) -> None:
        self.xp = xp

    def from_flat(self, net: Network, flat: Array) -> KeptParameters:
        """Return flat parameters in the form that steps keep; see `KeptParameters`."""
        return flat

    def to_flat(self, net: Network, parameters: KeptParameters) -> Array:
        """Return the flat parameters, the inverse of `from_flat`."""
        return parameters

    def layers(self, net: Network, parameters: KeptParameters) -> Params:
        """Return the layers of the parameters."""
        return unpack(net, parameters)

    def packed(self, layers: Sequence[Layer]) -> Array:
        """Return gradients of layers as one vector, in the order of the parameters where these are a vector."""
        return pack_pieces(self.xp, layers)

    def takes_labels(self, net: Network, report: Report | None = None) -> bool:
        """Return whether `output_losses`, or `reported_losses`, takes labels as they are, rather than rows."""
        return False

    def take(self, x: Array, rows: Array, axis: int, out: Array | None = None) -> Array:
        """Gather ``rows`` along an axis; row numbers are not checked."""
        return self.xp.take(x, rows, axis=axis)

    def one_hot(self, labels: Array, n_classes: int, dtype: Any, out: Array | None = None) -> Array:
        """Return rows with a 1 at the label's place."""
        return one_hot(self.xp, labels, n_classes, dtype)

    def gathered(
        self, X: Array, Y: Array, rows: Array, n_outputs: int, X_out: Array | None = None, Y_out: Array | None = None
    ) -> tuple[Array, Array]:
        """Gather the samples ``rows``: inputs, and targets; labels may become rows with a 1 at the label's place."""
        return self.take(X, rows, -2, X_out), self.take(Y, rows, -2, None if are_labels(self.xp, Y) else Y_out)

    def factor(self, x: Array) -> Array:
        """Return a matrix in the form in which it is multiplied: rounded, where products take fewer bits."""
        return x

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """Return the matrix product of two factors; see `factor`."""
        return self.xp.matmul(a, b)

    def linear(self, x: Array, W: Array, b: Array, out: Array | None = None) -> tuple[Array, Array | None]:
        """Return ``x W + b`` and None; or ``x W`` and ``b``, which is yet to be added. ``x`` and ``W`` are factors."""
        return self.matmul(x, W, out), b

    def transposed(self, x: Array) -> Array:
        """Return the transpose of the last two axes."""
        return self.xp.matrix_transpose(x)

    def sum_samples(self, x: Array, out: Array | None = None) -> Array:
        """Return the sum over samples: (..., n_samples, n_units) -> (..., n_units)."""
        return self.xp.sum(x, axis=-2)

    def sum_samples_of_layers(self, net: Network, dzs: Sequence[Array], workspace: Workspace) -> None:
        """Write the sums over samples of each layer's ``dz`` into the biases of the workspace's gradient."""
        for dz, (_, db) in zip(dzs, workspace.grads, strict=True):
            self.sum_samples(dz, db)

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

    def biased(self, z: Array, b: Array | None) -> Array:
        """Return the pre-activations of a result of `linear`, which is used up."""
        return z if b is None else self.add_bias(z, b)

    def activate(self, name: str, z: Array, b: Array | None) -> tuple[Array, Array | None]:
        """Return ``h = f(z + b)``, and ``z + b`` if the derivative needs it; ``z`` is used up, ``b`` as of `linear`."""
        z = self.biased(z, b)
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

    def output_losses(
        self, net: Network, z: Array, b: Array | None, Y: Array, weights: Array | None, divisor: float | Array
    ) -> tuple[BatchLoss, Array, Array]:
        """Return the loss of a batch, each sample's derivative at the logits, and these unless they are used up.

        The logits are ``z + b``, or ``z`` where ``b`` is None: ``z`` is used up otherwise. Weights scale the loss, not
        the derivative.
        """
        logits = self.biased(z, b)
        losses, dlogits = self.sample_losses(net, logits, Y)
        return BatchLoss(each=losses if weights is None else losses * weights), dlogits, logits

    def reported_losses(
        self, report: Report, z: Array, b: Array | None, Y: Array, weights: Array | None, divisor: float | Array
    ) -> tuple[BatchLoss, Array, Array]:
        """Return the loss to report, and the derivative and the logits as `output_losses`."""
        xp, logits = self.xp, self.biased(z, b)
        terms, dlogits = report.terms(self, logits, Y)
        weighted = terms if weights is None else terms * xp.expand_dims(weights, axis=-1)
        of_outputs = xp.sum(weighted, axis=0) / divisor
        mean = report.factor * (xp.mean(of_outputs) if report.averages else xp.sum(of_outputs))
        return BatchLoss(mean=mean), dlogits, logits

    def penalty(self, params: Params, strength: float | Array) -> Array:
        """Return ``strength / 2`` times the sum of all squared weights; biases are exempt."""
        squares = [self.sum_of_squares(W) for W, _ in params]
        return 0.5 * strength * sum(squares[1:], start=squares[0])

    def averaged(self, loss: BatchLoss, divisor: float | Array) -> Array:
        """Return the loss of a batch without its penalty, divided: () or (n_models,)."""
        return self.total(loss.each) / divisor if loss.mean is None else loss.mean

    def mean_loss(self, loss: BatchLoss, sums: GradientSums) -> Array:
        """Return the loss of a batch with its penalty, divided: () or (n_models,)."""
        params, _, strength, divisor = sums
        mean = self.averaged(loss, divisor)
        if isinstance(strength, float) and strength == 0.0:
            return mean
        return mean + self.penalty(params, strength) / divisor

    def step_loss(
        self, parameters: KeptParameters, sums: GradientSums, loss: BatchLoss, workspace: Workspace | None = None
    ) -> Array:
        """Return `mean_loss` for a step, whose parameters are ``parameters`` as a whole; it may be in the workspace."""
        return self.mean_loss(loss, sums)

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
        return parameters if self.writes else self.packed(layers)

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
        gradient = self.packed(grads) if workspace is None else workspace.gradient
        return self.update(optimizer, parameters, gradient, state, scalars)

    def concluded(
        self,
        net: Network,
        optimizer: Optimizer,
        carry: Carry,
        sums: GradientSums,
        loss: BatchLoss,
        n_samples: float,
        scalars: Scalars,
        workspace: Workspace | None = None,
    ) -> tuple[Carry, Array]:
        """Conclude a step: form its loss, reduce the sums, update, and add the loss to the epoch's.

        Returns
        -------
        carry : Carry
            The values after the step; the arguments are used up.
        loss : array of shape () or (n_models,)
            The batch's mean loss with its penalty.
        """
        parameters, state, total = carry
        mean = self.step_loss(parameters, sums, loss, workspace)
        parameters, state = self.reduce_and_update(optimizer, parameters, sums, state, scalars, workspace)
        return type(carry)(parameters, state, self.accumulated(total, mean, n_samples)), mean


@functools.cache
def portable(xp: Namespace) -> Primitives:
    """Return the portable primitives of a library, the same object each time."""
    return Primitives(xp)

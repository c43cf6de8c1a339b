"""A step's primitives for PyTorch: its fused operations, few a step, which write into existing memory.

They are called directly: on small networks the wrappers of the standard cost as much as the functions.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import array_api_compat.torch
import torch
from torch.nn import functional

from ..kernels.arrays import Array, relevel
from ..kernels.losses import LOSSES, cross_entropy
from ..kernels.network import Network
from ..kernels.optimizers import Optimizer, Scalars, State
from ..kernels.parameters import Layer, Params, pack_pieces, unpack
from ..kernels.primitives import BatchLoss, GradientSums, KeptParameters, Primitives, Report
from ..kernels.targets import are_labels
from ..kernels.workspace import Workspace
from ._torch_activations import own_activation
from ._torch_optimizers import number_on, update_in_place


class TorchPrimitives(Primitives):
    """PyTorch, without a temporary where an output is given.

    Parameters are one vector, all weights before all biases: what concerns weights alone is one operation.

    Parameters
    ----------
    in_bfloat16 : bool
        Whether factors of products are rounded to bfloat16, on CUDA; sums are float32 always.
    """

    writes = True
    numbers_at_once = 2**20  # enough for all threads, or for a GPU

    def __init__(self, in_bfloat16: bool = False) -> None:
        super().__init__(array_api_compat.torch)
        self._in_bfloat16 = in_bfloat16

    def from_flat(self, net: Network, flat: Array) -> KeptParameters:
        """Return flat parameters with all weights before all biases."""
        return self.packed(unpack(net, flat))

    def to_flat(self, net: Network, parameters: KeptParameters) -> Array:
        """Return the flat parameters, layer by layer."""
        return pack_pieces(self.xp, self.layers(net, parameters))

    def layers(self, net: Network, parameters: KeptParameters) -> Params:
        """Return the layers, views of the parameters."""
        shapes = list(itertools.pairwise(net.sizes))
        weights = _views(parameters, 0, shapes)
        biases = _views(parameters, sum(map(math.prod, shapes)), [(fan_out,) for _, fan_out in shapes])
        return tuple(map(Layer, weights, biases))

    def packed(self, layers: Sequence[Layer]) -> Array:
        """Return all weights before all biases."""
        return torch.cat([*(W.flatten(-2) for W, _ in layers), *(b for _, b in layers)], dim=-1)

    def takes_labels(self, net: Network, report: Report | None = None) -> bool:
        """Return whether the loss takes labels: cross-entropy does, of clipped probabilities too."""
        return _is_cross_entropy(net) and (report is None or report.clips)

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """Return the matrix product, in ``out``."""
        return _product_in_bfloat16(a, b, out) if self._in_bfloat16 else torch.matmul(a, b, out=out)

    def transposed(self, x: Array) -> Array:
        """Return the transpose of the last two axes."""
        return x.mT

    def linear(self, x: Array, W: Array, b: Array, out: Array | None = None) -> tuple[Array, Array | None]:
        """Return ``x W + b``, in ``out``; the bias is left over where there are models, or bfloat16."""
        if self._in_bfloat16 or x.ndim > 2 or W.ndim > 2:
            return self.matmul(x, W, out), b
        return torch.addmm(b, x, W, out=out), None

    def take(self, x: Array, rows: Array, axis: int, out: Array | None = None) -> Array:
        """Return the samples ``rows``, in ``out``."""
        return torch.index_select(x, axis, rows, out=out)

    def one_hot(self, labels: Array, n_classes: int, dtype: Any, out: Array | None = None) -> Array:
        """Return rows with a 1 at the label's place, in ``out``."""
        if out is None:
            return super().one_hot(labels, n_classes, dtype)
        return out.zero_().scatter_(-1, labels, 1.0)

    def sum_samples(self, x: Array, out: Array | None = None) -> Array:
        """Return the sum over samples, in ``out``."""
        return torch.sum(x, dim=-2, out=out)

    def total(self, losses: Array) -> Array:
        """Return the sum of losses over samples."""
        return torch.sum(losses, dim=-1)

    def sum_of_squares(self, W: Array) -> Array:
        """Return the sum of all squares."""
        return _sum_of_squares(W.flatten(-2))

    def add_bias(self, z: Array, b: Array) -> Array:
        """Return ``z + b``, in ``z``."""
        return z.add_(b.unsqueeze(-2))

    def activate(self, name: str, z: Array, b: Array | None) -> tuple[Array, Array | None]:
        """Return ``h = f(z + b)``, in ``z`` unless the derivative needs ``z + b``."""
        own = own_activation(name)
        if own is None:
            return super().activate(name, z, b)
        z = self.biased(z, b)
        h = own.value(z)
        return h, None if h is z else z

    def activated(self, name: str, z: Array, b: Array) -> Array:
        """Return ``h = f(z + b)`` alone, in ``z``: predictions have the bits of the formulas."""
        own = own_activation(name)
        activate = self.activate if own is not None and own.same_bits else super().activate
        return self.by_rows(lambda part: activate(name, part, b)[0], z)

    def d_activate(self, name: str, dh: Array, z: Array | None, h: Array) -> Array:
        """Return ``dz = dh f'(z)``, in ``dh``."""
        own = own_activation(name)
        return super().d_activate(name, dh, z, h) if own is None else own.backward(dh, z, h)

    def softmax(self, z: Array) -> Array:
        """Return ``e^z_j / sum_k e^z_k`` over the last axis."""
        return torch.softmax(z, dim=-1)

    def weighted_log(self, Y: Array, p: Array) -> Array:
        """Return ``Y log p``, 0 where Y is 0, with p clipped to [eps, 1 - eps], eps of its dtype."""
        eps = torch.finfo(p.dtype).eps
        return torch.xlogy(Y, torch.clamp(p, eps, 1.0 - eps))

    def sample_losses(self, net: Network, logits: Array, Y: Array) -> tuple[Array, Array]:
        """Return each sample's loss, summed over outputs, and its derivative at the logits."""
        if not _is_cross_entropy(net):
            return super().sample_losses(net, logits, Y)
        shifted = logits - torch.amax(logits, dim=-1, keepdim=True)
        e = torch.exp(shifted)
        total = torch.sum(e, dim=-1, keepdim=True)
        others = torch.sum(e.masked_fill(e >= 1, 0.0), dim=-1)
        plain = total[..., 0]
        log_total = torch.where(plain < 2, torch.log1p(others), torch.log(plain))
        return log_total - torch.sum(shifted.mul_(Y), dim=-1), e.div_(total).sub_(Y)

    def output_losses(
        self, net: Network, z: Array, b: Array | None, Y: Array, weights: Array | None, divisor: float | Array
    ) -> tuple[BatchLoss, Array, Array]:
        """Return the loss, the derivative and the logits; of labels by PyTorch's logarithm of the softmax."""
        if not are_labels(self.xp, Y):
            return super().output_losses(net, z, b, Y, weights, divisor)
        logits = self.biased(z, b)
        return *_losses_of_labels(logits, Y, weights, divisor), logits

    def reported_losses(
        self, report: Report, z: Array, b: Array | None, Y: Array, weights: Array | None, divisor: float | Array
    ) -> tuple[BatchLoss, Array, Array]:
        """Return the loss to report, the derivative and the logits; the sum is over all terms at once."""
        logits = self.biased(z, b)
        if are_labels(self.xp, Y):
            return *_losses_of_labels(logits, Y, weights, divisor, clips=True), logits
        terms, dlogits = report.terms(self, logits, Y)
        if weights is not None:
            terms = terms * weights.unsqueeze(-1)
        factor = report.factor / terms.shape[-1] if report.averages else report.factor
        return BatchLoss(mean=torch.sum(terms) * (factor / divisor)), dlogits, logits

    def accumulated(self, total: Array, loss: Array, n_samples: float) -> Array:
        """Return ``total + loss n_samples``."""
        return torch.add(total, loss, alpha=n_samples)

    def penalised(self, dW: Array, W: Array, strength: float | Array, divisor: float | Array) -> Array:
        """Return ``(dW + strength W) / divisor``, in ``dW``."""
        return self.divided(_add_scaled(dW, W, strength, 2), divisor, 2)

    def divided(self, x: Array, divisor: float | Array, n_axes: int) -> Array:
        """Return ``x / divisor``, in ``x``."""
        return x if isinstance(divisor, float) and divisor == 1.0 else x.div_(relevel(self.xp, divisor, n_axes))

    def scaled(self, x: Array, factor: float | Array) -> Array:
        """Return ``x factor``, in ``x``."""
        return x.mul_(factor)

    def decayed(self, parameters: KeptParameters, params: Params, kept: float | Array) -> KeptParameters:
        """Multiply the weights by ``kept``."""
        self.scaled(parameters[..., : _n_weights(params)], kept)
        return parameters

    def update(self, optimizer: Optimizer, p: Array, g: Array, state: State, scalars: Scalars) -> tuple[Array, State]:
        """Return the parameters, in ``p``, and the optimizer's state after a step."""
        return p, update_in_place(optimizer, p, g, state, scalars, 1.0)

    def reduce_and_update(
        self,
        optimizer: Optimizer,
        parameters: KeptParameters,
        sums: GradientSums,
        state: State,
        scalars: Scalars,
        workspace: Workspace | None = None,
    ) -> tuple[KeptParameters, State]:
        """Reduce sums over samples to gradients, and take the optimizer's step, in ``parameters``."""
        if workspace is None:
            return super().reduce_and_update(optimizer, parameters, sums, state, scalars)
        params, _, strength, divisor = sums
        gradient = workspace.gradient
        if not _is_zero(strength):
            some = slice(_n_weights(params))
            _add_scaled(gradient[..., some], parameters[..., some], strength, 1)
        if not isinstance(divisor, float):
            gradient, divisor = self.divided(gradient, divisor, 1), 1.0
        return parameters, update_in_place(optimizer, parameters, gradient, state, scalars, divisor)

    def step_loss(
        self, parameters: KeptParameters, sums: GradientSums, loss: BatchLoss, workspace: Workspace | None = None
    ) -> Array:
        """Return the mean loss with its penalty, in the workspace's memory; the squares of all weights are one sum."""
        params, _, strength, divisor = sums
        if workspace is None or _is_zero(strength):
            return super().step_loss(parameters, sums, loss, workspace)
        mean, ratio, out = self.averaged(loss, divisor), strength / divisor, workspace.loss
        w = parameters[..., : _n_weights(params)]
        if not isinstance(ratio, float):
            return torch.addcmul(mean, _sum_of_squares(w), ratio, value=0.5, out=out)
        if w.ndim > 1:
            return torch.add(mean, _sum_of_squares(w), alpha=0.5 * ratio, out=out)
        # As the product of a matrix of one row and a vector, which adds the mean.
        place = None if out is None else out.view(1)
        added = torch.addmv(mean.view(1), w.unsqueeze(0), w, alpha=0.5 * ratio, out=place)
        return added.view(()) if out is None else out


def widens_bfloat16() -> bool:
    """Return whether `torch.mm` multiplies bfloat16 into float32 (``out_dtype``): from PyTorch 2.8 on."""
    return "dtype_out" in torch.ops.aten.mm.overloads()


def _product_in_bfloat16(a: Array, b: Array, out: Array | None) -> Array:
    """Return the product of factors rounded to bfloat16, summed in float32, in ``out``."""
    a, b = a.to(torch.bfloat16), b.to(torch.bfloat16)
    if a.ndim == b.ndim == 2:
        return torch.mm(a, b, out_dtype=torch.float32, out=out)
    n_models = max(x.shape[0] for x in (a, b) if x.ndim == 3)
    a, b = a.expand(n_models, *a.shape[-2:]), b.expand(n_models, *b.shape[-2:])
    return torch.bmm(a, b, out_dtype=torch.float32, out=out)


def _is_cross_entropy(net: Network) -> bool:
    return LOSSES[str(net.loss)].formula is cross_entropy


def _views(x: Array, start: int, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Return views of the numbers from ``start`` on, one after another, in these shapes."""
    stops = list(itertools.accumulate(map(math.prod, shapes), initial=start))
    return [
        x[..., start:stop].unflatten(-1, shape)
        for start, stop, shape in zip(stops[:-1], stops[1:], shapes, strict=True)
    ]


def _n_weights(params: Params) -> int:
    return sum(math.prod(W.shape[-2:]) for W, _ in params)


def _is_zero(strength: float | Array) -> bool:
    return isinstance(strength, float) and strength == 0.0


def _add_scaled(x: Array, y: Array, factor: float | Array, n_axes: int) -> Array:
    """Return ``x + factor y``, in ``x``; the factor is one number, or one for each model before so many axes."""
    if isinstance(factor, float):
        return x.add_(y, alpha=factor)
    return x.addcmul_(y, relevel(array_api_compat.torch, factor, n_axes))


def _sum_of_squares(w: Array) -> Array:
    """Return the sum of squares over the last axis."""
    return torch.dot(w, w) if w.ndim == 1 else torch.linalg.vecdot(w, w)


def _losses_of_labels(
    logits: Array, labels: Array, weights: Array | None, divisor: float | Array, clips: bool = False
) -> tuple[BatchLoss, Array]:
    """Return the cross-entropy of labels (..., n_samples, 1), of clipped probabilities if asked for, and p - Y."""
    log_p = torch.log_softmax(logits, dim=-1)
    labels = labels.expand(*log_p.shape[:-1], 1)  # which models may share
    clipped = log_p
    if clips:
        eps = torch.finfo(log_p.dtype).eps
        clipped = torch.clamp(log_p, math.log(eps), math.log1p(-eps))
    loss = _negative_log_likelihood(clipped, labels, weights, divisor)
    minus_one = number_on(-1.0, log_p.dtype, log_p.device).expand(labels.shape)
    return loss, log_p.exp_().scatter_add_(-1, labels, minus_one)


def _negative_log_likelihood(log_p: Array, labels: Array, weights: Array | None, divisor: float | Array) -> BatchLoss:
    """Return the loss of labels: as a mean or a sum by one operation where there are no weights and no models."""
    n_samples = log_p.shape[-2]
    if log_p.ndim == 2 and weights is None and isinstance(divisor, float) and divisor in (1.0, n_samples):
        reduction = "mean" if divisor == n_samples else "sum"
        return BatchLoss(mean=functional.nll_loss(log_p, labels[:, 0], reduction=reduction))
    losses = torch.gather(log_p, -1, labels)[..., 0].neg_()
    return BatchLoss(each=losses if weights is None else losses.mul_(weights))


@functools.cache
def torch_primitives(in_bfloat16: bool = False) -> TorchPrimitives:
    """Return PyTorch's primitives, the same object each time."""
    return TorchPrimitives(in_bfloat16)

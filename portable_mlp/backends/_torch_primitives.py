"""A step's primitives for PyTorch, which write into existing memory; the operations are the portable ones.

PyTorch's functions are called directly: on small networks the wrappers of the standard cost as much as the functions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import array_api_compat.torch
import torch

from ..kernels import optimizers
from ..kernels.arrays import Array, relevel
from ..kernels.network import Network
from ..kernels.optimizers import Optimizer, Scalars, State
from ..kernels.primitives import Primitives


class TorchPrimitives(Primitives):
    """PyTorch, without a temporary where an output is given.

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

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """Return the matrix product, in ``out``."""
        return _product_in_bfloat16(a, b, out) if self._in_bfloat16 else torch.matmul(a, b, out=out)

    def transposed(self, x: Array) -> Array:
        """Return the transpose of the last two axes."""
        return x.mT

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

    def add_bias(self, z: Array, b: Array) -> Array:
        """Return ``z + b``, in ``z``."""
        return z.add_(b.unsqueeze(-2))

    def activate(self, name: str, z: Array, b: Array) -> tuple[Array, Array | None]:
        """Return ``h = f(z + b)``, in ``z`` for the commonest."""
        if name == "relu":
            return self.add_bias(z, b).relu_(), None
        if name == "tanh":
            return self.add_bias(z, b).tanh_(), None
        return super().activate(name, z, b)

    def d_activate(self, name: str, dh: Array, z: Array | None, h: Array) -> Array:
        """Return ``dz = dh f'(z)``, in ``dh`` for the commonest."""
        if name == "relu":
            return dh.masked_fill_(h <= 0, 0.0)
        return super().d_activate(name, dh, z, h)

    def sample_losses(self, net: Network, logits: Array, Y: Array) -> tuple[Array, Array]:
        """Return each sample's loss, summed over outputs, and its derivative at the logits."""
        if net.loss != "cross_entropy":
            return super().sample_losses(net, logits, Y)
        shifted = logits - torch.amax(logits, dim=-1, keepdim=True)
        e = torch.exp(shifted)
        total = torch.sum(e, dim=-1, keepdim=True)
        others = torch.sum(e.masked_fill(e >= 1, 0.0), dim=-1)
        plain = total[..., 0]
        log_total = torch.where(plain < 2, torch.log1p(others), torch.log(plain))
        return log_total - torch.sum(shifted.mul_(Y), dim=-1), e.div_(total).sub_(Y)

    def penalised(self, dW: Array, W: Array, strength: float | Array, divisor: float | Array) -> Array:
        """Return ``(dW + strength W) / divisor``, in ``dW``."""
        return self.divided(dW.add_(relevel(self.xp, strength, 2) * W), divisor, 2)

    def divided(self, x: Array, divisor: float | Array, n_axes: int) -> Array:
        """Return ``x / divisor``, in ``x``."""
        return x if isinstance(divisor, float) and divisor == 1.0 else x.div_(relevel(self.xp, divisor, n_axes))

    def scaled(self, x: Array, factor: float | Array) -> Array:
        """Return ``x factor``, in ``x``."""
        return x.mul_(factor)

    def update(self, optimizer: Optimizer, p: Array, g: Array, state: State, scalars: Scalars) -> tuple[Array, State]:
        """Return the parameters, in ``p``, and the optimizer's state, in ``state`` for the commonest, after a step."""
        in_place = _IN_PLACE.get(optimizer.formula)
        if in_place is None:
            moved, state = optimizer.update(self.xp, p, g, state, scalars)
            return p.copy_(moved), state
        in_place(p, g, *state, *scalars, *optimizer.constants)
        return p, state


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


# Scalars are Python numbers, or arrays on the device where steps are recorded; only numbers can be an ``alpha``.


def _less(p: Array, g: Array, rate: Any) -> None:
    if isinstance(rate, float):
        p.sub_(g, alpha=rate)
    else:
        p.sub_(g * rate)


def _sgd_in_place(p: Array, g: Array, rate: Any) -> None:
    _less(p, g, rate)


def _momentum_in_place(p: Array, g: Array, v: Array, rate: Any, momentum: float) -> None:
    v.mul_(momentum).add_(g)
    _less(p, v, rate)


def _nesterov_in_place(p: Array, g: Array, v: Array, rate: Any, momentum: float) -> None:
    v.mul_(momentum).add_(g)
    _less(p, g.add_(v, alpha=momentum), rate)


def _adam_in_place(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    step: Any,
    epsilon: Any,
    beta_1: float,
    rest_1: float,
    beta_2: float,
    rest_2: float,
) -> None:
    m.mul_(beta_1).add_(g, alpha=rest_1)
    v.mul_(beta_2).addcmul_(g, g, value=rest_2)
    root = torch.sqrt(v, out=g).add_(epsilon)
    if isinstance(step, float):
        p.addcdiv_(m, root, value=-step)
    else:
        p.sub_(torch.div(m, root, out=root).mul_(step))


_IN_PLACE: dict[Any, Callable[..., None]] = {
    optimizers.sgd_update: _sgd_in_place,
    optimizers.momentum_update: _momentum_in_place,
    optimizers.nesterov_update: _nesterov_in_place,
    optimizers.adam_update: _adam_in_place,
}
"""The formulas of `portable_mlp.kernels.optimizers`, without a temporary; ``g`` is used up."""


@functools.cache
def torch_primitives(in_bfloat16: bool = False) -> TorchPrimitives:
    """Return PyTorch's primitives, the same object each time."""
    return TorchPrimitives(in_bfloat16)

"""PyTorch's own activations and their derivatives: one operation each, where the formulas take several."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from ..kernels import activations as formulas
from ..kernels.activations import ACTIVATIONS
from ..kernels.arrays import Array

_aten = torch.ops.aten

_GELU_FLAT = 100.0
"""Beyond it the derivative of gelu is 0 or 1, to the last digit."""


class TorchActivation(NamedTuple):
    """An activation and its derivative, by the contract of `portable_mlp.kernels.activations`.

    Attributes
    ----------
    value : callable
        ``value(z) -> h``, in ``z`` unless the derivative needs z.
    backward : callable
        ``backward(dh, z, h) -> dz``, in ``dh``.
    same_bits : bool
        Whether the value has the bits of the formula.
    """

    value: Callable[[Array], Array]
    backward: Callable[[Array, Array | None, Array], Array]
    same_bits: bool = False


def own_activation(name: str) -> TorchActivation | None:
    """Return PyTorch's form of the formulas that a name has now, or None."""
    entry = ACTIVATIONS[name]
    return _OWN.get((entry.value, entry.backward))


def _d_gelu(dh: Array, z: Array | None, h: Array) -> Array:
    # PyTorch squares z, which must not overflow against a 0.
    near = torch.clamp(z, -_GELU_FLAT, _GELU_FLAT)
    return _aten.gelu_backward.grad_input(dh, near, approximate="tanh", grad_input=dh)


_OWN: dict[tuple[Callable[..., Array], Callable[..., Array]], TorchActivation] = {
    (formulas.relu, formulas.d_relu): TorchActivation(
        torch.relu_, lambda dh, z, h: _aten.threshold_backward.grad_input(dh, h, 0.0, grad_input=dh), same_bits=True
    ),
    (formulas.tanh, formulas.d_tanh): TorchActivation(
        torch.tanh_, lambda dh, z, h: _aten.tanh_backward.grad_input(dh, h, grad_input=dh), same_bits=True
    ),
    (formulas.logistic, formulas.d_logistic): TorchActivation(
        torch.sigmoid_, lambda dh, z, h: _aten.sigmoid_backward.grad_input(dh, h, grad_input=dh)
    ),
    (formulas.leaky_relu, formulas.d_leaky_relu): TorchActivation(
        lambda z: torch.nn.functional.leaky_relu_(z, formulas.LEAKY_SLOPE),
        lambda dh, z, h: _aten.leaky_relu_backward.grad_input(dh, h, formulas.LEAKY_SLOPE, True, grad_input=dh),
    ),
    (formulas.elu, formulas.d_elu): TorchActivation(
        torch.nn.functional.elu_,
        lambda dh, z, h: _aten.elu_backward.grad_input(dh, 1.0, 1.0, 1.0, True, h, grad_input=dh),
    ),
    (formulas.silu, formulas.d_silu): TorchActivation(
        torch.nn.functional.silu, lambda dh, z, h: _aten.silu_backward.grad_input(dh, z, grad_input=dh)
    ),
    (formulas.gelu, formulas.d_gelu): TorchActivation(
        lambda z: torch.nn.functional.gelu(z, approximate="tanh"), _d_gelu
    ),
}
"""By the formulas of value and derivative."""

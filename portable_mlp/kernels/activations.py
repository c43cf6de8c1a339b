"""Activations: each value beside its derivative, and the tables that name them.

The contract: ``value(xp, z)`` gives ``h = f(z)``; ``backward(xp, dh, z, h)`` gives ``dz = dh * f'(z)``. All arrays
have one shape. A derivative is written in ``h`` where ``f'`` can be had from it, so that the pre-activation ``z``
need not be kept; those marked ``needs_z`` read ``z``, the others are handed None for it by callers that dropped it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from .arrays import Array, Namespace, constant


class Activation(NamedTuple):
    """An element-wise function and its derivative.

    Attributes
    ----------
    value : callable
        ``value(xp, z) -> h``.
    backward : callable
        ``backward(xp, dh, z, h) -> dz``, the derivative of the loss with respect to ``z``.
    needs_z : bool
        Whether ``backward`` reads ``z``. Where it does not, ``z`` may be None.
    has_kink : bool
        Whether the derivative jumps at 0, where finite differences then mislead.
    scheme : str
        The scheme of `init_params` that suits it: He's for the activations that are half zero, else Glorot's.
    """

    value: Callable[[Namespace, Array], Array]
    backward: Callable[[Namespace, Array, Array, Array], Array]
    needs_z: bool = False
    has_kink: bool = False
    scheme: str = "glorot_uniform"


LEAKY_SLOPE = 0.01
"""The slope of ``leaky_relu`` for negative inputs."""


def identity(xp: Namespace, z: Array) -> Array:
    """Return ``z``."""
    return z


def d_identity(xp: Namespace, dh: Array, z: Array, h: Array) -> Array:
    """Return ``dh``: f'(z) = 1."""
    return dh


def relu(xp: Namespace, z: Array) -> Array:
    """Return ``max(z, 0)``."""
    return xp.maximum(z, constant(xp, z, 0.0))


def d_relu(xp: Namespace, dh: Array, z: Array, h: Array) -> Array:
    """Return ``dh`` where ``h > 0``, else 0: f'(z) = [z > 0], with slope 0 at 0."""
    return xp.where(h > 0, dh, constant(xp, dh, 0.0))


def leaky_relu(xp: Namespace, z: Array) -> Array:
    """Return ``z`` where ``z > 0``, else ``0.01 z``."""
    return xp.where(z > 0, z, LEAKY_SLOPE * z)


def d_leaky_relu(xp: Namespace, dh: Array, z: Array, h: Array) -> Array:
    """Return ``dh`` where ``h > 0``, else ``0.01 dh``; ``h`` has the sign of ``z``."""
    return xp.where(h > 0, dh, LEAKY_SLOPE * dh)


def elu(xp: Namespace, z: Array) -> Array:
    """Return ``z`` where ``z > 0``, else ``e^z - 1``."""
    # The branch that is not taken is computed too: the minimum keeps it from overflowing.
    return xp.where(z > 0, z, xp.expm1(xp.minimum(z, constant(xp, z, 0.0))))


def d_elu(xp: Namespace, dh: Array, z: Array, h: Array) -> Array:
    """Return ``dh`` where ``h > 0``, else ``dh (h + 1)``: f'(z) = e^z = h + 1 for z <= 0."""
    return xp.where(h > 0, dh, dh * (h + 1.0))


def tanh(xp: Namespace, z: Array) -> Array:
    """Return ``tanh(z)``."""
    return xp.tanh(z)


def d_tanh(xp: Namespace, dh: Array, z: Array, h: Array) -> Array:
    """Return ``dh (1 - h^2)``."""
    return dh * (1.0 - h * h)


def logistic(xp: Namespace, z: Array) -> Array:
    """Return the logistic sigmoid ``1 / (1 + e^-z)``.

    Written with ``e^-|z|``, which cannot overflow: for z < 0 the fraction is extended by ``e^z``.
    """
    e = xp.exp(-xp.abs(z))
    return xp.where(z >= 0, constant(xp, z, 1.0), e) / (1.0 + e)


def d_logistic(xp: Namespace, dh: Array, z: Array, h: Array) -> Array:
    """Return ``dh h (1 - h)``."""
    return dh * h * (1.0 - h)


def softplus(xp: Namespace, z: Array) -> Array:
    """Return ``log(1 + e^z)``, written so that it overflows for no z."""
    return xp.maximum(z, constant(xp, z, 0.0)) + xp.log1p(xp.exp(-xp.abs(z)))


def d_softplus(xp: Namespace, dh: Array, z: Array, h: Array) -> Array:
    """Return ``dh (1 - e^-h)``: f'(z) = e^z / (1 + e^z), and 1 + e^z = e^h."""
    return dh * -xp.expm1(-h)


def silu(xp: Namespace, z: Array) -> Array:
    """Return ``z logistic(z)`` (the swish)."""
    return z * logistic(xp, z)


def d_silu(xp: Namespace, dh: Array, z: Array, h: Array) -> Array:
    """Return ``dh (s + h (1 - s))`` with s = logistic(z): f' = s + z s (1 - s), and h = z s."""
    s = logistic(xp, z)
    return dh * (s + h * (1.0 - s))


GELU_SCALE = math.sqrt(2.0 / math.pi)
GELU_CUBIC = 0.044715
"""The numbers of `gelu`."""

_GELU_FLAT = 100.0


def gelu(xp: Namespace, z: Array) -> Array:
    """Return ``z / 2 (1 + tanh u)`` with ``u = sqrt(2 / pi) (z + 0.044715 z^3)``.

    The tanh form of Hendrycks and Gimpel (arXiv:1606.08415): the array API has no error function.
    """
    return 0.5 * z * (1.0 + _gelu_tanh(xp, z))


def d_gelu(xp: Namespace, dh: Array, z: Array, h: Array) -> Array:
    """Return ``dh ((1 + t) / 2 + z / 2 (1 - t^2) du)`` with t = tanh u and du = u'(z)."""
    t = _gelu_tanh(xp, z)
    # Far out the tanh is flat to the last digit, and z^2 must not overflow against its 0.
    z_near = xp.minimum(xp.maximum(z, constant(xp, z, -_GELU_FLAT)), constant(xp, z, _GELU_FLAT))
    du = GELU_SCALE * (1.0 + 3.0 * GELU_CUBIC * z_near * z_near)
    return dh * (0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * du)


def _gelu_tanh(xp: Namespace, z: Array) -> Array:
    return xp.tanh(GELU_SCALE * (z + GELU_CUBIC * z * z * z))


def exp(xp: Namespace, z: Array) -> Array:
    """Return ``e^z``."""
    return xp.exp(z)


def d_exp(xp: Namespace, dh: Array, z: Array, h: Array) -> Array:
    """Return ``dh h``: the exponential is its own derivative."""
    return dh * h


def softmax(xp: Namespace, z: Array) -> Array:
    """Return ``e^z_j / sum_k e^z_k`` over the last axis.

    The maximum is taken off first; it cancels in the fraction and keeps every exponent at or below 0.
    """
    e = xp.exp(z - xp.max(z, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(identity, d_identity),
    "relu": Activation(relu, d_relu, has_kink=True, scheme="he_uniform"),
    "tanh": Activation(tanh, d_tanh),
    "logistic": Activation(logistic, d_logistic),
    "leaky_relu": Activation(leaky_relu, d_leaky_relu, has_kink=True, scheme="he_uniform"),
    "elu": Activation(elu, d_elu),
    "softplus": Activation(softplus, d_softplus),
    "gelu": Activation(gelu, d_gelu, needs_z=True),
    "silu": Activation(silu, d_silu, needs_z=True),
}
"""The activations of hidden layers, by name."""

ELEMENTWISE_OUTPUTS: dict[str, Activation] = {
    "identity": ACTIVATIONS["identity"],
    "relu": ACTIVATIONS["relu"],
    "logistic": ACTIVATIONS["logistic"],
    "exp": Activation(exp, d_exp),
}
"""Outputs that act on each unit alone, by name."""

OUTPUTS: dict[str, Callable[[Namespace, Array], Array]] = {
    "softmax": softmax,
    **{name: output.value for name, output in ELEMENTWISE_OUTPUTS.items()},
}
"""The activations of the output layer, by name: ``output(xp, z) -> y_hat``."""

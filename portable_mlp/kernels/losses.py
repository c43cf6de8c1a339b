"""Losses: for each sample its loss, and beside it the gradient at the pre-activation of the output.

The contract: ``loss(xp, z, Y, output) -> (losses, dz)`` with the output layer's pre-activation ``z`` (the logits) of
shape (..., n_samples, n_outputs), the encoded targets ``Y`` of that shape (or without the leading axis), and the name
of the output. ``losses`` is (..., n_samples), summed over outputs; ``dz`` has the shape of ``z``: the derivative of
each sample's own loss, before any reduction over samples. Output and loss are taken in one step because their
composition is simpler, and far more accurate, than its parts: ``log(softmax(z))`` underflows where this does not.
"""

from __future__ import annotations

from collections.abc import Callable

from .activations import ELEMENTWISE_OUTPUTS
from .arrays import Array, Namespace, constant


def cross_entropy(xp: Namespace, z: Array, Y: Array, output: str = "softmax") -> tuple[Array, Array]:
    """Return ``-sum_j Y_j log p_j`` with p = softmax(z), and its gradient. Each row of ``Y`` sums to 1.

    With s_j = z_j - max z:  -sum_j Y_j log p_j = log(sum_k e^s_k) - sum_j Y_j s_j,
    and since d log p_j / dz_i = [i = j] - p_i,  dz_i = p_i sum_j Y_j - Y_i = p_i - Y_i.
    """
    shifted = z - xp.max(z, axis=-1, keepdims=True)
    e = xp.exp(shifted)
    total = xp.sum(e, axis=-1, keepdims=True)
    losses = _log_total(xp, e, total) - xp.sum(Y * shifted, axis=-1)
    dz = e / total - Y
    return losses, dz


def _log_total(xp: Namespace, e: Array, total: Array) -> Array:
    """Return ``log(sum_k e_k)``, where the largest e_k is 1, without losing the small ones beside it.

    A sure network has a total of 1 + 1e-9, say, whose logarithm keeps half the digits: there log1p of the others'
    sum is exact. Two maxima make the total at least 2, where the plain logarithm is as good.
    """
    others = xp.sum(xp.where(e < 1, e, constant(xp, e, 0.0)), axis=-1)
    total = total[..., 0]
    return xp.where(total < 2, xp.log1p(others), xp.log(total))


def binary_cross_entropy(xp: Namespace, z: Array, Y: Array, output: str = "logistic") -> tuple[Array, Array]:
    """Return ``-sum_j (Y_j log p_j + (1 - Y_j) log(1 - p_j))`` with p = logistic(z), and its gradient.

    log p = -log(1 + e^-z) and log(1 - p) = log p - z, so one unit's loss is log(1 + e^-z) + (1 - Y) z, which equals
    max(z, 0) - z Y + log(1 + e^-|z|): no exponent above 0. Its derivative is p - Y.
    """
    e = xp.exp(-xp.abs(z))
    losses = xp.sum(xp.maximum(z, constant(xp, z, 0.0)) - z * Y + xp.log1p(e), axis=-1)
    proba = xp.where(z >= 0, constant(xp, z, 1.0), e) / (1.0 + e)
    dz = proba - Y
    return losses, dz


def squared_error(xp: Namespace, z: Array, Y: Array, output: str = "identity") -> tuple[Array, Array]:
    """Return ``1/2 sum_j (y_hat_j - Y_j)^2`` with y_hat = output(z), and its gradient ``(y_hat - Y) output'(z)``."""
    value, backward, *_ = ELEMENTWISE_OUTPUTS[output]
    y_hat = value(xp, z)
    error = y_hat - Y
    losses = 0.5 * xp.sum(error * error, axis=-1)
    dz = backward(xp, error, z, y_hat)
    return losses, dz


def poisson(xp: Namespace, z: Array, Y: Array, output: str = "exp") -> tuple[Array, Array]:
    """Return half the Poisson deviance ``sum_j Y_j log(Y_j / y_hat_j) - Y_j + y_hat_j``, y_hat = e^z, and its gradient.

    With d = z - log Y, y_hat = Y e^d, so the loss is Y (e^d - 1 - d): written so, large terms do not cancel where the
    fit is good. Where Y = 0 it is e^z. Its derivative is e^z - Y.
    """
    y_hat = xp.exp(z)
    counted = Y > 0
    d = z - xp.log(xp.where(counted, Y, constant(xp, Y, 1.0)))
    losses = xp.sum(xp.where(counted, Y * (xp.expm1(d) - d), y_hat), axis=-1)
    dz = y_hat - Y
    return losses, dz


LOSSES: dict[str, Callable[..., tuple[Array, Array]]] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "squared_error": squared_error,
    "poisson": poisson,
}
"""What can be minimised, by name."""

NATURAL_LOSS = {
    "softmax": "cross_entropy",
    "logistic": "binary_cross_entropy",
    "identity": "squared_error",
    "relu": "squared_error",
    "exp": "poisson",
}
"""The loss each output is made for."""

LOSS_OUTPUTS = {
    "cross_entropy": ("softmax",),
    "binary_cross_entropy": ("logistic",),
    "squared_error": tuple(ELEMENTWISE_OUTPUTS),
    "poisson": ("exp",),
}
"""The outputs each loss has the right gradient for."""

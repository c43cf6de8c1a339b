"""The losses as scikit-learn reports them; their gradients are those of the kernels.

They differ from the kernels' losses in the value alone: probabilities are clipped to [eps, 1 - eps], so that one
sample's loss ends at -log eps (36.04 in float64), and the squared error is divided by the number of outputs
(scikit-learn#8349). The contract is that of `portable_mlp.kernels.losses`.
"""

from __future__ import annotations

from ..kernels.activations import logistic, softmax
from ..kernels.arrays import Array, Namespace, constant
from ..kernels.losses import Loss, squared_error


def log_loss(xp: Namespace, z: Array, Y: Array, output: str) -> tuple[Array, Array]:
    """Return ``-sum_j Y_j log p_j`` with clipped p = softmax(z), and the gradient ``p - Y``."""
    proba = softmax(xp, z)
    return -xp.sum(Y * xp.log(_clipped(xp, proba)), axis=-1), proba - Y


def binary_log_loss(xp: Namespace, z: Array, Y: Array, output: str) -> tuple[Array, Array]:
    """Return ``-sum_j (Y_j log p_j + (1 - Y_j) log(1 - p_j))`` with clipped p = logistic(z), and ``p - Y``."""
    proba = logistic(xp, z)
    clipped = _clipped(xp, proba)
    return -xp.sum(Y * xp.log(clipped) + (1.0 - Y) * xp.log(1.0 - clipped), axis=-1), proba - Y


def mean_squared_error(xp: Namespace, z: Array, Y: Array, output: str) -> tuple[Array, Array]:
    """Return half the squared error, averaged over outputs, and the gradient of the sum over outputs."""
    losses, dz = squared_error(xp, z, Y, output)
    return losses / float(Y.shape[-1]), dz


def poisson(xp: Namespace, z: Array, Y: Array, output: str) -> tuple[Array, Array]:
    """Return ``sum_j Y_j log(Y_j / y_hat_j) - Y_j + y_hat_j`` with y_hat = e^z, and ``y_hat - Y``."""
    y_hat = xp.exp(z)
    ratio = xp.where(Y == 0, constant(xp, Y, 1.0), Y / y_hat)
    return xp.sum(Y * xp.log(ratio) - Y + y_hat, axis=-1), y_hat - Y


def _clipped(xp: Namespace, proba: Array) -> Array:
    eps = float(xp.finfo(proba.dtype).eps)
    return xp.minimum(xp.maximum(proba, constant(xp, proba, eps)), constant(xp, proba, 1.0 - eps))


REPORTED: dict[str, Loss] = {
    "cross_entropy": log_loss,
    "binary_cross_entropy": binary_log_loss,
    "squared_error": mean_squared_error,
    "poisson": poisson,
}
"""What scikit-learn reports for each of the kernels' losses."""

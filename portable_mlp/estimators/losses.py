"""The losses as scikit-learn reports them, to the last digit; their gradients are those of the kernels.

They differ from the kernels' losses in the value alone: probabilities are clipped to [eps, 1 - eps], so that one
sample's loss ends at -log eps (36.04 in float64), the squared error is divided by the number of outputs
(scikit-learn#8349), and the mean over samples is taken before the sum over outputs. On NumPy the logistic and x log y
are SciPy's, as scikit-learn's are; their last digit differs from that of NumPy's own exponential and logarithm.

The contract of the functions is that of `portable_mlp.kernels.primitives.Report.terms`.
"""

from __future__ import annotations

from scipy import special

from ..kernels.activations import OUTPUTS, logistic
from ..kernels.arrays import Array, Namespace, constant, library
from ..kernels.options import check_choice
from ..kernels.primitives import Primitives, Report


def log_loss(ops: Primitives, z: Array, Y: Array) -> tuple[Array, Array]:
    """Return ``Y_j log p_j`` with clipped p = softmax(z), and ``p - Y``."""
    proba = ops.softmax(z)
    return ops.weighted_log(Y, proba), proba - Y


def binary_log_loss(ops: Primitives, z: Array, Y: Array) -> tuple[Array, Array]:
    """Return ``Y_j log p_j + (1 - Y_j) log(1 - p_j)`` with clipped p = logistic(z), and ``p - Y``."""
    proba = expit(ops.xp, z)
    return ops.weighted_log(Y, proba) + ops.weighted_log(1.0 - Y, 1.0 - proba), proba - Y


def squared_loss(ops: Primitives, z: Array, Y: Array) -> tuple[Array, Array]:
    """Return the squared error and the gradient of its half."""
    error = z - Y
    return error * error, error


def poisson_loss(ops: Primitives, z: Array, Y: Array) -> tuple[Array, Array]:
    """Return ``Y_j log(Y_j / y_hat_j) - Y_j + y_hat_j`` with y_hat = e^z, and ``y_hat - Y``."""
    xp, y_hat = ops.xp, ops.xp.exp(z)
    # Where e^z overflows, log(Y / y_hat) does too, and scikit-learn has NaN; the loss is infinite, as y_hat is.
    return xp.where(xp.isinf(y_hat), y_hat, _xlogy(xp, Y, Y / y_hat) - Y + y_hat), y_hat - Y


REPORTED: dict[str, Report] = {
    "cross_entropy": Report(log_loss, -1.0, clips=True),
    "binary_cross_entropy": Report(binary_log_loss, -1.0, clips=True),
    "squared_error": Report(squared_loss, 0.5, averages=True),
    "poisson": Report(poisson_loss),
}
"""The loss that scikit-learn reports for each of its losses, at its natural output; others are reported unchanged."""


def outputs_of(ops: Primitives, output: str, z: Array) -> Array:
    """Return the activation of the output layer, with the same logistic function as the losses.

    Raises
    ------
    ValueError
        If there is no such output: a user can set the attribute ``out_activation_``.
    """
    check_choice("out_activation_", output, OUTPUTS)
    if output == "softmax":
        return ops.softmax(z)
    return expit(ops.xp, z) if output == "logistic" else OUTPUTS[output](ops.xp, z)


def _xlogy(xp: Namespace, x: Array, y: Array) -> Array:
    """Return ``x log y``, 0 where x is 0."""
    if library(xp) == "numpy":
        return special.xlogy(x, y)
    return x * xp.log(xp.where(x == 0, constant(xp, y, 1.0), y))


def expit(xp: Namespace, z: Array) -> Array:
    """Return the logistic of z."""
    return special.expit(z) if library(xp) == "numpy" else logistic(xp, z)

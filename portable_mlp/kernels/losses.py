"""Losses: for each sample its loss, and beside it the gradient at the pre-activation of the output.

The contract: ``loss(xp, z, Y, output, **options) -> (losses, dz)`` with the output layer's pre-activation ``z`` (the
logits) of shape (..., n_samples, n_outputs), the encoded targets ``Y`` of that shape (or without the leading axis), the
name of the output, and the constants of the loss. ``losses`` is (..., n_samples), summed over outputs; ``dz`` has the
shape of ``z``: the derivative of each sample's own loss, before any reduction over samples. Output and loss are
computed in one step because their composition is simpler, and far more accurate, than its parts: ``log(softmax(z))``
underflows where this does not.

`LOSSES` is the table of all losses: an entry holds everything that the rest of the library needs to know about a loss.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from .activations import ELEMENTWISE_OUTPUTS
from .arrays import Array, Namespace, constant
from .options import Names, check_choice, positive_number


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

    A confident network has a total of 1 + 1e-9, say, whose logarithm keeps half the digits: there log1p of the others'
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


def huber(xp: Namespace, z: Array, Y: Array, output: str = "identity", *, delta: float) -> tuple[Array, Array]:
    """Return Huber's loss of e = y_hat - Y with y_hat = output(z), and its gradient.

    The sum over outputs of ``e^2 / 2`` where |e| <= delta, else ``delta (|e| - delta / 2)`` (Huber 1964,
    doi:10.1214/aoms/1177703732). With c = e clipped to [-delta, delta] both are c (e - c / 2), and the derivative with
    respect to y_hat is c.
    """
    value, backward, *_ = ELEMENTWISE_OUTPUTS[output]
    y_hat = value(xp, z)
    error = y_hat - Y
    clipped = xp.minimum(xp.maximum(error, constant(xp, error, -delta)), constant(xp, error, delta))
    losses = xp.sum(clipped * (error - 0.5 * clipped), axis=-1)
    dz = backward(xp, clipped, z, y_hat)
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


LossOptions: TypeAlias = tuple[tuple[str, float], ...]
"""The name and the value of each constant of a loss."""


class TargetRange(enum.Enum):
    """The range of targets that a loss is made for."""

    DISTRIBUTIONS = "labels, or rows of probabilities that sum to 1"
    PROBABILITIES = "numbers from 0 to 1"
    COUNTS = "numbers that are not negative"
    REAL = "any real numbers"

    @property
    def are_probabilities(self) -> bool:
        """Whether they are labels of a classification, which can be smoothed."""
        return self in (TargetRange.DISTRIBUTIONS, TargetRange.PROBABILITIES)


class Constant(NamedTuple):
    """A constant of a loss, which users may choose.

    Attributes
    ----------
    default : float
        The value where none is given.
    check : callable
        ``check(name, value)`` returns the number, or raises ValueError or TypeError.
    """

    default: float
    check: Callable[[str, Any], float]


class Loss(NamedTuple):
    """An entry of the table of losses.

    Attributes
    ----------
    formula : callable
        The loss and its gradient, by the contract at the top of this file.
    outputs : tuple of str
        The outputs for which the gradient is right; the first is that of a regression.
    targets : TargetRange
        The range of targets that it is made for.
    natural_for : tuple of str
        The outputs for which it is the default.
    constants : mapping from str to Constant
        The keyword arguments of ``formula`` that users may give.
    """

    formula: Callable[..., tuple[Array, Array]]
    outputs: tuple[str, ...]
    targets: TargetRange
    natural_for: tuple[str, ...] = ()
    constants: Mapping[str, Constant] = MappingProxyType({})


_ELEMENTWISE = tuple(ELEMENTWISE_OUTPUTS)

LOSSES: dict[str, Loss] = {
    "cross_entropy": Loss(cross_entropy, ("softmax",), TargetRange.DISTRIBUTIONS, ("softmax",)),
    "binary_cross_entropy": Loss(binary_cross_entropy, ("logistic",), TargetRange.PROBABILITIES, ("logistic",)),
    "squared_error": Loss(squared_error, _ELEMENTWISE, TargetRange.REAL, ("identity", "relu")),
    "huber": Loss(huber, _ELEMENTWISE, TargetRange.REAL, constants={"delta": Constant(1.0, positive_number)}),
    "poisson": Loss(poisson, ("exp",), TargetRange.COUNTS, ("exp",)),
}
"""The losses, by name."""


SMOOTHED_LOSSES = Names(lambda: (name for name, loss in LOSSES.items() if loss.targets.are_probabilities))
"""The losses whose targets are probabilities, which can be smoothed."""

REGRESSION_LOSSES = Names(lambda: (name for name, loss in LOSSES.items() if not loss.targets.are_probabilities))
"""The losses whose targets are quantities."""


def natural_loss(output: str) -> str:
    """Return the name of the loss that an output is made for."""
    return next(name for name, loss in LOSSES.items() if output in loss.natural_for)


def default_constants() -> str:
    """Return the constants of each loss that has some, as docstrings list them.

    >>> default_constants()
    '``{"delta": 1.0}`` for "huber"'
    """
    return ", ".join(
        f'``{{"{constant}": {default}}}`` for "{name}"'
        for name, loss in LOSSES.items()
        for constant, (default, _) in loss.constants.items()
    )


def checked_loss_options(name: str, given: Mapping[str, Any] | LossOptions) -> LossOptions:
    """Return every constant of a loss with its value, given or by default, in the order of its entry.

    Raises
    ------
    ValueError
        If the loss has no such constant, or a value is out of its bounds.
    TypeError
        If ``given`` is not a mapping from names to numbers.
    """
    try:
        options = dict(given)
    except (TypeError, ValueError):
        raise TypeError(f"loss_options must be a mapping from names to numbers, got {given!r}") from None
    constants = LOSSES[name].constants
    for option in options:
        if not constants:
            raise ValueError(f"the loss {name!r} has no constants, but loss_options has {option!r}")
        check_choice(f"an option of the loss {name!r}", option, constants)
    return tuple(
        (option, check(option, options.get(option, default))) for option, (default, check) in constants.items()
    )

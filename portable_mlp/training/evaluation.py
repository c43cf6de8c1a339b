"""How good are the parameters on other data? The loss without the penalty, and a score that people read."""

from __future__ import annotations

import functools
from collections.abc import Callable

from ..kernels.activations import OUTPUTS
from ..kernels.arrays import Array, Namespace, constant
from ..kernels.network import Network
from ..kernels.parameters import Params, unpack
from ..kernels.primitives import Primitives, portable
from ..kernels.propagation import forward_pass
from .batches import Data
from .step import FUNCTIONS_KEPT, Objective, encoded, mean_loss, weight_of


@functools.lru_cache(FUNCTIONS_KEPT)
def make_evaluation(xp: Namespace, net: Network) -> Callable[[Array, Data], Array]:
    """Return ``evaluate(flat, data) -> loss_and_score``, the same function for the same network."""

    def evaluate(flat: Array, data: Data) -> Array:
        return loss_and_score(xp, net, unpack(net, flat), data)

    return evaluate


def loss_and_score(xp: Namespace, net: Network, params: Params, data: Data) -> Array:
    """Return the mean loss and the score, as one array of shape (2,), or (2, n_models).

    The score is the accuracy for softmax (the most probable class is right) and logistic (every output is on the right
    side of 1/2), and R² for the others, averaged over outputs.
    """
    data = encoded(portable(xp), net, data)
    logits = forward_pass(portable(xp), net, params, data.X).logits
    losses, _ = portable(xp).sample_losses(net, logits, data.Y)
    y_hat = OUTPUTS[net.output](xp, logits)
    score = {"softmax": _accuracy, "logistic": _exact_match}.get(net.output, _r2)(xp, y_hat, data.Y)
    return xp.stack([xp.mean(losses, axis=-1), score])


def _accuracy(xp: Namespace, proba: Array, Y: Array) -> Array:
    right = xp.argmax(proba, axis=-1) == xp.argmax(Y, axis=-1)
    return xp.mean(xp.astype(right, proba.dtype), axis=-1)


def _exact_match(xp: Namespace, proba: Array, Y: Array) -> Array:
    right = xp.all((proba > 0.5) == (Y > 0.5), axis=-1)
    return xp.mean(xp.astype(right, proba.dtype), axis=-1)


def _r2(xp: Namespace, y_hat: Array, Y: Array) -> Array:
    """Return 1 - residual / total for each output; a constant target scores 1 where it is met exactly, else 0."""
    residual = xp.sum((y_hat - Y) ** 2, axis=-2)
    total = xp.sum((Y - xp.mean(Y, axis=-2, keepdims=True)) ** 2, axis=-2)
    one = constant(xp, y_hat, 1.0)
    varies = total > 0
    met = xp.astype(residual == 0, y_hat.dtype)
    return xp.mean(xp.where(varies, 1.0 - residual / xp.where(varies, total, one), met), axis=-1)


@functools.lru_cache(FUNCTIONS_KEPT)
def make_logits(ops: Primitives, objective: Objective) -> Callable[[Array, Data], tuple[Array, Array]]:
    """Return ``logits(flat, data) -> (logits, loss)``: the last pre-activations, and the weighted mean loss."""

    def logits_and_loss(flat: Array, data: Data) -> tuple[Array, Array]:
        net = objective.net
        logits = forward_pass(ops, net, unpack(net, flat), data.X).logits
        loss, _ = mean_loss(ops, objective, logits, data, weight_of(ops, data))
        return logits, loss

    return logits_and_loss

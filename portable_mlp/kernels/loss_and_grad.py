"""The loss of a network and its gradient: a training step as far as the gradient, checked, as a public function."""

from __future__ import annotations

from .arguments import check_call
from .arrays import Array, constant
from .batch import Batch, encode_targets
from .network import Network
from .options import check_choice, not_negative_number
from .parameters import Params
from .primitives import Primitives, portable
from .step import Objective, loss_and_gradient, weight_of


def loss_and_grad(
    net: Network,
    params: Params,
    X: Array,
    y: Array,
    *,
    l2: float = 0.0,
    reduction: str = "mean",
    sample_weight: Array | None = None,
) -> tuple[Array, Params]:
    """Compute the loss and its gradient with respect to every parameter.

    Parameters
    ----------
    net : Network
        The network, with the loss that is minimised.
    params : tuple of Layer
        Weights W (fan_in, fan_out) and biases b (fan_out,), as for `forward`.
    X : array of shape (n_samples, n_features) or (n_models, n_samples, n_features)
        Inputs, from the library and device of ``params``.
    y : array
        For softmax integer labels (n_samples,) in 0..n_outputs-1, or one-hot rows (n_samples, n_outputs), which sum to
        1 and may be integer. Otherwise values (n_samples, n_outputs), or (n_samples,) for one output. An axis of models
        may come first; labels (n_models, n_samples) that could be one-hot rows by their shape are treated as rows.
    l2 : float
        Adds ``l2 / 2`` times the sum of squared weights, never biases, after the reduction; not negative.
    reduction : {"mean", "sum"}
        The reduction over samples; over outputs it is always the sum.
    sample_weight : array of shape (n_samples,) or (n_models, n_samples), optional
        Each sample's weight; the mean divides by their sum. Where they are all 0, the penalty alone is left.

    Returns
    -------
    loss : array of shape (), or (n_models,)
        On the device of ``params``; nothing is read back.
    grads : tuple of Layer
        The gradient, with the shapes and the dtype of ``params``.

    Raises
    ------
    ValueError
        As for `forward`; also if ``l2`` is negative or ``reduction`` unknown. Labels out of range are not detected:
        the check would read the device (`train` makes it once).

    Examples
    --------
    >>> import numpy as np, portable_mlp as pm
    >>> net = pm.Network((2, 2))
    >>> params = pm.init_params(net, scheme="normal", std=1e-3)
    >>> loss, grads = pm.loss_and_grad(net, params, np.eye(2), np.asarray([0, 1]))
    >>> bool(abs(loss - np.log(2)) < 1e-2)
    True
    """
    check_choice("reduction", reduction, ("mean", "sum"))
    l2 = not_negative_number("l2", l2)
    call = check_call(net, params, X, y, sample_weight)
    ops = portable(call.xp)
    batch = encode_targets(ops, net, Batch(call.X, call.Y, call.weights))
    divisor = 1.0 if reduction == "sum" else _weight_or_1(ops, batch)
    loss, gradients = loss_and_gradient(ops, Objective(net, l2), call.params, batch, divisor)
    # NumPy's reductions give scalars of their own type where other libraries give 0-d arrays.
    return loss if type(loss) is type(gradients[0].W) else call.xp.asarray(loss), gradients


def _weight_or_1(ops: Primitives, batch: Batch) -> float | Array:
    """Return the divisor of the mean; 1 where all weights are 0, so that the samples have no loss and no gradient."""
    weight = weight_of(ops, batch)
    if batch.weights is None:
        return weight
    return ops.xp.where(weight == 0, constant(ops.xp, weight, 1.0), weight)

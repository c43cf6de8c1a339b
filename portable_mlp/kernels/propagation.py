"""The two passes through a network: forward, and backward through the same layers.

This is not an autograd engine: the gradients of fully connected layers are written out by hand, once, in functions of
the array API standard. Nothing here reads a value back from a device, or writes into an array other than a workspace.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from .activations import OUTPUTS
from .arguments import check_inputs
from .arrays import Array
from .network import Network
from .parameters import Layer, Params
from .primitives import Primitives, portable
from .workspace import Workspace

Masks: TypeAlias = Sequence[Array] | None
"""The factors of each hidden layer's units, or None for no dropout."""

ForwardPass: TypeAlias = Callable[[Primitives, Network, Params, Array], Array]
"""A forward pass without checks, as `logits_of`."""


class Trace(NamedTuple):
    """The intermediate results that the backward pass needs.

    Attributes
    ----------
    inputs : list of array
        The input of each layer, as a factor: X, then the hidden activations, after dropout.
    weights : list of array
        The weights of each layer, as a factor.
    hidden : list of array
        ``h = f(z)`` of each hidden layer, before dropout.
    pre_activations : list of array
        ``z`` of each hidden layer; None where the derivative does not need it.
    product : array
        ``h W`` of the output layer.
    bias : array, or None
        The bias of the output layer; None where the product has it already.
    """

    inputs: list[Array]
    weights: list[Array]
    hidden: list[Array]
    pre_activations: list[Array]
    product: Array
    bias: Array | None


def forward_pass(
    ops: Primitives,
    net: Network,
    params: Params,
    X: Array,
    masks: Masks = None,
    workspace: Workspace | None = None,
) -> Trace:
    """Compute every layer, without checks: z = h W + b, h = f(z); the next receives h * mask."""
    inputs = [ops.factor(X)]
    weights = [ops.factor(W) for W, _ in params]
    hidden: list[Array] = []
    pre_activations: list[Array] = []
    for i, name in enumerate(net.activations):
        z, b = ops.linear(inputs[-1], weights[i], params[i].b, out=workspace and workspace.hidden[i])
        h, z = ops.activate(name, z, b)
        inputs.append(ops.factor(h if masks is None else h * masks[i]))
        hidden.append(h)
        pre_activations.append(z)
    product, bias = ops.linear(inputs[-1], weights[-1], params[-1].b, out=workspace and workspace.logits)
    return Trace(inputs, weights, hidden, pre_activations, product, bias)


def last_hidden(ops: Primitives, net: Network, params: Params, X: Array) -> Array:
    """Return the input of the last layer, without checks: the last hidden activations, or X where there are none.

    No layer is kept for a backward pass: two are in memory at a time.
    """
    layer = [X]
    for (W, b), name in zip(params[:-1], net.activations, strict=True):
        # Popped, a layer is freed by its product, before the activation makes the next one.
        layer.append(ops.activated(name, ops.matmul(layer.pop(), W), b))
    return layer.pop()


def logits_of(ops: Primitives, net: Network, params: Params, X: Array) -> Array:
    """Return ``z`` of the output layer, without checks and without keeping hidden layers."""
    W, b = params[-1]
    return ops.add_bias(ops.matmul(last_hidden(ops, net, params, X), W), b)


def output_of(ops: Primitives, net: Network, params: Params, X: Array) -> Array:
    """Return the activations of the output layer, without checks and without keeping hidden layers."""
    return ops.by_rows(functools.partial(OUTPUTS[net.output], ops.xp), logits_of(ops, net, params, X))


def backward_pass(
    ops: Primitives,
    net: Network,
    params: Params,
    trace: Trace,
    dlogits: Array,
    masks: Masks = None,
    workspace: Workspace | None = None,
) -> list[Layer]:
    """Return the gradients of a sum over samples, given the derivative ``dlogits`` at the logits.

    For z = h W + b:  dW = h^T dz,  db = sum over samples of dz,  dh = dz W^T;  and through h = f(z):  dz = dh f'(z).
    A mask acts between a layer and the next: dh = (dz W^T) * mask.
    """
    grads, unsummed, dz = [], [], dlogits
    together = workspace is not None and ops.sums_layers_together
    for i in reversed(range(len(params))):
        factor, out = ops.factor(dz), workspace and workspace.grads[i]
        dW = ops.matmul(ops.transposed(trace.inputs[i]), factor, out=out and out.W)
        if out is not None and together:
            unsummed.append(dz)
            grads.append(Layer(dW, out.b))
        else:
            grads.append(Layer(dW, ops.sum_samples(dz, out=out and out.b)))
        if i > 0:
            dh = ops.matmul(factor, ops.transposed(trace.weights[i]), out=workspace and workspace.deltas[i - 1])
            if masks is not None:
                dh = dh * masks[i - 1]
            dz = ops.d_activate(net.activations[i - 1], dh, trace.pre_activations[i - 1], trace.hidden[i - 1])
    if workspace is not None and together:
        ops.sum_samples_of_layers(net, unsummed[::-1], workspace)
    return grads[::-1]


def forward(net: Network, params: Params, X: Array) -> tuple[Array, ...]:
    """Compute the activations of every layer.

    Parameters
    ----------
    net : Network
        The network to evaluate.
    params : tuple of Layer
        Weights W (fan_in, fan_out) and biases b (fan_out,), real floating; all may carry a leading axis of models.
    X : array of shape (n_samples, n_features) or (n_models, n_samples, n_features)
        Inputs, from the library and device of ``params``; computed in the dtype of ``params``.

    Returns
    -------
    tuple of array
        The activations (n_samples, n_units) of the hidden layers, then of the output.

    Raises
    ------
    ValueError
        If a shape does not fit the network, or if arrays of two libraries or devices meet.
    TypeError
        If something is not an array, or ``params`` are not real floating.

    Examples
    --------
    >>> import numpy as np, portable_mlp as pm
    >>> net = pm.Network((2, 3, 2))
    >>> hidden, proba = pm.forward(net, pm.init_params(net), np.asarray([[0.0, 0.0]]))
    >>> proba
    array([[0.5, 0.5]])
    """
    call = check_inputs(net, params, X)
    ops = portable(call.xp)
    trace = forward_pass(ops, net, call.params, call.X)
    logits = ops.biased(trace.product, trace.bias)
    return (*trace.inputs[1:], OUTPUTS[net.output](call.xp, logits))

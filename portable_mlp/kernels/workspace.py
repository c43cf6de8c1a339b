"""Memory for the passes of a batch, allocated once: the next batch of the same size overwrites it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .arrays import Array, Namespace, device_of
from .network import Network
from .parameters import Params, unpack


class Workspace(NamedTuple):
    """The arrays that primitives which write receive as ``out``.

    Attributes
    ----------
    params : tuple of Layer
        Views of the flat parameters.
    X : array of shape (n_samples, n_features), or None
        The batch's inputs, where they are gathered.
    Y : array of shape (n_samples, n_outputs)
        The batch's targets, encoded.
    hidden : tuple of array
        The activations of each hidden layer, (n_samples, n_units).
    logits : array of shape (n_samples, n_outputs)
        The pre-activations of the output layer.
    deltas : tuple of array
        The derivatives at each hidden layer, in the shapes of ``hidden``.
    gradient : array of shape (n_parameters,)
        The flat gradient of a batch.
    grads : tuple of Layer
        Views of the flat gradient.
    loss : array of shape () or (n_models,), or None
        Memory for the loss of the batch, where a runner wants it in a place of its own.
    """

    params: Params
    X: Array | None
    Y: Array
    hidden: tuple[Array, ...]
    logits: Array
    deltas: tuple[Array, ...]
    gradient: Array
    grads: Params
    loss: Array | None = None


def make_workspace(
    xp: Namespace,
    net: Network,
    flat: Array,
    n_samples: int,
    *,
    gathers: bool = True,
    layers: Callable[[Network, Array], Params] = unpack,
) -> Workspace:
    """Allocate a workspace for batches of ``n_samples`` samples.

    Parameters
    ----------
    xp : namespace
        The library of ``flat``.
    net : Network
        The network, which gives the shapes.
    flat : array of shape (n_parameters,) or (n_models, n_parameters)
        The parameters, which every step reads and overwrites.
    n_samples : int
        The number of samples of a batch.
    gathers : bool
        Whether the inputs of a batch are gathered into the workspace; otherwise they are a view of the data, or sparse.
    layers : callable
        ``layers(net, flat)`` returns the layers as views of the parameters, or of their gradient.
    """
    device: Any = device_of(flat)

    def empty(n_units: int) -> Array:
        return xp.empty((*flat.shape[:-1], n_samples, n_units), dtype=flat.dtype, device=device)

    def shared(n_units: int) -> Array:
        """Allocate an array that all models share."""
        return xp.empty((n_samples, n_units), dtype=flat.dtype, device=device)

    gradient = xp.empty_like(flat)
    n_features, *hidden, n_outputs = net.sizes
    return Workspace(
        params=layers(net, flat),
        X=shared(n_features) if gathers else None,
        Y=shared(n_outputs),
        hidden=tuple(map(empty, hidden)),
        logits=empty(n_outputs),
        deltas=tuple(map(empty, hidden)),
        gradient=gradient,
        grads=layers(net, gradient),
    )

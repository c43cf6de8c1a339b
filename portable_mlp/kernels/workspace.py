"""Memory for the passes of a batch, made once: the next batch of the same size writes over it."""

from __future__ import annotations

from typing import Any, NamedTuple

import array_api_compat

from .arrays import Array, Namespace
from .network import Network
from .parameters import Params, unpack


class Workspace(NamedTuple):
    """What the primitives of a library that writes are given as ``out``.

    Attributes
    ----------
    params : tuple of Layer
        Views of the flat parameters.
    X : array of shape (n_samples, n_features), or None
        For the batch's inputs, where they are gathered.
    Y : array of shape (n_samples, n_outputs)
        For its targets.
    hidden : tuple of array
        For each hidden layer (n_samples, n_units).
    logits : array of shape (n_samples, n_outputs)
        For the output layer.
    deltas : tuple of array
        Like ``hidden``, for the way back.
    gradient : array of shape (n_parameters,)
        Flat.
    grads : tuple of Layer
        Views of it.
    """

    params: Params
    X: Array | None
    Y: Array
    hidden: tuple[Array, ...]
    logits: Array
    deltas: tuple[Array, ...]
    gradient: Array
    grads: Params


def make_workspace(xp: Namespace, net: Network, flat: Array, n_samples: int, *, gathers: bool = True) -> Workspace:
    """Return memory for batches of that size, beside the flat parameters.

    Parameters
    ----------
    xp : namespace
        The library of ``flat``.
    net : Network
        Whose passes.
    flat : array of shape (n_parameters,) or (n_models, n_parameters)
        The parameters that every step starts from and writes into.
    n_samples : int
        Of a batch.
    gathers : bool
        Whether the inputs of a batch are gathered into memory, rather than a part of the data, or sparse.
    """
    device: Any = array_api_compat.device(flat)

    def empty(n_units: int) -> Array:
        return xp.empty((*flat.shape[:-1], n_samples, n_units), dtype=flat.dtype, device=device)

    def shared(n_units: int) -> Array:
        """Return memory for what models share."""
        return xp.empty((n_samples, n_units), dtype=flat.dtype, device=device)

    gradient = xp.empty_like(flat)
    n_features, *hidden, n_outputs = net.sizes
    return Workspace(
        params=unpack(net, flat),
        X=shared(n_features) if gathers else None,
        Y=shared(n_outputs),
        hidden=tuple(map(empty, hidden)),
        logits=empty(n_outputs),
        deltas=tuple(map(empty, hidden)),
        gradient=gradient,
        grads=unpack(net, gradient),
    )

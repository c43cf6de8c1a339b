"""Parameters: a layer's weights and biases, and the flat vector that holds all of them.

One vector means one optimizer update, one reduction between processes, one payload in a file, and one argument for
L-BFGS and the gradient check. Layer by layer it holds W row by row, then b.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from .arrays import Array, Namespace, common_namespace, namespace_of
from .network import Network
from .suggestions import suggesting
from .summaries import fields


class Layer(NamedTuple):
    """The parameters of one layer, which computes ``z = h W + b``.

    Attributes
    ----------
    W : array of shape (fan_in, fan_out)
        Weights; with an axis of models (n_models, fan_in, fan_out).
    b : array of shape (fan_out,)
        Biases; with an axis of models (n_models, fan_out).
    """

    W: Array
    b: Array

    def __repr__(self) -> str:
        return fields(self)


Params: TypeAlias = tuple[Layer, ...]

DTYPES = ("float32", "float64")
"""The dtypes of parameters."""


def as_layers(params: Sequence[Layer]) -> Params:
    """Return parameters as a tuple of Layer; raise TypeError for what is no sequence of pairs."""
    try:
        return tuple(Layer(*layer) for layer in params)
    except TypeError:
        raise TypeError(f"params must be a tuple of Layer(W, b), got {type(params).__name__}") from None


def named_arrays(params: Sequence[Layer]) -> dict[str, Array]:
    """Return every array by the name that messages give it: ``params[0].W``, ``params[0].b``, ..."""
    return {
        f"params[{i}].{part}": x for i, layer in enumerate(params) for part, x in zip(Layer._fields, layer, strict=True)
    }


def n_parameters(sizes: Sequence[int]) -> int:
    """Return how many numbers the parameters of a network with these layer sizes have.

    >>> n_parameters((64, 100, 10))
    7510
    """
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in itertools.pairwise(sizes))


def check_dtype(params: Sequence[Layer]) -> None:
    """Raise TypeError unless parameters, which are of one dtype, are float32 or float64."""
    W = params[0].W
    # Bits rather than dtypes: NumPy's of the other byte order are welcome, and not equal.
    if namespace_of(W).finfo(W.dtype).bits not in (32, 64):
        name = str(W.dtype).rsplit(".", maxsplit=1)[-1]
        raise TypeError(f"parameters are trained and kept in float32 or float64, got {name}")


@suggesting
def pack(params: Sequence[Layer]) -> Array:
    """Copy all parameters into one flat vector: for each layer W row by row, then b.

    Parameters
    ----------
    params : sequence of Layer
        Arrays of one library, dtype and device.

    Returns
    -------
    array of shape (n_parameters,), or (n_models, n_parameters) with an axis of models
        New memory, same library, dtype and device.

    Raises
    ------
    ValueError
        If two libraries or devices meet, or there is no layer.
    TypeError
        If something is not an array or a layer, or two dtypes meet.

    Examples
    --------
    >>> import numpy as np
    >>> pack([Layer(np.asarray([[1.0, 2.0], [3.0, 4.0]]), np.asarray([5.0, 6.0]))])
    array([1., 2., 3., 4., 5., 6.])
    """
    params = as_layers(params)
    named = named_arrays(params)
    if not named:
        raise ValueError("there is nothing to pack: params has no layer")
    xp = common_namespace(named)
    dtypes = {x.dtype for x in named.values()}
    if len(dtypes) > 1:
        raise TypeError(f"params must have one dtype to be packed, got {', '.join(sorted(map(str, dtypes)))}")
    return pack_pieces(xp, params)


def pack_pieces(xp: Namespace, params: Sequence[Layer]) -> Array:
    """Pack parameters as `pack` does, without checks."""
    models = tuple(params[0][0].shape[:-2])
    pieces = [xp.reshape(piece, (*models, -1)) for W, b in params for piece in (W, b)]
    return xp.concat(pieces, axis=-1)


@suggesting
def unpack(net: Network, flat: Array) -> Params:
    """Cut a flat vector into the layers of a network, the inverse of `pack`.

    Parameters
    ----------
    net : Network
        The network, whose sizes give the shape of each layer.
    flat : array of shape (n_parameters,) or (n_models, n_parameters)
        The flat parameters, of any dtype.

    Returns
    -------
    tuple of Layer
        Views of ``flat`` where the library has views, so that writing to one is seen in the other.

    Raises
    ------
    ValueError
        If the length is not that of the network.

    Examples
    --------
    >>> import numpy as np, portable_mlp as pm
    >>> params = pm.unpack(pm.Network((2, 1)), np.asarray([1.0, 2.0, 3.0]))
    >>> params
    (Layer(W=<float64 (2, 1) on cpu>, b=<float64 (1,) on cpu>),)
    >>> params[0].b
    array([3.])
    """
    xp = namespace_of(flat)
    expected = n_parameters(net.sizes)
    if flat.ndim not in (1, 2) or flat.shape[-1] != expected:
        raise ValueError(
            f"flat must have shape ({expected},) for {net}, or (n_models, {expected}); got {tuple(flat.shape)}"
        )
    models = tuple(flat.shape[:-1])
    layers = []
    start = 0
    for fan_in, fan_out in itertools.pairwise(net.sizes):
        middle = start + fan_in * fan_out
        stop = middle + fan_out
        W = xp.reshape(flat[..., start:middle], (*models, fan_in, fan_out))
        layers.append(Layer(W, flat[..., middle:stop]))
        start = stop
    return tuple(layers)

"""Initial parameters, drawn on the host and moved to a backend."""

from __future__ import annotations

from typing import Any

from ..backends import Backend, get_backend
from ..kernels.initializers import RandomState, draw_weights
from ..kernels.network import Network, checked_network
from ..kernels.parameters import Layer, Params
from ..kernels.suggestions import suggesting


@suggesting
def init_params(
    net: Network,
    *,
    scheme: str = "glorot_uniform",
    random_state: RandomState = 0,
    backend: str | Backend = "numpy",
    dtype: Any = "float64",
    std: float | None = None,
) -> Params:
    """Draw the initial parameters of a network: random weights, biases of exactly 0.

    The numbers are drawn with NumPy in float64, layer by layer, then cast and moved: the same seed gives the same
    numbers on every backend.

    Parameters
    ----------
    net : Network
        The network, whose sizes give the shapes.
    scheme : {"glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "normal"}
        The distribution of the weights; "normal" is N(0, ``std**2``).
    random_state : None, int, numpy.random.RandomState or numpy.random.Generator
        None draws afresh; NumPy's global state is never used.
    backend : str or Backend
        The library and device of the arrays: a name, or a `Backend`.
    dtype : str or dtype
        The dtype of the parameters, "float64" or "float32".
    std : float, optional
        The standard deviation of scheme "normal", by default 0.01.

    Returns
    -------
    tuple of Layer
        For each layer W (fan_in, fan_out) and b (fan_out,).

    Raises
    ------
    ValueError
        If the scheme is unknown, ``std`` does not belong to it, or the dtype is not a floating one of the backend.
    TypeError
        If ``net`` is not a network, ``std`` not a number, or ``random_state`` none of the above.
    BackendUnavailable
        If the backend cannot be used here.

    Examples
    --------
    >>> import portable_mlp as pm
    >>> pm.init_params(pm.Network((2, 2)), random_state=0)[0].W.round(3)
    array([[0.12 , 0.527],
           [0.252, 0.11 ]])
    """
    net = checked_network(net)
    chosen = get_backend(backend)
    native = chosen.dtype(dtype)
    if not chosen.xp.isdtype(native, "real floating"):
        raise ValueError(f"parameters must be real floating, got dtype {dtype!r}")
    layers = []
    with chosen.undisturbed():
        for W in draw_weights(net, scheme, random_state, std):
            moved = chosen.asarray(W, dtype=dtype)
            layers.append(Layer(moved, chosen.xp.zeros_like(moved[0, :])))
    return tuple(layers)

"""The arguments of a kernel: checked once, on entry, before any arithmetic.

Only properties that need no read from a device are checked: types, libraries, devices, dtypes, shapes, options.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .arrays import Array, Namespace, common_namespace, device_for_new
from .network import Network, checked_network
from .parameters import Params, as_layers, named_arrays


class ForwardCall(NamedTuple):
    """The checked arguments of a forward pass: of `Call` the first three."""

    xp: Namespace
    params: Params
    X: Array


class Call(NamedTuple):
    """Checked arguments, in the dtype of the parameters.

    Attributes
    ----------
    xp : namespace
        The library of every array.
    params : tuple of Layer
        The arrays as given.
    X : array of shape (..., n_samples, n_features)
        Inputs, in the dtype of the parameters.
    Y : array of shape (..., n_samples, n_outputs), or (..., n_samples, 1)
        Targets: real floating rows, or integer labels of a softmax output.
    weights : array of shape (..., n_samples) or None
        Sample weights, in the dtype of the parameters.
    """

    xp: Namespace
    params: Params
    X: Array
    Y: Array
    weights: Array | None = None


def check_call(net: Network, params: Params, X: Array, y: Array, sample_weight: Array | None = None) -> Call:
    """Check that arrays fit the network and each other, and bring them to the dtype of the parameters.

    Raises
    ------
    ValueError
        For two libraries or devices in one call, or a shape that does not fit; with the numbers.
    TypeError
        For something that is not an array, or parameters that are not real floating.
    """
    others = {"y": y} if sample_weight is None else {"y": y, "sample_weight": sample_weight}
    xp, params, X = check_inputs(net, params, X, **others)
    models, n_samples, dtype = tuple(params[0].W.shape[:-2]), X.shape[-2], X.dtype
    Y = check_targets(xp, net, y, n_samples=n_samples, models=models, dtype=dtype)
    if sample_weight is None:
        return Call(xp, params, X, Y)
    if tuple(sample_weight.shape) not in ((n_samples,), (*models, n_samples)):
        raise ValueError(
            f"sample_weight must have shape ({n_samples},), one weight for each sample; "
            f"got {tuple(sample_weight.shape)}"
        )
    return Call(xp, params, X, Y, xp.astype(sample_weight, dtype, copy=False))


def check_inputs(net: Network, params: Params, X: Array, **others: Array) -> ForwardCall:
    """Check parameters and inputs, and that other arrays are real numbers of the same library and device.

    Raises
    ------
    ValueError, TypeError
        As `check_call`.
    """
    params = _layers_of(net, params)
    xp = common_namespace({**named_arrays(params), "X": X, **others})
    models = _check_params(xp, net, params)
    for name, x in {"X": X, **others}.items():
        _check_real(xp, name, x)
    _check_shape_of_inputs(net, X, models)
    return ForwardCall(xp, params, xp.astype(X, params[0].W.dtype, copy=False))


def check_params(net: Network, params: Params) -> Params:
    """Check that parameters fit the network and each other; return them as a tuple of Layer.

    Raises
    ------
    ValueError, TypeError
        As `check_call`.
    """
    params = _layers_of(net, params)
    _check_params(common_namespace(named_arrays(params)), net, params)
    return params


def _check_real(xp: Namespace, name: str, x: Array) -> None:
    if not xp.isdtype(x.dtype, ("bool", "integral", "real floating")):
        raise TypeError(f"{name} must hold real numbers, got {x.dtype}")


def _layers_of(net: Network, params: Params) -> Params:
    net = checked_network(net)
    layers = as_layers(params)
    if len(layers) != len(net.sizes) - 1:
        raise ValueError(
            f"{net} has {len(net.sizes) - 1} layers of parameters, but params has {len(layers)}: "
            "they belong to another network"
        )
    return layers


def _check_params(xp: Namespace, net: Network, params: Params) -> tuple[int, ...]:
    """Return the leading axis of models: () or (n_models,)."""
    dtype = params[0].W.dtype
    models = tuple(params[0].W.shape[:-2])
    for i, (W, b) in enumerate(params):
        expected = ((*models, net.sizes[i], net.sizes[i + 1]), (*models, net.sizes[i + 1]))
        if (tuple(W.shape), tuple(b.shape)) != expected or len(models) > 1:
            raise ValueError(
                f"params[{i}] has W of shape {tuple(W.shape)} and b of shape {tuple(b.shape)}, but {net} needs "
                f"{expected[0]} and {expected[1]}: they belong to another network"
            )
        for part, x in (("W", W), ("b", b)):
            if not xp.isdtype(x.dtype, "real floating"):
                raise TypeError(f"params[{i}].{part} must be real floating, got {x.dtype}")
            if x.dtype != dtype:
                raise TypeError(
                    f"params must have one dtype, but params[{i}].{part} is {x.dtype} and params[0].W {dtype}"
                )
    return models


def _check_shape_of_inputs(net: Network, X: Array, models: tuple[int, ...]) -> None:
    shape = tuple(X.shape)
    if len(shape) not in (2, 2 + len(models)) or shape[:-2] not in ((), models):
        allowed = "(n_samples, n_features)" + (f" or ({models[0]}, n_samples, n_features)" if models else "")
        raise ValueError(f"X must have shape {allowed}, got {shape}; a single sample is X[None, :]")
    if shape[-1] != net.sizes[0]:
        raise ValueError(f"X has {shape[-1]} features, but {net} takes {net.sizes[0]}; X has shape {shape}")
    if shape[-2] == 0:
        raise ValueError(f"X has no samples: its shape is {shape}")


def check_targets(
    xp: Namespace, net: Network, y: Array, *, n_samples: int, models: tuple[int, ...], dtype: Any
) -> Array:
    """Check the shape of targets, and bring them to one of two forms: rows in a dtype, or labels.

    Parameters
    ----------
    xp : namespace
        The library of ``y``.
    net : Network
        The network; its output defines the form of the targets.
    y : array
        Targets in any form that `loss_and_grad` accepts.
    n_samples : int
        The number of samples required.
    models : tuple of int
        The leading axis of the parameters: () or (n_models,).
    dtype : dtype
        The dtype of the returned rows.

    Returns
    -------
    array of shape (..., n_samples, n_outputs), or (..., n_samples, 1)
        Rows in ``dtype``; or, for a softmax output, labels in the library's index dtype, which `targets.one_hot`
        encodes one batch at a time, so that the rows of all samples never exist together.
    """
    n_outputs = net.sizes[-1]
    shape = tuple(y.shape)
    if shape in ((n_samples, n_outputs), (*models, n_samples, n_outputs)):
        return xp.astype(y, dtype, copy=False)
    if shape in ((n_samples,), (*models, n_samples)):
        if net.output == "softmax":
            return xp.expand_dims(_labels(xp, y), axis=-1)
        if n_outputs == 1:
            return xp.expand_dims(xp.astype(y, dtype, copy=False), axis=-1)
    labels = f"({n_samples},) of integer labels or " if net.output == "softmax" else ""
    also = f" or ({n_samples},)" if net.output != "softmax" and n_outputs == 1 else ""
    raise ValueError(
        f"y must have shape {labels}({n_samples}, {n_outputs}){also}, for {n_samples} samples and "
        f"{n_outputs} outputs; got {shape}"
    )


def _labels(xp: Namespace, y: Array) -> Array:
    if not xp.isdtype(y.dtype, ("integral", "bool")):
        raise TypeError(f"y must be integer labels for a softmax output, or one-hot rows; got {y.dtype} labels")
    # In the index dtype labels of a small integer type cannot overflow beside the classes.
    return xp.astype(y, xp.arange(0, device=device_for_new(y)).dtype, copy=False)

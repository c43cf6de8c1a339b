"""The few helpers for arrays that the array API standard lacks as a single call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import array_api_compat

Array: TypeAlias = Any
"""An array of any library that follows the array API standard (NumPy, CuPy, PyTorch, JAX, ...)."""

Namespace: TypeAlias = Any
"""The module that holds the standard's functions for one library; called ``xp`` everywhere."""

ADAPTERS: dict[str, Callable[[], Namespace]] = {}
"""For a library whose namespace lacks a part of the standard: its name, and the function that returns a complete one.

`portable_mlp.backends` fills it when it is imported.
"""


def namespace_of(x: Array) -> Namespace:
    """Return the namespace of an array: the functions of the array API standard for its library.

    Raises
    ------
    TypeError
        If it is not an array.
    """
    xp = array_api_compat.array_namespace(x)
    adapter = ADAPTERS.get(xp.__name__)
    return xp if adapter is None else adapter()


def device_of(x: Array) -> Any:
    """Return the device of an array; None where it has none: under jax.jit, and in memory that all devices share."""
    try:
        return array_api_compat.device(x)
    except AttributeError:
        return None


def library(xp: Namespace) -> str:
    """Return the name people use for the library behind a namespace: ``"numpy"``, ``"torch"``, ...

    >>> import numpy as np
    >>> library(namespace_of(np.zeros(1)))
    'numpy'
    """
    name: str = xp.__name__
    return name.removeprefix("array_api_compat.").split(".")[0]


def device_for_new(x: Array) -> Any:
    """Return the device for arrays that will meet ``x``: its own; None, the library's choice, where x is sharded.

    JAX's place of a sharded array fits its own shape alone; what JAX has placed itself, it moves.
    """
    device = device_of(x)
    return None if hasattr(device, "device_set") else device


def constant(xp: Namespace, like: Array, value: float) -> Array:
    """Return ``value`` as a 0-d array with the dtype and the device of ``like``.

    ``full`` rather than ``asarray``: it fills on the device, so nothing is copied from the host.
    """
    return xp.full((), value, dtype=like.dtype, device=device_for_new(like))


def relevel(xp: Namespace, x: Array, n_axes: int) -> Array:
    """Append ``n_axes`` axes of length one to ``x``; a 0-d array or a Python number broadcasts as it is."""
    if getattr(x, "ndim", 0) == 0:
        return x
    return xp.reshape(x, (*x.shape, *(1,) * n_axes))


def snapshot(xp: Namespace, x: Array) -> Array:
    """Return a copy of ``x``, which later writes into ``x`` do not change."""
    return xp.asarray(x, copy=True)


def common_namespace(named: dict[str, Array]) -> Namespace:
    """Return the library that all named arrays belong to; they must share one device too.

    Raises
    ------
    ValueError
        If two libraries or two devices meet; the message names both and their arrays.
    TypeError
        If something is not an array.
    """
    (first, x), *others = named.items()
    xp, device = _namespace(first, x), device_of(x)
    for name, other in others:
        other_xp, other_device = _namespace(name, other), device_of(other)
        same_device = device is None or other_device is None or _devices(other_device) == _devices(device)
        if other_xp is not xp or not same_device:
            raise ValueError(
                f"{name} is {_described(other_xp, other_device)} but {first} is {_described(xp, device)}; arrays are "
                "never moved silently: move one with backend.asarray(...)"
            )
    return xp


def _described(xp: Namespace, device: Any) -> str:
    return f"a {library(xp)} array{'' if device is None else f' on {device}'}"


def _devices(device: Any) -> Any:
    """Return what the arrays of a call must share: a device, or the devices over which they are sharded."""
    return getattr(device, "device_set", device)


def _namespace(name: str, x: Array) -> Namespace:
    # A masked array or a matrix computes otherwise than the array it is a kind of.
    if array_api_compat.is_numpy_array(x) and type(x).__name__ in ("MaskedArray", "matrix"):
        raise TypeError(
            f"{name} must be a plain array, got a {type(x).__name__}: its rules differ; numpy.asarray(...) makes one"
        )
    if array_api_compat.is_dask_array(x):
        raise TypeError(
            f"{name} is a dask array, which kernels would turn into a graph of hundreds of tasks a step: "
            f"MLPClassifier and MLPRegressor take dask arrays, and {name}.compute() makes an array in memory"
        )
    try:
        return namespace_of(x)
    except TypeError:
        raise TypeError(
            f"{name} must be an array (NumPy, CuPy, PyTorch, JAX, ...), got {type(x).__name__}; "
            "backend.asarray(...) makes one"
        ) from None

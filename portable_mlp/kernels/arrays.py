"""The few things the kernels ask of an array that the array API standard does not say in one call."""

from __future__ import annotations

from typing import Any, TypeAlias

import array_api_compat

Array: TypeAlias = Any
"""An array of any library that follows the array API standard (NumPy, CuPy, PyTorch, JAX, ...)."""

Namespace: TypeAlias = Any
"""The module that holds the standard's functions for one library; called ``xp`` everywhere."""


def library(xp: Namespace) -> str:
    """Return the name people use for the library behind a namespace: ``"numpy"``, ``"torch"``, ...

    >>> import array_api_compat, numpy as np
    >>> library(array_api_compat.array_namespace(np.zeros(1)))
    'numpy'
    """
    name: str = xp.__name__
    return name.removeprefix("array_api_compat.").split(".")[0]


def constant(xp: Namespace, like: Array, value: float) -> Array:
    """Return ``value`` as a 0-d array with the dtype and the device of ``like``.

    ``full`` rather than ``asarray``: it fills on the device, so nothing is copied from the host.
    """
    return xp.full((), value, dtype=like.dtype, device=array_api_compat.device(like))


def relevel(xp: Namespace, x: Array, n_axes: int) -> Array:
    """Append ``n_axes`` axes of length one to ``x``; a 0-d array or a Python number broadcasts as it is."""
    if getattr(x, "ndim", 0) == 0:
        return x
    return xp.reshape(x, (*x.shape, *(1,) * n_axes))

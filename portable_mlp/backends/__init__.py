"""The array libraries, chosen at run time. Only this package names them; each file is loaded when asked for."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import array_api_compat

from ._base import INSTALL, Backend, BackendInfo, BackendUnavailable

__all__ = ["Backend", "BackendInfo", "BackendUnavailable", "backend_of", "backends", "get_backend"]


class _Entry(NamedTuple):
    """Where a backend lives, and the module whose arrays are its own."""

    file: str
    cls: str
    namespace: str


_REGISTRY = {
    "numpy": _Entry("_numpy", "NumpyBackend", "array_api_compat.numpy"),
    "cupy": _Entry("_cupy", "CupyBackend", "array_api_compat.cupy"),
    "torch": _Entry("_torch", "TorchBackend", "array_api_compat.torch"),
    "jax": _Entry("_jax", "JaxBackend", "jax.numpy"),
    "strict": _Entry("_strict", "StrictBackend", "array_api_strict"),
}


def backends() -> list[BackendInfo]:
    """List every backend: whether it can be used here, its version and devices, or why not.

    Libraries that are installed are imported to ask them, which takes seconds for the large ones.

    Returns
    -------
    list of BackendInfo
        In the order "numpy", "cupy", "torch", "jax", "strict".

    Examples
    --------
    >>> import portable_mlp as pm
    >>> [info.name for info in pm.backends()]
    ['numpy', 'cupy', 'torch', 'jax', 'strict']
    """
    infos = []
    for name in _REGISTRY:
        try:
            infos.append(_load(name).info())
        except BackendUnavailable as error:
            infos.append(BackendInfo(name, False, reason=str(error)))
    return infos


def get_backend(name: str | Backend = "auto", device: Any = None) -> Backend:
    """Return an array library on a device.

    Parameters
    ----------
    name : str
        "auto" (CuPy where a GPU answers, else NumPy), "numpy", "cupy", "torch", "jax" or "strict". A backend is
        returned as it is.
    device : str, optional
        One of the backend's devices, such as "cpu", "cuda:0" or "device1"; by default the library's own default.

    Returns
    -------
    Backend
        The namespace ``xp``, the ``device``, and the ways to and from the host.

    Raises
    ------
    ValueError
        If there is no backend, or no device, of that name.
    BackendUnavailable
        If there is, but it cannot be used here; says why, and the command that installs what is missing.

    Examples
    --------
    >>> import portable_mlp as pm
    >>> backend = pm.get_backend("numpy")
    >>> backend.asarray([1, 2], dtype="float32")
    array([1., 2.], dtype=float32)
    """
    if isinstance(name, Backend):
        if device is not None:
            raise ValueError(f"device={device!r} was given with {name!r}, which already has one")
        return name
    if name == "auto":
        return _auto(device)
    if name not in _REGISTRY:
        choices = ", ".join(map(repr, ("auto", *_REGISTRY)))
        raise ValueError(f"there is no backend {name!r}; choose one of {choices}")
    return _load(name).open(device)


def backend_of(x: Any) -> Backend:
    """Return the backend that an array lives on, its device included; a plain one for a library without a file here."""
    xp = array_api_compat.array_namespace(x)
    device = array_api_compat.device(x)
    for name, entry in _REGISTRY.items():
        if xp.__name__ == entry.namespace:
            return _load(name)(xp, device)
    backend = Backend(xp, device)
    backend.name = xp.__name__
    return backend


def _auto(device: Any) -> Backend:
    try:
        return _load("cupy").open(device)
    except (BackendUnavailable, ValueError):
        return _load("numpy").open(device)


def _load(name: str) -> type[Backend]:
    entry = _REGISTRY[name]
    try:
        module = importlib.import_module(f"{__name__}.{entry.file}")
    except (ImportError, OSError) as error:
        raise BackendUnavailable(f"backend {name!r} cannot be loaded: {error}; {INSTALL[name]}") from None
    cls: type[Backend] = getattr(module, entry.cls)
    return cls

"""The array libraries, chosen at run time. Only this package names them; each file is loaded on first use."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..kernels.arrays import ADAPTERS, namespace_of
from ..kernels.docstrings import documented_with, quoted
from ..kernels.suggestions import did_you_mean, suggesting
from ._base import (
    INSTALL,
    PRECISIONS,
    Backend,
    BackendInfo,
    BackendInfos,
    BackendUnavailable,
    dtype_name,
    first_line,
    has_dtype,
)
from .deferred_interrupts import whole_imports

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "Backend",
    "BackendInfo",
    "BackendUnavailable",
    "backend_of",
    "backends",
    "dtype_name",
    "first_line",
    "get_backend",
    "has_dtype",
    "sparse_backend",
]


class _Entry(NamedTuple):
    """A backend's file, the namespace of its arrays, and the module whose presence shows that it is installed."""

    file: str
    cls: str
    namespace: str
    module: str


_REGISTRY = {
    "numpy": _Entry("_numpy", "NumpyBackend", "array_api_compat.numpy", "numpy"),
    "cupy": _Entry("_cupy", "CupyBackend", "array_api_compat.cupy", "cupy"),
    "torch": _Entry("_torch", "TorchBackend", "array_api_compat.torch", "torch"),
    "jax": _Entry("_jax", "JaxBackend", "jax.numpy", "jax"),
    "mlx": _Entry("_mlx", "MlxBackend", "mlx.core", "mlx"),
    "dpnp": _Entry("_dpnp", "DpnpBackend", "dpnp", "dpnp"),
    "strict": _Entry("_strict", "StrictBackend", "array_api_strict", "array_api_strict"),
}

BACKENDS = tuple(_REGISTRY)
"""The names of the backends."""

ADAPTERS["mlx.core"] = lambda: importlib.import_module(f"{__name__}._mlx_namespace").xp


@documented_with(names=quoted(BACKENDS))
@suggesting
def backends() -> list[BackendInfo]:
    """List every backend: whether it can be used here, its version and devices, or why not.

    Installed libraries are imported, which takes seconds for the large ones.

    Returns
    -------
    list of BackendInfo
        In the order {names}.

    Examples
    --------
    >>> import portable_mlp as pm
    >>> [info.name for info in pm.backends()]
    ['numpy', 'cupy', 'torch', 'jax', 'mlx', 'dpnp', 'strict']
    """
    infos = BackendInfos()
    for name in _REGISTRY:
        try:
            with _working(name):
                infos.append(_load(name).info())
        except BackendUnavailable as error:
            infos.append(BackendInfo(name, False, version=_installed_version(name), reason=str(error)))
    return infos


@documented_with(names=quoted(BACKENDS))
@suggesting
def get_backend(name: str | Backend = "auto", device: Any = None) -> Backend:
    """Return an array library on a device.

    Parameters
    ----------
    name : str
        "auto" (CuPy where a GPU answers, else NumPy), {names}. A backend is
        returned as it is.
    device : str, optional
        One of the backend's devices, such as "cpu", "cuda:0" or "device1"; by default the library's own default.

    Returns
    -------
    Backend
        The namespace ``xp``, the ``device``, and the methods that move arrays to and from the host.

    Raises
    ------
    ValueError
        If there is no backend, or no device, of that name.
    BackendUnavailable
        If there is one, but it cannot be used here; the message has the reason and the command that installs it.

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
    if not isinstance(name, str) or name not in _REGISTRY:
        choices = ("auto", *_REGISTRY)
        meant = did_you_mean(name, choices) if isinstance(name, str) else ""
        raise ValueError(f"there is no backend {name!r}; choose one of {', '.join(map(repr, choices))}{meant}")
    with _working(name):
        return _load(name).open(device)


def sparse_backend() -> Backend:
    """Return NumPy's backend for inputs that are SciPy's sparse matrices in CSR format."""
    module = importlib.import_module(f"{__name__}._numpy_sparse")
    backend: Backend = module.SparseNumpyBackend.open()
    return backend


def backend_of(x: Any) -> Backend:
    """Return the backend of an array, its device included; a plain `Backend` for a library without a file here."""
    xp = namespace_of(x)
    for name, entry in _REGISTRY.items():
        if xp.__name__ == entry.namespace:
            return _load(name).of(xp, x)
    backend = Backend.of(xp, x)
    backend.name = xp.__name__
    return backend


def _auto(device: Any) -> Backend:
    try:
        return get_backend("cupy", device)
    except (BackendUnavailable, ValueError) as error:
        without_gpu = str(error)
    try:
        return get_backend("numpy", device)
    except ValueError as error:
        raise BackendUnavailable(f"backend 'auto' finds no device {device!r}: {error}; {without_gpu}") from None


def _load(name: str) -> type[Backend]:
    entry = _REGISTRY[name]
    file = f"{__name__}.{entry.file}"
    if file not in sys.modules:
        _import(name, file)
    cls: type[Backend] = getattr(importlib.import_module(file), entry.cls)
    return cls


def _import(name: str, file: str) -> None:
    """Import a backend's file and with it the library; any error means that it is unavailable."""
    try:
        with _working(name), whole_imports():
            importlib.import_module(file)
    except ValueError as error:  # caught here, since from a backend's own functions it is the caller's mistake
        raise _unavailable(name, error) from error


@contextlib.contextmanager
def _working(name: str) -> Iterator[None]:
    """Turn any error of a missing or broken library into BackendUnavailable."""
    try:
        yield
    except (BackendUnavailable, ValueError):
        raise
    except Exception as error:
        raise _unavailable(name, error) from error


def _unavailable(name: str, error: Exception) -> BackendUnavailable:
    return BackendUnavailable(f"backend {name!r} cannot be used here: {first_line(error)}; {INSTALL[name]}")


def _installed_version(name: str) -> str | None:
    """Return the version of a library that is installed, though it cannot be used."""
    module = _REGISTRY[name].module
    if module not in sys.modules and importlib.util.find_spec(module) is None:
        return None  # without the files of all distributions, which take half a second to read
    distributions = importlib.metadata.packages_distributions().get(module, [])
    return importlib.metadata.version(distributions[0]) if distributions else None

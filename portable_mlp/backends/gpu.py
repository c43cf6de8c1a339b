"""The GPUs of this machine as CuPy reports them, and NCCL, which adds up the arrays of several."""

from __future__ import annotations

import warnings
from typing import NamedTuple

from . import get_backend


class GpuInfo(NamedTuple):
    """The GPUs of this machine.

    Attributes
    ----------
    names : tuple of str
        The name of each GPU.
    cuda, driver : str
        The version of CUDA that CuPy runs with, and the newest that the driver knows.
    nccl : str or None
        Its version, where CuPy finds it.
    """

    names: tuple[str, ...]
    cuda: str
    driver: str
    nccl: str | None


def gpu_info() -> GpuInfo:
    """Return the GPUs of this machine.

    Raises
    ------
    BackendUnavailable
        If CuPy is missing, or finds no GPU.
    """
    get_backend("cupy")
    import cupy

    runtime = cupy.cuda.runtime
    names = tuple(runtime.getDeviceProperties(i)["name"].decode() for i in range(runtime.getDeviceCount()))
    return GpuInfo(names, _version(runtime.runtimeGetVersion()), _version(runtime.driverGetVersion()), _nccl())


def _version(number: int) -> str:
    """Return the usual form of a version that CUDA gives as a number.

    >>> _version(13010)
    '13.1'
    """
    return f"{number // 1000}.{number % 1000 // 10}"


def _nccl() -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from cupy.cuda import nccl

            number = nccl.get_version()
    except Exception:  # optional in every way: not built in, not installed, not loaded
        return None
    return f"{number // 10000}.{number % 10000 // 100}.{number % 100}"

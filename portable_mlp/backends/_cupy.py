"""CuPy: NumPy's functions on an NVIDIA GPU."""

from __future__ import annotations

import contextlib
from typing import Any

import array_api_compat.cupy as xp
import cupy
import numpy as np

from ._base import INSTALL, Backend, BackendInfo, BackendUnavailable


class CupyBackend(Backend):
    """CuPy on one GPU: "cuda:0", "cuda:1", ...; "cuda" is the current one."""

    name = "cupy"

    @classmethod
    def open(cls, device: Any = None) -> CupyBackend:
        """Return the backend on a GPU, by default the current one."""
        devices = cls.info().devices
        if isinstance(device, cupy.cuda.Device):
            return cls(xp, device)
        if device in (None, "cuda", "gpu"):
            return cls(xp, cupy.cuda.Device())
        platform, _, index = str(device).partition(":")
        if platform not in ("cuda", "gpu") or not index.isdecimal():
            raise ValueError(f"cupy has no device {device!r}; here it has {', '.join(map(repr, devices))}")
        if int(index) >= len(devices):
            raise BackendUnavailable(f"device {device!r} of cupy does not answer (devices here: {', '.join(devices)})")
        return cls(xp, cupy.cuda.Device(int(index)))

    @classmethod
    def info(cls) -> BackendInfo:
        """Return the version and the GPUs."""
        if not cupy.is_available():
            raise BackendUnavailable(
                f"cupy {cupy.__version__} is installed, but no NVIDIA GPU with a working driver "
                f"answers (see nvidia-smi); the package must match the CUDA version: {INSTALL[cls.name]}"
            )
        devices = tuple(f"cuda:{i}" for i in range(cupy.cuda.runtime.getDeviceCount()))
        return BackendInfo(cls.name, True, cupy.__version__, devices)

    @property
    def device_name(self) -> str:
        """The device's number among the GPUs."""
        return f"cuda:{self.device.id}"

    def synchronize(self) -> None:
        """Wait for the GPU."""
        self.device.synchronize()

    def running(self) -> contextlib.AbstractContextManager[Any]:
        """Make the GPU current: CuPy's creation functions allocate on the current device, whatever they are told."""
        return self.device

    def dtype(self, dtype: Any) -> Any:
        """Return the dtype; CuPy's device for asking is the current one."""
        with self.device:
            return super().dtype(dtype)

    def _move(self, x: Any, dtype: Any) -> Any:
        with self.device:
            return cupy.asarray(x, dtype=dtype)

    def _from_host(self, host: np.ndarray, dtype: Any) -> Any:
        with self.device:
            return cupy.asarray(host, dtype=dtype)

    def _to_host(self, x: Any) -> np.ndarray:
        return cupy.asnumpy(x)

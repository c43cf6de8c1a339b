"""array-api-strict: NumPy behind exactly the standard, with devices that refuse to mix. For tests."""

from __future__ import annotations

import contextlib
from typing import Any

import array_api_strict as xp
import numpy as np

from ._base import Backend, BackendInfo, numpy_is_quiet

_CPU = xp.Device("CPU_DEVICE")


class StrictBackend(Backend):
    """array-api-strict on one of its devices: "cpu", "device1", "device2", "no_float64" or "no_x64"."""

    name = "strict"

    @classmethod
    def open(cls, device: Any = None) -> StrictBackend:
        """Return the backend on a device, by default "cpu"."""
        for known in xp.__array_namespace_info__().devices():
            if device in (None, known, _device_name(known)):
                return cls(xp, known)
        raise ValueError(f"strict has no device {device!r}; it has {', '.join(map(repr, cls.info().devices))}")

    @classmethod
    def info(cls) -> BackendInfo:
        """Return the version and the devices."""
        devices = tuple(map(_device_name, xp.__array_namespace_info__().devices()))
        return BackendInfo(cls.name, True, xp.__version__, devices)

    @property
    def device_name(self) -> str:
        """The device without the class around it."""
        return _device_name(self.device)

    def running(self) -> contextlib.AbstractContextManager[Any]:
        """Silence floating-point warnings of the NumPy underneath."""
        return numpy_is_quiet()

    def _to_host(self, x: Any) -> np.ndarray:
        return np.asarray(x.to_device(_CPU))


def _device_name(device: Any) -> str:
    return "cpu" if device == _CPU else str(device).split("'")[1]

"""dpnp: NumPy's functions on the devices of SYCL, which are Intel's GPUs and CPUs."""

from __future__ import annotations

import re
from typing import Any

import dpctl
import dpnp as xp
import numpy as np

from ._base import INSTALL, Backend, BackendInfo, BackendUnavailable

_SELECTOR = re.compile(r"((opencl|level_zero|cuda|hip):)?(cpu|gpu|accelerator)(:\d+)?")
"""The texts by which SYCL selects a device: a kind, with the name of a driver before it or a number after it."""


class DpnpBackend(Backend):
    """dpnp on one device: "cpu", "gpu", "gpu:1", "level_zero:gpu:0", ..."""

    name = "dpnp"

    @classmethod
    def open(cls, device: Any = None) -> DpnpBackend:
        """Return the backend on a device, by default SYCL's own default, which is a GPU where there is one."""
        here = ", ".join(map(repr, cls.info().devices))
        if isinstance(device, str) and not _SELECTOR.fullmatch(device):
            raise ValueError(f"dpnp has no device {device!r}; here it has {here}")
        try:
            return cls(xp, xp.empty(0, device=device).device)
        except dpctl.SyclDeviceCreationError:
            raise BackendUnavailable(f"device {device!r} of dpnp does not answer (devices here: {here})") from None

    @classmethod
    def info(cls) -> BackendInfo:
        """Return the version and the devices."""
        devices = tuple(device.filter_string for device in dpctl.get_devices())
        if not devices:
            raise BackendUnavailable(
                f"backend 'dpnp' cannot be used here: no driver of SYCL or OpenCL has a device; {INSTALL[cls.name]}"
            )
        return BackendInfo(cls.name, True, xp.__version__, devices)

    @property
    def device_name(self) -> str:
        """The text that selects the device: its driver, kind and number."""
        return str(self.device.sycl_device.filter_string)

    def synchronize(self) -> None:
        """Wait for the device's queue."""
        self.device.wait()

    def _to_host(self, x: Any) -> np.ndarray:
        return xp.asnumpy(x)

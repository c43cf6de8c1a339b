"""MLX, for the CPU and the GPU of Apple's chips: lazy arrays in memory that both share."""

from __future__ import annotations

import contextlib
from typing import Any

import mlx.core as mx
import numpy as np

from ..kernels.arrays import Array
from ..kernels.step import Carry, Program
from ._base import Arrays, Backend, BackendInfo, BackendUnavailable
from ._mlx_namespace import xp
from .portable_runner import PortableRunner
from .runner import Runner, RunnerCall


class MlxBackend(Backend):
    """MLX on one device: "cpu", "gpu", ...

    Parameters
    ----------
    xp : namespace
        MLX's functions, as those of the array API standard.
    device : mlx.core.Device, optional
        The device of computations, by default MLX's own default. An array has none.
    """

    name = "mlx"

    def __init__(self, xp: Any, device: Any = None) -> None:
        super().__init__(xp, mx.default_device() if device is None else device)

    @classmethod
    def open(cls, device: Any = None) -> MlxBackend:
        """Return the backend on a device, by default MLX's own default, which is a GPU where MLX has one."""
        if device is None or isinstance(device, mx.Device):
            return cls(xp, device)
        devices = _devices()
        name = str(device).removesuffix(":0")
        if name in devices:
            return cls(xp, devices[name])
        here = ", ".join(map(repr, devices))
        kind, _, index = name.partition(":")
        if kind in ("cpu", "gpu") and (index or "0").isdecimal():
            raise BackendUnavailable(f"device {device!r} of mlx does not answer (devices here: {here})")
        raise ValueError(f"mlx has no device {device!r}; here it has {here}")

    @classmethod
    def of(cls, xp: Any, x: Any) -> MlxBackend:
        """Return the backend that computes with an array: of float64 on the CPU, since GPUs do not have it."""
        return cls(xp, mx.Device(mx.cpu) if x.dtype == mx.float64 else None)

    @classmethod
    def info(cls) -> BackendInfo:
        """Return the version and the devices."""
        return BackendInfo(cls.name, True, mx.__version__, tuple(_devices()))

    @property
    def device_name(self) -> str:
        """The kind of the device, and its number unless that is 0."""
        return _device_name(self.device)

    def synchronize(self) -> None:
        """Wait for the operations that the device has started."""
        mx.synchronize(self.device)

    def runner(self, program: Program) -> Runner:
        """Return the runner that has each step computed, where MLX would only note it down."""
        return EvaluatedRunner(self, program)

    def evaluated(self, arrays: Arrays) -> Arrays:
        """Compute arrays, which otherwise the thread alone could do that noted the operations down."""
        mx.eval(arrays)
        return arrays

    def undisturbed(self, dtype: Any = None) -> contextlib.AbstractContextManager[Any]:
        """Compute on this device."""
        return mx.stream(self.device)

    def _move(self, x: Any, dtype: Any) -> Any:
        if dtype is not None and dtype != x.dtype:
            with mx.stream(mx.cpu if mx.float64 in (x.dtype, dtype) else self.device):
                x = mx.astype(x, dtype)
        return self.evaluated(x)

    def _from_host(self, host: np.ndarray, dtype: Any) -> Any:
        dtype = dtype or self.dtype(host.dtype)
        return mx.array(host, dtype)

    def _to_host(self, x: Any) -> np.ndarray:
        # NumPy does not have bfloat16.
        return np.asarray(x.astype(mx.float32) if x.dtype == mx.bfloat16 else x)


class EvaluatedRunner(PortableRunner):
    """Takes one step a call, and has it computed while the next one is prepared.

    Else a step would be a graph that waits for somebody to ask for its numbers, and the graph of an epoch would hold
    every array of every step.
    """

    def take(self, carry: Carry, call: RunnerCall) -> tuple[Carry, Array]:
        """Take the step of the one batch."""
        carry_and_loss = super().take(carry, call)
        mx.async_eval(carry_and_loss)
        return carry_and_loss


def _devices() -> dict[str, Any]:
    """Return the devices of this machine by their names."""
    return {_device_name(device): device for device in xp.__array_namespace_info__().devices()}


def _device_name(device: Any) -> str:
    kind, _, number = str(device).removeprefix("Device(").removesuffix(")").partition(", ")
    return kind if number == "0" else f"{kind}:{number}"

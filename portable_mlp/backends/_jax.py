"""JAX: arrays that do not change, and functions compiled by XLA."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as xp
import numpy as np

from ..kernels.primitives import Primitives
from ..kernels.step import Program
from ._base import PRECISIONS, Backend, BackendInfo, BackendUnavailable, Function
from ._jax_primitives import jax_primitives
from ._loop_runner import LoopRunner
from ._scan_runner import ScanRunner
from .runner import Runner

ALGORITHMS = {"float32": "highest", "tf32": "TF32_TF32_F32", "bfloat16": "BF16_BF16_F32"}
"""JAX's names for the precisions; its default on a GPU may be TF32."""


DEFAULTS = {
    "numpy_dtype_promotion": "standard",
    "numpy_rank_promotion": "allow",
    "transfer_guard_host_to_device": None,
    "transfer_guard_device_to_host": None,
    "transfer_guard_device_to_device": None,
}
"""The settings that kernels rely on: they broadcast, and move scalars to the device."""

UNWATCHED = {"debug_nans": False, "debug_infs": False}


class JaxBackend(Backend):
    """JAX on one device: "cpu", "gpu", "cuda:1", ..."""

    name = "jax"

    @classmethod
    def open(cls, device: Any = None) -> JaxBackend:
        """Return the backend on a device, by default JAX's first, which is a GPU where JAX has one."""
        if device is None:
            return cls(xp, jax.devices()[0])
        if isinstance(device, jax.Device):
            return cls(xp, device)
        platform, _, index = str(device).partition(":")
        here = ", ".join(map(repr, cls.info().devices))
        if platform not in ("cpu", "gpu", "cuda", "rocm", "tpu") or not (index or "0").isdecimal():
            raise ValueError(f"jax has no device {device!r}; here it has {here}")
        try:
            return cls(xp, jax.devices(platform)[int(index or 0)])
        except (RuntimeError, IndexError):
            raise BackendUnavailable(f"device {device!r} of jax does not answer (devices here: {here})") from None

    @classmethod
    def info(cls) -> BackendInfo:
        """Return the version and the devices, the default first."""
        devices = [*jax.devices(), *jax.devices("cpu")]
        return BackendInfo(cls.name, True, jax.__version__, tuple(dict.fromkeys(map(_device_name, devices))))

    @property
    def device_name(self) -> str:
        """The platform and the number; JAX's own name of a device differs on some platforms."""
        return _device_name(self.device)

    def synchronize(self) -> None:
        """Wait for every array that is still alive: JAX has no wait for a device."""
        jax.block_until_ready(jax.live_arrays())

    def compile(self, function: Function) -> Function:
        """Compile with XLA, once for each shape of its arguments."""
        return jax.jit(function)

    def runner(self, program: Program) -> Runner:
        """Return the runner that compiles many steps into one call."""
        return LoopRunner(self, program) if self._platform == "cpu" else ScanRunner(self, program)

    @property
    def precisions(self) -> tuple[str, ...]:
        """All precisions on an NVIDIA GPU, float32 elsewhere."""
        return PRECISIONS if self._platform in ("gpu", "cuda") else PRECISIONS[:1]

    def undisturbed(self, dtype: Any = None) -> contextlib.AbstractContextManager[Any]:
        """Restore the default settings, and set the precision of products, which on an accelerator JAX would choose."""
        if str(dtype) == "float64" and not jax.config.jax_enable_x64:
            self.dtype(dtype)  # raises: the results would silently be float32
        return _set(
            DEFAULTS | {"default_matmul_precision": None if self._platform == "cpu" else ALGORITHMS[self.precision]}
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Turn off JAX's check for NaN: training detects non-finite numbers itself, and reports where."""
        with self.undisturbed(), _set(UNWATCHED):
            yield

    @property
    def primitives(self) -> Primitives:
        """Return the primitives that suit XLA."""
        return jax_primitives()

    @property
    def _platform(self) -> str | None:
        """The kind of the device, or of those of a sharded array; under jax.jit an array is not on a device yet."""
        devices = getattr(self.device, "device_set", {self.device})
        return getattr(next(iter(devices)), "platform", None)

    def _why_no_dtype(self, name: str) -> str:
        if name in ("float64", "int64", "uint64") and not jax.config.jax_enable_x64:
            return (
                ", because JAX starts with 64-bit types off: jax.config.update('jax_enable_x64', True), or "
                "JAX_ENABLE_X64=1 in the environment, turns them on"
            )
        return ""

    def _move(self, x: Any, dtype: Any) -> Any:
        return jax.device_put(x if dtype is None else x.astype(dtype), self.device)

    def _from_host(self, host: np.ndarray, dtype: Any) -> Any:
        with self.undisturbed():
            # A fourth of the time of jax.numpy.array. A copy: JAX's array may be the memory that it is given.
            return jax.device_put(np.array(host, dtype=dtype), self.device)

    def _to_host(self, x: Any) -> np.ndarray:
        # NumPy does not have bfloat16, and treats the dtype that packages register under that name as no number.
        return np.asarray(x.astype("float32") if x.dtype == "bfloat16" else x)


def _device_name(device: Any) -> str:
    return f"{device.platform}:{device.id}" if isinstance(device, jax.Device) else str(device)


@contextlib.contextmanager
def _set(settings: dict[str, Any]) -> Iterator[None]:
    """Change, for this thread, the settings that differ: entering all contexts costs more than a small kernel."""
    with contextlib.ExitStack() as stack:
        for name, value in settings.items():
            if getattr(jax.config, f"jax_{name}") != value:
                guards = name.startswith("transfer_guard")
                stack.enter_context(getattr(jax, name)("allow" if guards else value))
        yield

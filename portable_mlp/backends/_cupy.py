"""CuPy: NumPy's functions on an NVIDIA GPU."""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Iterator
from typing import Any

import array_api_compat.cupy as xp
import cupy
import numpy as np

from ..kernels.primitives import Primitives
from ..kernels.step import Program
from . import _cublas
from ._base import INSTALL, PRECISIONS, Backend, BackendInfo, BackendUnavailable
from ._cupy_graph import CupyRecorder
from ._cupy_primitives import cupy_primitives
from ._cupy_streams import cublas_stream
from ._graph_runner import ONE_AT_A_TIME, GraphRunner
from .runner import Runner


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
        with ONE_AT_A_TIME:
            self.device.synchronize()

    @property
    def primitives(self) -> Primitives:
        """Return the primitives that write into existing memory, with few kernels."""
        return cupy_primitives(self.precision)

    @property
    def precisions(self) -> tuple[str, ...]:
        """All precisions, if cuBLAS can be called directly."""
        return PRECISIONS if _cublas.why_not() is None else PRECISIONS[:1]

    def runner(self, program: Program) -> Runner:
        """Return the runner that records steps as a CUDA graph."""
        if _why_no_graphs():
            return super().runner(program)
        return GraphRunner(self, program, CupyRecorder())

    def undisturbed(self, dtype: Any = None) -> contextlib.AbstractContextManager[Any]:
        """Make the GPU current: CuPy's functions compute on the current one, and its creation ignores ``device``."""
        device: contextlib.AbstractContextManager[Any] = self.device
        return device

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Make the GPU current, and compute products at the precision."""
        with self.undisturbed(), contextlib.ExitStack() as stack:
            of_cupy = os.environ.get("CUPY_TF32", "0")
            if self.precision != "float32" or of_cupy != "0":  # CuPy's own products have what the environment says
                reason = _cublas.why_not()
                if reason:
                    raise BackendUnavailable(f"CUPY_TF32={of_cupy} lets CuPy multiply in TF32; unset it: {reason}")
                stack.enter_context(stack.enter_context(cublas_stream()).current())
            yield

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


@functools.cache
def _why_no_graphs() -> str | None:
    """Return, computed once, why steps are launched kernel by kernel; None if graphs can be used."""
    reason = _cublas.why_not()
    if reason:
        warnings.warn(
            f"training steps cannot be recorded as CUDA graphs, and are launched kernel by kernel: {reason}",
            RuntimeWarning,
            stacklevel=2,
        )
    return reason

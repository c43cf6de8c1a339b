"""NumPy: the host."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import sys
import warnings
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from ..kernels.parameters import DTYPES
from ..kernels.primitives import Primitives
from ..kernels.step import Program
from ..kernels.suggestions import suggesting
from ._base import Backend, BackendInfo, numpy_is_quiet
from ._numpy_primitives import NumpyPrimitives, TakesSparse
from ._patient_runner import PatientRunner, plain_steps
from .deferred_interrupts import whole_imports
from .runner import Runner


class NumpyBackend(Backend):
    """NumPy on the CPU."""

    name = "numpy"

    @classmethod
    def open(cls, device: Any = None) -> NumpyBackend:
        """Return the backend; its only device is "cpu"."""
        if device not in (None, "cpu"):
            raise ValueError(f"numpy has no device {device!r}; it has 'cpu'")
        return cls(xp, "cpu")

    @classmethod
    def info(cls) -> BackendInfo:
        """Return NumPy's version."""
        return BackendInfo(cls.name, True, np.__version__, ("cpu",))

    def load(self, dtype: Any = None) -> None:
        """Import the compiled primitives, if Numba is there, and compile the steps of a dtype; see `PatientRunner`."""
        native = self._native()
        if native is not None and dtype is not None:
            native.compiled_steps.compile(np.dtype(dtype))

    @property
    def primitives(self) -> Primitives:
        """Return the primitives that write into existing memory."""
        return numpy_primitives()

    @property
    def primitives_outside_steps(self) -> Primitives:
        """Return the compiled ones once a fit has loaded them; else plain ones of the same bits, without Numba."""
        return self.primitives if _COMPILED in sys.modules else plain_primitives()

    def runner(self, program: Program) -> Runner:
        """Return what takes the steps: compiled where Numba is installed, once a process has trained for a while."""
        if _COMPILED in sys.modules or not plain_steps.suffice:
            return self._compiled_runner(program)
        return PatientRunner(self, program, plain_primitives(), self._compiled_runner)

    def _compiled_runner(self, program: Program) -> Runner:
        native = self._native()
        return super().runner(program) if native is None else native.NativeRunner(self, program)

    def _native(self) -> Any:
        """Return the module of compiled steps, None where there are none."""
        return None if self.takes_sparse or type(self.primitives) is NumpyPrimitives else _native_module()

    def running(self) -> contextlib.AbstractContextManager[Any]:
        """Silence floating-point warnings; training detects non-finite numbers itself."""
        return numpy_is_quiet()

    @suggesting
    def asarray(self, host: Any, dtype: Any = None) -> Any:
        """Return an array of NumPy; see `Backend.asarray`. Plain numbers need none of its checks."""
        is_plain = type(host) is np.ndarray and host.dtype.kind in "biuf" and host.dtype.isnative
        if is_plain and (dtype is None or dtype in DTYPES):
            return np.asarray(host, dtype, order="C")
        return super().asarray(host, dtype)

    def to_numpy(self, x: Any) -> np.ndarray:
        """Return an array of NumPy as it is."""
        return x if type(x) is np.ndarray else super().to_numpy(x)

    def _from_host(self, host: np.ndarray, dtype: Any) -> Any:
        return xp.asarray(host, dtype=dtype)

    def _to_host(self, x: Any) -> np.ndarray:
        return np.asarray(x)


@functools.cache
def plain_primitives() -> NumpyPrimitives:
    """Return the primitives that are not compiled; they take sparse inputs, too."""
    return TakesSparse()


@functools.cache
def numpy_primitives(takes_sparse: bool = False) -> NumpyPrimitives:
    """Return the fastest primitives available: compiled if Numba is installed, else plain."""
    if not takes_sparse:
        return _fastest()()
    kind = type(numpy_primitives())
    return type(f"Sparse{kind.__name__}", (TakesSparse, kind), {})()


_COMPILED = f"{__package__}._numba_primitives"


@functools.cache
def _native_module() -> Any:
    try:
        with whole_imports():
            from . import _native_runner
    except Exception:  # another Numba or NumPy than it knows; its loops are used all the same
        return None
    return _native_runner


def _fastest() -> type[NumpyPrimitives]:
    try:
        if importlib.util.find_spec("numba") is None or os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
            return NumpyPrimitives
        with whole_imports():
            from ._numba_primitives import NumbaPrimitives
    except Exception as error:
        warnings.warn(
            f"Numba cannot be used: {error}; plain NumPy gives the same results, more slowly",
            RuntimeWarning,
            stacklevel=4,
        )
        return NumpyPrimitives
    return NumbaPrimitives

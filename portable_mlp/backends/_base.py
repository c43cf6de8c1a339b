"""The interface of backends; each library's file overrides what differs."""

from __future__ import annotations

import contextlib
import copy
import os
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import array_api_compat
import numpy as np

from ..html_parts import notebook_table
from ..kernels.arrays import device_of, namespace_of
from ..kernels.options import check_choice
from ..kernels.primitives import Primitives, portable
from ..kernels.step import Program
from ..kernels.suggestions import suggesting
from .extras import OPENCL_FOR_CPU, TORCH_FOR_CPU, install
from .portable_runner import PortableRunner
from .runner import Runner

Function = TypeVar("Function", bound=Callable[..., Any])
Arrays = TypeVar("Arrays")

INSTALL = {
    "numpy": "pip install numpy",
    "cupy": f"for CUDA 13 {install('cupy')}, for CUDA 12 {install('cupy-cuda12x')}",
    "torch": f"{install('torch')}, on Linux with gigabytes of CUDA; for the CPU alone {TORCH_FOR_CPU}",
    "jax": install("jax"),
    "mlx": install("mlx"),
    "dpnp": f"{install('dpnp')}, 3 GB; for a CPU also {OPENCL_FOR_CPU}",
    "strict": install("strict"),
}
"""The command that installs each library."""

PRECISIONS = ("float32", "tf32", "bfloat16")
"""The precisions of products of float32 matrices; see `Backend.at_precision`."""

_HOST = (1, 0)
"""The memory of the host, as DLPack numbers devices: ``kDLCPU``."""


class BackendUnavailable(RuntimeError):
    """A known library that cannot be used here; the message has the reason and the command that installs it."""


class BackendInfo(NamedTuple):
    """The properties of a backend, collected without computing on it.

    Attributes
    ----------
    name : str
        The name for `get_backend`.
    available : bool
        Whether `get_backend` would succeed.
    version : str or None
        The version of the library, if it is installed.
    devices : tuple of str
        The values of ``device`` for `get_backend`.
    reason : str or None
        The reason why it is not available, and the command that installs what is missing.
    """

    name: str
    available: bool
    version: str | None = None
    devices: tuple[str, ...] = ()
    reason: str | None = None


class BackendInfos(list[BackendInfo]):
    """Several backends: a list, and a table in a notebook."""

    def _repr_html_(self) -> str:
        rows = [
            (
                info.name,
                "yes" if info.available else "no",
                info.version or "",
                ", ".join(info.devices),
                info.reason or "",
            )
            for info in self
        ]
        return notebook_table(("backend", "usable", "version", "devices", "why not"), rows)


class Backend:
    """One array library on one device.

    Used directly for a library that has no file of its own: it then offers what the array API standard guarantees.

    Attributes
    ----------
    name : str
        "numpy", "cupy", "torch", "jax", "mlx", "dpnp", "strict", or the module's name of any other library.
    xp : namespace
        The library's namespace of the array API standard.
    device : object
        The library's own device object, which its functions accept.
    """

    name: str = "array API"
    takes_sparse = False
    """Whether inputs may be SciPy's sparse matrices."""
    precision = "float32"
    """The precision of products of float32 matrices; one of `precisions`."""

    def __init__(self, xp: Any, device: Any) -> None:
        self.xp = xp
        self.device = device

    def __repr__(self) -> str:
        return f"<{self.name} backend on {self.device_name}>"

    @property
    def device_name(self) -> str:
        """The name of the device for `get_backend`."""
        return str(self.device)

    @classmethod
    def open(cls, device: Any = None) -> Backend:
        """Return the backend on a device named by a string (or the library's own object); None is its default.

        Raises
        ------
        ValueError
            If the library does not know a device of that name.
        BackendUnavailable
            If it knows such devices, but this one does not answer.
        """
        raise NotImplementedError

    @classmethod
    def of(cls, xp: Any, x: Any) -> Backend:
        """Return the backend of an array ``x`` of the library ``xp``, on its device."""
        return cls(xp, device_of(x))

    @classmethod
    def info(cls) -> BackendInfo:
        """Return version and devices; raise BackendUnavailable where nothing would run."""
        raise NotImplementedError

    def dtype(self, dtype: Any) -> Any:
        """Return the library's dtype for a name such as "float32" (or any library's dtype of that name).

        Raises
        ------
        ValueError
            If the library, or this device, does not have it.
        """
        name = dtype_name(dtype)
        known = self.xp.__array_namespace_info__().dtypes(device=self.device)
        if name not in known:
            alike = [other for other in known if other.rstrip("0123456789") == name.rstrip("0123456789")]
            raise ValueError(
                f"dtype {name!r} is not available with {self.name} on {self.device_name}{self._why_no_dtype(name)}; "
                f"choose one of {', '.join(sorted(alike or known))}"
            )
        return known[name]

    @suggesting
    def asarray(self, host: Any, dtype: Any = None) -> Any:
        """Move an array, a list or a number to this library and device.

        Parameters
        ----------
        host : array_like, or an array of any backend
            The array to move.
        dtype : str or dtype, optional
            The dtype of the result; by default the library's choice.

        Returns
        -------
        array
            The array on `device`. One that is there already, in that dtype, may be returned itself.

        Raises
        ------
        ValueError
            If the dtype is not available here.
        TypeError
            If it is not made of real numbers, or is a masked array.
        """
        native = None if dtype is None else self.dtype(dtype)
        is_numpy = array_api_compat.is_numpy_array(host)
        if array_api_compat.is_array_api_obj(host) and not is_numpy and self._owns(host):
            return self._move(host, native)
        return self._from_host(host_array(host), native)

    def to_numpy(self, x: Any) -> np.ndarray:
        """Move an array of this library to the host; the result may share memory with it, and may be read-only."""
        if not array_api_compat.is_array_api_obj(x) or not self._owns(x):
            raise TypeError(f"to_numpy of the {self.name} backend got {type(x).__module__}.{type(x).__name__}")
        return self._to_host(x)

    def synchronize(self) -> None:
        """Wait until all work enqueued on the device is done; a no-op where calls are synchronous."""

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions that `at_precision` accepts here: more than float32 on a GPU alone."""
        return ("float32",)

    def at_precision(self, precision: str, dtype: Any = "float32") -> Backend:
        """Return this backend, with products of float32 matrices computed at a precision while it is `running`.

        Parameters
        ----------
        precision : {"float32", "tf32", "bfloat16"}
            The significant bits of each factor: 24, 11 or 8. Sums are float32 always, and so are the parameters.
        dtype : str or dtype
            The dtype of the parameters.

        Raises
        ------
        ValueError
            If the precision is not available here, or for that dtype.
        """
        check_choice("precision", precision, PRECISIONS)
        if precision not in self.precisions:
            raise ValueError(
                f"precision {precision!r} is for the tensor cores of a GPU; {self.name} on {self.device_name} has "
                f"{', '.join(map(repr, self.precisions))}"
            )
        if precision != "float32" and dtype_name(dtype) != "float32":
            raise ValueError(f"precision {precision!r} is for float32 parameters, got {dtype_name(dtype)}")
        if len(self.precisions) > 1 and "NVIDIA_TF32_OVERRIDE" in os.environ:
            warnings.warn(
                "NVIDIA_TF32_OVERRIDE in the environment is stronger than precision: cuBLAS reads it itself; unset it",
                RuntimeWarning,
                stacklevel=3,
            )
        other = copy.copy(self)
        other.precision = precision
        return other

    def compile(self, function: Function) -> Function:
        """Return a faster function that computes the same from arrays, such as a loss; here the function itself.

        Training steps are not compiled by it: they are taken by a `runner`.
        """
        return function

    def runner(self, program: Program) -> Runner:
        """Return the runner of a training run; here one that takes one step a call, by the portable function."""
        return PortableRunner(self, program)

    def evaluated(self, arrays: Arrays) -> Arrays:
        """Return arrays, or tuples of them, with all numbers computed: some libraries wait until a number is read."""
        return arrays

    def load(self, dtype: Any = None) -> None:
        """Load what a long training run would load later, and compile the steps of a dtype; for measurements."""

    @property
    def primitives(self) -> Primitives:
        """Return the primitives of a training step; by default the portable ones."""
        return portable(self.xp)

    @property
    def primitives_outside_steps(self) -> Primitives:
        """Return the primitives of predictions and the like; by default those of a step."""
        return self.primitives

    def undisturbed(self, dtype: Any = None) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which the library computes as by default, whatever its settings.

        Parameters
        ----------
        dtype : dtype, optional
            The dtype of an argument, which is checked.

        Raises
        ------
        ValueError
            If that dtype is switched off.
        """
        return contextlib.nullcontext()

    def running(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context for many steps: undisturbed, with the device current and no recording of gradients."""
        return self.undisturbed()

    def _owns(self, x: Any) -> bool:
        return namespace_of(x) is self.xp

    def _why_no_dtype(self, name: str) -> str:
        return ""

    def _move(self, x: Any, dtype: Any) -> Any:
        return self.xp.asarray(x, dtype=dtype, device=self.device)

    def _from_host(self, host: np.ndarray, dtype: Any) -> Any:
        return self.xp.asarray(host, dtype=dtype, device=self.device, copy=True)

    def _to_host(self, x: Any) -> np.ndarray:
        return np.from_dlpack(x if x.__dlpack_device__() == _HOST else _HostExport(x))


class _HostExport:
    """The DLPack export of an array to the memory of the host, from any device.

    `numpy.from_dlpack` can ask for it itself from NumPy 2.1 on.
    """

    def __init__(self, x: Any) -> None:
        self._x = x

    def __dlpack_device__(self) -> tuple[int, int]:
        return _HOST

    def __dlpack__(self, **options: Any) -> Any:
        return self._x.__dlpack__(**options | {"dl_device": _HOST})


def first_line(error: BaseException) -> str:
    r"""Return the first line of an error's message, or the name of its class where there is none.

    >>> first_line(OSError("no such library\nsearched here")), first_line(KeyboardInterrupt())
    ('no such library', 'KeyboardInterrupt')
    """
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def has_dtype(backend: Backend, name: str) -> bool:
    """Return whether a backend's device has the dtype of a name; JAX starts without float64."""
    try:
        backend.dtype(name)
    except ValueError:
        return False
    return True


def dtype_name(dtype: Any) -> str:
    """Return the standard's name of any library's dtype.

    >>> dtype_name(np.float32), dtype_name("int64"), dtype_name(np.dtype(">f8"))
    ('float32', 'int64', 'float64')
    """
    if isinstance(dtype, str):
        return dtype
    try:
        return np.dtype(dtype).name
    except TypeError:
        return str(dtype).rsplit(".", maxsplit=1)[-1]


def host_array(x: Any) -> np.ndarray:
    """Return any array or array-like as a NumPy array of numbers in native byte order, C-contiguous."""
    from . import backend_of

    if isinstance(x, np.ma.MaskedArray):
        raise TypeError("a masked array would lose its mask; fill it first, with x.filled(...)")
    foreign = array_api_compat.is_array_api_obj(x) and not array_api_compat.is_numpy_array(x)
    host = np.asarray(backend_of(x).to_numpy(x) if foreign else x, order="C")
    if host.dtype.kind not in "biuf":
        raise TypeError(f"an array of real numbers is needed, got dtype {host.dtype}")
    return host.astype(host.dtype.newbyteorder("="), copy=False)


def numpy_is_quiet() -> contextlib.AbstractContextManager[Any]:
    """Silence NumPy's floating-point warnings: training detects non-finite numbers itself, and reports where."""
    return np.errstate(all="ignore")

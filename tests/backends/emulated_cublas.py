"""cuBLAS's products on the memory of the host: column by column as its documentation says, and as strict as it is.

`EmulatedCublas` stands in the place of the module ``nvmath.bindings.cublas``: what it is called with is bound to the
signature of the real function. What cuBLAS would take for an error, or would read and write where nobody allowed it, is
an `AssertionError` here.
"""

import ctypes
import inspect
import types
from collections.abc import MutableMapping
from typing import Any

import ml_dtypes
import numpy as np
from nvmath import CudaDataType
from nvmath.bindings import cublas

DTYPES = {
    CudaDataType.CUDA_R_32F: np.dtype("float32"),
    CudaDataType.CUDA_R_64F: np.dtype("float64"),
    CudaDataType.CUDA_R_16BF: np.dtype(ml_dtypes.bfloat16),
}

SUPPORTED = {
    cublas.ComputeType.COMPUTE_32F: {("float32", "float32"), ("bfloat16", "float32")},
    cublas.ComputeType.COMPUTE_32F_FAST_TF32: {("float32", "float32")},
    cublas.ComputeType.COMPUTE_64F: {("float64", "float64")},
}
"""For each compute type, which operands make which results: a part of the table of ``cublasGemmEx``."""


class DeviceArray:
    """What a product is told of an array: the attributes that CuPy's have too."""

    def __init__(self, x: np.ndarray) -> None:
        self.shape, self.strides, self.dtype = x.shape, x.strides, x.dtype
        self.data = types.SimpleNamespace(ptr=x.ctypes.data)


class EmulatedCublas:
    """The functions of the bindings, over memory that was allocated with `array`.

    Attributes
    ----------
    calls : list of str
        The functions that were called.
    compute_types : list
        Of the products.
    """

    ComputeType, GemmAlgo, Operation = cublas.ComputeType, cublas.GemmAlgo, cublas.Operation

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.compute_types: list[Any] = []
        self._handles: dict[int, set[str]] = {}
        self._memory: MutableMapping[int, np.ndarray] = {}  # by addresses

    def array(self, x: np.ndarray) -> np.ndarray:
        """Allocate a copy of an array, which products may then read and write, or any view of it."""
        copy = np.array(x, order="C")
        self._memory[copy.ctypes.data] = copy
        return copy

    def get_property(self, *arguments: Any, **named: Any) -> int:
        inspect.signature(cublas.get_property).bind(*arguments, **named)
        return 13

    def create(self) -> int:
        self._called("create")
        handle = 1000 + len(self.calls)
        self._handles[handle] = set()
        return handle

    def destroy(self, *arguments: Any, **named: Any) -> None:
        del self._handles[self._called("destroy", *arguments, **named)["handle"]]

    def set_stream(self, *arguments: Any, **named: Any) -> None:
        handle = self._called("set_stream", *arguments, **named)["handle"]
        self._handles[handle] = {"stream"}  # "unconditionally resets the cuBLAS library workspace"

    def set_workspace(self, *arguments: Any, **named: Any) -> None:
        call = self._called("set_workspace", *arguments, **named)
        assert call["workspace"] % 256 == 0
        self._handles[call["handle"]].add("workspace")

    def gemm_ex(self, *arguments: Any, **named: Any) -> None:
        self._multiply(self._called("gemm_ex", *arguments, **named))

    def gemm_strided_batched_ex(self, *arguments: Any, **named: Any) -> None:
        call = self._called("gemm_strided_batched_ex", *arguments, **named)
        steps = {x: call[f"stride_{x}"] * DTYPES[call[f"{x}type"]].itemsize for x in "abc"}
        assert min(steps.values()) >= 0
        assert call["batch_count"] >= 1
        assert call["batch_count"] == 1 or call["stride_c"] >= call["ldc"] * (call["n"] - 1) + call["m"]
        for i in range(call["batch_count"]):
            self._multiply(call | {x: call[x] + i * step for x, step in steps.items()})

    def _called(self, name: str, *arguments: Any, **named: Any) -> dict[str, Any]:
        self.calls.append(name)
        return dict(inspect.signature(getattr(cublas, name)).bind(*arguments, **named).arguments)

    def _multiply(self, call: dict[str, Any]) -> None:
        compute_type, (m, n, k) = call["compute_type"], (call[length] for length in "mnk")
        assert self._handles[call["handle"]] == {"stream", "workspace"}, "set_stream comes before set_workspace"
        assert call["atype"] == call["btype"]
        assert (DTYPES[call["atype"]].name, DTYPES[call["ctype"]].name) in SUPPORTED[compute_type]
        assert call["algo"] == cublas.GemmAlgo.DEFAULT
        scalar = ctypes.c_double if compute_type == cublas.ComputeType.COMPUTE_64F else ctypes.c_float
        assert [scalar.from_address(call[name]).value for name in ("alpha", "beta")] == [1.0, 0.0]
        self.compute_types.append(compute_type)
        result = self._matrix(call, "c", m, n)
        left, right = self._operand(call, "a", m, k), self._operand(call, "b", k, n)
        result[...] = left.astype(result.dtype) @ right.astype(result.dtype)

    def _operand(self, call: dict[str, Any], name: str, rows: int, columns: int) -> np.ndarray:
        if call[f"trans{name}"] == cublas.Operation.N:
            return self._matrix(call, name, rows, columns)
        assert call[f"trans{name}"] == cublas.Operation.T
        return self._matrix(call, name, columns, rows).T

    def _matrix(self, call: dict[str, Any], name: str, rows: int, columns: int) -> np.ndarray:
        """Return a view of a matrix that lies column by column, ``ld`` elements from one to the next."""
        ptr, dtype, leading = call[name], DTYPES[call[f"{name}type"]], call[f"ld{name}"]
        assert min(rows, columns) >= 1
        assert leading >= rows
        n_bytes = (leading * (columns - 1) + rows) * dtype.itemsize
        for start, x in self._memory.items():
            if start <= ptr and ptr + n_bytes <= start + x.nbytes:
                flat = x.reshape(-1).view(np.uint8)[ptr - start :][:n_bytes].view(dtype)
                return np.lib.stride_tricks.as_strided(
                    flat, (rows, columns), (dtype.itemsize, leading * dtype.itemsize)
                )
        raise AssertionError(f"{n_bytes} bytes at {ptr} are nobody's")

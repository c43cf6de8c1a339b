"""Matrix products by cuBLAS, called through NVIDIA's own bindings (nvmath-python).

CuPy refuses its own calls of cuBLAS while a stream is capturing (https://github.com/cupy/cupy/issues/6290), though
cuBLAS itself may be captured. So a step that is to become a graph multiplies here.

cuBLAS takes matrices column by column. Read so, the memory of a row-major ``out = a b`` holds its transpose, and
``out^T = b^T a^T`` is the product requested: ``b`` is its first operand and ``a`` its second, and nothing is moved.

Written from the bindings' signatures (nvmath-python 1.0.0) and tested against an emulation of cuBLAS on the CPU; nobody
has run it on a GPU yet.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

from ..kernels.options import check_choice
from ._base import first_line

CUDA_R_32F, CUDA_R_64F, CUDA_R_16BF = 0, 1, 14
"""Values of `cudaDataType_t`, which the bindings of cuBLAS lack."""


_MAJOR_VERSION = 0
"""A value of `libraryPropertyType_t`."""


class _Kind(NamedTuple):
    """A combination of dtypes that can be multiplied, in the terms of cuBLAS.

    Attributes
    ----------
    operands, out : tuple of str, str
        The dtypes of the operands and of the result, by name.
    operand_type, out_type : int
        The same dtypes as `cudaDataType_t`.
    compute_type : str
        The type of products and sums, a member of `cublasComputeType_t`.
    scalar : type
        The type of the scalar factors, on the host.
    """

    operands: tuple[str, ...]
    out: str
    operand_type: int
    out_type: int
    compute_type: str
    scalar: Any


_FLOAT64 = _Kind(("float64",), "float64", CUDA_R_64F, CUDA_R_64F, "COMPUTE_64F", ctypes.c_double)
_KINDS = {
    "float32": _Kind(("float32",), "float32", CUDA_R_32F, CUDA_R_32F, "COMPUTE_32F", ctypes.c_float),
    "tf32": _Kind(("float32",), "float32", CUDA_R_32F, CUDA_R_32F, "COMPUTE_32F_FAST_TF32", ctypes.c_float),
    # Libraries without bfloat16 carry its bits as integers.
    "bfloat16": _Kind(("bfloat16", "uint16"), "float32", CUDA_R_16BF, CUDA_R_32F, "COMPUTE_32F", ctypes.c_float),
}

# Read by cuBLAS when it is called: a new handle takes factors from the host. They live as long as this module.
_FACTORS = {scalar: (scalar(1), scalar(0)) for scalar in (ctypes.c_float, ctypes.c_double)}


class Products:
    """Matrix products on one stream of the current GPU; not for two threads at once.

    Made and closed outside of a capture: either may wait for the device.

    Parameters
    ----------
    stream_ptr : int
        Address of the stream: ``cupy.cuda.Stream.ptr``.
    workspace_ptr : int
        Address of memory on the GPU, aligned to 256 bytes, that cuBLAS writes while a product runs. It must stay until
        the last product is done, and the last graph that holds one. cuBLAS's own would be allocated while capturing.
    workspace_bytes : int
        The size of that memory; NVIDIA recommends 32 MiB on Hopper.
    bindings : module, optional
        A module with the functions of ``nvmath.bindings.cublas``, which is the default.

    Raises
    ------
    ImportError
        If the bindings are not installed; `why_not` returns the reason.
    """

    def __init__(self, stream_ptr: int, workspace_ptr: int, workspace_bytes: int, bindings: Any = None) -> None:
        self._cublas = _bindings() if bindings is None else bindings
        self._handle: int = self._cublas.create()
        try:
            # In this order: setting the stream resets the workspace.
            self._cublas.set_stream(self._handle, stream_ptr)
            self._cublas.set_workspace(self._handle, workspace_ptr, workspace_bytes)
        except BaseException:
            self.close()
            raise

    def matmul(self, a: Any, b: Any, out: Any, *, precision: str = "float32") -> None:
        """Enqueue ``out[...] = a b``; allocate nothing, and wait for nothing.

        Parameters
        ----------
        a : array of shape (m, k) or (n_models, m, k)
            On the GPU. Its rows, or its columns, lie contiguous, at any distance from each other.
        b : array of shape (k, n) or (n_models, k, n)
            Likewise. Of ``a`` and ``b``, one without an axis of models is shared by all.
        out : array of shape (m, n) or (n_models, m, n)
            Its rows lie contiguous, models at any distance. It shares no memory with ``a`` and ``b``.
        precision : str
            "float32" takes products and sums in float32. "tf32" lets tensor cores read float32 operands to 11
            significant bits; sums are float32. "bfloat16" takes operands in bfloat16, or its bits as uint16; sums and
            ``out`` are float32. Arrays of float64 are multiplied in float64, with the default alone.

        Raises
        ------
        ValueError
            If the precision is another one, or shapes, dtypes or memory layouts do not fit. Nothing is enqueued then.
        cuBLASError
            The bindings' error, for any failure of cuBLAS.

        Notes
        -----
        cuBLAS itself reads NVIDIA_TF32_OVERRIDE in the environment, which overrides ``precision``. With 0 it uses TF32
        nowhere, "tf32" included. 1 is not documented by NVIDIA; people set it to get TF32 for float32
        (https://github.com/lightseekorg/tokenspeed/pull/35). Unset, ``precision`` applies.
        """
        kind = _kind_of_product(a, b, out, precision)
        _check_shapes(a, b, out)
        first, second, result = _operand("b", b), _operand("a", a), _result(out)
        m, n = out.shape[-2:]  # rows and columns are exchanged, and so are a and b
        one, zero = _FACTORS[kind.scalar]
        options = {
            "handle": self._handle,
            "transa": self._operation(first),
            "transb": self._operation(second),
            "m": n,
            "n": m,
            "k": a.shape[-1],
            "alpha": ctypes.addressof(one),
            "a": b.data.ptr,
            "atype": kind.operand_type,
            "lda": first.leading,
            "b": a.data.ptr,
            "btype": kind.operand_type,
            "ldb": second.leading,
            "beta": ctypes.addressof(zero),
            "c": out.data.ptr,
            "ctype": kind.out_type,
            "ldc": result.leading,
            "compute_type": self._cublas.ComputeType[kind.compute_type],
            "algo": self._cublas.GemmAlgo.DEFAULT,
        }
        if len(out.shape) == 2:
            self._cublas.gemm_ex(**options)
        else:
            apart = {"stride_a": first.apart, "stride_b": second.apart, "stride_c": result.apart}
            self._cublas.gemm_strided_batched_ex(**options, **apart, batch_count=out.shape[0])

    def close(self) -> None:
        """Destroy the handle; a second call does nothing."""
        handle, self._handle = self._handle, 0
        if handle:
            self._cublas.destroy(handle)

    def _operation(self, x: _Operand) -> Any:
        return self._cublas.Operation.T if x.by_columns else self._cublas.Operation.N


def why_not() -> str | None:
    """Return None where products can be computed, else the reason, and for missing bindings the command."""
    try:
        cublas = _bindings()
    except Exception as error:
        return f"NVIDIA's bindings of cuBLAS cannot be loaded: {first_line(error)}; pip install nvmath-python"
    try:
        cublas.get_property(_MAJOR_VERSION)  # the first call loads cuBLAS itself, which the bindings do not bring
    except Exception as error:
        return f"NVIDIA's bindings cannot load cuBLAS itself: {first_line(error)}"
    return None


def _bindings() -> Any:
    """Import the bindings, which takes a quarter of a second and needs no GPU."""
    import nvmath.bindings.cublas as cublas

    return cublas


class _Operand(NamedTuple):
    """The memory layout of a matrix, in elements.

    Attributes
    ----------
    by_columns : bool
        Whether its columns are contiguous, rather than its rows.
    leading : int
        The distance from one row, or column, to the next.
    apart : int
        The distance from one model to the next; 0 where all share the matrix.
    """

    by_columns: bool
    leading: int
    apart: int


def _operand(name: str, x: Any) -> _Operand:
    """Describe a matrix, or one for each model, to cuBLAS."""
    size, (rows, columns), (down, across) = x.dtype.itemsize, x.shape[-2:], x.strides[-2:]
    apart = x.strides[0] if len(x.shape) == 3 and x.shape[0] > 1 else 0
    for by_columns, length, step, n_lines, between in (
        (False, columns, across, rows, down),
        (True, rows, down, columns, across),
    ):
        if n_lines == 1:
            between = length * size  # whatever the array says
        contiguous = length == 1 or step == size
        if contiguous and between >= length * size and between % size == 0 and apart >= 0 and apart % size == 0:
            return _Operand(by_columns, between // size, apart // size)
    raise ValueError(
        f"{name} must have contiguous rows or contiguous columns that do not overlap, got shape {x.shape} with strides "
        f"of {x.strides} bytes; copy it first"
    )


def _result(out: Any) -> _Operand:
    """Describe the result: by rows, models apart."""
    lies = _operand("out", out)
    several = len(out.shape) == 3 and out.shape[0] > 1
    if lies.by_columns or (several and lies.apart < lies.leading * out.shape[-2]):
        raise ValueError(
            f"out must have contiguous rows, and memory for each model, got shape {out.shape} with strides of "
            f"{out.strides} bytes"
        )
    return lies


def _kind_of_product(a: Any, b: Any, out: Any, precision: str) -> _Kind:
    check_choice("precision", precision, _KINDS)
    names = a.dtype.name, b.dtype.name, out.dtype.name
    kind = _FLOAT64 if precision == "float32" and names[0] == "float64" else _KINDS[precision]
    if not (names[0] in kind.operands and names[1] in kind.operands and names[2] == kind.out):
        raise ValueError(
            f"precision {precision!r} multiplies {kind.operands[0]} and {kind.operands[0]} into {kind.out}, "
            f"got {names[0]} and {names[1]} into {names[2]}"
        )
    return kind


def _check_shapes(a: Any, b: Any, out: Any) -> None:
    models = {x.shape[:-2] for x in (a, b)} - {()}
    fit = all(len(x.shape) in (2, 3) for x in (a, b, out)) and len(models) <= 1 and a.shape[-1] == b.shape[-2]
    if not fit or out.shape != (*next(iter(models), ()), a.shape[-2], b.shape[-1]):
        raise ValueError(f"out of shape {out.shape} cannot be the product of shapes {a.shape} and {b.shape}")
    if 0 in (*a.shape, *b.shape):
        raise ValueError(f"there is nothing to multiply in shapes {a.shape} and {b.shape}")

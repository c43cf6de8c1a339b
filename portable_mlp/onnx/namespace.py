"""The kernels' namespace for ONNX: arrays of ndonnx are nodes of a graph, so that a formula becomes a graph."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

from ..kernels.arrays import Array
from .files import load_onnx


class Transposed(NamedTuple):
    """The transpose of a matrix, an operand of `matmul` alone."""

    of: Array


class OnnxNamespace:
    """The functions of ndonnx, except for products and maxima, which are one node each here.

    ndonnx guards both with an ``If`` against empty arrays, but a batch is not empty, and a graph without branches runs
    on more kinds of device. A product is a Gemm that transposes what it takes: in float64 onnxruntime 1.20 breaks down
    over a MatMul of a Transpose, which it replaces by an operator that it has in float32 only.
    """

    def __init__(self) -> None:
        with warnings.catch_warnings():
            # ndonnx warns that onnxruntime is missing, without which the graph is the same.
            warnings.simplefilter("ignore")
            self._ndonnx = load_onnx("ndonnx")
        self._operators = load_onnx("spox.opset.ai.onnx.v21")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ndonnx, name)

    def matrix_transpose(self, x: Array) -> Transposed:
        """Return the transpose, for `matmul`."""
        return Transposed(x)

    def matmul(self, a: Array | Transposed, b: Array | Transposed) -> Array:
        """Return the product of two matrices."""
        (A, a_transposed), (B, b_transposed) = map(self._factor, (a, b))
        return self._ndonnx.asarray(self._operators.gemm(A, B, transA=a_transposed, transB=b_transposed))

    def max(self, x: Array, *, axis: int, keepdims: bool) -> Array:
        """Return the maximum over an axis."""
        axes = self._operators.const([axis], dtype="int64")
        return self._ndonnx.asarray(self._operators.reduce_max(x.unwrap_spox(), axes, keepdims=keepdims))

    def _factor(self, x: Array | Transposed) -> tuple[Any, bool]:
        return (x.of.unwrap_spox(), True) if isinstance(x, Transposed) else (x.unwrap_spox(), False)

"""CUDA streams with cuBLAS on them, which are made once and used again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import cupy

from ..kernels.arrays import Array
from ._cublas import Products
from ._cupy_primitives import multiplying_with
from ._graph_runner import lent

WORKSPACE_BYTES = 32 * 2**20
"""The size that NVIDIA recommends for cuBLAS on its larger GPUs."""


class CublasStream:
    """A stream of the current GPU with cuBLAS on it: a handle and its workspace; and the counters of kernels.

    It serves one user at a time, and is never destroyed: destroying a handle waits for the GPU, which would break the
    recording of another thread.
    """

    def __init__(self) -> None:
        # A blocking stream could not be captured while anything runs on the default one.
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self._workspace = cupy.empty(WORKSPACE_BYTES, dtype=cupy.uint8)
        self._products = Products(self.stream.ptr, self._workspace.data.ptr, WORKSPACE_BYTES)
        self._counters: dict[int, Array] = {}
        self._before, self._after = (cupy.cuda.Event(disable_timing=True) for _ in range(2))

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Run on this stream: after all work launched before, and before all work launched later."""
        caller = cupy.cuda.get_current_stream()
        self._before.record(caller)
        self.stream.wait_event(self._before)
        try:
            with self.stream, multiplying_with(self):
                yield
        finally:
            self._after.record(self.stream)
            caller.wait_event(self._after)

    def launched(self) -> None:
        """Note that a graph with products of this stream was launched on the caller's: its next user must wait."""
        self._after.record(cupy.cuda.get_current_stream())

    def wait_for_last_user(self) -> None:
        """Run later work after all that the last user launched, on whatever stream."""
        self.stream.wait_event(self._after)

    def matmul(self, a: Array, b: Array, out: Array, precision: str) -> None:
        """Enqueue ``out[...] = a b``, as `Products.matmul`."""
        self._products.matmul(a, b, out, precision=precision)

    def counters(self, n: int) -> Array:
        """Return n zeros, filled on this stream, that kernels leave as zeros; kept for ever, since graphs read them."""
        if n not in self._counters:
            self._counters[n] = cupy.zeros(n, dtype=cupy.uint32)
        return self._counters[n]


_idle: dict[int, list[CublasStream]] = {}
"""The streams of each GPU that nobody uses."""


@contextlib.contextmanager
def cublas_stream() -> Iterator[CublasStream]:
    """Lend a stream of the current GPU."""
    with lent(_idle.setdefault(cupy.cuda.Device().id, []), CublasStream) as stream:
        stream.wait_for_last_user()
        yield stream

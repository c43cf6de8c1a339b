"""Recording of CuPy's kernels as a CUDA graph.

CuPy's own rules (https://docs.cupy.dev, ``Stream.begin_capture``): a stream that is not the default one, no transfer
to the host, no call of its cuBLAS. Products of matrices therefore go through `_cublas`.
"""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import array_api_compat.cupy as xp
import cupy
import numpy as np

from ..kernels.arrays import Array
from ..kernels.optimizers import Scalars
from ._cublas import Products
from ._cupy_primitives import multiplying_with

WORKSPACE_BYTES = 32 * 2**20
"""The size that NVIDIA recommends for cuBLAS on its larger GPUs."""


class _OfThread(threading.local):
    """The products of a thread, by device and stream: making them is slow, and freeing them waits for the GPU."""

    def __init__(self) -> None:
        self.products: dict[tuple[int, int], tuple[Products, Any]] = {}


_of_thread = _OfThread()


def products_on_current_stream() -> Products:
    """Return cuBLAS on the current stream of the current GPU, for this thread."""
    key = cupy.cuda.Device().id, cupy.cuda.get_current_stream().ptr
    if key not in _of_thread.products:
        workspace = cupy.empty(WORKSPACE_BYTES, dtype=cupy.uint8)
        _of_thread.products[key] = Products(key[1], workspace.data.ptr, WORKSPACE_BYTES), workspace
    return _of_thread.products[key][0]


class CupyRecorder:
    """Records on a stream of its own; made while its GPU is current."""

    xp = xp

    def __init__(self) -> None:
        # A blocking stream could not be captured while anything runs on the default one.
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._workspace = cupy.empty(WORKSPACE_BYTES, dtype=cupy.uint8)
        self._products = Products(self._stream.ptr, self._workspace.data.ptr, WORKSPACE_BYTES)
        # A pool of our own: memory freed while recording is still written to by every launch. Launches run one after
        # another, so that recordings may share it.
        self._pool = cupy.cuda.MemoryPool()
        weakref.finalize(self, _close, self._products, self._pool, cupy.cuda.Device())

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Run on the stream of recordings: after all work launched before, and before all work launched later."""
        caller = cupy.cuda.get_current_stream()
        self._stream.wait_event(caller.record())
        try:
            with self._stream, multiplying_with(self._products):
                yield
        finally:
            caller.wait_event(self._stream.record())

    def table(self, rows: Sequence[Scalars], dtype: Any) -> Array:
        """Move numbers to the GPU."""
        return cupy.asarray(np.asarray(rows, dtype=dtype))

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record the kernels of ``work`` without running them; return their launch on the current stream."""
        with self.aside(), cupy.cuda.using_allocator(self._pool.malloc), _no_garbage_collection():
            self._stream.begin_capture()
            try:
                work()
            except BaseException:
                # A capture that is left open would break the next launch.
                with contextlib.suppress(Exception):
                    self._stream.end_capture()
                raise
            graph = self._stream.end_capture()
        return _Launch(graph, [work, self])


def _close(products: Products, pool: Any, device: Any) -> None:
    """Free the memory of a recorder: CuPy's pools keep theirs even without a reference to the pool."""
    products.close()
    with device:
        pool.free_all_blocks()


class _Launch:
    """A graph, and the memory that must live as long as it."""

    def __init__(self, graph: Any, memory: list[Any]) -> None:
        self._graph, self._memory = graph, memory

    def __call__(self) -> None:
        self._graph.launch()


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Suspend the garbage collector: destroying an old stream or event would break the recording."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

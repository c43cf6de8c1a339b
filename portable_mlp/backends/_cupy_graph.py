"""Recording what CuPy launches as a CUDA graph.

CuPy's own rules (https://docs.cupy.dev, ``Stream.begin_capture``): a stream that is not the default one, no transfer
to the host, no call of its cuBLAS. Products of matrices therefore go through `_cublas`.
"""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import array_api_compat.cupy as xp
import cupy

from ._cublas import Products
from ._cupy_primitives import multiplying_with

WORKSPACE_BYTES = 32 * 2**20
"""What NVIDIA recommends for cuBLAS on its larger GPUs."""


@contextlib.contextmanager
def products_on(stream: Any) -> Iterator[Products]:
    """Open cuBLAS on a stream of the current GPU."""
    workspace = cupy.empty(WORKSPACE_BYTES, dtype=cupy.uint8)
    products = Products(stream.ptr, workspace.data.ptr, WORKSPACE_BYTES)
    try:
        yield products
    finally:
        # The memory may be another's as soon as it is let go.
        stream.synchronize()
        products.close()


class CupyRecorder:
    """Records on a stream of its own; made while its GPU is current."""

    xp = xp

    def __init__(self) -> None:
        # A blocking stream could not be captured while anything runs on the default one.
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._workspace = cupy.empty(WORKSPACE_BYTES, dtype=cupy.uint8)
        self._products = Products(self._stream.ptr, self._workspace.data.ptr, WORKSPACE_BYTES)
        weakref.finalize(self, self._products.close)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Run on the stream of recordings: after all that was launched before, and before all that comes after."""
        caller = cupy.cuda.get_current_stream()
        self._stream.wait_event(caller.record())
        try:
            with self._stream, multiplying_with(self._products):
                yield
        finally:
            caller.wait_event(self._stream.record())

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what ``work`` launches, without running it; return what launches all of it on the current stream."""
        # A pool of its own: what is freed while recording is still written to by every launch.
        pool = cupy.cuda.MemoryPool()
        with self.aside(), cupy.cuda.using_allocator(pool.malloc), _no_garbage_collection():
            self._stream.begin_capture()
            try:
                work()
            except BaseException:
                # A capture that is left open would break whatever is launched next.
                with contextlib.suppress(Exception):
                    self._stream.end_capture()
                raise
            graph = self._stream.end_capture()
        return _Launch(graph, [pool, work, self._products, self._workspace])


class _Launch:
    """A graph, and what must live as long as it."""

    def __init__(self, graph: Any, memory: list[Any]) -> None:
        self._graph, self._memory = graph, memory

    def __call__(self) -> None:
        self._graph.launch()


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Put off the collector: destroying an old stream or event would break the recording."""
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

"""Recording of CuPy's kernels as a CUDA graph.

CuPy's own rules (https://docs.cupy.dev, ``Stream.begin_capture``): a stream that is not the default one, no transfer
to the host, no call of its cuBLAS. Products of matrices therefore go through `_cublas`.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import array_api_compat.cupy as xp
import cupy
import numpy as np

from ..kernels.arrays import Array
from ..kernels.optimizers import Scalars
from ._cupy_streams import CublasStream, cublas_stream
from ._graph_runner import ONE_AT_A_TIME


class CupyRecorder:
    """Records on a stream of its own, of the GPU that is current at the first step."""

    xp = xp

    @functools.cached_property
    def _lent(self) -> CublasStream:
        until_gone = contextlib.ExitStack()
        weakref.finalize(self, until_gone.close)
        return until_gone.enter_context(cublas_stream())

    @functools.cached_property
    def _pool(self) -> Any:
        """The pool of recordings: memory freed while recording is still written to by every launch.

        Launches run one after another, so that recordings may share it.
        """
        pool = cupy.cuda.MemoryPool()
        weakref.finalize(self, _free, pool, cupy.cuda.Device())
        return pool

    def aside(self) -> contextlib.AbstractContextManager[None]:
        """Run on the stream of recordings: after all work launched before, and before all work launched later."""
        return self._lent.current()

    def table(self, rows: Sequence[Scalars], dtype: Any) -> Array:
        """Move numbers to the GPU."""
        return cupy.asarray(np.asarray(rows, dtype=dtype))

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record the kernels of ``work`` without running them; return their launch on the current stream."""
        stream = self._lent.stream
        with self.aside(), cupy.cuda.using_allocator(self._pool.malloc):
            stream.begin_capture()
            try:
                work()
            except BaseException:
                # A capture that is left open would break the next launch.
                with contextlib.suppress(Exception):
                    stream.end_capture()
                raise
            graph = stream.end_capture()
        return _Launch(graph, self._lent, [work, self])


def _free(pool: Any, device: Any) -> None:
    """Free the memory of a pool: CuPy's pools keep theirs even without a reference to the pool."""
    with ONE_AT_A_TIME, device:
        pool.free_all_blocks()


class _Launch:
    """A graph, and the memory that must live as long as it."""

    def __init__(self, graph: Any, stream: CublasStream, memory: list[Any]) -> None:
        self._graph, self._stream, self._memory = graph, stream, memory

    def __call__(self) -> None:
        self._graph.launch()
        self._stream.launched()

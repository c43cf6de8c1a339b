"""Recording of PyTorch's kernels on CUDA as a CUDA graph."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import array_api_compat.torch as xp
import torch

from ..kernels.arrays import Array
from ..kernels.optimizers import Scalars
from ._graph_runner import lent

_idle: dict[str, list[Any]] = {}
"""The streams of each GPU that nobody uses. PyTorch has 32 in all: who makes another has that of somebody else, and
what is launched there while that one records would be recorded, too."""


class TorchRecorder:
    """Records on a stream that nobody else uses meanwhile.

    Parameters
    ----------
    device : torch.device
        The device, a GPU of CUDA.
    """

    xp = xp

    def __init__(self, device: Any) -> None:
        until_gone = contextlib.ExitStack()
        weakref.finalize(self, until_gone.close)
        idle = _idle.setdefault(str(device), [])
        self._stream = until_gone.enter_context(lent(idle, lambda: torch.cuda.Stream(device)))
        self._graphs: weakref.WeakSet[Any] = weakref.WeakSet()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Run on the stream of recordings: after all work launched before, and before all work launched later."""
        caller = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(caller)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            caller.wait_stream(self._stream)

    def table(self, rows: Sequence[Scalars], dtype: Any) -> Array:
        """Move numbers to the device; from pinned memory, since from any other PyTorch would wait for the device."""
        pinned = torch.tensor(rows, dtype=dtype).pin_memory()
        return pinned.to(self._stream.device, non_blocking=True)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record the kernels of ``work`` without running them; return their launch on the current stream."""
        graph = torch.cuda.CUDAGraph()
        # Of all that `torch.cuda.graph` does, only this: it would also wait for the device, and empty PyTorch's cache.
        with torch.cuda.stream(self._stream):
            # One pool for all, since launches run one after another; without a graph that is alive a pool is gone.
            pool = next((other.pool() for other in self._graphs), None)
            # Calls of other threads must not break the capture.
            graph.capture_begin(pool=pool, capture_error_mode="thread_local")
            try:
                work()
            except BaseException:
                # A capture that is left open would break the next launch.
                with contextlib.suppress(Exception):
                    graph.capture_end()
                raise
            graph.capture_end()
        self._graphs.add(graph)

        def launch(_memory: Any = work) -> None:
            graph.replay()

        return launch

"""Recording what PyTorch launches on CUDA as a CUDA graph."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import array_api_compat.torch as xp
import torch

from ..kernels.arrays import Array
from ..kernels.optimizers import Scalars


class TorchRecorder:
    """Records on a stream of its own.

    Parameters
    ----------
    device : torch.device
        Of CUDA.
    """

    xp = xp

    def __init__(self, device: Any) -> None:
        self._stream = torch.cuda.Stream(device)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Run on the stream of recordings: after all that was launched before, and before all that comes after."""
        caller = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(caller)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            caller.wait_stream(self._stream)

    def table(self, rows: Sequence[Scalars], dtype: Any) -> Array:
        """Bring numbers to the device; from pinned memory, since from any other PyTorch would wait for it."""
        pinned = torch.tensor(rows, dtype=dtype).pin_memory()
        return pinned.to(self._stream.device, non_blocking=True)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what ``work`` launches, without running it; return what launches all of it on the current stream."""
        graph = torch.cuda.CUDAGraph()
        caller = torch.cuda.current_stream(self._stream.device)
        # The outer context comes back to the stream of the caller where a capture that breaks does not. What another
        # thread does meanwhile is its own affair.
        with (
            torch.cuda.stream(caller),
            torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
        ):
            work()

        def launch(_memory: Any = work) -> None:
            graph.replay()

        return launch

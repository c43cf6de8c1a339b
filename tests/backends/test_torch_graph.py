"""What recording on PyTorch asks of a made-up CUDA: one pool, no waiting, and a capture that is always closed."""

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from portable_mlp.backends import _torch_graph
from portable_mlp.backends._torch_graph import TorchRecorder


class Graph:
    def __init__(self) -> None:
        self.captures = False

    def capture_begin(self, pool: Any, capture_error_mode: str) -> None:
        assert capture_error_mode == "thread_local"
        self.captures, self._pool = True, pool or object()

    def capture_end(self) -> None:
        assert self.captures
        self.captures = False

    def pool(self) -> Any:
        return self._pool

    def replay(self) -> None:
        pass


class Cuda:
    """What a recorder may use of `torch.cuda`: nothing that waits for the device, or empties a cache."""

    def __init__(self) -> None:
        self.graphs: list[Graph] = []

    def CUDAGraph(self) -> Graph:  # noqa: N802
        self.graphs.append(Graph())
        return self.graphs[-1]

    def Stream(self, device: Any) -> Any:  # noqa: N802
        return object()

    @contextlib.contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        yield


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    monkeypatch.setattr(torch, "cuda", Cuda())
    monkeypatch.setattr(_torch_graph, "_idle", {})
    return torch.cuda


def test_recordings_share_a_pool_as_long_as_one_is_alive(cuda: Cuda) -> None:
    recorder = TorchRecorder("cuda")
    launches = [recorder.record(lambda: None) for _ in range(2)]
    first, second = cuda.graphs
    assert first.pool() is second.pool()
    used = first.pool()
    del launches, first, second
    cuda.graphs.clear()
    gc.collect()
    recorder.record(lambda: None)
    assert cuda.graphs[0].pool() is not used


def test_streams_are_made_once_and_lent_to_one_recorder_at_a_time(cuda: Cuda) -> None:
    """PyTorch has 32, and gives them out in turn: two trainings could have the same one."""
    trains_for_long = TorchRecorder("cuda:0")
    of_others = [id(TorchRecorder("cuda:0")._stream) for _ in range(40)]
    assert len(set(of_others)) == 1
    assert id(trains_for_long._stream) not in of_others
    assert TorchRecorder("cuda:1")._stream is not _torch_graph._idle["cuda:0"][0]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_capture_that_fails_is_closed(error: type[BaseException], cuda: Cuda) -> None:
    def work() -> None:
        raise error("in the middle")

    with pytest.raises(error, match="in the middle"):
        TorchRecorder("cuda").record(work)
    assert not cuda.graphs[0].captures

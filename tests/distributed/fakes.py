"""Ranks that are threads of this process, so that a group can be tested where there is no MPI."""

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import portable_mlp as pm


class Threads:
    """What the threads share: a place for each one's array, and barriers around each exchange."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = threading.Barrier(size, timeout=60)
        self.places: list[Any] = [None] * size


class ThreadCommunicator:
    def __init__(self, threads: Threads, rank: int) -> None:
        self.rank, self.size = rank, threads.size
        self.n_calls = 0
        self._threads = threads

    def allreduce(self, flat: np.ndarray) -> None:
        assert flat.flags.c_contiguous
        assert flat.dtype.name in ("float32", "float64", "int64")
        self.n_calls += 1
        arrays = self._exchanged(flat)
        total = arrays[0].copy()
        for array in arrays[1:]:
            total += array
        flat[...] = total

    def exchange(self, flat: np.ndarray, partner: int) -> np.ndarray:
        return self._exchanged(flat)[partner]

    def _exchanged(self, flat: np.ndarray) -> list[np.ndarray]:
        self._threads.places[self.rank] = flat.copy()
        self._threads.barrier.wait()
        arrays = list(self._threads.places)
        assert len({(array.shape, array.dtype) for array in arrays}) == 1
        self._threads.barrier.wait()
        return arrays


def on_ranks(size: int, work: Callable[[int], Any], **options: Any) -> list[Any]:
    """Return what ``work(rank)`` returns on each rank, or the exception that it raised, within `parallel`."""
    threads = Threads(size)
    outcomes: list[Any] = [None] * size

    def one(rank: int) -> None:
        try:
            with pm.parallel(comm=ThreadCommunicator(threads, rank), **options):
                outcomes[rank] = work(rank)
        except BaseException as error:
            outcomes[rank] = error

    running = [threading.Thread(target=contextvars.copy_context().run, args=(one, rank)) for rank in range(size)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return outcomes

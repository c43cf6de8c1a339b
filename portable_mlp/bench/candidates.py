"""The candidates that are timed: our step on each backend, and its matrix products alone, the GEMM floor.

A candidate is made for a case and a dtype. ``run(n_steps)`` takes so many steps and returns when the last is done;
``first_losses()`` takes one step for each batch from the start and returns their losses, so that every candidate can be
compared with the same steps in float64 before its time counts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np

from ..backends import Backend, get_backend
from ..kernels.arguments import check_targets
from ..kernels.optimizers import adam, sgd
from ..kernels.parameters import Layer, pack
from ..kernels.step import Objective, Program
from ..training.batches import Data, spans
from ..training.loop import Loop, make_loop
from .cases import RATE, Case, problem

TIMED_OPTIMIZERS = {"adam": adam(), "sgd": sgd()}
"""The optimizers by the names that cases have for them."""


class Candidate(Protocol):
    """A way to train the network of a case."""

    def run(self, n_steps: int) -> None:
        """Take steps over the batches in turn."""

    def first_losses(self) -> list[float]:
        """Take one step for each batch, from the start; return the losses."""


class Ours:
    """Our training loop on a backend; that of the group, where it is made in one.

    Attributes
    ----------
    backend : Backend
        Library and device to be timed.
    data : Data
        Samples of the case on the device.
    batches : list of slice
        Rows of each batch.
    loop : Loop
        Loop over the steps.
    """

    def __init__(self, case: Case, dtype: str, backend: Backend, rate: float = RATE) -> None:
        self._rate = rate
        backend.load()
        self.backend, task = backend, problem(case)
        self._program = Program(Objective(case.net), TIMED_OPTIMIZERS[case.solver])
        backend.runner(self._program).compile_ahead(dtype)
        self._params = [Layer(*(backend.asarray(x, dtype=dtype) for x in layer)) for layer in task.params]
        X, y = backend.asarray(task.X, dtype=dtype), backend.asarray(task.y)
        Y = check_targets(backend.xp, case.net, y, n_samples=len(task.y), models=(), dtype=X.dtype)
        self.data, self.batches = Data(X, Y), spans(len(task.y), case.batch_size)
        self._turns = itertools.cycle(self.batches)
        self.loop = self._start()

    def _start(self) -> Loop:
        return make_loop(self.backend, self._program, pack(self._params))

    def run(self, n_steps: int) -> None:
        """Take steps over the batches in turn."""
        self.enqueue(n_steps)
        self.wait()

    def enqueue(self, n_steps: int) -> None:
        """Start steps over the batches in turn, without waiting for them where the library does not."""
        with self.backend.running():
            batches = list(itertools.islice(self._turns, n_steps))
            self._mean_loss = self.loop.epoch(self.data, batches, lambda step: self._rate)

    def wait(self) -> None:
        """Return when the last step is done."""
        self.backend.to_numpy(self._mean_loss)

    def first_losses(self) -> list[float]:
        """Take one step for each batch, from the start; return the losses."""
        loop = self._start()
        with self.backend.running():
            means = (loop.epoch(self.data, [batch], lambda step: RATE) for batch in self.batches)
            return [float(self.backend.to_numpy(mean)) for mean in means]


class Floor:
    """The GEMM floor: the matrix products of a step alone, with NumPy, into allocated memory; no step is faster."""

    def __init__(self, case: Case, dtype: str) -> None:
        task = problem(case)
        weights = [W.astype(dtype) for W, _ in task.params]
        h = task.X[: case.batch_size].astype(dtype)
        self._products: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        # Numbers rather than zeros: zeros and subnormal numbers take another time.
        layers = [h, *(_numbers((case.batch_size, n), dtype) for n in case.sizes[1:])]
        for h, W, z in zip(layers, weights, layers[1:], strict=False):
            self._products.append((h, W, np.empty_like(z)))
            self._products.append((h.T, z, np.empty_like(W)))
        for W, z in zip(weights[1:], layers[2:], strict=True):
            self._products.append((z, W.T, np.empty((len(z), len(W)), dtype=dtype)))

    def run(self, n_steps: int) -> None:
        """Compute the products of so many steps."""
        for _ in range(n_steps):
            for a, b, out in self._products:
                np.matmul(a, b, out=out)

    def first_losses(self) -> list[float]:
        """Return nothing: products have no loss."""
        return []


Make: TypeAlias = Callable[[Case, str], Candidate]


def ours_on(name: str) -> Make:
    """Return the function that makes our candidate on a backend."""
    return lambda case, dtype: Ours(case, dtype, get_backend(name))


def _numbers(shape: tuple[int, int], dtype: str) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(dtype)

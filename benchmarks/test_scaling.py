"""Cost per sample, and memory, as networks and data sets grow: straight lines.

Each benchmark has one size; the group shows them together. `extra_info` has the nanoseconds per sample and parameter,
which level off where the matrix products are what counts, and the peak of memory that NumPy's arrays took.
"""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import portable_mlp as pm

pm.get_backend("numpy").load()

BATCH_SIZE = 200


def timed(benchmark: BenchmarkFixture, sizes: tuple[int, ...], n_samples: int) -> None:
    """Time one epoch of Adam, and measure the memory of another."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, sizes[0])).astype(np.float32)
    y = rng.integers(0, sizes[-1], n_samples)
    net = pm.Network(sizes)
    params = pm.init_params(net, dtype="float32")

    def epoch() -> Any:
        return pm.train(net, params, X, y, epochs=1, batch_size=BATCH_SIZE)

    benchmark.pedantic(epoch, rounds=3, warmup_rounds=1)
    n_parameters = sum(layer.W.size + layer.b.size for layer in params)
    tracemalloc.start()
    epoch()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    seconds = benchmark.stats.stats.median
    benchmark.extra_info["nanoseconds a sample"] = 1e9 * seconds / n_samples
    benchmark.extra_info["picoseconds a sample and parameter"] = 1e12 * seconds / n_samples / n_parameters
    benchmark.extra_info["peak bytes beside the data"] = peak
    benchmark.extra_info["parameters"] = n_parameters


@pytest.mark.parametrize("n_samples", [1_000, 10_000, 100_000, 1_000_000])
def test_samples(benchmark: BenchmarkFixture, n_samples: int) -> None:
    benchmark.group = "samples, 20-100-10"
    timed(benchmark, (20, 100, 10), n_samples)


@pytest.mark.parametrize("width", [32, 128, 512, 2048])
def test_width(benchmark: BenchmarkFixture, width: int) -> None:
    benchmark.group = "width, 64-n-10"
    timed(benchmark, (64, width, 10), 20_000)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_depth(benchmark: BenchmarkFixture, depth: int) -> None:
    benchmark.group = "depth, hidden layers of 128"
    timed(benchmark, (64, *[128] * depth, 10), 20_000)

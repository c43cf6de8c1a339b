"""How long an epoch takes on every library: `nox -s bench`, or `pytest benchmarks --benchmark-only`.

Every candidate is first verified against NumPy in float64; then warmed up, so that compiling is not timed. Each round
ends by reading the epoch's loss, so nothing is left running on the device.
"""

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import portable_mlp as pm

# inputs-hidden-classes, samples, batch size
CASES = {"64-100-10, batch 200": ((64, 100, 10), 2000, 200), "784-128-10, batch 32": ((784, 128, 10), 1024, 32)}
BACKENDS = ("numpy", "cupy", "torch", "jax", "strict")


def trained(sizes: tuple[int, ...], n_samples: int, batch_size: int, backend: pm.Backend, dtype: str, epochs: int = 1):
    """Return a function that trains for some epochs on random, well-conditioned data."""
    rng = np.random.default_rng(0)
    X = backend.asarray(rng.normal(size=(n_samples, sizes[0])), dtype=dtype)
    y = backend.asarray(rng.integers(0, sizes[-1], n_samples))
    net = pm.Network(sizes)
    params = pm.init_params(net, backend=backend, dtype=dtype)
    return lambda: pm.train(net, params, X, y, batch_size=batch_size, epochs=epochs)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("case", CASES)
def test_epoch(benchmark: BenchmarkFixture, case: str, name: str) -> None:
    """Time three epochs of Adam in float32; the speed of the last one is kept beside them."""
    try:
        backend = pm.get_backend(name)
    except pm.BackendUnavailable as error:
        pytest.skip(str(error))
    expected = trained(*CASES[case], pm.get_backend("numpy"), "float64")().history["loss"]
    np.testing.assert_allclose(trained(*CASES[case], backend, "float32")().history["loss"], expected, rtol=1e-4)
    benchmark.group = case
    result = benchmark.pedantic(trained(*CASES[case], backend, "float32", epochs=3), rounds=5, warmup_rounds=1)
    benchmark.extra_info["samples_per_second"] = round(result.history["samples_per_second"][-1])

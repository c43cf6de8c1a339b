"""Forward pass, both passes, a step and an epoch on each backend: `nox -s bench`.

For comparing one version with another. Ratios to the peers and the floor are taken by `portable-mlp bench`, in turns,
whose candidates are the `step` here; all are compared with the same steps in float64 first.
"""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import portable_mlp as pm
from portable_mlp.bench.candidates import Ours, ours_on
from portable_mlp.bench.cases import N_BATCHES, QUICK, RATE, Case, problem
from portable_mlp.bench.measurement import TOLERANCE
from portable_mlp.bench.peers import peers
from portable_mlp.training.shuffle import Shuffle

BACKENDS = ("numpy", "cupy", "torch", "jax", "strict")
STEPS = 40

on_cases = pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
on_backends = pytest.mark.parametrize("name", BACKENDS)
in_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
with_solvers = pytest.mark.parametrize("solver", ["adam", "sgd"])


def made(make: Any, case: Case, dtype: str) -> Any:
    """Return a candidate that computes the right losses; skip with the reason where it is not here."""
    if isinstance(make, str):
        pytest.skip(make)
    try:
        candidate = make(case, dtype)
    except (pm.BackendUnavailable, ValueError) as error:
        pytest.skip(str(error))
    expected = ours_on("numpy")(case, "float64").first_losses()
    tolerance = max(TOLERANCE[dtype], getattr(candidate, "tolerance", 0.0))
    assert candidate.first_losses() == pytest.approx(expected, rel=tolerance)
    return candidate


def arrays(name: str, case: Case, dtype: str) -> tuple[pm.backends.Backend, Any, Any, Any]:
    """Return a backend, and parameters, inputs and labels of one batch on it."""
    try:
        backend = pm.get_backend(name)
        params = tuple(pm.Layer(*(backend.asarray(x, dtype=dtype) for x in layer)) for layer in problem(case).params)
    except (pm.BackendUnavailable, ValueError) as error:
        pytest.skip(str(error))
    rows = slice(case.batch_size)
    return backend, params, backend.asarray(problem(case).X[rows], dtype=dtype), backend.asarray(problem(case).y[rows])


def repeated(backend: Any, call: Callable[[], Any]) -> Callable[[], None]:
    """Return what calls many times, and waits for the last result."""

    def run() -> None:
        with backend.running():
            for _ in range(STEPS):
                result = call()
            backend.to_numpy(result)

    return run


@on_cases
@on_backends
@in_dtypes
def test_forward(benchmark: BenchmarkFixture, case: Case, name: str, dtype: str) -> None:
    backend, params, X, _ = arrays(name, case, dtype)
    predict = backend.compile(lambda params, X: pm.predict(case.net, params, X))
    benchmark.group = f"forward, {case.name}, {dtype}"
    benchmark.pedantic(repeated(backend, lambda: predict(params, X)), rounds=5, warmup_rounds=1)
    benchmark.extra_info["microseconds"] = 1e6 * benchmark.stats.stats.median / STEPS


@on_cases
@on_backends
@in_dtypes
def test_forward_and_backward(benchmark: BenchmarkFixture, case: Case, name: str, dtype: str) -> None:
    backend, params, X, y = arrays(name, case, dtype)
    both = backend.compile(lambda params, X, y: pm.loss_and_grad(case.net, params, X, y))
    benchmark.group = f"forward and backward, {case.name}, {dtype}"
    benchmark.pedantic(repeated(backend, lambda: both(params, X, y)[0]), rounds=5, warmup_rounds=1)
    benchmark.extra_info["microseconds"] = 1e6 * benchmark.stats.stats.median / STEPS


@on_cases
@pytest.mark.parametrize("name", [*BACKENDS, *peers()])
@in_dtypes
@with_solvers
def test_step(benchmark: BenchmarkFixture, case: Case, name: str, dtype: str, solver: str) -> None:
    case = case._replace(solver=solver)
    candidate = made(ours_on(name) if name in BACKENDS else peers()[name], case, dtype)
    steps = max(STEPS, getattr(candidate, "steps_a_call", 1))
    benchmark.group = f"step, {case.name}, {dtype}, {solver}"
    benchmark.pedantic(candidate.run, (steps,), rounds=5, warmup_rounds=1)
    benchmark.extra_info["microseconds"] = 1e6 * benchmark.stats.stats.median / steps


@on_cases
@on_backends
@in_dtypes
@with_solvers
def test_epoch(benchmark: BenchmarkFixture, case: Case, name: str, dtype: str, solver: str) -> None:
    """Time shuffled epochs: the rows are gathered, and the loss is read at the end of each."""
    ours: Ours = made(ours_on(name), case._replace(solver=solver), dtype)
    shuffle, epochs = Shuffle(0), itertools.count()

    def epoch() -> None:
        with ours.backend.running():
            order = shuffle.order(next(epochs), ours.data.n_samples)
            ours.backend.to_numpy(ours.loop.epoch(ours.data, ours.batches, lambda step: RATE, order=order))

    benchmark.group = f"epoch, {case.name}, {dtype}, {solver}"
    benchmark.pedantic(epoch, rounds=20, warmup_rounds=2)
    benchmark.extra_info["microseconds"] = 1e6 * benchmark.stats.stats.median / N_BATCHES

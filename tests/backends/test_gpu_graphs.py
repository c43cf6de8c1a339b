"""Recorded steps on a real GPU, with CuPy and with PyTorch. Nobody has run these tests yet."""

import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.backends._graph_runner import GraphRunner
from portable_mlp.kernels.optimizers import adam, sgd
from portable_mlp.kernels.parameters import pack
from portable_mlp.kernels.step import Objective, Program
from portable_mlp.training.batches import Data, spans
from portable_mlp.training.loop import Loop, make_loop
from portable_mlp.training.shuffle import Shuffle

NET = pm.Network((64, 100, 10))
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2030, 64)).astype("float32"), RNG.integers(0, 10, size=(2030, 1))
BATCHES = spans(2030, 100)


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.gpu(name)) for name in ("cupy", "torch")])
def gpu(request: pytest.FixtureRequest) -> pm.Backend:
    return pm.get_backend(request.param, device="cuda")


def start(gpu: pm.Backend, optimizer: Any = None, net: pm.Network = NET, l2: float = 0.01) -> tuple[Loop, Data]:
    with gpu.running():
        flat = gpu.asarray(pack(pm.init_params(net, dtype="float32")))
        return make_loop(gpu, Program(Objective(net, l2), optimizer or adam()), flat), Data(
            gpu.asarray(X), gpu.asarray(Y)
        )


def epochs(
    gpu: pm.Backend, loop: Loop, data: Data, n: int = 5, between: Callable[[], None] | None = None
) -> np.ndarray:
    """Train with another rate in each epoch; return the mean losses."""
    losses = []
    with gpu.running():
        for epoch in range(n):
            mean = loop.epoch(
                data, BATCHES, lambda step, epoch=epoch: 0.01 / (1 + epoch), order=Shuffle(0).order(epoch, len(X))
            )
            losses.append(gpu.to_numpy(mean))
            if between is not None:
                between()
    return np.stack(losses)


def refused(self: Any, *args: Any) -> Any:
    raise RuntimeError("not now")


@pytest.mark.parametrize("optimizer", [adam(), sgd(0.9), sgd(0.0)], ids=["adam", "nesterov", "plain"])
def test_replayed_steps_have_the_bits_of_launched_ones(
    optimizer: Any, gpu: pm.Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With rates that change from epoch to epoch: one that was baked in would show."""
    replayed, data = start(gpu, optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # recording must not fail
        losses = epochs(gpu, replayed, data)
    monkeypatch.setattr(GraphRunner, "_record", refused)
    launched, data = start(gpu, optimizer)
    with pytest.warns(RuntimeWarning, match="could not be recorded as a graph.*not now"):
        np.testing.assert_array_equal(losses, epochs(gpu, launched, data))
    np.testing.assert_array_equal(gpu.to_numpy(replayed.flat), gpu.to_numpy(launched.flat))


def test_replayed_steps_are_numpys(gpu: pm.Backend) -> None:
    there, data = start(gpu)
    here, on_host = start(pm.get_backend("numpy"))
    np.testing.assert_allclose(epochs(gpu, there, data), epochs(pm.get_backend("numpy"), here, on_host), rtol=1e-4)


def test_a_thousand_replays_while_other_arrays_come_and_go(gpu: pm.Backend) -> None:
    quiet, data = start(gpu)
    expected = epochs(gpu, quiet, data, n=100)
    busy, data = start(gpu)
    others: list[Any] = []

    def churn() -> None:
        others.append(gpu.xp.full((len(others) * 1000 + 1,), float("nan"), device=gpu.device))
        if len(others) > 7:
            del others[::2]

    np.testing.assert_array_equal(epochs(gpu, busy, data, n=100, between=churn), expected)


def test_two_threads_train_as_if_alone(gpu: pm.Backend) -> None:
    alone, data = start(gpu)
    expected = epochs(gpu, alone, data)
    found: dict[int, np.ndarray] = {}

    def train(i: int) -> None:
        loop, some = start(gpu)
        found[i] = epochs(gpu, loop, some)

    threads = [threading.Thread(target=train, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(2):
        np.testing.assert_array_equal(found[i], expected)


@pytest.mark.parametrize(("precision", "error"), [("float32", 1e-6), ("tf32", 3e-3), ("bfloat16", 3e-2)])
def test_products_have_the_precision_that_was_asked_for(precision: str, error: float, gpu: pm.Backend) -> None:
    a, b = RNG.normal(size=(256, 512)).astype("float32"), RNG.normal(size=(512, 128)).astype("float32")
    at = gpu.at_precision(precision)
    with at.running():
        product = at.to_numpy(
            at.primitives.matmul(at.asarray(a), at.asarray(b), at.asarray(np.empty((256, 128), "float32")))
        )
    exact = a.astype("float64") @ b.astype("float64")
    found = np.linalg.norm(product - exact) / np.linalg.norm(exact)
    assert error / 100 < found < error


def test_pickled_and_copied_estimators_leave_graphs_behind(gpu: pm.Backend) -> None:
    import pickle

    clf = pm.MLPClassifier((20,), max_iter=5, backend=gpu.name, device="cuda", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clf.fit(X, Y[:, 0])
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_allclose(again.predict_proba(X), clf.predict_proba(X), rtol=1e-6)

"""The validation pass in blocks beside scikit-learn's metrics on all samples at once, and what it needs of memory."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, r2_score

import portable_mlp as pm
from portable_mlp.training import evaluation
from portable_mlp.training.batches import Data
from portable_mlp.training.evaluation import Evaluation
from tests.reference import float32_exact

RNG = np.random.default_rng(0)
X = float32_exact(RNG.normal(size=(37, 5)))
TARGETS = {
    "softmax": RNG.integers(0, 3, size=(37, 1)),
    "logistic": RNG.integers(0, 2, size=(37, 3)).astype(float),
    "identity": float32_exact(RNG.normal(size=(37, 3))),
}


def expected(net: pm.Network, params: Any, Y: np.ndarray) -> tuple[float, float]:
    y_hat = pm.predict(net, params, X)
    if net.output == "softmax":
        return log_loss(Y[:, 0], y_hat), accuracy_score(Y[:, 0], y_hat.argmax(axis=1))
    if net.output == "logistic":
        return sum(log_loss(Y[:, j], y_hat[:, j]) for j in range(3)), accuracy_score(Y, y_hat > 0.5)
    return 0.5 * ((y_hat - Y) ** 2).sum(axis=1).mean(), r2_score(Y, y_hat)


SLOW_ON_JAX = pytest.mark.thorough_on("jax")  # which compiles each size of blocks


@pytest.mark.parametrize(
    ("output", "at_once"),
    [
        pytest.param("identity", 8 * 5, marks=SLOW_ON_JAX),
        ("softmax", 10**6),
        pytest.param("softmax", 8, marks=SLOW_ON_JAX),
        pytest.param("logistic", 8 * 37, marks=SLOW_ON_JAX),
    ],
)
def test_blocks_add_up(lib: Any, output: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "ACTIVATIONS_AT_ONCE", at_once)
    net = pm.Network((5, 8, 3), "tanh", output=output)
    flats = [float32_exact(pm.pack(pm.init_params(net, random_state=seed))) for seed in (0, 1)]
    Y = TARGETS[output]
    data = Data(lib.array(X), lib.array(Y, dtype="int32") if output == "softmax" else lib.array(Y))
    wanted = [expected(net, pm.unpack(net, flat), Y) for flat in flats]
    evaluate = Evaluation(lib.backend, net, data)
    np.testing.assert_allclose(evaluate.loss_and_score(lib.array(flats[0])), wanted[0], rtol=lib.rtol)
    both = evaluate.loss_and_score(lib.array(np.stack(flats)))
    np.testing.assert_allclose(both, np.transpose(wanted), rtol=lib.rtol)


def test_memory_does_not_grow_with_the_samples() -> None:
    """One layer of all activations of one model would be 96 MB."""
    net = pm.Network((2, 1000, 2))
    n_samples = 12_000
    data = Data(np.ones((n_samples, 2)), np.zeros((n_samples, 1), dtype=np.int64))
    flat = pm.pack(pm.init_params(net))
    for given in (flat, np.stack([flat] * 4)):
        evaluate = Evaluation(pm.get_backend("numpy"), net, data)
        tracemalloc.start()
        evaluate.loss_and_score(given)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 60e6

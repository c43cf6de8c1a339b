"""A whole fit of `MLPClassifier` beside scikit-learn's, in turns: the ratio is what counts.

Every round fits scikit-learn's estimator first, untimed by the benchmark but timed here, and then ours; both medians
and their ratio stand in the result's extra info. The two must agree before a time counts.
"""

import statistics
import time
import warnings
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from sklearn import neural_network
from sklearn.datasets import load_digits

import portable_mlp as pm

pm.get_backend("numpy").load()

ROUNDS = 5


def synthetic(n_samples: int, n_features: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return classes that a network can learn: which of some random directions is the largest, with noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, n_features)).astype(np.float32)
    return X, (X @ rng.normal(size=(n_features, n_classes)) + rng.normal(size=(n_samples, n_classes))).argmax(axis=1)


def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


CASES: dict[str, tuple[Any, tuple[int, ...], int]] = {
    "digits, 1,797 x 64": (digits, (), 30),
    "20,000 x 54, 7 classes": (synthetic, (20_000, 54, 7), 5),
    "60,000 x 784, 10 classes": (synthetic, (60_000, 784, 10), 2),
}


@pytest.mark.parametrize("case", CASES)
def test_fit(benchmark: BenchmarkFixture, case: str) -> None:
    """Time a fit with one hidden layer of 100, Adam, batches of 200, float32."""
    make, arguments, epochs = CASES[case]
    X, y = make(*arguments)
    options: dict[str, Any] = {"hidden_layer_sizes": (100,), "max_iter": epochs, "random_state": 0, "tol": 0.0}
    theirs = neural_network.MLPClassifier(**options)
    ours = pm.MLPClassifier(**options)
    seconds: list[float] = []

    def fit_theirs() -> None:
        start = time.perf_counter()
        theirs.fit(X, y)
        seconds.append(time.perf_counter() - start)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit_theirs()
        ours.fit(X, y)
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-4)
        seconds.clear()
        benchmark.pedantic(ours.fit, (X, y), setup=fit_theirs, rounds=ROUNDS)
    their_median = statistics.median(seconds)
    benchmark.extra_info["scikit-learn, seconds"] = their_median
    benchmark.extra_info["times faster"] = their_median / benchmark.stats.stats.median

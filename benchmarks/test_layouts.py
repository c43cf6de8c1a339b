"""What the layout of X costs, at each door, beside scikit-learn on the same array: the ratios are what counts.

A table of pandas is held by columns, and so is what a scaler makes of it. Every round calls scikit-learn's estimator
first, untimed by the benchmark but timed here, then ours; the extra info has both medians' ratio and, from the same
run, what this layout costs beside row order.
"""

import os
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from sklearn import neural_network

import portable_mlp as pm

pm.get_backend("numpy").load()

N_SAMPLES = int(os.environ.get("LAYOUTS_N_SAMPLES", "80000"))
N_FEATURES, N_CLASSES, ROUNDS = 54, 7, 3
OPTIONS: dict[str, Any] = {"hidden_layer_sizes": (100,), "max_iter": 1, "random_state": 0}
NET = pm.Network((N_FEATURES, 100, N_CLASSES))


def every_other(x: np.ndarray) -> np.ndarray:
    wide = np.zeros((len(x), 2 * x.shape[1]), dtype=x.dtype)
    wide[:, ::2] = x
    return wide[:, ::2]


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rows": np.ascontiguousarray,
    "columns": np.asfortranarray,
    "rows backwards": lambda x: x[::-1],
    "every other column": every_other,
}


def synthetic() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_SAMPLES, N_FEATURES))
    return X, (X @ rng.normal(size=(N_FEATURES, N_CLASSES))).argmax(axis=1)


def doors(X: np.ndarray, y: np.ndarray) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Return for each door a call of ours and scikit-learn's nearest one."""
    ours, theirs = pm.MLPClassifier(**OPTIONS).fit(X, y), neural_network.MLPClassifier(**OPTIONS).fit(X, y)
    assert all(map(np.array_equal, ours.coefs_, theirs.coefs_))
    classes, params = np.arange(N_CLASSES), pm.init_params(NET)
    held_out = X[: N_SAMPLES // 10], y[: N_SAMPLES // 10]

    def both(call: Callable[[Any], Any]) -> tuple[Callable[[], Any], Callable[[], Any]]:
        return lambda: call(pm.MLPClassifier), lambda: call(neural_network.MLPClassifier)

    return {
        "fit": both(lambda kind: kind(**OPTIONS).fit(X, y)),
        "fit, early stopping": both(lambda kind: kind(early_stopping=True, **OPTIONS).fit(X, y)),
        "partial_fit": both(lambda kind: kind(**OPTIONS).partial_fit(X, y, classes=classes)),
        "predict": (lambda: ours.predict(X), lambda: theirs.predict(X)),
        "train, validation": (
            lambda: pm.train(NET, params, X, y, epochs=1, validation=held_out),
            lambda: neural_network.MLPClassifier(**OPTIONS).fit(X, y),
        ),
    }


@pytest.mark.parametrize("door", ["fit", "fit, early stopping", "partial_fit", "predict", "train, validation"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout(benchmark: BenchmarkFixture, layout: str, door: str) -> None:
    """Time one epoch, or one prediction, of 80,000 x 54 in float64 (LAYOUTS_N_SAMPLES for another number)."""
    X, y = synthetic()
    seconds: dict[str, list[float]] = {"scikit-learn": [], "ours in row order": []}

    def timed(name: str, call: Callable[[], Any]) -> None:
        start = time.perf_counter()
        call()
        seconds[name].append(time.perf_counter() - start)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        in_rows, _ = doors(X, y)[door]
        ours, theirs = doors(LAYOUTS[layout](X), y)[door]

        def others() -> None:
            timed("scikit-learn", theirs)
            timed("ours in row order", in_rows)

        benchmark.group = door
        benchmark.pedantic(ours, setup=others, rounds=ROUNDS, warmup_rounds=1)
    median = benchmark.stats.stats.median
    benchmark.extra_info["times faster than scikit-learn"] = statistics.median(seconds["scikit-learn"]) / median
    benchmark.extra_info["times as long as in row order"] = median / statistics.median(seconds["ours in row order"])

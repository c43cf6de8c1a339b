"""A grid search of `portable_mlp` beside scikit-learn's, in turns: the ratio is what counts.

Every round searches with scikit-learn's `GridSearchCV` in two processes, over its own estimator and over ours, untimed
by the benchmark but timed here, and then with ours in two threads; the medians and their ratios stand in the result's
extra info. The workers of joblib are warm, and the scores over our estimator must be the same before a time counts.
"""

import statistics
import time
import warnings
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from sklearn import model_selection, neural_network
from sklearn.datasets import load_digits

import portable_mlp as pm

pm.get_backend("numpy").load("float32")

ROUNDS = 3
GRID: dict[str, list[Any]] = {
    "hidden_layer_sizes": [(32,), (100,)],
    "alpha": [1e-5, 1e-4, 1e-3, 1e-2],
    "learning_rate_init": [1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
}
"""40 settings."""


def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


def test_search(benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time 40 settings and 5 folds of the digits, 20 epochs each."""
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")  # of the workers
    X, y = digits()
    options: dict[str, Any] = {"max_iter": 20, "random_state": 0}
    searched: dict[str, Any] = {"cv": 5, "n_jobs": 2, "refit": False}
    others = {
        "scikit-learn over its own": model_selection.GridSearchCV(
            neural_network.MLPClassifier(**options), GRID, **searched
        ),
        "scikit-learn over ours": model_selection.GridSearchCV(pm.MLPClassifier(**options), GRID, **searched),
    }
    ours = pm.GridSearchCV(pm.MLPClassifier(**options), GRID, **searched)
    seconds: dict[str, list[float]] = {name: [] for name in others}

    def search_with_others() -> None:
        for name, search in others.items():
            start = time.perf_counter()
            search.fit(X, y)
            seconds[name].append(time.perf_counter() - start)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search_with_others()
        ours.fit(X, y)
        same = others["scikit-learn over ours"].cv_results_["mean_test_score"]
        np.testing.assert_allclose(ours.cv_results_["mean_test_score"], same, atol=2e-3)
        for times in seconds.values():
            times.clear()
        benchmark.pedantic(ours.fit, (X, y), setup=search_with_others, rounds=ROUNDS)
    for name, times in seconds.items():
        median = statistics.median(times)
        benchmark.extra_info[f"{name}, seconds"] = median
        benchmark.extra_info[f"times faster than {name}"] = median / benchmark.stats.stats.median

"""Small problems of every kind of target, and a fit beside scikit-learn's."""

import functools
import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn import neural_network

import portable_mlp as pm

OPTIONS: dict[str, Any] = {"hidden_layer_sizes": (6,), "max_iter": 8, "random_state": 0, "learning_rate_init": 0.02}
"""Parameters of a small fit; where tests share them, JAX compiles it once."""


class Problem(NamedTuple):
    """Inputs, targets, and the name of the estimator with the parameter that the targets ask for."""

    X: np.ndarray
    y: np.ndarray
    estimator: str
    parameters: dict[str, Any]

    @property
    def classes(self) -> np.ndarray | list[int]:
        return [0, 1, 2] if self.y.ndim == 2 else np.unique(self.y)


@functools.cache
def problem(kind: str, n_samples: int = 70, seed: int = 0) -> Problem:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 5))
    Z = np.sin(X @ rng.normal(size=(5, 3)))
    targets = {
        "classes": ("MLPClassifier", np.array(["red", "green", "blue"], dtype=object)[Z.argmax(axis=1)], {}),
        "two classes": ("MLPClassifier", np.where(Z[:, 0] > 0, 7, 3), {}),
        "labels": ("MLPClassifier", (Z > 0).astype(int), {}),
        "number": ("MLPRegressor", Z[:, 0] + 0.1 * rng.normal(size=n_samples), {}),
        "numbers": ("MLPRegressor", Z + 0.1 * rng.normal(size=Z.shape), {}),
        "counts": ("MLPRegressor", rng.poisson(np.exp(Z[:, 0])).astype(float), {"loss": "poisson"}),
    }
    estimator, y, parameters = targets[kind]
    return Problem(X, y, estimator, parameters)


KINDS = ("classes", "two classes", "labels", "number", "numbers", "counts")


def weights(n_samples: int = 70) -> np.ndarray:
    return np.random.default_rng(9).uniform(0.2, 3.0, size=n_samples)


def theirs(kind: str, **parameters: Any) -> Any:
    task = problem(kind)
    return getattr(neural_network, task.estimator)(**{**task.parameters, **parameters})


def ours(kind: str, **parameters: Any) -> Any:
    task = problem(kind)
    return getattr(pm, task.estimator)(**{**task.parameters, **parameters})


def quietly(fit: Any, *args: Any, **kwargs: Any) -> Any:
    """Call without the warnings of a fit that was stopped early."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(*args, **kwargs)


def numbers(estimator: Any) -> dict[str, Any]:
    """Return everything that a fit leaves behind, on the host."""
    host = [np.asarray(x) for x in (*estimator.coefs_, *estimator.intercepts_)]
    record = {f"parameters[{i}]": x for i, x in enumerate(host)}
    names = ("loss_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_", "n_iter_", "t_")
    record |= {name: getattr(estimator, name) for name in names if hasattr(estimator, name)}
    if hasattr(estimator, "_optimizer"):
        record["rate"] = estimator._optimizer.learning_rate
    return record


def assert_same(mine: Any, other: Any, rtol: float = 0.0) -> None:
    """Assert that ours has all numbers of scikit-learn's, to the last bit without ``rtol``."""
    found, expected = numbers(mine), numbers(other)
    for name, value in expected.items():
        if value is None or name in ("n_iter_", "t_"):
            assert found[name] == value, name
        else:
            scale = np.max(np.abs(value), initial=0.0)
            np.testing.assert_allclose(found[name], value, rtol=0.0, atol=rtol * scale, err_msg=name)

"""Losses of the regressor that scikit-learn's does not have: their steps beside PyTorch's, and where they are kept."""

import pathlib
from typing import Any

import numpy as np
import pytest
import sklearn
import torch
from sklearn.exceptions import ConvergenceWarning

import portable_mlp as pm
from tests.reference import assert_close

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 4))
Y = X @ RNG.normal(size=(4, 2)) + 3.0 * RNG.standard_cauchy((30, 2))
RATE, ALPHA, N_STEPS = 0.05, 0.3, 6
STEPS: dict[str, Any] = {
    "hidden_layer_sizes": (5,),
    "activation": "tanh",
    "solver": "sgd",
    "momentum": 0.0,
    "batch_size": 30,
    "learning_rate_init": RATE,
    "alpha": ALPHA,
    "max_iter": N_STEPS,
    "tol": 0.0,
}


def fitted(**options: Any) -> pm.MLPRegressor:
    with pytest.warns(ConvergenceWarning):
        return pm.MLPRegressor(**STEPS | {"loss": "huber", "random_state": 0} | options).fit(X, Y)


def by_torch(delta: float, weights: np.ndarray | None = None) -> tuple[list[float], list[np.ndarray]]:
    """Return the curve and the arrays of plain gradient steps from the same start."""
    with pytest.warns(ConvergenceWarning):
        start = pm.MLPRegressor(**STEPS | {"random_state": 0, "max_iter": 1, "learning_rate_init": 1e-300}).fit(X, Y)
    params = [torch.tensor(x, requires_grad=True) for x in (*start.coefs_, *start.intercepts_)]
    huber, curve = torch.nn.HuberLoss(reduction="sum", delta=delta), []
    for _ in range(N_STEPS):
        W1, W2, b1, b2 = params
        y_hat = torch.tanh(torch.tensor(X) @ W1 + b1) @ W2 + b2
        loss = (huber(y_hat, torch.tensor(Y)) + 0.5 * ALPHA * ((W1**2).sum() + (W2**2).sum())) / len(X)
        loss.backward()
        curve.append(float(loss.detach()))
        with torch.no_grad():
            for x in params:
                x -= RATE * x.grad
                x.grad = None
    return curve, [x.detach().numpy() for x in params]


@pytest.mark.parametrize("delta", [None, 0.2, 5.0])
@pytest.mark.parametrize("compat", ["sklearn", None])
def test_hubers_steps_equal_torch(compat: str | None, delta: float | None) -> None:
    regressor = fitted(compat=compat, loss_options=None if delta is None else {"delta": delta})
    curve, arrays = by_torch(1.0 if delta is None else delta)
    assert_close(regressor.loss_curve_, curve, rtol=1e-12)
    for found, expected in zip((*regressor.coefs_, *regressor.intercepts_), arrays, strict=True):
        assert_close(found, expected, rtol=1e-12)


def test_outliers_pull_less() -> None:
    line = np.linspace(-1.0, 1.0, 50)[:, None]
    y = 2.0 * line[:, 0]
    y[::10] += 100.0
    slopes = {}
    for loss in ("squared_error", "huber"):
        model = pm.MLPRegressor(loss, (), solver="lbfgs", alpha=0.0, random_state=0, max_iter=2000).fit(line, y)
        slopes[loss] = abs(model.predict(np.asarray([[0.5], [-0.5]])) - [1.0, -1.0]).max()
    assert slopes["huber"] < 0.5 < slopes["squared_error"]


def test_a_file_keeps_the_constants(tmp_path: pathlib.Path) -> None:
    regressor = fitted(loss_options={"delta": 0.2})
    regressor.save(tmp_path / "huber.safetensors")
    loaded = pm.MLPRegressor.load(tmp_path / "huber.safetensors")
    assert loaded.get_params() == regressor.get_params()
    assert dict(pm.load_model(tmp_path / "huber.safetensors")[0].loss_options) == {"delta": 0.2}


def test_scikit_learn_has_no_such_loss() -> None:
    with pytest.raises(ValueError, match=r"scikit-learn has no such estimator: .*'huber'"):
        fitted().to_sklearn()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "hubre"}, "loss"),
        ({"loss": "cross_entropy"}, "loss"),
        ({"loss_options": {"dleta": 1.0}}, "must be one of 'delta'; got 'dleta', did you mean 'delta'"),
        ({"loss_options": {"delta": -1.0}}, "delta must be positive and finite, got -1.0"),
        ({"loss": "poisson", "loss_options": {"delta": 1.0}}, "the loss 'poisson' has no constants"),
        ({"loss_options": 3}, "loss_options"),
    ],
)
@pytest.mark.parametrize("skip", [False, True])
def test_mistakes_are_value_errors(options: dict[str, Any], message: str, skip: bool) -> None:
    """Also where scikit-learn was told not to look at parameters."""
    with sklearn.config_context(skip_parameter_validation=skip), pytest.raises((ValueError, TypeError), match=message):
        pm.MLPRegressor(**STEPS | {"loss": "huber"} | options).fit(X, abs(Y))

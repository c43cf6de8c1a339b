"""The unexplained share of a quantity: scikit-learn's leave-one-out errors of ridge regression."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import LeaveOneOut, cross_val_predict

import portable_mlp as pm
from portable_mlp.tables.noise import RIDGE_PENALTIES, unexplained_share

RNG = np.random.default_rng(0)


def rows(n_rows: int, n_inputs: int, noise: float, n_outputs: int = 1) -> tuple[np.ndarray, np.ndarray]:
    X = RNG.normal(size=(n_rows, n_inputs)) * RNG.lognormal(size=n_inputs) + 3.0
    Y = X @ RNG.normal(size=(n_inputs, n_outputs))
    Y = Y / Y.std(axis=0) + noise * RNG.normal(size=Y.shape)
    return X, (Y - Y.mean(axis=0)) / Y.std(axis=0)


@pytest.mark.parametrize(("n_rows", "n_inputs"), [(60, 5), (20, 40), (30, 30)])
@pytest.mark.parametrize("noise", [0.5, 1.0, 3.0])
def test_it_is_that_of_scikit_learn(n_rows: int, n_inputs: int, noise: float) -> None:
    X, Y = rows(n_rows, n_inputs, noise)
    expected = min(1.0, -RidgeCV(RIDGE_PENALTIES).fit(X, Y[:, 0]).best_score_) ** 0.5
    assert unexplained_share(X, Y) == pytest.approx(max(expected, 0.05**0.5), abs=0.0051)


def test_of_several_outputs_it_is_the_mean_of_their_variances() -> None:
    X, Y = rows(25, 4, 1.0, n_outputs=3)
    errors = [
        np.square(Y - cross_val_predict(Ridge(penalty), X, Y, cv=LeaveOneOut())).mean() for penalty in RIDGE_PENALTIES
    ]
    assert unexplained_share(X, Y) == pytest.approx(min(errors) ** 0.5, abs=0.0051)


@pytest.mark.parametrize("n_rows", [2, 3])
def test_few_rows_explain_nothing(n_rows: int) -> None:
    assert 0.0 < unexplained_share(RNG.normal(size=(n_rows, 3)), RNG.normal(size=(n_rows, 1))) <= 1.0
    assert unexplained_share(RNG.normal(size=(n_rows, 3)), np.zeros((n_rows, 1))) == 1.0


def test_columns_that_are_constant_or_equal_are_no_trouble() -> None:
    X, Y = rows(40, 3, 1.0)
    assert unexplained_share(np.hstack([X, X, np.ones((40, 2))]), Y) == pytest.approx(unexplained_share(X, Y), abs=0.02)


def test_rows_that_weigh_nothing_are_no_noise() -> None:
    x = RNG.normal(size=(60, 1))
    y = np.where(np.arange(60) < 30, 100.0 * RNG.normal(size=60), 2.0 * x[:, 0])
    model = pm.TableRegressor(max_iter=1).fit(x, y, sample_weight=np.repeat([0.0, 1.0], 30))
    alone = pm.TableRegressor(max_iter=1).fit(x[30:], y[30:])
    assert model.recipe_.training["l2"] == pytest.approx(alone.recipe_.training["l2"])

"""Calibration and the importance of columns, beside scikit-learn's."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.inspection import permutation_importance as by_sklearn
from sklearn.linear_model import LinearRegression

from portable_mlp.tables import importance
from portable_mlp.tables.calibration import calibration, confidences
from portable_mlp.tables.importance import permutation_importance

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("digits", [1, 8])
def test_groups_of_probabilities_are_those_of_scikit_learn(digits: int) -> None:
    proba = RNG.random(200).round(digits)
    happened = (RNG.random(200) < proba).astype(float)
    observed, predicted = calibration_curve(happened, proba, n_bins=10, strategy="quantile")
    found = calibration(proba, happened)
    np.testing.assert_allclose(found.predicted, predicted, rtol=1e-13)
    np.testing.assert_allclose(found.observed, observed, rtol=1e-13)
    assert found.n_rows.sum() == 200


def test_confidences_of_two_and_of_more_classes() -> None:
    two = np.array([[0.9, 0.1], [0.3, 0.7]])
    assert [x.tolist() for x in confidences(two, np.array([1, 1]))] == [[0.1, 0.7], [1.0, 1.0]]
    three = np.array([[0.5, 0.2, 0.3], [0.1, 0.1, 0.8]])
    assert [x.tolist() for x in confidences(three, np.array([0, 1]))] == [[0.5, 0.8], [1.0, 0.0]]
    # A class that the model does not know was never the right answer.
    assert [x.tolist() for x in confidences(three, np.array([3, 3]))] == [[0.5, 0.8], [0.0, 0.0]]


def test_importance_is_that_of_scikit_learn_within_its_spread() -> None:
    X = RNG.normal(size=(400, 4))
    y = 3 * X[:, 0] - X[:, 2] + 0.1 * RNG.normal(size=400)
    model = LinearRegression().fit(X, y)
    found = permutation_importance(
        lambda inputs, rows: float(np.mean((y[rows] - model.predict(inputs)) ** 2)), X, [(n, 1) for n in "abcd"]
    )
    theirs = by_sklearn(model, X, y, scoring="neg_mean_squared_error", n_repeats=30, random_state=0)
    assert [one.name for one in found[:2]] == ["a", "c"]
    for one in found:
        expected = theirs.importances_mean["abcd".index(one.name)]
        assert one.mean == pytest.approx(expected, abs=4 * one.spread + 1e-3)


def test_columns_that_belong_together_are_shuffled_together() -> None:
    """Half of the second column's features say what the other half takes back: only together are they of no use."""
    x = RNG.normal(size=300)
    inputs = np.column_stack([RNG.normal(size=300), x, -x, RNG.normal(size=300)])
    y = inputs[:, 0]

    def loss(rows: np.ndarray, numbers: np.ndarray) -> float:
        return float(np.mean((y[numbers] - rows[:, 0] - rows[:, 1] - rows[:, 2]) ** 2))

    found = {one.name: one for one in permutation_importance(loss, inputs, [("a", 1), ("b", 2), ("gone", 0), ("c", 1)])}
    assert found.keys() == {"a", "b", "c"}
    assert found["b"].mean == pytest.approx(0.0, abs=1e-12)
    assert found["c"].mean == 0.0
    assert found["a"].mean > 1.0


def test_many_rows_and_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "MOST_ROWS", 50)
    monkeypatch.setattr(importance, "MOST_PREDICTIONS", 7)
    inputs, calls = RNG.normal(size=(80, 3)), []

    def loss(shuffled: np.ndarray, rows: np.ndarray) -> float:
        calls.append(rows)
        np.testing.assert_array_equal(np.sort(shuffled[:, 0]), np.sort(inputs[rows, 0]))
        return 0.0

    permutation_importance(loss, inputs, [("a", 1), ("b", 2)])
    assert [len(rows) for rows in calls] == [50] * (1 + 2 * 3)
    assert permutation_importance(loss, RNG.normal(size=(80, 8)), [(str(j), 1) for j in range(8)]) == []

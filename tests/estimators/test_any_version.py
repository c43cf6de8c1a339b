"""What must hold with every scikit-learn that is supported; `nox -s oldest` runs this file with the oldest."""

import pathlib
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor

import portable_mlp as pm

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 6))
CLASSES = (X @ RNG.normal(size=(6, 3))).argmax(axis=1)
CASES: dict[str, dict[str, Any]] = {
    "adam": {},
    "tanh, nesterov": {"activation": "tanh", "solver": "sgd", "learning_rate_init": 0.1},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 1.0, "n_iter_no_change": 2},
    "early stopping": {"early_stopping": True},
    "lbfgs": {"solver": "lbfgs"},
}

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # An old scikit-learn's own call of a newer SciPy.
    pytest.mark.filterwarnings("ignore:scipy.optimize. The `disp` and `iprint` options:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Unknown solver options. iprint:scipy.optimize.OptimizeWarning"),
]


@pytest.mark.parametrize("case", CASES)
def test_the_same_floats(case: str, tmp_path: pathlib.Path) -> None:
    options = {"hidden_layer_sizes": (8,), "max_iter": 15, "random_state": 0, **CASES[case]}
    for ours, theirs, y in (
        (pm.MLPClassifier, MLPClassifier, CLASSES),
        (pm.MLPRegressor, MLPRegressor, np.sin(X[:, 0])),
    ):
        mine, other = ours(**options).fit(X, y), theirs(**options).fit(X, y)
        for found, expected in zip(mine.coefs_ + mine.intercepts_, other.coefs_ + other.intercepts_, strict=True):
            np.testing.assert_array_equal(found, expected)
        assert mine.n_iter_ == other.n_iter_
        np.testing.assert_array_equal(mine.predict(X), other.predict(X))
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(mine)).predict(X), mine.predict(X))
        mine.save(tmp_path / "mine")
        np.testing.assert_array_equal(ours.load(tmp_path / "mine").predict(X), mine.predict(X))
        back = ours.from_sklearn(other).to_sklearn()
        np.testing.assert_array_equal(back.predict(X), other.predict(X))


def test_partial_fit_call_by_call() -> None:
    mine, other = (kind((8,), random_state=0) for kind in (pm.MLPClassifier, MLPClassifier))
    for _ in range(3):
        for estimator in (mine, other):
            estimator.partial_fit(X, CLASSES, classes=[0, 1, 2])
        np.testing.assert_array_equal(mine.coefs_[0], other.coefs_[0])


def test_weights_and_messages() -> None:
    clf = pm.MLPClassifier((8,), max_iter=3, class_weight="balanced").fit(X, CLASSES, np.linspace(1.0, 2.0, 90))
    assert clf.predict_proba(X).shape == (90, 3)
    with pytest.raises(ValueError, match="must contain at least one non-zero number"):
        clf.fit(X, CLASSES, np.zeros(90))
    with pytest.raises(NotFittedError, match="This MLPClassifier instance is not fitted yet"):
        pm.MLPClassifier().predict(X)
    with pytest.raises(ValueError, match=r"The 'alpha' parameter of MLPClassifier must be a float in the range \[0\.0"):
        pm.MLPClassifier(alpha=-1).fit(X, CLASSES)


@pytest.mark.parametrize("labels", [list("abc"), [3, 1, 2], [0.0, 1.0, 5.0], [True, False], ["b", "a"], [7], range(60)])
@pytest.mark.parametrize("dtype", [None, object])
def test_labels_in_a_file(labels: Any, dtype: Any, tmp_path: pathlib.Path) -> None:
    y = np.resize(np.array(labels, dtype=dtype if isinstance(labels[0], str) else None), 90)
    mine = pm.MLPClassifier((4,), max_iter=2, random_state=0).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mine.save(tmp_path / "mine")
        loaded = pm.MLPClassifier.load(tmp_path / "mine")
        np.testing.assert_array_equal(loaded.classes_, mine.classes_, strict=True)
        np.testing.assert_array_equal(loaded.predict(X), mine.predict(X), strict=True)


def test_no_other_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for solver in ("adam", "lbfgs"):
            pm.MLPRegressor(hidden_layer_sizes=(), solver=solver, max_iter=5000, tol=1e-3).fit(X, X[:, 0])


def test_arrays_of_another_library() -> None:
    strict = pm.get_backend("strict", "device1")
    clf = pm.MLPClassifier((8,), max_iter=5, random_state=0).fit(strict.asarray(X), strict.asarray(CLASSES))
    host = pm.MLPClassifier((8,), max_iter=5, random_state=0).fit(X, CLASSES)
    np.testing.assert_allclose(strict.to_numpy(clf.predict_proba(strict.asarray(X))), host.predict_proba(X), rtol=1e-12)


def test_a_search_side_by_side_is_scikit_learns() -> None:
    grid = {"alpha": [0.01, 1.0]}
    results = []
    for search, n_jobs in ((pm.GridSearchCV, 2), (GridSearchCV, None)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator = pm.MLPClassifier((5,), max_iter=5, random_state=0)
            results.append(search(estimator, grid, cv=3, n_jobs=n_jobs).fit(X, CLASSES).cv_results_)
    for name in ("split0_test_score", "mean_test_score", "rank_test_score"):
        np.testing.assert_array_equal(results[0][name], results[1][name])

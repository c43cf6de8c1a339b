"""The methods that are compared: each is a function from a split and a seed to answers on the test rows.

Answers are probabilities of shape (n_rows, n_classes), or predictions of shape (n_rows,).
"""

import functools
from collections.abc import Callable

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from .ours import ours
from .preparation import as_categories, by_hand, without_gaps
from .splits import Split

BOOSTED_CATEGORIES = 254
"""As many as scikit-learn's boosted trees take."""


def constant(split: Split, seed: int) -> np.ndarray:
    """Answer with the shares of the classes, or the mean."""
    if split.task == "classification":
        return np.tile(np.bincount(split.y) / len(split.y), (len(split.y_test), 1))
    return np.full(len(split.y_test), split.y.mean())


def linear(split: Split, seed: int) -> np.ndarray:
    """Fit logistic regression, or ridge regression with a penalty found by leave-one-out."""
    X, X_test = by_hand(split.X, split.X_test)
    if split.task == "classification":
        return LogisticRegression(max_iter=1000).fit(X, split.y).predict_proba(X_test)
    return RidgeCV(np.logspace(-3, 3, 13)).fit(X, split.y).predict(X_test)


def sklearn_mlp(split: Split, seed: int) -> np.ndarray:
    """Fit scikit-learn's MLP with its defaults on columns prepared by hand; quantities are standardised."""
    X, X_test = by_hand(split.X, split.X_test)
    if split.task == "classification":
        return MLPClassifier(random_state=seed).fit(X, split.y).predict_proba(X_test)
    model = TransformedTargetRegressor(MLPRegressor(random_state=seed), transformer=StandardScaler())
    return model.fit(X, split.y).predict(X_test)


def boosted_trees(split: Split, seed: int) -> np.ndarray:
    """Fit scikit-learn's HistGradientBoosting with its defaults, texts as categories."""
    X, X_test = as_categories(split.X, split.X_test, BOOSTED_CATEGORIES)
    options = {"random_state": seed, "categorical_features": "from_dtype"}
    if split.task == "classification":
        return HistGradientBoostingClassifier(**options).fit(X, split.y).predict_proba(X_test)
    return HistGradientBoostingRegressor(**options).fit(X, split.y).predict(X_test)


def realmlp(variant: str, split: Split, seed: int) -> np.ndarray:
    """Fit pytabkit's RealMLP, on one thread; gaps of numbers are medians and an indicator."""
    import pytabkit

    X, X_test = without_gaps(split.X, split.X_test)
    X, X_test = as_categories(X, X_test, None)
    kind = "Classifier" if split.task == "classification" else "Regressor"
    model = getattr(pytabkit, f"RealMLP_{variant}_{kind}")(random_state=seed, device="cpu", n_threads=1)
    if split.task == "classification":
        return model.fit(X, split.y).predict_proba(X_test)
    return np.ravel(model.fit(X, split.y.astype(np.float32)).predict(X_test))


METHODS: dict[str, Callable[[Split, int], np.ndarray]] = {
    "constant": constant,
    "linear": linear,
    "sklearn_mlp": sklearn_mlp,
    "boosted_trees": boosted_trees,
    "realmlp_td_s": functools.partial(realmlp, "TD_S"),
    "realmlp_td": functools.partial(realmlp, "TD"),
    "ours_default": functools.partial(ours, "default"),
    "ours_best": functools.partial(ours, "best"),
}

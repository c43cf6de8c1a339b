"""Replacement of scikit-learn's estimators and searches by ours, for scripts that must not be changed."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

from sklearn import model_selection, neural_network

from .classifier import MLPClassifier
from .regressor import MLPRegressor
from .searches import GridSearchCV, RandomizedSearchCV, cross_val_score, cross_validate

ESTIMATORS: tuple[Any, ...] = (MLPClassifier, MLPRegressor)
SEARCHES: tuple[Any, ...] = (GridSearchCV, RandomizedSearchCV, cross_val_score, cross_validate)


@contextlib.contextmanager
def in_place_of_sklearn(backend: str | None = None, device: str | None = None) -> Iterator[None]:
    """Let ``sklearn.neural_network`` export our estimators, which compute on ``backend`` by default.

    Searches of ``sklearn.model_selection`` become ours, which leave other estimators to scikit-learn.

    The default of a parameter is changed, not the parameter's meaning: an estimator made here has its backend among its
    parameters, and so has its clone or its pickle in another process.
    """
    replaced = [(neural_network, ours) for ours in ESTIMATORS] + [(model_selection, ours) for ours in SEARCHES]
    theirs = [getattr(module, ours.__name__) for module, ours in replaced]
    constructors = [inspect.unwrap(ours.__init__) for ours in ESTIMATORS]
    before = [dict(constructor.__kwdefaults__) for constructor in constructors]
    try:
        for constructor in constructors:
            constructor.__kwdefaults__.update(backend=backend, device=device)
        for module, ours in replaced:
            setattr(module, ours.__name__, ours)
        yield
    finally:
        for constructor, defaults in zip(constructors, before, strict=True):
            constructor.__kwdefaults__.update(defaults)
        for (module, ours), own in zip(replaced, theirs, strict=True):
            setattr(module, ours.__name__, own)

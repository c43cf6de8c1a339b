"""Replacement of scikit-learn's estimators by ours, for scripts that must not be changed."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

from sklearn import neural_network

from .classifier import MLPClassifier
from .regressor import MLPRegressor

ESTIMATORS: tuple[Any, ...] = (MLPClassifier, MLPRegressor)


@contextlib.contextmanager
def in_place_of_sklearn(backend: str | None = None, device: str | None = None) -> Iterator[None]:
    """Let ``sklearn.neural_network`` export our estimators, which compute on ``backend`` by default.

    The default of a parameter is changed, not the parameter's meaning: an estimator made here has its backend among its
    parameters, and so has its clone or its pickle in another process.
    """
    theirs = {ours.__name__: getattr(neural_network, ours.__name__) for ours in ESTIMATORS}
    constructors = [inspect.unwrap(ours.__init__) for ours in ESTIMATORS]
    before = [dict(constructor.__kwdefaults__) for constructor in constructors]
    try:
        for ours, constructor in zip(ESTIMATORS, constructors, strict=True):
            constructor.__kwdefaults__.update(backend=backend, device=device)
            setattr(neural_network, ours.__name__, ours)
        yield
    finally:
        for ours, constructor, defaults in zip(ESTIMATORS, constructors, before, strict=True):
            constructor.__kwdefaults__.update(defaults)
            setattr(neural_network, ours.__name__, theirs[ours.__name__])

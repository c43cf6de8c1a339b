"""The estimator at the end of a pipeline: whether it is one of ours, and whether it computes on NumPy."""

from __future__ import annotations

import contextlib
from typing import Any

from sklearn.pipeline import Pipeline

from .base import BaseMLP
from .inputs import backend_for
from .tables import TableClassifier, TableRegressor


def last_step(estimator: Any) -> Any:
    """Return the last step of a pipeline, and any other estimator as it is."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator


def is_ours(estimator: Any) -> bool:
    """Return whether an estimator, or the last step of a pipeline, is one of this library."""
    return isinstance(last_step(estimator), BaseMLP | TableClassifier | TableRegressor)


def computes_on_numpy(estimator: Any, X: Any) -> bool:
    """Return whether one of our estimators would be fitted to X on NumPy, where fits run side by side."""
    last = last_step(estimator)
    with contextlib.suppress(Exception):  # a backend that is not there: the fit itself raises it again
        return backend_for(X, last.backend, last.device).name == "numpy"
    return False

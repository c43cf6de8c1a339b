"""The estimator at the end of a pipeline: whether it is one of ours, and whether it computes on NumPy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from sklearn.base import clone
from sklearn.pipeline import Pipeline

from .base import BaseMLP
from .inputs import backend_for
from .tables import TableClassifier, TableRegressor


def last_step(estimator: Any) -> Any:
    """Return the last step of a pipeline, and any other estimator as it is."""
    return path_to_last_step(estimator)[-1][1]


def path_to_last_step(estimator: Any) -> list[tuple[str, Any]]:
    """Return the estimator, and the last steps of it and of each nested pipeline, each with its name ("" at first)."""
    path = [("", estimator)]
    while isinstance(estimator, Pipeline) and estimator.steps:
        path.append(estimator.steps[-1])
        estimator = estimator.steps[-1][1]
    return path


def is_ours(estimator: Any) -> bool:
    """Return whether an estimator, or the last step of a pipeline, is one of this library."""
    return isinstance(last_step(estimator), BaseMLP | TableClassifier | TableRegressor)


def computes_on_numpy(estimator: Any, X: Any) -> bool:
    """Return whether one of our estimators would be fitted to X on NumPy, where fits run side by side."""
    last = last_step(estimator)
    with contextlib.suppress(Exception):  # a backend that is not there: the fit itself raises it again
        return backend_for(X, last.backend, last.device).name == "numpy"
    return False


def candidates_compute_on_numpy(estimator: Any, X: Any, space: Any) -> bool:
    """Return whether one of our estimators would be fitted to X on NumPy with all candidates of a search.

    Where the library is drawn from a distribution, that is not known, and the answer is False.

    Parameters
    ----------
    estimator : estimator
        The estimator of the search.
    X : array-like of shape (n_samples, n_features)
        The inputs of the search.
    space : mapping of str to iterable, or iterable of these
        The values of each parameter, by its name.
    """
    with contextlib.suppress(Exception):  # no space: the search itself raises it again
        spaces: Iterable[Mapping[str, Any]] = [space] if isinstance(space, Mapping) else space
        names = _names_that_choose_a_library(estimator)
        chosen = ({name: value} for one in spaces for name in names & one.keys() for value in one[name])
        return computes_on_numpy(estimator, X) and all(
            computes_on_numpy(clone(estimator).set_params(**parameter), X) for parameter in chosen
        )
    return False


def _names_that_choose_a_library(estimator: Any) -> set[str]:
    """Return the names of the parameters by which a search chooses the library, or replaces the last step."""
    names, prefix = set(), ""
    for name, _ in path_to_last_step(estimator)[1:]:
        names |= {f"{prefix}steps", f"{prefix}{name}"}
        prefix += f"{name}__"
    return names | {f"{prefix}backend", f"{prefix}device"}

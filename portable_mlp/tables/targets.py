"""What a column of targets holds: classes, which have names, or a quantity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LARGEST_EXACT",
    "MOST_WHOLE_NUMBER_CLASSES",
    "are_whole",
    "class_names",
    "is_classification",
    "numeric_targets",
]

MOST_WHOLE_NUMBER_CLASSES = 20
"""Whole-number targets with more distinct values than this are taken for a quantity, not for classes."""

LARGEST_EXACT = 2**53
"""Beyond it float64 lacks whole numbers: every number is whole there, and says nothing of what is counted."""


def is_classification(y: NDArray[Any]) -> bool:
    """Tell classes from quantities: texts, booleans, or whole numbers with few distinct values are classes.

    Whole numbers may have any dtype: a column of 0 and 1 is one of floats as soon as it was joined with another table.

    >>> is_classification(np.array([0.0, 1.0, 1.0])), is_classification(np.array([0.0, 0.5, 1.0]))
    (True, False)
    """
    if y.ndim > 1:
        return False
    return y.dtype.kind in "USb" or (are_whole(y) and len(np.unique(y)) <= MOST_WHOLE_NUMBER_CLASSES)


def are_whole(y: NDArray[Any]) -> bool:
    """Tell whether all targets are whole numbers: integers, or floats that are integers too."""
    if y.dtype.kind == "f":
        return bool(np.all((np.abs(y) <= LARGEST_EXACT) & (y == np.trunc(y))))
    return y.dtype.kind in "iu"


def class_names(y: NDArray[Any]) -> list[Any]:
    """Return the classes of targets (n_samples,), sorted, as Python has them: whole numbers as int.

    >>> class_names(np.array([1.0, -1.0, 1.0]))
    [-1, 1]
    """
    names: list[Any] = np.unique(y).tolist()
    return list(map(int, names)) if y.dtype.kind == "f" and are_whole(y) else names


def numeric_targets(y: NDArray[Any], target_type: str) -> NDArray[np.float64]:
    """Return targets as numbers (n_samples, n_outputs): 1 for the second of two classes, else a column for each.

    >>> numeric_targets(np.array(["b", "a", "b"]), "auto").tolist()
    [[1.0], [0.0], [1.0]]
    """
    if target_type == "auto":
        target_type = "classification" if y.dtype.kind == "O" or is_classification(y) else "regression"
    if target_type == "regression":
        return (y[:, None] if y.ndim == 1 else y).astype(np.float64)
    classes, codes = np.unique(y, return_inverse=True)
    one_hot = (codes.reshape(-1)[:, None] == np.arange(len(classes))).astype(np.float64)
    return one_hot[:, 1:] if len(classes) == 2 else one_hot

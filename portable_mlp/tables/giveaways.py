"""Columns that give the target away: copies of it, parts of it, and what is only known once the target is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import Column, Columns

__all__ = ["columns_that_determine", "columns_whose_sum_is"]

_SAMPLE = 2_000
"""So many rows are looked at first: what does not determine their targets does not determine those of all."""

_ROWS_OF_A_VALUE = 5
"""Fewer rows for each value of a column, on the mean, say nothing about the target of a value."""

_FEWEST_VALUES = 10
"""A quantity with fewer different values may follow another one by chance."""

_ROWS_OF_A_NUMBER = 5
"""Fewer rows for each column of numbers say nothing about a sum of all of them."""

_UNEXPLAINED = 0.01
"""The largest residual of a sum, as a share of the target's deviation: numbers are rounded."""


def columns_that_determine(X: Columns, y: NDArray[Any], *, classification: bool) -> list[str]:
    """Return the names of the columns each of which determines the target of every row by itself.

    A column does if each of its values comes with one target, and has a number of rows; or if the classes, or the
    targets, are in order where its numbers are. Targets in the order of the rows determine nothing: whatever grows with
    time would.

    >>> from portable_mlp.tables.columns import Reading
    >>> y = np.repeat(["left", "right"], 10)
    >>> numbers = {"a": np.where(y == "left", -1.0, 1.0) * np.arange(1, 21), "b": np.tile(np.arange(10.0), 2)}
    >>> X = Columns({name: Column(Reading("number"), column) for name, column in numbers.items()})
    >>> columns_that_determine(X, y, classification=True)
    ['a']
    """
    targets, codes = np.unique(y, return_inverse=True)
    if classification and (len(targets) < 2 or np.bincount(codes).min() < _ROWS_OF_A_VALUE):
        return []
    if not classification and (len(targets) < _FEWEST_VALUES or _is_in_order(y)):
        return []
    some = _some_rows(len(y))

    def determines(column: Column) -> bool:
        sample = column._replace(values=column.values[some])
        return _determines(sample, codes[some], 2, classification) and _determines(
            column, codes, _ROWS_OF_A_VALUE, classification
        )

    return [name for name in X if determines(X.column(name))]


def columns_whose_sum_is(X: Columns, y: NDArray[np.float64]) -> list[str]:
    """Return the names of the columns of numbers of which the target is a weighted sum; none if it is not.

    >>> from portable_mlp.tables.columns import Reading
    >>> rng = np.random.default_rng(0)
    >>> X = Columns({name: Column(Reading("number"), rng.normal(size=50)) for name in "abc"})
    >>> columns_whose_sum_is(X, X["a"] + 2.0 * X["c"]), columns_whose_sum_is(X, X["a"] * X["c"])
    (['a', 'c'], [])
    """
    names = [name for name in X if X.column(name).reading.kind in ("number", "truth")]
    names = [
        name
        for name in names
        if not X.column(name).missing.any() and X.column(name).values.min() < X.column(name).values.max()
    ]
    some = _some_rows(len(y))
    if not names or _ROWS_OF_A_NUMBER * len(names) > len(some) or _is_in_order(y):
        return []
    weights = _weights(X, names, y, some)
    if weights is None:
        return []
    chosen = [name for name, weight in zip(names, weights, strict=True) if weight > _UNEXPLAINED]
    return chosen if chosen and _weights(X, chosen, y, slice(None)) is not None else []


def _some_rows(n_rows: int) -> NDArray[np.intp]:
    """Return the numbers of at most `_SAMPLE` rows from all over a table."""
    return np.unique(np.linspace(0, n_rows - 1, min(_SAMPLE, n_rows)).astype(np.intp))


def _determines(column: Column, targets: NDArray[np.intp], fewest: int, classification: bool) -> bool:
    """Tell whether a column determines targets, which are in the order of their codes.

    ``fewest`` is the number of rows of a value, on the mean, from which on it need not be in order.
    """
    is_text = column.reading.kind == "text"
    if not is_text and column.missing.any():
        return False
    values = np.array([str(value) for value in column.values]) if is_text else column.values
    different, groups = np.unique(values, return_inverse=True)
    order = np.lexsort((targets, groups))
    changes = np.diff(targets[order])
    if len(different) < 2 or (changes[np.diff(groups[order]) == 0] != 0).any():
        return False
    if fewest * len(different) <= len(targets):
        return True
    if is_text:
        return False
    if classification:
        return np.count_nonzero(changes) == len(np.unique(targets)) - 1
    return bool((changes >= 0).all() or (changes <= 0).all())


def _is_in_order(y: NDArray[Any]) -> bool:
    """Tell whether targets only rise, or only fall, from row to row."""
    return bool((y[1:] >= y[:-1]).all() or (y[1:] <= y[:-1]).all())


def _weights(X: Columns, names: list[str], y: NDArray[np.float64], rows: Any) -> NDArray[np.float64] | None:
    """Return the absolute weights of scaled columns whose sum is the scaled target; None if it is not."""
    numbers, targets = np.column_stack([X.column(name).values[rows] for name in names]), y[rows]
    with np.errstate(all="ignore"):
        inputs = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
        targets = (targets - targets.mean()) / targets.std()
    if not (np.isfinite(inputs).all() and np.isfinite(targets).all()):  # constant in these rows, or too large
        return None
    weights = np.linalg.lstsq(inputs, targets, rcond=None)[0]
    residual = targets - inputs @ weights
    return np.abs(weights) if np.abs(residual).max() < _UNEXPLAINED else None

"""The columns of a table in memory, each read as what it was when a model learnt it: numbers all at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import Column, Columns, Reading
from .typed_columns import RawColumn, conformed

__all__ = ["known_columns"]


def known_columns(X: Any, columns: Mapping[str, Callable[[], RawColumn]], readings: Mapping[str, Reading]) -> Columns:
    """Return the columns that a model knows.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_columns), or what `columns_of_frame` takes
        The rows to predict from.
    columns : mapping of str to callable
        Functions by name that give the columns of ``X``, all of them in their order.
    readings : mapping of str to Reading
        Kind and notation of each column that is needed, among those of ``columns``.

    Raises
    ------
    DataError
        If a cell contradicts its column; the message names it.
    """
    numbers = _numbers(X, list(columns), {name: reading for name, reading in readings.items() if _is_number(reading)})
    return Columns(
        {name: numbers.get(name) or conformed(columns[name](), reading) for name, reading in readings.items()}
    )


def _is_number(reading: Reading) -> bool:
    """Tell whether the cells of a column are kept as numbers."""
    return reading.kind in ("number", "truth")


def _numbers(X: Any, names: Sequence[str], readings: Mapping[str, Reading]) -> dict[str, Column]:
    """Return columns of numbers, converted together: those that `conformed` gives one by one.

    There are none if one of them has another dtype than NumPy's numbers, or a cell is a mistake, which is then found
    one by one.
    """
    place = {name: i for i, name in enumerate(names)}
    values = _matrix(X, [place[name] for name in readings])
    if values is None or np.isinf(values).any():
        return {}
    truths = values[:, [reading.kind == "truth" for reading in readings.values()]]
    if not ((truths == 0.0) | (truths == 1.0) | np.isnan(truths)).all():
        return {}
    return {name: Column(reading, column) for (name, reading), column in zip(readings.items(), values.T, strict=True)}


def _matrix(X: Any, places: Sequence[int]) -> NDArray[np.float64] | None:
    """Return some columns of an array or a data frame of pandas in float64; None if one is not of NumPy's numbers."""
    if isinstance(X, np.ndarray):
        if X.dtype.kind not in "biuf":
            return None
        with np.errstate(over="ignore"):
            return X[:, places].astype(np.float64)
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(X, pandas.DataFrame):
        return None
    dtypes = X.dtypes.tolist()
    if not all(isinstance(dtypes[i], np.dtype) and dtypes[i].kind in "biuf" for i in places):
        return None
    with np.errstate(over="ignore"):
        matrix: NDArray[np.float64] = X.iloc[:, places].to_numpy(dtype=np.float64)
    return matrix

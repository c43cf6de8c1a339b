"""Inputs of dask: arrays and data frames are computed before a fit; predictions are made block by block.

A step on dask arrays themselves would be a graph of hundreds of tasks, and views into them do not write through. So
training uses the content of their blocks, NumPy or CuPy, and a prediction is one task for each block. dask is imported
only where an input is of dask, and so has been imported already.
"""

from __future__ import annotations

import copy
import functools
import math
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import is_dask_array

from ..kernels.arrays import Array


def is_dask(x: Any) -> bool:
    """Return whether ``x`` is a collection of dask: an array, a data frame, a series."""
    return "dask" in sys.modules and sys.modules["dask"].is_dask_collection(x)


def gathered(**named: Any) -> tuple[Any, ...]:
    """Return the arguments in their order, those of dask as `computed` returns them.

    Raises
    ------
    ValueError
        If an array of dask has blocks of unknown size, or blocks that do not hold whole rows.
    """
    for name, x in named.items():
        if is_dask_array(x):
            _check_sizes_are_known(name, x.chunks)
            _check_rows_are_whole(name, x)
    return computed(*named.values())


def computed(*arguments: Any) -> tuple[Any, ...]:
    """Return the arguments, those of dask in memory, as the type of their blocks: NumPy, CuPy, pandas, ...

    All are computed at once, so that shared parts are computed once, and their chunks need not match.
    """
    if not any(is_dask(x) for x in arguments):
        return arguments
    import dask

    with warnings.catch_warnings():
        # Arrays and data frames share one call so that their common parts are computed once.
        warnings.filterwarnings("ignore", "Computing mixed collections", UserWarning)
        return tuple(dask.compute(*arguments, traverse=False))


def by_blocks(method: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Let a method of X accept a collection of dask: it returns an array of dask, computed on demand."""

    @functools.wraps(method)
    def answered(self: Any, X: Any) -> Any:
        return _lazily(self, method.__name__, X) if is_dask(X) else method(self, X)

    return answered


def _lazily(estimator: Any, method: str, X: Any) -> Any:
    if is_dask_array(X):
        _check_sizes_are_known("X", X.chunks[1:])
        _check_rows_are_whole("X", X)
    # A copy: the estimator may be fitted again before a block is computed.
    fixed = copy.deepcopy(estimator).set_output(transform="default")
    # One row reveals the dtype and shape of the results, and raises if X is not valid.
    nothing = getattr(fixed, method)(_one_row(X))[:0]
    options = {"estimator": fixed, "method": method, "nothing": nothing, "meta": nothing}
    if not is_dask_array(X):
        return X.map_partitions(_answer_for_block, **options)
    chunks = (X.chunks[0], *((n_columns,) for n_columns in nothing.shape[1:]))
    return X.map_blocks(_answer_for_block, **options, chunks=chunks, drop_axis=[] if nothing.ndim == 2 else 1)


def _answer_for_block(block: Any, *, estimator: Any, method: str, nothing: Array) -> Array:
    """Return a method's result for a block, which may have no rows."""
    return getattr(estimator, method)(block) if block.shape[0] else nothing


def _one_row(X: Any) -> Any:
    if is_dask_array(X):
        return np.zeros_like(X._meta, shape=(1, *X.shape[1:]), dtype=X.dtype)
    from dask.dataframe.utils import meta_nonempty

    return meta_nonempty(X._meta)


def _check_sizes_are_known(name: str, chunks: tuple[tuple[float, ...], ...]) -> None:
    if any(math.isnan(size) for sizes in chunks for size in sizes):
        raise ValueError(
            f"{name} is a dask array whose blocks are of unknown size: call {name}.compute_chunk_sizes() first; "
            "to_dask_array(lengths=True) of a dask data frame knows them"
        )


def _check_rows_are_whole(name: str, x: Any) -> None:
    if any(len(sizes) > 1 for sizes in x.chunks[1:]):
        raise ValueError(
            f"each block of {name} must hold whole rows, but {name} is a dask array of shape {x.shape} in blocks of "
            f"{x.chunksize}: {name}.rechunk({{1: -1}}) joins the columns"
        )

"""Checks that all ranks of a group were given the same fits, of which each rank then runs a share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..backends import backend_of
from ..distributed.agreement import check_same_options, n_samples_of_all
from ..distributed.group import current_group, refuse_own_samples
from .fit_effects import is_step
from .inputs import is_foreign, is_sparse
from .row_selection import n_rows, selected_rows

ROWS_COMPARED = 8
"""The number of the first rows of the data that are compared."""

MAY_DIFFER = {
    "verbose": "each rank prints of its own fits",
    "device": "each rank may have one of its own",
    "n_jobs": "each rank may have as many threads as it likes",
}
"""Options that the ranks do not compare, and why."""


def check_same_estimators(call: str, estimators: Sequence[Any]) -> None:
    """Raise ValueError on all ranks if they make other calls, or fit other estimators."""
    if current_group() is None:
        return
    refuse_own_samples(call)
    check_same_options(call, {"len(estimators)": len(estimators)})
    check_same_options(call, {f"estimators[{i}]": _described(one) for i, one in enumerate(estimators)})


def check_same_search(call: str, options: Mapping[str, Any]) -> None:
    """Raise ValueError on all ranks if they make other calls, or search with other options."""
    if current_group() is None:
        return
    refuse_own_samples(call)
    described = {name: _described(value) if is_step(value) else value for name, value in options.items()}
    check_same_options(call, described, but=MAY_DIFFER)


def check_same_rows(X: Any, y: Any, sample_weight: Any, **others: Callable[[], bytes]) -> None:
    """Raise ValueError on all ranks if their data differ, or what one of ``others`` returns."""
    if current_group() is None:
        return
    n = n_rows(X)
    first = np.arange(min(n, ROWS_COMPARED))
    compared = {"sample_weight": lambda: _text(sample_weight, np.arange(n)), **others}
    n_samples_of_all(n, lambda: _text(X, first) + _text(y, first), compared)


def digests_of_numbers(*several: Any) -> bytes:
    """Return a digest of each of several arrays of whole numbers, or None: those of all folds would take memory."""
    arrays = (np.asarray([-1] if one is None else one, dtype=np.int64) for one in several)
    return b"".join(hashlib.sha256(array.tobytes()).digest() for array in arrays)


def _described(estimator: Any) -> Any:
    """Return what two estimators that are fitted alike have in common."""
    kind = estimator if isinstance(estimator, type) else type(estimator)
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        return kind.__name__
    parameters = {
        name: type(value).__name__ if is_step(value) else value
        for name, value in estimator.get_params().items()
        if name.rpartition("__")[2] not in MAY_DIFFER
    }
    return {kind.__name__: parameters}


def _text(x: Any, rows: np.ndarray) -> bytes:
    """Return some rows as text."""
    if x is None:
        return b""
    part = selected_rows(x, rows)
    if isinstance(part, Mapping):
        return b"".join(name.encode() + _text(column, np.arange(len(rows))) for name, column in part.items())
    if is_foreign(part):
        part = backend_of(part).to_numpy(part)
    elif is_sparse(part):
        part = part.toarray()
    return repr(np.asarray(part).tolist()).encode("utf-8", "surrogatepass")

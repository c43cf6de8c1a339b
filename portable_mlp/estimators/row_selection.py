"""Some rows of inputs, targets or weights, of whatever kind these are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, check_consistent_length

from ..backends import backend_of
from ..tables.columns import Columns
from .inputs import is_foreign, is_sparse


def selected_rows(x: Any, rows: np.ndarray) -> Any:
    """Return the rows of these numbers."""
    if _is_mapping(x):
        return {name: selected_rows(column, rows) for name, column in x.items()}
    if is_foreign(x):
        backend = backend_of(x)
        return backend.xp.take(x, backend.asarray(rows), axis=0)
    # Of SciPy's other formats, which a fit changes to CSR, some have no rows to be selected.
    return _safe_indexing(x.tocsr() if is_sparse(x) and x.format not in ("csr", "csc") else x, rows)


def n_rows(X: Any, y: Any = None, sample_weight: Any = None) -> int:
    """Return the number of rows.

    Raises
    ------
    TypeError, ValueError
        If X has none, or y or the weights have another number of them.
    """
    columns = list(X.values()) if _is_mapping(X) else [X]
    check_consistent_length(*columns, y, sample_weight)
    return int(_num_samples(columns[0])) if columns else 0


def _is_mapping(x: Any) -> bool:
    """Return whether a table is arrays by their names, which only its columns can be indexed by rows."""
    return isinstance(x, Mapping) and not isinstance(x, Columns) and not is_sparse(x)

"""Prepared rows: which are held out, and how they reach a backend."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..backends import Backend


class Rows(NamedTuple):
    """Inputs (n_samples, n_features) and targets (n_samples,) or (n_samples, n_outputs), on the host."""

    X: np.ndarray
    y: np.ndarray

    @property
    def n_samples(self) -> int:
        """How many rows there are."""
        return len(self.X)

    def moved(self, backend: Backend, dtype: str) -> tuple[Any, Any]:
        """Bring both to a backend: quantities in ``dtype``, labels as they are."""
        y = backend.asarray(self.y) if self.y.dtype.kind in "iu" else backend.asarray(self.y, dtype=dtype)
        return backend.asarray(self.X, dtype=dtype), y


def split(y: np.ndarray, fraction: float, *, classification: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to train on and the rows held out, as indices; every class keeps a row to train on.

    Parameters
    ----------
    y : ndarray of shape (n_samples, ...)
        Targets.
    fraction : float
        How many of the rows to hold out, in [0, 1); the number is rounded.
    classification : bool
        Whether targets are classes.
    seed : int
        Of the draw.
    """
    order = np.random.RandomState(seed).permutation(len(y))
    wanted = min(round(len(y) * fraction), len(y) - 1)
    if not classification:
        return np.sort(order[wanted:]), order[:wanted]
    _, classes, left = np.unique(y, return_inverse=True, return_counts=True)
    held_out: list[int] = []
    for i in order:
        if len(held_out) == wanted:
            break
        if left[classes[i]] > 1:
            left[classes[i]] -= 1
            held_out.append(int(i))
    kept = np.ones(len(y), dtype=bool)
    kept[held_out] = False
    return np.flatnonzero(kept), np.asarray(held_out, dtype=np.int64)

"""Targets in the form that losses expect: one row of numbers for each sample."""

from __future__ import annotations

import functools
from typing import Any

from .arrays import Array, Namespace, device_for_new


def are_labels(xp: Namespace, Y: Array) -> bool:
    """Return whether targets are a column of labels (..., n_samples, 1), not rows (..., n_samples, n_outputs)."""
    return _is_integral(xp, Y.dtype)


@functools.cache
def _is_integral(xp: Namespace, dtype: Any) -> bool:
    return bool(xp.isdtype(dtype, "integral"))


def one_hot(xp: Namespace, labels: Array, n_classes: int, dtype: Any) -> Array:
    """Return rows with a 1 at the label's place: (..., n_samples, 1) -> (..., n_samples, n_classes).

    Labels are compared with the classes rather than written at an index: that needs neither a host read nor assignment.
    """
    classes = xp.arange(n_classes, dtype=labels.dtype, device=device_for_new(labels))
    return xp.astype(labels == classes, dtype)

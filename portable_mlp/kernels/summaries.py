"""Short descriptions of values without their numbers: shapes for arrays, the last entry for a history."""

from __future__ import annotations

from typing import Any

from .arrays import device_of

LONGEST = 3
"""The length above which a list is described by its length."""


def summary(value: Any) -> str:
    """Return a short text for a value, whatever it is.

    >>> import numpy as np
    >>> summary({"W": np.zeros((3, 2)), "loss": [0.5, 0.4, 0.3, 0.2]})
    "{'W': <float64 (3, 2) on cpu>, 'loss': [4 values, last 0.2]}"
    """
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _of_array(value)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name!r}: {summary(entry)}' for name, entry in value.items())}}}"
    if isinstance(value, list) and len(value) > LONGEST:
        return f"[{len(value)} values, last {summary(value[-1])}]"
    if type(value) is tuple:
        return f"({', '.join(map(summary, value))}{',' * (len(value) == 1)})"
    return repr(value)


def _of_array(x: Any) -> str:
    try:
        device = device_of(x)
    except Exception:  # what only looks like an array has none
        device = None
    where = "" if device is None else f" on {device}"
    return f"<{str(x.dtype).rpartition('.')[2].lstrip('<>|')} {tuple(x.shape)}{where}>"


def fields(value: Any) -> str:
    """Return the ``repr`` of a NamedTuple with a summary of each field."""
    named = (f"{name}={summary(entry)}" for name, entry in zip(value._fields, value, strict=True))
    return f"{type(value).__name__}({', '.join(named)})"

"""Options that are one of a few names, or a number within bounds.

Numbers come back as plain floats: a NumPy scalar is a strong float64, which would widen float32 arrays.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

from .nearest import did_you_mean


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Raise ValueError unless ``value`` is one of ``choices``, which the message lists, with the nearest of them."""
    names = tuple(choices)
    if not isinstance(value, str) or value not in names:
        meant = did_you_mean(value, names) if isinstance(value, str) else ""
        raise ValueError(f"{name} must be one of {', '.join(map(repr, names))}; got {value!r}{meant}")


def positive_number(name: str, value: Any) -> float:
    """Return a finite number above 0."""
    number = _number(name, value)
    if not 0.0 < number < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value!r}")
    return number


def not_negative_number(name: str, value: Any) -> float:
    """Return a finite number, 0 or above."""
    number = _number(name, value)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"{name} must be a finite number, not negative; got {value!r}")
    return number


def fraction(name: str, value: Any) -> float:
    """Return a number from 0 to below 1."""
    number = _number(name, value)
    if not 0.0 <= number < 1.0:
        raise ValueError(f"{name} must lie in [0, 1), got {value!r}")
    return number


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number, ``least`` or above."""
    try:
        whole = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if whole < least:
        raise ValueError(f"{name} must be at least {least}, got {whole}")
    return whole


def _number(name: str, value: Any) -> float:
    try:
        # A text would be read as a number, and an array of one element taken for one.
        if isinstance(value, str | bytes) or getattr(value, "shape", ()) != ():
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None

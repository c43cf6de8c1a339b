"""Options that are one of a few names, or a number within bounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Raise ValueError unless ``value`` is one of ``choices``, which the message lists."""
    if not isinstance(value, str) or value not in tuple(choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}")


def checked_l2(l2: float) -> float:
    """Return a penalty's strength as a plain float; raise ValueError unless it is finite and not below 0.

    A NumPy scalar is a strong float64, which would widen float32 arrays.
    """
    if not 0.0 <= l2 < float("inf"):
        raise ValueError(f"l2 must be a finite number, not negative; got {l2!r}")
    return float(l2)

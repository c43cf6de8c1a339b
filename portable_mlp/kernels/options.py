"""Options that are one of a few names, or a number within bounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Raise ValueError unless ``value`` is one of ``choices``, which the message lists."""
    if not isinstance(value, str) or value not in tuple(choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}")


def check_l2(l2: float) -> None:
    """Raise ValueError unless ``l2`` is a finite number not below 0."""
    if not 0.0 <= l2 < float("inf"):
        raise ValueError(f"l2 must be a finite number, not negative; got {l2!r}")

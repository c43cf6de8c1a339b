"""Checks of whether figures can be trusted: other programs on the cores, and rounds that disagree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

UNSTEADY = 1.5
"""A figure is marked where the slowest round took more than this many times as long as the fastest."""

MARK = "~"
"""The mark of a figure whose rounds disagree."""


def spread(times: Sequence[float]) -> float:
    """Return the time of the slowest round over that of the fastest."""
    return max(times) / min(times)


def mark(spread: float | None) -> str:
    """Return the mark of a figure, empty if its rounds agree."""
    return MARK if spread is not None and spread > UNSTEADY else ""


def busy(facts: Mapping[str, Any]) -> list[str]:
    """Return a sentence if other programs kept the cores busy before the measurement, by the facts of `machine`."""
    load, cores = facts.get("load", 0.0), facts["cores"]
    if round(load) < 1:
        return []
    return [
        f"other programs have kept {load:.1f} of {cores} cores busy over the last minute: figures taken beside them "
        "are worth nothing; close them, wait a minute, and measure again"
    ]


def reservations(facts: Mapping[str, Any], spreads: Iterable[float | None]) -> list[str]:
    """Return the reasons why figures should not be trusted, each a sentence.

    >>> reservations({"load": 0.2, "cores": 2}, [1.1, None, 4.0])
    ['~ marks 1 of 2 figures, whose slowest round took more than 1.5 times as long as the fastest']
    """
    timed = [one for one in spreads if one is not None]
    marked = sum(bool(mark(one)) for one in timed)
    unsteady = (
        f"{MARK} marks {marked} of {len(timed)} figures, whose slowest round took more than {UNSTEADY} times as long"
    )
    return [*busy(facts), *([f"{unsteady} as the fastest"] if marked else [])]

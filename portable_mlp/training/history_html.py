"""The history of a training run for notebooks: its losses as a picture, all of it as a table."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any

from ..html_parts import notebook_table, number_text
from ..svg_curves import Curve, svg_curves

DRAWN = ("loss", "validation_loss")
"""The quantities of the picture, which have one unit."""


def history_html(history: dict[str, list[Any]], best_epoch: int | None = None) -> str:
    """Return a history as HTML of bounded size; ``best_epoch``, from 1, is marked.

    >>> "<svg" in history_html({"loss": [0.5, 0.25]}), "<svg" in history_html({"loss": []})
    (True, False)
    """
    curves = [Curve(name, _lines(history[name])) for name in DRAWN if name in history]
    rows = [(name, *_summary(values)) for name, values in history.items()]
    return svg_curves(curves, best_epoch) + notebook_table(("history", "first", "last", "least", "greatest"), rows)


def _lines(values: Sequence[Any]) -> list[Sequence[float]]:
    """Return the curve of each model, of one where the values are numbers."""
    per_epoch = [[*_numbers(value)] for value in values]
    return [*itertools.zip_longest(*per_epoch, fillvalue=math.nan)]


def _summary(values: Sequence[Any]) -> tuple[str, ...]:
    if not values:
        return ("", "", "", "")
    finite = [number for number in _numbers(values) if math.isfinite(number)]
    extremes = (number_text(min(finite)), number_text(max(finite))) if finite else ("", "")
    return (_shown(values[0]), _shown(values[-1]), *extremes)


def _shown(value: Any) -> str:
    """Return a number, or the least and the greatest of several."""
    numbers = [*_numbers(value)]
    return " to ".join(map(number_text, dict.fromkeys((min(numbers), max(numbers))))) if numbers else ""


def _numbers(value: Any) -> Iterator[float]:
    """Yield the numbers in a value of the history, which may be nested lists of them."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, Real):
        yield float(value)

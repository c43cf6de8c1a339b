"""Dates and times as nodes of an ONNX graph: the features of `DateColumn`, from seconds since 1970."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..kernels.tracing import Symbol, trace
from ..tables.date_encoding import DATE_PARTS, DateColumn
from .activations import Nodes
from .graph import Graph

_DAY = 86_400.0
_DAYS_OF_400_YEARS = 146_097.0
_MARCH_OF_YEAR_0 = 719_468.0
"""The days from 1 March of the year 0 to 1 January 1970."""


def date_parts(xp: Any, seconds: Any) -> dict[str, Any]:
    """Return the parts of dates by the names of `DATE_PARTS`.

    Parameters
    ----------
    xp : namespace
        NumPy's, or a tracer.
    seconds : array or Symbol
        Seconds since 1970, UTC, finite, float64.
    """
    days = seconds / _DAY
    day = xp.floor(days)
    year, month = _year_and_month(xp, day)
    weekday = day + 3.0 - 7.0 * xp.floor((day + 3.0) / 7.0)
    return {"elapsed": days, "year": year, "month": month, "weekday": weekday, "hour": 24.0 * (days - day)}


def _year_and_month(xp: Any, day: Any) -> tuple[Any, Any]:
    """Return the year, and the month from 0 to 11, of days since 1970.

    Years begin in March here, so that a leap day is the last of its year (H. Hinnant, "chrono-Compatible Low-Level Date
    Algorithms", civil_from_days).
    """
    since = day + _MARCH_OF_YEAR_0
    era = xp.floor(since / _DAYS_OF_400_YEARS)
    of_era = since - era * _DAYS_OF_400_YEARS
    leap_days = xp.floor(of_era / 1460.0) - xp.floor(of_era / 36524.0) + xp.floor(of_era / 146096.0)
    year = xp.floor((of_era - leap_days) / 365.0)
    of_year = of_era - (365.0 * year + xp.floor(year / 4.0) - xp.floor(year / 100.0))
    month = xp.floor((5.0 * of_year + 2.0) / 153.0)
    is_next_year = month >= 10.0
    return year + 400.0 * era + xp.where(is_next_year, 1.0, 0.0), xp.where(is_next_year, month - 10.0, month + 2.0)


def append_dates(graph: Graph, column: DateColumn, number: int, dtype: np.dtype) -> str:
    """Append the features of a column of dates, the one with this number (n_samples, n_features).

    They are computed in float64, since float32 has no seconds that far from 1970.
    """
    zero = graph.number(0.0, np.float64)
    missing = graph.node("IsNaN", column.name, to=f"missing{number}")
    seconds = graph.node("Where", missing, zero, column.name, to=f"seconds{number}")

    def features(xp: Any, seconds: Symbol) -> list[Symbol]:
        parts, found = date_parts(xp, seconds), []
        for part, mean, scale in zip(column.parts, column.means, column.scales, strict=True):
            period = DATE_PARTS[part][1]
            if period:
                angle = parts[part] * (2.0 * math.pi / period)
                # The cosine is the sine of a quarter turn more: not every runtime has it in float64.
                found += [xp.sin(angle), xp.sin(angle + 0.5 * math.pi)]
            else:
                found.append((parts[part] - mean) / scale)
        return found

    each = map(str, trace(features, Nodes(graph, f"date{number}", np.dtype(np.float64)), seconds))
    joined = graph.node("Concat", *each, to=f"parts{number}", axis=1)
    there = graph.node("Where", missing, zero, joined, to=f"dates{number}")
    cast = graph.node("CastLike", there, graph.number(0.0, dtype), to=f"cast{number}")
    if not column.gaps:
        return cast
    indicator = graph.node(
        "Where", missing, graph.number(1.0, dtype), graph.number(0.0, dtype), to=f"indicator{number}"
    )
    return graph.node("Concat", cast, indicator, to=f"marked{number}", axis=1)

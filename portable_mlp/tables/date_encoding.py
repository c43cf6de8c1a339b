"""Encoding of dates and times: the parts that vary, scaled or as points on a circle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .column_encodings import ColumnEncoding
from .columns import Column, Reading
from .moments import Moments

__all__ = ["DATE_PARTS", "DateColumn", "numbers_of_dates"]


@dataclass(frozen=True)
class DateColumn(ColumnEncoding):
    """Dates and times: the elapsed time, the year, the month, the weekday and the time of day, as far as they vary.

    The elapsed days and the year are scaled; the others are periodic, and become a sine and a cosine. For a missing
    cell all of them are 0, and an indicator column is 1.

    Attributes
    ----------
    form : str
        Format of the dates, as in `Reading`.
    parts : list of str
        The keys of `DATE_PARTS` that are used.
    means, scales : list of float
        Mean and scale of the scaled parts; 0 and 1 for the periodic ones.
    gaps : bool
        Whether a training row has a missing cell.
    """

    kind: ClassVar[str] = "date"
    form: str
    parts: list[str]
    means: list[float]
    scales: list[float]
    gaps: bool

    @classmethod
    def learn(cls, name: str, column: Column) -> DateColumn:
        """Learn from training rows, two of which have different dates."""
        present = column.values[~np.isnat(column.values)]
        gaps = len(present) < len(column.values)
        moments = {part: Moments.of(numbers) for part, numbers in numbers_of_dates(present).items()}
        return cls.of_moments(name, column.reading.form, moments, gaps=gaps)

    @classmethod
    def of_moments(cls, name: str, form: str, moments: Mapping[str, Moments], *, gaps: bool) -> DateColumn:
        """Return the encoding of dates of whose `numbers_of_dates` these are the moments."""
        varying = {part for part, its in moments.items() if its.low < its.high}
        parts = [part for part in DATE_PARTS if part in varying]
        if _DAY_OF_MONTH not in varying:
            # All dates are the same day of their months, often the first: the weekday means nothing.
            parts = [part for part in parts if part != "weekday"]
        if len(parts) > 1 and set(parts) == {"elapsed", "year"}:
            parts = ["year"]
        means, scales = [], []
        for part in parts:
            is_periodic = DATE_PARTS[part][1] is not None
            (mean,), (scale,) = ([0.0], [1.0]) if is_periodic else moments[part].mean_and_scale([name])
            means.append(mean)
            scales.append(scale)
        return cls(name, form, parts, means, scales, gaps)

    @property
    def reading(self) -> Reading:
        """Dates in their format."""
        return Reading("date", self.form)

    @property
    def feature_names(self) -> list[str]:
        """The column's name followed by each part."""
        names = []
        for part in self.parts:
            names += [f"{part}_sin", f"{part}_cos"] if DATE_PARTS[part][1] else [part]
        return [f"{self.name}_{part}" for part in (*names, *["missing"] * self.gaps)]

    @property
    def treatment(self) -> str:
        """The treatment of the dates."""
        written = f"read as {self.form}: " if self.form else ""
        return written + ", ".join(self.parts) + ("; gaps are marked" if self.gaps else "")

    @property
    def is_sound(self) -> bool:
        """Whether the parts are known and each has a positive scale."""
        known = set(self.parts) <= DATE_PARTS.keys() and 0 < len(set(self.parts)) == len(self.parts)
        scaled = len(self.parts) == len(self.means) == len(self.scales) and all(scale > 0 for scale in self.scales)
        return super().is_sound and known and scaled

    def transform(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the parts, and the indicator of missing cells."""
        missing = np.isnat(values)
        there = np.where(missing, np.datetime64(0, "us"), values)
        columns = []
        for part, mean, scale in zip(self.parts, self.means, self.scales, strict=True):
            number_of, period = DATE_PARTS[part]
            numbers = number_of(there)
            if period:
                angle = numbers * (2.0 * np.pi / period)
                columns += [np.sin(angle), np.cos(angle)]
            else:
                columns.append((numbers - mean) / scale)
        matrix = np.column_stack(columns)
        matrix[missing] = 0.0
        return np.column_stack([matrix, missing]) if self.gaps else matrix


def _days(dates: NDArray[Any]) -> NDArray[np.float64]:
    """Return the days since 1970, with fractions."""
    return dates.astype(np.int64) / 86_400e6


def _year(dates: NDArray[Any]) -> NDArray[np.float64]:
    """Return the year."""
    return dates.astype("datetime64[Y]").astype(np.float64) + 1970.0


def _month(dates: NDArray[Any]) -> NDArray[np.float64]:
    """Return the month from 0 to 11."""
    return np.mod(dates.astype("datetime64[M]").astype(np.float64), 12.0)


def _day(dates: NDArray[Any]) -> NDArray[np.float64]:
    """Return the day of the month from 0."""
    return np.floor(_days(dates)) - _days(dates.astype("datetime64[M]").astype("datetime64[us]"))


def _weekday(dates: NDArray[Any]) -> NDArray[np.float64]:
    """Return the day of the week, 0 for a Monday."""
    return np.mod(np.floor(_days(dates)) + 3.0, 7.0)


def _hour(dates: NDArray[Any]) -> NDArray[np.float64]:
    """Return the hours since midnight, with fractions."""
    return 24.0 * np.mod(_days(dates), 1.0)


DATE_PARTS: dict[str, tuple[Callable[[NDArray[Any]], NDArray[np.float64]], float | None]] = {
    "elapsed": (_days, None),
    "year": (_year, None),
    "month": (_month, 12.0),
    "weekday": (_weekday, 7.0),
    "hour": (_hour, 24.0),
}
"""The parts of a date: a function from dates to numbers, and the period, None for a part that is not periodic."""

_DAY_OF_MONTH = "day of month"


def numbers_of_dates(dates: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Return each part of some dates, and the day of the month, as a column (n_dates, 1)."""
    numbers = {part: number_of(dates) for part, (number_of, _) in DATE_PARTS.items()} | {_DAY_OF_MONTH: _day(dates)}
    return {part: number[:, None] for part, number in numbers.items()}

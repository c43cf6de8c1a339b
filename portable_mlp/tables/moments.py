"""Mean and standard deviation of columns, from all rows at once or from blocks of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

_MOST_EXPONENT = 1000
"""Two to this power, and to its negative, are well within the range of float64."""

_ROUNDING = 4 * float(np.finfo(np.float64).eps)
"""Largest relative difference between roundings of one number."""


class Moments(NamedTuple):
    """Moments of some rows of numbers, column by column.

    Attributes
    ----------
    n_rows : int
        Number of rows, at least 1.
    low, high : ndarray of shape (n_columns,), float64
        Minimum and maximum of each column.
    mean, rest : ndarray of shape (n_columns,), float64
        Mean of each column, rounded, and its rounding error, which counts where a mean is large beside the deviation.
    squares : ndarray of shape (n_columns,), float64
        Sum of squared deviations from the mean of each column, in units of ``4**exponent``.
    exponent : ndarray of shape (n_columns,), int
        Exponent of the power of two by which deviations are divided before they are squared: squares of numbers near
        1e200 would overflow, and those near 1e-200 become 0. Division by a power of two is exact.
    """

    n_rows: int
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    rest: np.ndarray
    squares: np.ndarray
    exponent: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> Self:
        """Return the moments of rows (n_rows, n_columns), in two corrected passes (Chan, Golub and LeVeque 1983, 1.7).

        Results too large for float64 become infinite or NaN.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            x = np.asarray(x, dtype=np.float64)
            low, high = x.min(axis=0), x.max(axis=0)
            rough = _rough_mean(x)
            deviations = x - rough
            exponent = _exponent(np.maximum(high - rough, rough - low))
            deviations *= np.ldexp(1.0, -exponent)
            step = deviations.mean(axis=0)
            squares = np.square(deviations, out=deviations).sum(axis=0) - len(x) * np.square(step)
            step = np.ldexp(step, exponent)
            mean = rough + step
            return cls(len(x), low, high, mean, step - (mean - rough), squares, exponent)

    def with_more(self, more: Self) -> Self:
        """Return the moments of these and further rows (Chan, Golub and LeVeque 1983, 2.1)."""
        with np.errstate(over="ignore", invalid="ignore"):
            n_rows = self.n_rows + more.n_rows
            delta = (more.mean - self.mean) + (more.rest - self.rest)
            step = self.rest + delta * (more.n_rows / n_rows)
            mean = self.mean + step
            exponent = np.maximum(np.maximum(self.exponent, more.exponent), _exponent(np.abs(delta)))
            between = np.square(np.ldexp(delta, -exponent)) * (self.n_rows * more.n_rows / n_rows)
            return type(self)(
                n_rows,
                np.minimum(self.low, more.low),
                np.maximum(self.high, more.high),
                mean,
                step - (mean - self.mean),
                self.squares_in(exponent) + more.squares_in(exponent) + between,
                exponent,
            )

    def squares_in(self, exponent: np.ndarray) -> np.ndarray:
        """Return the sums of squared deviations in units of ``4**exponent``."""
        return np.ldexp(self.squares, 2 * (self.exponent - exponent))

    def mean_and_scale(self, names: Sequence[str]) -> tuple[list[float], list[float]]:
        """Return the mean and the standard deviation of each column; the scale of a constant column is 1.

        Raises
        ------
        ValueError
            If the numbers of a column are too large to be scaled; the message names it.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            constant = self.high - self.low <= _ROUNDING * np.maximum(np.abs(self.low), np.abs(self.high))
            scale = np.ldexp(np.sqrt(self.squares / self.n_rows), self.exponent)
            scale = np.where(constant | (scale == 0.0), 1.0, scale)
            fits = np.isfinite(scale) & np.isfinite(self.high - self.mean) & np.isfinite(self.mean - self.low)
        for j in np.flatnonzero(~fits).tolist():
            raise ValueError(
                f"the numbers of column {names[j]!r} are too large to be scaled: their differences overflow"
            )
        return self.mean.tolist(), scale.tolist()


class RunningMoments:
    """The moments of rows that come block by block.

    Attributes
    ----------
    n_rows : int
        Number of rows so far.
    moments : Moments
        Their moments, once there are rows.
    """

    moments: Moments

    def __init__(self) -> None:
        self.n_rows = 0

    def add(self, x: np.ndarray) -> None:
        """Add rows (n_rows, n_columns), perhaps none."""
        if len(x):
            more = Moments.of(x)
            self.moments = self.moments.with_more(more) if self.n_rows else more
            self.n_rows += len(x)


def _rough_mean(x: np.ndarray) -> np.ndarray:
    """Return a first approximation of the mean of each column, even where the sum of its numbers overflows."""
    rough: np.ndarray = x.mean(axis=0)
    large = np.flatnonzero(~np.isfinite(rough))
    if len(large):
        rough[large] = np.ldexp(np.ldexp(x[:, large], -64).mean(axis=0), 64)
    return rough


def _exponent(largest: np.ndarray) -> np.ndarray:
    """Return the exponent of the power of two to divide by, for numbers of this size; the lowest for constants."""
    exponent = np.where(largest > 0, np.frexp(largest)[1], -_MOST_EXPONENT)
    return np.clip(exponent, -_MOST_EXPONENT, _MOST_EXPONENT)

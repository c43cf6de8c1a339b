"""Mean and deviation of columns, of all rows at once or of some at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

_MOST_EXPONENT = 1000
"""Two to this power, and to its negative, are numbers of float64 and far from its ends."""

_ROUNDING = 4 * float(np.finfo(np.float64).eps)
"""Numbers that differ by no more than this part of them are one number, written by several computations."""


class Moments(NamedTuple):
    """What is known of some rows of numbers, column by column.

    Attributes
    ----------
    n_rows : int
        How many rows, at least one.
    low, high : ndarray of shape (n_columns,), float64
        The least and the greatest number of each column.
    mean, rest : ndarray of shape (n_columns,), float64
        Of each column the mean, rounded, and what rounding left of it: a column may be far from 0 for its deviation.
    squares : ndarray of shape (n_columns,), float64
        Of each column, the sum of squared deviations from the mean, in units of ``4**exponent``.
    exponent : ndarray of shape (n_columns,), int
        Of the power of two that deviations are divided by before they are squared, so that the squares of numbers near
        1e200 do not overflow and those of numbers near 1e-200 are not 0. A power of two changes no digit.
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

        What is too large for float64 becomes infinite or NaN.
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
        """Return the moments of these rows and others together (Chan, Golub and LeVeque 1983, 2.1)."""
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
        """Return each column's mean and deviation; a constant column has the scale 1, and becomes 0.

        Raises
        ------
        ValueError
            If a column's numbers are too large to be scaled; names it.
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


def _rough_mean(x: np.ndarray) -> np.ndarray:
    """Return the mean of each column as far as a sum gives it, also where that of the numbers themselves overflows."""
    rough: np.ndarray = x.mean(axis=0)
    large = np.flatnonzero(~np.isfinite(rough))
    if len(large):
        rough[large] = np.ldexp(np.ldexp(x[:, large], -64).mean(axis=0), 64)
    return rough


def _exponent(largest: np.ndarray) -> np.ndarray:
    """Return the power of two to divide by for numbers of this size, the lowest for columns of equal numbers."""
    exponent = np.where(largest > 0, np.frexp(largest)[1], -_MOST_EXPONENT)
    return np.clip(exponent, -_MOST_EXPONENT, _MOST_EXPONENT)

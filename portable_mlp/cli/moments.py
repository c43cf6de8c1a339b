"""Mean and deviation of columns, of all rows at once or of some at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np


class Moments(NamedTuple):
    """What is known of some rows of numbers, column by column.

    Attributes
    ----------
    n_rows : int
        How many rows, at least one.
    mean, rest : ndarray of shape (n_columns,), float64
        Of each column the mean, rounded, and what rounding left of it: a column may be far from 0 for its deviation.
    squares : ndarray of shape (n_columns,), float64
        Of each column, the sum of squared deviations from the mean.
    """

    n_rows: int
    mean: np.ndarray
    rest: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> Self:
        """Return the moments of rows (n_rows, n_columns), in two corrected passes (Chan, Golub and LeVeque 1983, 1.7).

        What is too large for float64 becomes infinite or NaN.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            x = np.asarray(x, dtype=np.float64)
            rough = x.mean(axis=0)
            deviations = x - rough
            step = deviations.mean(axis=0)
            mean = rough + step
            squares = np.square(deviations, out=deviations).sum(axis=0) - len(x) * np.square(step)
            return cls(len(x), mean, step - (mean - rough), squares)

    def with_more(self, more: Self) -> Self:
        """Return the moments of these rows and others together (Chan, Golub and LeVeque 1983, 2.1)."""
        with np.errstate(over="ignore", invalid="ignore"):
            n_rows = self.n_rows + more.n_rows
            delta = (more.mean - self.mean) + (more.rest - self.rest)
            step = self.rest + delta * (more.n_rows / n_rows)
            mean = self.mean + step
            between = np.square(delta) * (self.n_rows * more.n_rows / n_rows)
            return type(self)(n_rows, mean, step - (mean - self.mean), self.squares + more.squares + between)

    def mean_and_scale(self, names: Sequence[str]) -> tuple[list[float], list[float]]:
        """Return each column's mean and deviation; a constant column has the scale 1, and becomes 0.

        Raises
        ------
        ValueError
            If a column's numbers are too large to be scaled; names it.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            variance = self.squares / self.n_rows
            for j in np.flatnonzero(~np.isfinite(variance)).tolist():
                raise ValueError(
                    f"the numbers of column {names[j]!r} are too large to be scaled: their squares overflow"
                )
            # Rounding gives equal numbers a deviation of its own, which must not be divided by (Chan et al. 1983).
            eps = np.finfo(np.float64).eps
            constant = variance <= self.n_rows * eps * variance + (self.n_rows * self.mean * eps) ** 2
        return self.mean.tolist(), np.where(constant, 1.0, np.sqrt(variance)).tolist()

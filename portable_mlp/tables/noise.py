"""How much of a quantity its columns leave unexplained, as far as a linear model tells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["unexplained_share"]

RIDGE_PENALTIES = np.logspace(-2.0, 4.0, 13)
"""The penalties of ridge regression, of which the best is taken."""

LEAST = 0.05
"""The smallest share of the variance: what a linear model explains wholly may still be noisy elsewhere."""


def unexplained_share(inputs: NDArray[np.float64], targets: NDArray[np.float64]) -> float:
    """Return the deviation of the leave-one-out residuals of ridge regression, as a share of that of the targets.

    With centred inputs ``X = U S V'``, a penalty p and ``H = U S^2 / (S^2 + p) U'``, the residual of row i is
    ``(Y - H Y)_i / (1 - 1/n - H_ii)``.

    Parameters
    ----------
    inputs : ndarray of shape (n_rows, n_inputs)
        Encoded rows, at least two.
    targets : ndarray of shape (n_rows, n_outputs)
        Standardised targets of these rows.

    Returns
    -------
    float
        From 0.22 to 1.0, in two digits: bits that a BLAS rounds otherwise do not change it.

    Examples
    --------
    >>> x = np.arange(10.0)[:, None]
    >>> unexplained_share(x, 2.0 * x), unexplained_share(x, np.array([[1.0], [-1.0]] * 5))
    (0.22, 1.0)
    """
    n_rows = len(inputs)
    Y = targets - targets.mean(axis=0)
    variance = float(np.square(Y).mean())
    if variance == 0.0:
        return 1.0
    try:
        U, squares_of_s = _axes(inputs - inputs.mean(axis=0))
    except np.linalg.LinAlgError:  # it does not converge: nothing is known
        return 1.0
    kept = squares_of_s / (squares_of_s + RIDGE_PENALTIES[:, None])
    projected, squares = U.T @ Y, np.square(U)
    errors = (
        float(np.square((Y - U @ (part[:, None] * projected)) / (1.0 - 1.0 / n_rows - squares @ part)[:, None]).mean())
        for part in kept
    )
    return round(min(max(min(errors) / variance, LEAST), 1.0) ** 0.5, 2)


def _axes(X: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return U and the squares of S, for ``X = U S V'``."""
    n_rows, n_columns = X.shape
    if n_columns <= n_rows:
        U, s, _ = np.linalg.svd(X, full_matrices=False)
        return U, np.square(s)
    squares, U = np.linalg.eigh(X @ X.T)  # a tenth of the time where columns are many
    return U, np.maximum(squares, 0.0)

"""Calibration: mean predictions and mean observations in groups of rows with similar predictions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Calibration", "calibration", "confidences"]


class Calibration(NamedTuple):
    """Groups of rows, those with the smallest predictions first.

    Attributes
    ----------
    predicted, observed : ndarray of shape (n_groups,), float64
        The mean of the predictions and of the observations of each group.
    n_rows : ndarray of shape (n_groups,), int64
        The number of rows of each group.
    """

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    n_rows: NDArray[np.int64]


def calibration(predicted: NDArray[np.float64], observed: NDArray[np.float64], n_groups: int = 10) -> Calibration:
    """Return the calibration of predictions in groups between their quantiles.

    The groups are those of scikit-learn's ``calibration_curve(strategy="quantile")``; equal predictions share a group,
    and a group without rows is left out.

    Parameters
    ----------
    predicted : ndarray of shape (n_rows,)
        Predicted probabilities, or predicted quantities.
    observed : ndarray of shape (n_rows,)
        1 where the event took place and 0 elsewhere, or quantities.
    n_groups : int
        The number of groups.

    Examples
    --------
    >>> calibration(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.0, 0.0, 1.0, 1.0]), 2).observed.tolist()
    [0.0, 1.0]
    """
    edges = np.quantile(predicted, np.linspace(0.0, 1.0, n_groups + 1)[1:-1])
    group = np.searchsorted(edges, predicted)
    counts = np.bincount(group, minlength=n_groups)
    there = counts > 0
    predicted_sums, observed_sums = (np.bincount(group, x, minlength=n_groups)[there] for x in (predicted, observed))
    return Calibration(predicted_sums / counts[there], observed_sums / counts[there], counts[there])


def confidences(
    proba: NDArray[np.float64], codes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probability of the second of two classes, else of the predicted class, and whether it was correct.

    Parameters
    ----------
    proba : ndarray of shape (n_rows, n_classes)
        The predicted probabilities of all classes.
    codes : ndarray of shape (n_rows,), int64
        The number of the true class of each row.

    Returns
    -------
    predicted, observed : ndarray of shape (n_rows,), float64
        The probability; 1 where it belongs to the true class, else 0.
    """
    if proba.shape[1] == 2:
        return proba[:, 1], (codes == 1).astype(np.float64)
    answers = np.argmax(proba, axis=1)
    return proba[np.arange(len(proba)), answers], (answers == codes).astype(np.float64)

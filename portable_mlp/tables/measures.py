"""Measures of predictions: their names and formulas.

The formulas are those of ``sklearn.metrics``, in float64 on the host. What training validates by, on the device and a
block at a time, is `portable_mlp.training.evaluation`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..training.evaluation import r2
from .targets import class_names

__all__ = ["MEASURES", "Labels", "Measure", "class_measures", "quantity_measures", "score_text"]


class Measure(NamedTuple):
    """The description of a score.

    Attributes
    ----------
    words : str
        Its name for people.
    sign : float
        1 where more is better, -1 where less is.
    """

    words: str
    sign: float = 1.0


MEASURES = {
    "accuracy": Measure("accuracy"),
    "balanced_accuracy": Measure("balanced accuracy"),
    "roc_auc": Measure("ROC AUC"),
    "log_loss": Measure("log loss", -1.0),
    "r2": Measure("R²"),
    "mae": Measure("MAE", -1.0),
    "rmse": Measure("RMSE", -1.0),
}
"""All scores by their names: those of classes, then those of quantities."""


def score_text(value: float, digits: int = 4) -> str:
    """Return a score as text: some significant digits, whole numbers if it is large, a dash if it is not defined.

    >>> score_text(0.123456), score_text(1234567.8), score_text(math.nan), score_text(0.123456, 2), score_text(141.0, 2)
    ('0.1235', '1,234,568', '-', '0.12', '141')
    """
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if 10**digits <= abs(value) < 1e15 else f"{value:.{digits}g}"


class Labels(NamedTuple):
    """True classes as integer codes.

    Attributes
    ----------
    names : list
        The classes of the model, then the unknown ones, sorted.
    codes : ndarray of shape (n_rows,), int64
        The code of each row.
    """

    names: list[Any]
    codes: NDArray[np.int64]

    @classmethod
    def of(cls, y: NDArray[Any], classes: Sequence[Any]) -> Labels:
        """Return the codes of the classes ``y``."""
        code = {name: i for i, name in enumerate(classes)}
        present = class_names(y)
        for name in present:
            code.setdefault(name, len(code))
        _, numbers = np.unique(y, return_inverse=True)
        return cls(list(code), np.array([code[name] for name in present], dtype=np.int64)[numbers])

    @property
    def counts(self) -> NDArray[np.int64]:
        """The number of rows of each class."""
        return np.bincount(self.codes, minlength=len(self.names))

    def confusion(self, proba: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the confusion matrix."""
        n = len(self.names)
        return np.bincount(n * self.codes + np.argmax(proba, axis=1), minlength=n * n).reshape(n, n)


def class_measures(labels: Labels, proba: NDArray[np.float64]) -> dict[str, float]:
    """Return the scores of predicted probabilities (n_rows, n_classes) of the classes that the model knows."""
    right = np.argmax(proba, axis=1) == labels.codes
    counts = labels.counts
    recalls = np.bincount(labels.codes, right, minlength=len(counts))[counts > 0] / counts[counts > 0]
    return {
        "accuracy": float(np.mean(right)),
        "balanced_accuracy": float(np.mean(recalls)),
        "roc_auc": _mean_roc_auc(labels, proba),
        "log_loss": _log_loss(labels, proba),
    }


def _log_loss(labels: Labels, proba: NDArray[np.float64]) -> float:
    """Return the mean of -log p of the true class; p stays away from 0 and 1 by the spacing of float64."""
    least = np.finfo(np.float64).eps
    known = labels.codes < proba.shape[1]
    of_truth = np.where(known, proba[np.arange(len(proba)), np.where(known, labels.codes, 0)], 0.0)
    return float(np.mean(-np.log(np.clip(of_truth, least, 1.0 - least))))


def _mean_roc_auc(labels: Labels, proba: NDArray[np.float64]) -> float:
    """Return the area under the curve of the second of two classes, else the mean over each class against the rest.

    Classes that no row has, or every row, have no curve.
    """
    counts = labels.counts
    n_classes = len(counts)
    compared = [1] if n_classes == 2 else range(n_classes)
    areas = [
        _roc_auc(labels.codes == k, proba[:, k] if k < proba.shape[1] else np.zeros(len(proba)))
        for k in compared
        if 0 < counts[k] < len(proba)
    ]
    return float(np.mean(areas)) if areas else math.nan


def _roc_auc(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Return the probability that a positive row has the larger score, ties counted half (Mann and Whitney 1947)."""
    _, place, ties = np.unique(score, return_inverse=True, return_counts=True)
    ranks = np.cumsum(ties) - (ties - 1) / 2
    n_positive = int(np.count_nonzero(positive))
    n_pairs = n_positive * (len(score) - n_positive)
    return float((ranks[place][positive].sum() - n_positive * (n_positive + 1) / 2) / n_pairs)


def quantity_measures(y: NDArray[np.float64], predictions: NDArray[np.float64]) -> dict[str, float]:
    """Return the scores of predicted quantities (n_rows, n_outputs), averaged over the outputs."""
    errors = y - predictions
    residual, variation = np.sum(errors**2, axis=0), np.sum((y - y.mean(axis=0)) ** 2, axis=0)
    return {
        "r2": float(r2(np, residual, variation)) if len(y) > 1 else math.nan,
        "mae": float(np.mean(np.abs(errors))),
        "rmse": float(np.mean(np.sqrt(residual / len(y)))),
    }

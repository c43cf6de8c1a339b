"""Scores of predictions beside those of a baseline, a constant prediction fitted to the training targets."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .baseline import Baseline
from .measures import MEASURES, Labels, class_measures, quantity_measures, score_text
from .targets import numeric_targets

__all__ = [
    "ClassScores",
    "Scores",
    "averaged",
    "baseline_scores",
    "class_scores",
    "over_folds",
    "quantity_scores",
]


class ClassScores(NamedTuple):
    """The scores of one class.

    Attributes
    ----------
    name : str, int, float or bool
        The class, as the targets have it.
    n_rows : int
        The number of rows of this class.
    precision : float
        The share of correct predictions among the rows that are predicted as this class; NaN where there are none.
    recall : float
        The share of correct predictions among the rows of this class; NaN where there are none.
    f1 : float
        The harmonic mean of the two; NaN where the class neither occurs nor is predicted.
    """

    name: Any
    n_rows: int
    precision: float
    recall: float
    f1: float


class Scores(NamedTuple):
    """The scores of a model on some rows.

    Attributes
    ----------
    n_rows : int
        The number of rows.
    model, baseline : mapping from str to float
        The scores by their names in `MEASURES`; NaN where one is not defined, as ROC AUC of rows of a single class.
    baseline_name : str
        A description of the constant prediction.
    by_class : tuple of ClassScores
        One entry for each class of the model, in order, then for each unknown class; empty for quantities.
    confusion : ndarray of shape (n_classes, n_classes), int64, or None
        The number of rows of each class (first axis) that were predicted as each class (second axis).
    n_unknown : int
        The number of rows of unknown classes.
    spread : mapping from str to float, or None
        The standard deviation of the model's scores over folds, of which ``model`` and ``baseline`` have the means.
    """

    n_rows: int
    model: Mapping[str, float]
    baseline: Mapping[str, float]
    baseline_name: str
    by_class: tuple[ClassScores, ...] = ()
    confusion: NDArray[np.int64] | None = None
    n_unknown: int = 0
    spread: Mapping[str, float] | None = None

    @property
    def warning(self) -> str | None:
        """A sentence that names the scores that are not better than the baseline's; None if there are none."""
        behind = [
            f"{measure.words} {score_text(self.model[name])} against {score_text(self.baseline[name])}"
            for name, measure in MEASURES.items()
            if name in self.model and measure.sign * self.model[name] <= measure.sign * self.baseline[name]
        ]
        if not behind:
            return None
        return f"the model is not better than the baseline ({self.baseline_name}): {', '.join(behind)}"

    def to_json(self) -> dict[str, Any]:
        """Return the scores as JSON values; those that are not defined are NaN."""
        described: dict[str, Any] = {
            "rows": self.n_rows,
            "scores": dict(self.model),
            "baseline": dict(self.baseline),
            "baseline_is": self.baseline_name,
            "warning": self.warning,
        }
        if self.spread is not None:
            described["spread"] = dict(self.spread)
        if self.confusion is not None:
            described["classes"] = [one._asdict() for one in self.by_class]
            described["confusion_matrix"] = self.confusion.tolist()
            described["rows_of_unknown_classes"] = self.n_unknown
        return described


def class_scores(y: NDArray[Any], proba: NDArray[np.float64], classes: Sequence[Any], baseline: Baseline) -> Scores:
    """Return the scores of predicted probabilities.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        The true classes; at least one row. An unknown class has the probability 0.
    proba : ndarray of shape (n_rows, n_classes), float64
        The predicted probabilities; the most probable class is the prediction.
    classes : sequence of length n_classes
        The classes of the model, in the order of the columns.
    baseline : Baseline
        The baseline to compare with.

    Examples
    --------
    >>> y, proba = np.array(["a", "b", "b"]), np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> scores = class_scores(y, proba, ["a", "b"], Baseline.of(y, ["a", "b"], "these rows"))
    >>> scores.model["roc_auc"], scores.confusion.tolist()
    (1.0, [[1, 0], [1, 1]])
    """
    assert baseline.shares is not None
    labels = Labels.of(y, classes)
    n_known, n_rows = len(classes), len(labels.codes)
    confusion = labels.confusion(proba)
    shares = np.broadcast_to(np.asarray(baseline.shares), (n_rows, n_known))
    return Scores(
        n_rows,
        class_measures(labels, proba),
        class_measures(labels, shares),
        f"always {classes[int(np.argmax(baseline.shares))]!r}, the largest class of {baseline.rows}",
        _by_class(labels.names, confusion),
        confusion,
        int(np.count_nonzero(labels.codes >= n_known)),
    )


def quantity_scores(y: NDArray[Any], predictions: NDArray[Any], baseline: Baseline) -> Scores:
    """Return the scores of predicted quantities, averaged over the outputs.

    Parameters
    ----------
    y, predictions : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        The true and the predicted quantities; at least one row.
    baseline : Baseline
        The baseline to compare with.
    """
    y = numeric_targets(y, "regression")
    by_mean = quantity_measures(y, np.asarray(baseline.mean))
    by_median = quantity_measures(y, np.asarray(baseline.median))
    name = f"always the mean of {baseline.rows}, for MAE the median"
    return Scores(
        len(y),
        quantity_measures(y, numeric_targets(predictions, "regression")),
        by_mean | {"mae": by_median["mae"]},
        name,
    )


def baseline_scores(y: NDArray[Any], classes: Sequence[Any] | None, baseline: Baseline) -> Mapping[str, float]:
    """Return the scores of the baseline itself; ``classes`` as in `class_scores`, None for quantities.

    >>> y = np.array([1.0, 3.0])
    >>> baseline_scores(y, None, Baseline.of(y, None))
    {'r2': 0.0, 'mae': 1.0, 'rmse': 1.0}
    """
    constant = np.asarray(baseline.mean if classes is None else baseline.shares, dtype=np.float64)
    answers = np.broadcast_to(constant, (len(y), len(constant)))
    scores = quantity_scores(y, answers, baseline) if classes is None else class_scores(y, answers, classes, baseline)
    return scores.baseline


def averaged(folds: Sequence[Scores]) -> Scores:
    """Return the mean of the scores over folds, and their spread; confusion matrices are added up.

    The mean of a score leaves out folds for which it is not defined.
    """
    names = list(dict.fromkeys(one.name for scores in folds for one in scores.by_class))
    together = Scores(
        sum(scores.n_rows for scores in folds),
        over_folds([scores.model for scores in folds], np.mean),
        over_folds([scores.baseline for scores in folds], np.mean),
        folds[0].baseline_name
        if len({scores.baseline_name for scores in folds}) == 1
        else "always the largest class of the training rows of each fold",
        n_unknown=sum(scores.n_unknown for scores in folds),
        spread=over_folds([scores.model for scores in folds], np.std),
    )
    if not names:
        return together
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    for scores in folds:
        places = [names.index(one.name) for one in scores.by_class]
        confusion[np.ix_(places, places)] += np.asarray(scores.confusion)
    return together._replace(by_class=_by_class(names, confusion), confusion=confusion)


def over_folds(folds: Sequence[Mapping[str, float]], statistic: Callable[[list[float]], Any]) -> dict[str, float]:
    """Return a statistic of each score over the folds for which it is defined; NaN if there are none.

    >>> over_folds([{"r2": 0.5}, {"r2": math.nan}, {"r2": 1.0}], np.mean)
    {'r2': 0.75}
    """
    defined = {name: [scores[name] for scores in folds if not math.isnan(scores[name])] for name in folds[0]}
    return {name: float(statistic(values)) if values else math.nan for name, values in defined.items()}


def _by_class(names: Sequence[Any], confusion: NDArray[np.int64]) -> tuple[ClassScores, ...]:
    right, true, predicted = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):
        scores = (true, right / predicted, right / true, 2 * right / (true + predicted))
    return tuple(ClassScores(*each) for each in zip(names, *(x.tolist() for x in scores), strict=True))

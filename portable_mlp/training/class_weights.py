"""The weights of classes: learnt from the labels of the training data, then applied to any samples."""

from __future__ import annotations

from typing import Any

import numpy as np

UNSEEN = 1.0
"""The balanced weight of a class that the training data lack: one of several labels that no sample has."""


class ClassWeights:
    """The weights of the classes of a training set.

    Parameters
    ----------
    class_weight : dict, "balanced", or list of dicts
        As the classifier's parameter.
    classes : sequence, or ndarray, of shape (n_classes,)
        All known classes, in order.
    y : ndarray or sparse matrix of shape (n_samples,) or (n_samples, n_labels)
        Labels of the training data, from which "balanced" is learnt.
    sample_weight : ndarray of shape (n_samples,), optional
        The weights with which "balanced" counts samples, as ``compute_class_weight`` does since scikit-learn 1.6.

    Raises
    ------
    ValueError
        As scikit-learn's ``compute_sample_weight``, or if a list is given for a single label.
    """

    def __init__(self, class_weight: Any, classes: Any, y: Any, sample_weight: Any = None) -> None:
        self._classes, self._several = np.asarray(classes), y.ndim > 1
        numbers = self._class_numbers(y)
        outputs_classes = [np.arange(2)] * len(classes) if self._several else [self._classes]
        given = _for_each_output(class_weight, len(outputs_classes), several=self._several)
        self._by_output = [
            _balanced(column, len(known), sample_weight) if asked == "balanced" else _given(asked, known)
            for asked, known, column in zip(given, outputs_classes, numbers.T, strict=True)
        ]

    def of_samples(self, y: Any) -> np.ndarray:
        """Return the weights (n_samples,) of samples with these labels: for several labels the product."""
        pairs = zip(self._by_output, self._class_numbers(y).T, strict=True)
        weights: np.ndarray = np.prod([by_class[column] for by_class, column in pairs], axis=0, dtype=np.float64)
        return weights

    def _class_numbers(self, y: Any) -> np.ndarray:
        """Return the place of each sample's class, (n_samples, n_outputs)."""
        if not self._several:
            return np.searchsorted(self._classes, y)[:, None]
        return (np.asarray(y.toarray() if hasattr(y, "toarray") else y) != 0).astype(np.intp)


def asks_for_balance(class_weight: Any) -> bool:
    """Return whether weights are to be learnt from the labels."""
    given = class_weight if isinstance(class_weight, list) else [class_weight]
    return any(isinstance(asked, str) for asked in given)


def _for_each_output(class_weight: Any, n_outputs: int, *, several: bool) -> list[Any]:
    if isinstance(class_weight, str):
        return [class_weight] * n_outputs
    if not several:
        if isinstance(class_weight, list):
            raise ValueError("class_weight is a list, which is for several labels: a dict weighs the classes of one")
        return [class_weight]
    if isinstance(class_weight, dict):
        raise ValueError("For multi-output, class_weight should be a list of dicts, or the string 'balanced'.")
    if len(class_weight) != n_outputs:
        raise ValueError(
            "For multi-output, number of elements in class_weight should match number of outputs. Got "
            f"{len(class_weight)} element(s) while having {n_outputs} outputs."
        )
    return list(class_weight)


def _balanced(numbers: np.ndarray, n_classes: int, sample_weight: np.ndarray | None) -> np.ndarray:
    """Return ``n_samples / (n_classes_seen * count)`` of each class; samples count as much as they weigh."""
    counts = np.bincount(numbers, sample_weight, minlength=n_classes)
    seen = counts > 0
    return np.where(seen, counts.sum() / (np.count_nonzero(seen) * np.where(seen, counts, 1)), UNSEEN)


def _given(class_weight: dict[Any, float] | None, classes: np.ndarray) -> np.ndarray:
    """Return the weight of each class that is known, of which a call of partial_fit need not see every one.

    scikit-learn's ``compute_class_weight`` looks for the number 1 where the class is the text "1".
    """
    weights, labels = class_weight or {}, classes.tolist()
    without = [label for label in labels if label not in weights]
    if without and len(labels) - len(without) != len(weights):
        raise ValueError(f"The classes, {without}, are not in class_weight")
    return np.asarray([float(weights.get(label, 1.0)) for label in labels])

"""scikit-learn's label binarizers: fitted to targets, or made of classes that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import unique_labels


def few_whole_numbers(y: Any) -> np.ndarray | None:
    """Return the classes of a vector of whole numbers, in order; None for other targets, and where classes are many.

    scikit-learn accepts the vector as it is: its look at all kinds of targets takes longer than a small epoch.
    Where classes are many, some of its versions warn.
    """
    if type(y) is not np.ndarray or y.ndim != 1 or y.dtype != int:
        return None
    classes = np.unique(y)
    return classes if 2 * len(classes) < len(y) else None


def labels_in(y: Any) -> np.ndarray:
    """Return the labels of targets, each once, in order."""
    classes = few_whole_numbers(y)
    return unique_labels(y) if classes is None else classes


def binarizer_of(y: Any) -> LabelBinarizer:
    """Return the binarizer fitted to y."""
    classes = few_whole_numbers(y)
    return LabelBinarizer().fit(y) if classes is None else binarizer_with(classes)


def binarizer_with(classes: np.ndarray, *, multilabel: bool = False, sparse: bool = False) -> LabelBinarizer:
    """Return the binarizer fitted to targets of some classes, in order."""
    binarizer = LabelBinarizer()
    binarizer.y_type_ = "multiclass" if len(classes) > 2 else "binary"
    if multilabel:
        binarizer.y_type_ = "multilabel-indicator"
    binarizer.sparse_input_, binarizer.classes_ = sparse, classes
    return binarizer

"""scikit-learn's label binarizers: fitted to targets, or made of classes that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import LabelBinarizer


def binarizer_of(y: Any) -> LabelBinarizer:
    """Return the binarizer fitted to y; for whole numbers without scikit-learn's look at all kinds of targets."""
    if type(y) is np.ndarray and y.ndim == 1 and y.dtype == int:
        classes = np.unique(y)
        if 2 * len(classes) < len(y):  # where classes are many, scikit-learn warns
            return binarizer_with(classes)
    return LabelBinarizer().fit(y)


def binarizer_with(classes: np.ndarray, *, multilabel: bool = False, sparse: bool = False) -> LabelBinarizer:
    """Return the binarizer fitted to targets of some classes, in order."""
    binarizer = LabelBinarizer()
    binarizer.y_type_ = "multiclass" if len(classes) > 2 else "binary"
    if multilabel:
        binarizer.y_type_ = "multilabel-indicator"
    binarizer.sparse_input_, binarizer.classes_ = sparse, classes
    return binarizer

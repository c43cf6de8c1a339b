"""What is read from a data file."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Table", "TargetKind"]

TargetKind = Literal["any", "unmixed", "numbers"]
"""What the targets may be: classes, as numbers or texts; the same, or a quantity, but no numbers with a few texts among
them; numbers alone."""


class Table(NamedTuple):
    """The content of a data file.

    Attributes
    ----------
    X : numpy.ndarray of shape (n_samples, n_features), float64
        Features, C-contiguous, all finite.
    y : numpy.ndarray of shape (n_samples,) or (n_samples, n_outputs), or None
        Targets; None in a table read for prediction. From text files: int64 where every target is a whole number,
        else float64 where every target is a number, else str; str also for codes such as 007, which numbers would not
        give back. From arrays: whatever the array holds (bool, integer, float or str).
    feature_names : tuple of str
        One name per column of ``X``: the header, or ``"x0"``, ``"x1"``, ... for arrays.
    target_name : str or None
        Name of the target column; None for arrays and in a table read for prediction.
    """

    X: NDArray[np.float64]
    y: NDArray[Any] | None
    feature_names: tuple[str, ...]
    target_name: str | None

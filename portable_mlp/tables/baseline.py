"""The baseline of a model: a constant prediction fitted to the training targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..storage.json_values import are_numbers
from .measures import Labels
from .targets import numeric_targets

__all__ = ["Baseline"]


class Baseline(NamedTuple):
    """The baseline of a model: constant predictions, fitted to the training targets.

    Attributes
    ----------
    shares : list of float or None
        The share of each class among the training rows, in the order of the classes; None for quantities. The
        prediction is the class with the largest share; the shares are the probabilities.
    mean, median : list of float or None
        The mean and the median of each target over the training rows; None for classes. The prediction is the mean; the
        median for MAE.
    rows : str
        A description of the training rows.
    """

    shares: list[float] | None = None
    mean: list[float] | None = None
    median: list[float] | None = None
    rows: str = "the training rows"

    @classmethod
    def of(cls, y: NDArray[Any], classes: Sequence[Any] | None, rows: str = "the training rows") -> Baseline:
        """Return the baseline of targets (n_rows,) or (n_rows, n_outputs); ``classes`` as in `class_scores`.

        >>> Baseline.of(np.array(["a", "b", "a", "a"]), ["a", "b"]).shares
        [0.75, 0.25]
        >>> Baseline.of(np.array([1.0, 2.0, 6.0]), None)[:3]
        (None, [3.0], [2.0])
        """
        if classes is None:
            columns = numeric_targets(y, "regression")
            return cls(None, columns.mean(axis=0).tolist(), np.median(columns, axis=0).tolist(), rows)
        counts = np.bincount(Labels.of(y, classes).codes, minlength=len(classes))[: len(classes)]
        return cls((counts / max(1, counts.sum())).tolist(), rows=rows)

    def to_metadata(self) -> dict[str, Any]:
        """Return the entry of the metadata of a model file."""
        return {name: value for name, value in self._asdict().items() if name != "rows" and value is not None}

    @classmethod
    def from_metadata(cls, described: Any, n_outputs: int, *, classification: bool) -> Baseline | None:
        """Return the baseline of an entry of the metadata; None if it is not one of such a model."""
        names = ("shares",) if classification else ("mean", "median")
        if not isinstance(described, dict) or described.keys() != set(names):
            return None
        return cls(**described) if all(are_numbers(described[name], n_outputs) for name in names) else None

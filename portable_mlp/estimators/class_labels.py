"""The labels of classes: learnt from targets, encoded for the network, and decoded from its outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import get_config

from ..backends import Backend, backend_of
from ..kernels.arrays import Array
from .base import BaseMLP
from .binarizers import binarizer_of, labels_in
from .inputs import Inputs, is_foreign, on_host
from .problem import FitProblem


class ClassLabels(BaseMLP):
    """An estimator whose targets are labels: ``classes_`` are the different ones, in order."""

    @property
    def _labels(self) -> np.ndarray:
        """``classes_`` on the host, from any library."""
        return np.asarray(on_host(self.classes_))

    def _prepared(self, backend: Backend, X: Any, y: Any, *arguments: Any) -> tuple[FitProblem, Array]:
        prepared = super()._prepared(backend, X, y, *arguments)
        if get_config()["array_api_dispatch"]:
            self.classes_ = _as_targets(y, self._labels)
        return prepared

    def _learnt_and_encoded(self, y: Any, *, incremental: bool) -> np.ndarray:
        if hasattr(self, "classes_") and (self.warm_start or incremental):
            self._check_known(labels_in(y))
        else:
            self._label_binarizer = binarizer_of(y)
            self.classes_ = self._label_binarizer.classes_
        return self._numbered(y)

    def _check_known(self, classes: np.ndarray) -> None:
        known = self._labels
        if self.warm_start and set(classes) != set(known):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously "
                f"got {known}, `y` has {classes}"
            )
        if len(np.setdiff1d(classes, known, assume_unique=True)):
            raise ValueError(f"`y` has classes not in `self.classes_`. `self.classes_` has {known}. 'y' has {classes}.")

    def _encoded(self, y: Any) -> np.ndarray:
        unknown = np.setdiff1d(labels_in(y), self._labels)
        if len(unknown):
            raise ValueError(f"the validation data have the classes {unknown}, which the training data have not")
        return self._numbered(y)

    def _numbered(self, y: Any) -> np.ndarray:
        """Return the index of each label among several classes, (n_samples, 1), else indicators."""
        if y.ndim == 1 and self._label_binarizer.y_type_ == "multiclass":
            # A step makes one-hot rows of a batch's labels; those of all samples would take n_classes times the memory.
            return np.searchsorted(self._labels, y)[:, None]
        if y.ndim == 1 and self._label_binarizer.y_type_.startswith("multilabel"):
            raise ValueError(
                f"y must be an indicator matrix of shape (n_samples, {len(self._labels)}), as that of the first "
                f"data was; got labels of shape {y.shape}"
            )
        indicators: np.ndarray = self._label_binarizer.transform(y).astype(bool)
        return indicators

    def _n_outputs(self, Y: np.ndarray) -> int:
        return len(self._labels) if self._label_binarizer.y_type_ == "multiclass" else Y.shape[1]

    def _predicted(self, outputs: Array, inputs: Inputs) -> Any:
        if self.n_outputs_ == 1:
            outputs = outputs[:, 0]
        labels = _labels_at(inputs.backend, self._labels) if is_foreign(inputs.given) else None
        if labels is None:
            return self._decoded_on_host(inputs.backend.to_numpy(outputs))
        return inputs.answer(self._decoded(outputs, labels, inputs.backend))

    def _decoded_on_host(self, outputs: np.ndarray) -> Any:
        if self.out_activation_ != "softmax":
            return self._label_binarizer.inverse_transform(outputs)
        # The label binarizer does the same, after a look at each output's type.
        return self._label_binarizer.classes_.take(outputs.argmax(axis=1), mode="clip")

    def _decoded(self, outputs: Array, labels: Array, backend: Backend) -> Array:
        """Decode outputs as the label binarizer does, on their device."""
        xp = backend.xp
        if self.out_activation_ == "softmax":
            return xp.take(labels, xp.argmax(outputs, axis=1), axis=0)
        likely = xp.astype(outputs > 0.5, backend.asarray(np.zeros(1, dtype=int)).dtype)
        if outputs.ndim == 2:
            return likely
        only_class = len(self._labels) == 1
        return xp.take(labels, xp.zeros_like(likely) if only_class else likely, axis=0)


def _as_targets(y: Any, classes: np.ndarray) -> Array:
    """Return labels in the library and on the device of ``y``, or in NumPy where that cannot represent them."""
    labels = _labels_at(backend_of(y), classes) if is_foreign(y) else None
    return classes if labels is None else labels


def _labels_at(backend: Backend, classes: np.ndarray) -> Array | None:
    """Return the labels on the device, None where they would not keep their values or could not be gathered.

    PyTorch cannot gather unsigned integers; JAX without 64-bit types truncates large ones.
    """
    if classes.dtype.kind not in "bif":
        return None
    labels = backend.asarray(classes)
    return labels if np.array_equal(backend.to_numpy(labels), classes) else None

"""Between a table and a network: classes to labels and back, columns to zero mean and unit deviation and back.

What was learnt from the training rows travels in the model file's metadata, so that `predict` takes raw rows.
"""

from __future__ import annotations

import pathlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..kernels.network import Network
from ..storage.model_errors import refusal
from ..storage.models import ESTIMATOR_ENTRY
from .moments import Moments
from .targets import class_names


@dataclass(frozen=True)
class Preparation:
    """How rows become inputs, and outputs become predictions.

    Attributes
    ----------
    feature_names : list of str
        The columns, in the order of the inputs.
    target_name : str or None
        The column that is predicted.
    input_mean, input_scale : list of float
        Of each feature over the training rows.
    classes : list or None
        The class of each output, sorted; None for regression.
    target_mean, target_scale : list of float or None
        Of each target over the training rows, for regression.
    """

    feature_names: list[str]
    target_name: str | None
    input_mean: list[float]
    input_scale: list[float]
    classes: list[Any] | None = None
    target_mean: list[float] | None = None
    target_scale: list[float] | None = None

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return a column for each class; of two classes the network may give the second one's alone."""
        if self.classes is not None and outputs.shape[1] == 1:
            return np.hstack([1.0 - outputs, outputs])
        return outputs

    @property
    def n_outputs(self) -> int:
        """How many outputs the network has."""
        return len(self.classes if self.classes is not None else self.target_mean or ())

    def inputs(self, X: np.ndarray) -> np.ndarray:
        """Standardise rows (n_samples, n_features)."""
        return (X - np.asarray(self.input_mean)) / np.asarray(self.input_scale)

    def targets(self, y: np.ndarray) -> np.ndarray:
        """Return labels (n_samples,) of classes, or standardised values (n_samples, n_outputs)."""
        if self.classes is not None:
            classes = np.asarray(self.classes)
            # NumPy would compare signed and unsigned integers as float64, in which neighbours become one.
            return np.searchsorted(classes, y.astype(classes.dtype) if y.dtype.kind == "u" else y)
        return (_columns(y) - np.asarray(self.target_mean)) / np.asarray(self.target_scale)

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Return the class (n_samples,) of each row of `probabilities`, or values (n_samples, n_outputs) unscaled."""
        if self.classes is not None:
            return np.asarray(self.classes)[np.argmax(outputs, axis=1)]
        return outputs * np.asarray(self.target_scale) + np.asarray(self.target_mean)

    def to_metadata(self) -> dict[str, Any]:
        """Return what JSON can keep."""
        return asdict(self)


def learn(
    X: np.ndarray, y: np.ndarray, *, classification: bool, feature_names: tuple[str, ...], target_name: str | None
) -> Preparation:
    """Learn the classes or the target's scale, and the inputs' scale, from training rows.

    Raises
    ------
    ValueError
        If there is only one class, or a column's numbers are too large to be scaled.
    """
    targets = class_names(y) if classification else Moments.of(_columns(y))
    return made_of(Moments.of(X), targets, feature_names=feature_names, target_name=target_name)


def made_of(
    inputs: Moments, targets: list[Any] | Moments, *, feature_names: tuple[str, ...], target_name: str | None
) -> Preparation:
    """Make the preparation of the inputs' moments, and of the classes, sorted, or the targets' moments.

    Raises
    ------
    ValueError
        As `learn`.
    """
    mean, scale = inputs.mean_and_scale(feature_names)
    learnt: dict[str, Any] = {
        "feature_names": list(feature_names),
        "target_name": target_name,
        "input_mean": mean,
        "input_scale": scale,
    }
    if isinstance(targets, Moments):
        target_mean, target_scale = targets.mean_and_scale([target_name or "y"] * len(targets.mean))
        return Preparation(**learnt, target_mean=target_mean, target_scale=target_scale)
    if len(targets) < 2:
        raise ValueError(f"classification needs at least two classes, but every target is {targets[0]!r}")
    return Preparation(**learnt, classes=targets)


def _columns(y: np.ndarray) -> np.ndarray:
    return (y[:, None] if y.ndim == 1 else y).astype(np.float64)


def preparation_of(model: pathlib.Path, net: Network, metadata: dict[str, Any]) -> Preparation:
    """Return how the model's rows are prepared; a model saved without it takes rows as they are.

    Then an estimator's file names its features and classes, and any other's ``metadata["classes"]``, a list, may name
    the classes, which are 0, 1, ... without it.

    Raises
    ------
    ModelFileError
        If the file's preparation does not fit its network.
    """
    if "preparation" in metadata:
        try:
            preparation = Preparation(**metadata["preparation"])
        except TypeError:
            preparation = None
    elif isinstance(metadata.get(ESTIMATOR_ENTRY), dict):
        preparation = _of_estimator(net, metadata[ESTIMATOR_ENTRY])
    else:
        named = metadata.get("classes")
        if not _are_labels(named, _n_classes(net)):
            named = list(range(net.sizes[-1])) if net.output == "softmax" else None
        preparation = _unscaled(net, [], named)
    if preparation is None or not _is_sound(preparation, net):
        raise refusal(model, f"the preparation of the inputs does not fit the network {net}")
    return preparation


def _of_estimator(net: Network, described: dict[str, Any]) -> Preparation:
    targets = described.get("targets")
    classes = targets.get("classes") if isinstance(targets, dict) else None
    return _unscaled(
        net, described.get("feature_names") or [], classes if _are_labels(classes, _n_classes(net)) else None
    )


def _unscaled(net: Network, feature_names: list[str], classes: list[Any] | None) -> Preparation:
    """Return the preparation that takes rows as they are."""
    n_features, n_outputs = net.sizes[0], net.sizes[-1]
    return Preparation(
        feature_names, None, [0.0] * n_features, [1.0] * n_features, classes, [0.0] * n_outputs, [1.0] * n_outputs
    )


def _n_classes(net: Network) -> int | None:
    """Return between how many classes the outputs decide; None where they are values of their own."""
    if net.output == "logistic" and net.sizes[-1] == 1:
        return 2
    return net.sizes[-1] if net.output == "softmax" else None


def _is_sound(preparation: Preparation, net: Network) -> bool:
    """Tell whether all that a file says has the types and lengths that `learn` gives."""
    n_features, n_outputs = net.sizes[0], net.sizes[-1]
    names = preparation.feature_names
    scaled = (
        _are_numbers(preparation.input_mean, n_features)
        and _are_numbers(preparation.input_scale, n_features)
        and min(preparation.input_scale) > 0
    )
    named = isinstance(names, list) and len(names) in (0, n_features) and all(isinstance(name, str) for name in names)
    if not scaled or not named or not isinstance(preparation.target_name, str | None):
        return False
    if preparation.classes is not None:
        return _are_labels(preparation.classes, _n_classes(net))
    return _are_numbers(preparation.target_mean, n_outputs) and _are_numbers(preparation.target_scale, n_outputs)


def _are_numbers(values: Any, length: int) -> bool:
    return isinstance(values, list) and len(values) == length and all(type(value) is float for value in values)


def _are_labels(values: Any, length: int | None) -> bool:
    """Tell whether these are so many texts, or numbers, or truth values, no two alike."""
    if not isinstance(values, list) or len(values) != length:
        return False
    kinds = {type(value) for value in values}
    return len(kinds) == 1 and kinds <= {str, bool, int, float} and len(set(values)) == length

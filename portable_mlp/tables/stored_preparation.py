"""The preparation that a model file has, checked against the file's network."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

from ..kernels.network import Network
from ..storage.json_values import are_numbers
from ..storage.model_errors import refusal
from ..storage.models import ESTIMATOR_ENTRY
from .preparation import DECIMAL, PREPARATION_ENTRY, SHARED_FIELDS, Preparation


def preparation_of(model: pathlib.Path, net: Network, metadata: dict[str, Any]) -> Preparation:
    """Return how the model's rows are prepared; a model saved without it takes rows as they are.

    Then an estimator's file names its features and classes, and any other's ``metadata["classes"]``, a list, may name
    the classes, which are 0, 1, ... without it.

    Raises
    ------
    ModelFileError
        If the file's preparation does not fit its network.
    """
    if PREPARATION_ENTRY in metadata:
        try:
            preparation = Preparation(**metadata[PREPARATION_ENTRY])
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
        are_numbers(preparation.input_mean, n_features)
        and are_numbers(preparation.input_scale, n_features)
        and min(preparation.input_scale) > 0
    )
    named = isinstance(names, list) and len(names) in (0, n_features) and all(isinstance(name, str) for name in names)
    if not scaled or not named or not isinstance(preparation.target_name, str | None):
        return False
    if not _is_encoded_soundly(preparation):
        return False
    low, high = preparation.target_low, preparation.target_high
    if preparation.classes is not None:
        return low is None and high is None and _are_labels(preparation.classes, _n_classes(net))
    if not are_numbers(preparation.target_mean, n_outputs) or not are_numbers(preparation.target_scale, n_outputs):
        return False
    if low is None or high is None:
        return low is None and high is None
    return are_numbers(low, n_outputs) and are_numbers(high, n_outputs) and bool(np.less_equal(low, high).all())


def _is_encoded_soundly(preparation: Preparation) -> bool:
    """Tell whether what is said of a table as it is, if anything, goes together."""
    table = preparation.table
    if preparation.columns is None or table is None:
        return preparation.columns is None and table is None
    try:
        encoder = preparation.encoder
    except ValueError:
        return False
    if encoder is None or encoder.feature_names != preparation.feature_names:
        return False
    if not isinstance(table, dict) or table.keys() - {DECIMAL} != SHARED_FIELDS.keys():
        return False
    known = table.get(DECIMAL, ".") in (".", ",")
    return known and all(isinstance(table[name], kind) for name, kind in SHARED_FIELDS.items())


def _are_labels(values: Any, length: int | None) -> bool:
    """Tell whether these are so many texts, or numbers, or truth values, no two alike."""
    if not isinstance(values, list) or len(values) != length:
        return False
    kinds = {type(value) for value in values}
    return len(kinds) == 1 and kinds <= {str, bool, int, float} and len(set(values)) == length

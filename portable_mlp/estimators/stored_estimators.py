"""An estimator described as JSON, without the numbers of its network, and restored from its description."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin

from ..kernels.network import Network
from ..storage.json_values import canonical
from ..storage.model_errors import Defect
from .binarizers import binarizer_with
from .stored_values import decoded_value, encoded_value

_NOT_STORED = ("backend", "device", "precision")
"""The parameters for device and precision, which are chosen at loading and not stored."""

_DERIVED = ("n_features_in_", "n_layers_", "n_outputs_", "out_activation_")
"""Attributes that follow from the network."""

SAVED_BY = {
    "classifier": "MLPClassifier",
    "regressor": "MLPRegressor",
    "table classification": "TableClassifier",
    "table regression": "TableRegressor",
}
"""The class that saves each kind of estimator."""

_LABELS = (
    *("str", "bool", "float16", "float32", "float64"),
    *(f"{kind}{8 * size}" for kind in ("int", "uint") for size in (1, 2, 4, 8)),
)
"""Dtypes of class labels."""

_MOST_CHARACTERS = 2**26
"""The most characters of class labels, 256 MiB: NumPy pads each to the longest: a short file could exhaust memory."""


def described_estimator(estimator: Any) -> dict[str, Any]:
    """Return, as JSON, all of an estimator but the numbers of its network."""
    names = getattr(estimator, "feature_names_in_", None)
    parameters = estimator.get_params(deep=False).items()
    return {
        "kind": _kind(type(estimator)),
        "parameters": {name: encoded_value(value, name) for name, value in parameters if name not in _NOT_STORED},
        "feature_names": None if names is None else encoded_value(names, "feature_names_in_"),
        "targets": _described_targets(estimator) if isinstance(estimator, ClassifierMixin) else None,
        "record": {name: encoded_value(getattr(estimator, name), name) for name in _RECORD if hasattr(estimator, name)},
    }


def restored_estimator(cls: type[Any], net: Network, description: Any, **place: Any) -> Any:
    """Return the estimator of a description, without its arrays.

    Raises
    ------
    Defect
        If the description is not one that `described_estimator` gives, or is not of such a network.
    """
    kind = description.get("kind") if isinstance(description, dict) else None
    if kind != _kind(cls):
        advice = f"; {SAVED_BY[kind]}.load reads it" if isinstance(kind, str) and kind in SAVED_BY else ""
        raise Defect(f"its estimator is of the kind {kind!r}, but {cls.__name__} is a {_kind(cls)}{advice}")
    try:
        estimator = _estimator_of(cls, net, description, place)
        again = described_estimator(estimator)
        same = is_same_description(again, description)
    except Defect:
        raise
    except KeyError as error:
        raise Defect(f"its estimator is not one that was saved: the name {error} is missing or unknown") from None
    # For values of arbitrary types scikit-learn's and NumPy's functions may raise any error.
    except Exception as error:
        raise Defect(f"its estimator is not one that was saved: {type(error).__name__}: {error}") from None
    if not same:
        raise Defect(
            f"its estimator is not one that was saved: described anew {_changed_parameter(again, description)}"
        )
    return estimator


def is_same_description(again: dict[str, Any], description: dict[str, Any]) -> bool:
    """Return whether an estimator that was made of a description has it; parameters may have been added since."""
    known = {name: again["parameters"][name] for name in description["parameters"]}
    return canonical({**again, "parameters": known}) == canonical(description)


def _changed_parameter(again: dict[str, Any], description: dict[str, Any]) -> str:
    """Return a description of the parameter that the constructor changed, or an empty text if there is none."""
    for name, value in description["parameters"].items():
        if canonical(again["parameters"][name]) != canonical(value):
            return f"its {name} is another one"
    return "it is another one"


def _estimator_of(cls: type[Any], net: Network, description: dict[str, Any], place: dict[str, Any]) -> Any:
    parameters = {name: decoded_value(value) for name, value in description["parameters"].items()}
    if isinstance(parameters.get("class_weight"), tuple):
        parameters["class_weight"] = list(parameters["class_weight"])
    unknown = parameters.keys() - (set(cls._get_param_names()) - set(_NOT_STORED))
    if unknown:
        raise Defect(
            f"its estimator has the parameter {min(unknown)!r}, which {cls.__name__} does not take: the class that "
            "saved it loads it"
        )
    estimator = cls(**parameters)
    estimator._validate_params()
    vars(estimator).update(place)
    estimator.n_features_in_, estimator.n_outputs_ = net.sizes[0], net.sizes[-1]
    estimator.n_layers_, estimator.out_activation_ = len(net.sizes), net.output
    if description["feature_names"] is not None:
        estimator.feature_names_in_ = np.array(description["feature_names"], dtype=object)
        if estimator.feature_names_in_.shape != (net.sizes[0],):
            raise ValueError(f"{net.sizes[0]} feature names are needed")
        if not all(isinstance(name, str) for name in estimator.feature_names_in_):
            raise ValueError("feature names are texts")
    if description["targets"] is not None:
        _restore_targets(estimator, description["targets"])
    for name, value in description["record"].items():
        setattr(estimator, name, _RECORD[name](decoded_value(value)))
    if estimator._network(net.sizes) != net:
        raise ValueError(f"it makes another network than {net}")
    return estimator


def check_same(estimator: Any, restored: Any) -> None:
    """Raise Defect where an attribute that is not saved differs from its value derived from those that are."""
    pairs = [(name, estimator, restored) for name in _DERIVED]
    if isinstance(estimator, ClassifierMixin):
        binarizers = estimator._label_binarizer, restored._label_binarizer
        pairs += [(name, *binarizers) for name in ("classes_", "y_type_", "neg_label", "pos_label", "sparse_output")]
    for name, one, other in pairs:
        if not np.array_equal(getattr(one, name), getattr(other, name)):
            raise Defect(f"{name} is {getattr(one, name)!r}, but its other attributes say {getattr(other, name)!r}")
    for name in sorted(estimator._parameter_constraints.keys() - {*estimator.get_params(), *_NOT_STORED}):
        if not np.array_equal(getattr(estimator, name), getattr(restored, name)):
            raise Defect(
                f"{name} is {getattr(estimator, name)!r}, but the constructor, which takes no {name}, makes it "
                f"{getattr(restored, name)!r}"
            )
    for name in sorted(vars(estimator).keys() - {"coefs_", "intercepts_"}):
        if not name.startswith("_") and not hasattr(restored, name):
            raise Defect(f"a model file has no place for its attribute {name}; del estimator.{name} leaves it out")


def _kind(cls: type[Any]) -> str:
    return "classifier" if issubclass(cls, ClassifierMixin) else "regressor"


def _described_targets(estimator: Any) -> dict[str, Any]:
    classes = estimator._labels
    dtype = "str" if classes.dtype.kind == "U" else classes.dtype.name
    if dtype not in _LABELS:
        raise TypeError(f"class labels of dtype {classes.dtype} cannot be kept in a model file; numbers and texts can")
    binarizer = estimator._label_binarizer
    return {
        "classes": classes.tolist(),
        "dtype": dtype,
        "multilabel": binarizer.y_type_ == "multilabel-indicator",
        "sparse": bool(binarizer.sparse_input_),
    }


def _restore_targets(estimator: Any, targets: dict[str, Any]) -> None:
    labels, dtype = targets["classes"], targets["dtype"]
    if dtype not in _LABELS:
        raise ValueError(f"class labels have no dtype {dtype!r}")
    n_outputs = len(labels) if targets["multilabel"] or len(labels) > 2 else 1
    if n_outputs != estimator.n_outputs_ or any(one >= other for one, other in itertools.pairwise(labels)):
        raise ValueError(f"{len(labels)} class labels, in order, are not of {estimator.n_outputs_} outputs")
    if dtype == "str" and len(labels) * max(map(len, labels)) > _MOST_CHARACTERS:
        raise ValueError(f"{len(labels)} labels as long as the longest have more than {_MOST_CHARACTERS} characters")
    with np.errstate(over="ignore"):
        classes = np.array(labels, dtype=dtype)
    if classes.shape != (len(labels),):
        raise ValueError("class labels are texts or numbers")
    estimator.classes_ = classes
    estimator._label_binarizer = binarizer_with(classes, multilabel=targets["multilabel"], sparse=targets["sparse"])


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value


def _float(value: Any) -> float:
    if type(value) is not float:
        raise ValueError(f"{value!r} is not a number")
    return value


def _number_or_none(value: Any) -> float | None:
    return None if value is None else _float(value)


def _curve(value: Any) -> list[float] | None:
    return None if value is None else [_float(point) for point in value]


_RECORD: dict[str, Callable[[Any], Any]] = {
    "n_iter_": _count,
    "t_": _count,
    "loss_": _float,
    "loss_curve_": _curve,
    "best_loss_": _number_or_none,
    "validation_loss_curve_": _curve,
    "validation_scores_": _curve,
    "best_validation_score_": _number_or_none,
}
"""The attributes that record the training, and the conversion of their values."""

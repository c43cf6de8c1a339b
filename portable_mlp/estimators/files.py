"""Estimators in model files: those of `save_model`, with parameters and fitted attributes in the metadata.

The content of a file is data and never a name to look up: the kind of estimator is compared, parameters go through the
constructor and its checks, attributes are those of a fixed list. A loaded estimator is described again and compared
with the file, so that nothing in it is overlooked.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from ..backends import get_backend
from ..kernels.network import Network
from ..kernels.suggestions import suggesting_class
from ..storage.json_values import canonical
from ..storage.model_errors import Defect, refusal
from ..storage.models import ESTIMATOR_ENTRY, on_backend, read_model_file, save_model
from ..storage.paths import FilePath
from .binarizers import binarizer_with
from .complete_epoch import parameters_of
from .inputs import common_dtype, floating_dtype, is_foreign, on_host
from .state import of_one_moment

_PLACE = ("backend", "device", "precision")
"""The parameters for device and precision, which are chosen at loading and not stored."""

_DERIVED = ("n_features_in_", "n_layers_", "n_outputs_", "out_activation_")
"""Attributes that follow from the network."""

_READERS = {
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


@suggesting_class
class SavedToFiles:
    """`save` and `load` of an estimator."""

    @of_one_moment
    def save(self, path: FilePath) -> None:
        """Write the fitted estimator to a model file, which is replaced in one step.

        The file has the parameters, except ``backend``, ``device`` and ``precision``, and the fitted attributes:
        predictions are the same afterwards, bit for bit on the same library. It does not have the moments of the
        optimizer, callbacks, and the settings of ``set_output`` and metadata routing. The same estimator gives the same
        bytes on every device. The file contains no code: an estimator of a subclass is loaded by the subclass, with
        the parameters of its constructor.

        Parameters
        ----------
        path : str, bytes or path
            The path of the file, usually ending in ".safetensors". `portable_mlp.load_model` and every program for
            safetensors can read its parameters.

        Raises
        ------
        TypeError
            If JSON cannot represent a parameter, such as a ``RandomState``.
        ValueError
            If the estimator could not be restored exactly: an attribute was edited so that it contradicts another one,
            a subclass has attributes of its own, or the names, classes and curves need more than 32 MiB.
        NotFittedError
            If it is not fitted.
        OSError
            If the file cannot be written. After any error ``path`` is unchanged.
        """
        check_is_fitted(self)
        estimator: Any = self
        estimator._validate_params()
        net, params = estimator._fitted_network(estimator._fitted_backend(), common_dtype(estimator.coefs_))
        description = _described(estimator)
        try:
            _check_same(estimator, _restored_estimator(type(estimator), net, description))
        except Defect as defect:
            raise ValueError(f"{type(self).__name__} cannot be saved, for it would not come back: {defect}") from None
        save_model(path, net, params, {ESTIMATOR_ENTRY: description})

    @classmethod
    def load(cls, path: FilePath, backend: str | None = None, device: Any = None) -> Self:
        """Return the estimator that `save` wrote, having verified every byte of the file.

        Its training may continue: ``partial_fit``, and ``fit`` with ``warm_start``, start from its parameters with a
        new optimizer.

        Parameters
        ----------
        path : str, bytes or path
            The path of a model file.
        backend : str, optional
            The library that computes, as for the constructor; by default the arrays are NumPy's.
        device : str, optional
            The device of the backend.

        Returns
        -------
        MLPClassifier or MLPRegressor
            The estimator, with its arrays on the device; in float32 where the library has no float64. Parameters that
            were sequences are tuples of Python's numbers.

        Raises
        ------
        ModelFileError
            If the file is damaged, or is not of an estimator of this class; names it and the reason.
        OSError
            If it cannot be read.
        ValueError, BackendUnavailable
            If there is no such backend or device, or it cannot be used here.

        Examples
        --------
        >>> import pathlib, tempfile, numpy as np, portable_mlp as pm
        >>> X = np.linspace(-1.0, 1.0, 50)[:, None]
        >>> fitted = pm.MLPRegressor(hidden_layer_sizes=(5,), solver="lbfgs", random_state=0).fit(X, X[:, 0] ** 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "square.safetensors"
        ...     fitted.save(path)
        ...     loaded = pm.MLPRegressor.load(path)
        >>> bool((loaded.predict(X) == fitted.predict(X)).all())
        True
        """
        chosen = get_backend("numpy" if backend is None else backend, device)
        file = read_model_file(path)
        if ESTIMATOR_ENTRY not in file.metadata:
            raise refusal(path, _what_else_it_is(file.metadata))
        if file.described.n_networks > 1:
            raise refusal(path, f"a model of {file.described.n_networks} networks, but {cls.__name__} is one")
        try:
            estimator: Any = _restored_estimator(
                cls, file.net, file.metadata[ESTIMATOR_ENTRY], backend=backend, device=device
            )
        except Defect as defect:
            raise refusal(path, defect) from None
        flat = on_backend(file, chosen, floating_dtype(chosen, file.flat))
        vars(estimator).update(parameters_of(file.net, flat))
        return estimator


def _what_else_it_is(metadata: dict[str, Any]) -> str:
    """Return a description of a sound model file without an estimator, and the function that reads it."""
    if "preparation" in metadata:
        preparation = metadata["preparation"]
        has_columns = isinstance(preparation, dict) and preparation.get("columns") is not None
        advice = ", and so does what TableClassifier.load or TableRegressor.load returns" if has_columns else ""
        return (
            "a model of portable-mlp train, which prepares its rows, and not an estimator's: portable-mlp predict "
            f"takes rows as they are{advice}; portable_mlp.load_model(path) gives the network, parameters and "
            "preparation"
        )
    return (
        "a model of portable_mlp.save_model, and not an estimator's: portable_mlp.load_model(path) gives the network "
        "and its parameters, for portable_mlp.predict; portable-mlp predict takes it too"
    )


def _described(estimator: Any) -> dict[str, Any]:
    """Return, as JSON, all of an estimator but the numbers of its network."""
    names = getattr(estimator, "feature_names_in_", None)
    parameters = estimator.get_params(deep=False).items()
    return {
        "kind": _kind(type(estimator)),
        "parameters": {name: encoded_value(value, name) for name, value in parameters if name not in _PLACE},
        "feature_names": None if names is None else encoded_value(names, "feature_names_in_"),
        "targets": _described_targets(estimator) if isinstance(estimator, ClassifierMixin) else None,
        "record": {name: encoded_value(getattr(estimator, name), name) for name in _RECORD if hasattr(estimator, name)},
    }


def _restored_estimator(cls: type[Any], net: Network, description: Any, **place: Any) -> Any:
    """Return the estimator of a description, without its arrays.

    Raises
    ------
    Defect
        If the description is not one that `_described` gives, or is not of such a network.
    """
    kind = description.get("kind") if isinstance(description, dict) else None
    if kind != _kind(cls):
        advice = f"; {_READERS[kind]}.load reads it" if isinstance(kind, str) and kind in _READERS else ""
        raise Defect(f"its estimator is of the kind {kind!r}, but {cls.__name__} is a {_kind(cls)}{advice}")
    try:
        estimator = _estimator_of(cls, net, description, place)
        again = _described(estimator)
        # This release may have parameters that did not exist when the file was written.
        again["parameters"] = {name: again["parameters"][name] for name in description["parameters"]}
        same = canonical(again) == canonical(description)
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
    unknown = parameters.keys() - (set(cls._get_param_names()) - set(_PLACE))
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


def _check_same(estimator: Any, restored: Any) -> None:
    """Raise Defect where an attribute that is not saved differs from its value derived from those that are."""
    pairs = [(name, estimator, restored) for name in _DERIVED]
    if isinstance(estimator, ClassifierMixin):
        binarizers = estimator._label_binarizer, restored._label_binarizer
        pairs += [(name, *binarizers) for name in ("classes_", "y_type_", "neg_label", "pos_label", "sparse_output")]
    for name, one, other in pairs:
        if not np.array_equal(getattr(one, name), getattr(other, name)):
            raise Defect(f"{name} is {getattr(one, name)!r}, but its other attributes say {getattr(other, name)!r}")
    for name in sorted(estimator._parameter_constraints.keys() - {*estimator.get_params(), *_PLACE}):
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


def encoded_value(value: Any, name: str) -> Any:
    """Return a parameter or an attribute as JSON; dicts, and numbers that JSON lacks, are marked as such."""
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real) and (math.isnan(value) or float(value) == value):
        number = float(value)
        return number if math.isfinite(number) else {"float": repr(number)}
    if isinstance(value, dict):
        return {"dict": [[encoded_value(key, name), encoded_value(inner, name)] for key, inner in value.items()]}
    if isinstance(value, list | tuple | range):
        return [encoded_value(inner, name) for inner in value]
    if is_foreign(value) or (hasattr(value, "__array__") and not isinstance(value, np.generic)):
        return encoded_value(np.asarray(on_host(value)).tolist(), name)
    advice = ""
    if name == "random_state":
        advice = "; what is predicted does not depend on it: estimator.set_params(random_state=None) leaves it out"
    raise TypeError(
        f"{name} is a {type(value).__name__}, or holds one, but a model file holds numbers, texts, and lists, tuples, "
        f"arrays and dicts of them alone{advice}"
    )


def decoded_value(value: Any) -> Any:
    """Return the value that `encoded_value` received; a sequence as a tuple."""
    if isinstance(value, list):
        return tuple(map(decoded_value, value))
    if isinstance(value, dict):
        ((mark, content),) = value.items()
        return (
            float(content) if mark == "float" else {decoded_value(key): decoded_value(inner) for key, inner in content}
        )
    return value


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

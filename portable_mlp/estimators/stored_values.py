"""Values of parameters and attributes as values that JSON can keep, and back."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np

from .inputs import is_foreign, on_host


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

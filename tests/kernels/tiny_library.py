"""A library that nobody has written a backend for: the standard's functions, and arrays that wrap strict ones."""

from typing import Any

import array_api_strict
import numpy as np


class TinyNamespace:
    """Every function of array-api-strict, taking and giving tiny arrays."""

    __name__ = "tiny"

    def __getattr__(self, name: str) -> Any:
        found = getattr(array_api_strict, name)
        if isinstance(found, type) or not callable(found):
            return found
        return lambda *args, **kwargs: wrap(found(*unwrap(args), **unwrap(kwargs)))


tiny = TinyNamespace()


class TinyArray:
    """An array that says only what the standard asks of it."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __array_namespace__(self, api_version: str | None = None) -> TinyNamespace:
        return tiny

    def __getitem__(self, key: Any) -> "TinyArray":
        return wrap(self.inner[key])

    def __dlpack__(self, **options: Any) -> Any:
        return self.inner.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.inner.__dlpack_device__()

    def __float__(self) -> float:
        return float(self.inner)

    def __bool__(self) -> bool:
        return bool(self.inner)


def _forward_operator(name: str) -> None:
    operator = getattr(type(array_api_strict.asarray(0)), name)
    setattr(TinyArray, name, lambda self, *others: wrap(operator(self.inner, *unwrap(others))))


for _name in ("add", "sub", "mul", "truediv", "matmul", "pow"):
    _forward_operator(f"__{_name}__")
    _forward_operator(f"__r{_name}__")
for _name in ("neg", "abs", "lt", "le", "gt", "ge", "eq", "ne"):
    _forward_operator(f"__{_name}__")
for _name in ("dtype", "device", "shape", "ndim", "size"):
    setattr(TinyArray, _name, property(lambda self, name=_name: getattr(self.inner, name)))


def wrap(x: Any) -> Any:
    return TinyArray(x) if isinstance(x, type(array_api_strict.asarray(0))) else x


def unwrap(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return type(x)(map(unwrap, x))
    if isinstance(x, dict):
        return {key: unwrap(value) for key, value in x.items()}
    return getattr(x, "inner", x)


def to_tiny(host: Any) -> TinyArray:
    return TinyArray(array_api_strict.asarray(np.asarray(host)))


def from_tiny(x: TinyArray) -> np.ndarray:
    assert isinstance(x, TinyArray)
    return np.asarray(x.inner)

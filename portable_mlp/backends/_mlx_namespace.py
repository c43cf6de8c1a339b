"""MLX's functions with the signatures of the array API standard, as far as this library calls them.

`mlx.core` is most of a namespace already. Its arrays are in memory that all devices share, and not on one of them: an
operation has a device, an array has none. So ``device`` is accepted here, and has no effect.
"""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Callable
from typing import Any

import mlx.core as mx


def _astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """Return ``x`` in another dtype; as arrays are not overwritten, there is no need for a copy."""
    return mx.astype(x, dtype)


def _asarray(x: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
    """Return an array, computed: what is left to compute, no other thread can compute."""
    made = mx.asarray(x, dtype, copy=copy)
    mx.eval(made)
    return made


def _exp(x: Any, /) -> Any:
    """Return e to the power of x; MLX's own function has the digits and the range of float32 in float64, too."""
    return mx.power(math.e, x) if x.dtype == mx.float64 else mx.exp(x)


def _on_any_device(create: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(create)
    def created(*arguments: Any, device: Any = None, **options: Any) -> Any:
        return create(*arguments, **options)

    return created


_CREATION = ("arange", "full", "full_like", "ones", "ones_like", "zeros", "zeros_like")

xp = types.ModuleType("mlx.core", __doc__)
"""The namespace of MLX's arrays."""

vars(xp).update(
    vars(mx)
    | {name: _on_any_device(getattr(mx, name)) for name in _CREATION}
    | {
        "asarray": _asarray,
        "astype": _astype,
        "bool": mx.bool_,
        "exp": _exp,
        "empty": _on_any_device(mx.zeros),
        "empty_like": _on_any_device(mx.zeros_like),
    }
)

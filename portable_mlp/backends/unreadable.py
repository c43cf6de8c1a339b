"""Arrays that do not have a readable number in every place: sparse, nested, masked, traced."""

from __future__ import annotations

import sys
from typing import Any

_SPARSE = {"cupyx.scipy.sparse": ".toarray()", "jax.experimental.sparse": ".todense()"}
"""The modules of sparse matrices that are not arrays of their library, and the method that makes them dense."""

_DENSE_TENSORS = {
    "is_nested": ("a nested tensor", "torch.nested.to_padded_tensor(tensor, 0.0) makes it dense"),
    "is_quantized": ("a quantized tensor", ".dequantize() makes it floating"),
    "is_meta": ("a tensor on the meta device", "it has no numbers; forward, predict and loss_and_grad take it"),
}


def check_readable(x: Any) -> None:
    """Raise TypeError for such an array; the message names its kind and a remedy.

    Parameters
    ----------
    x : any
        Anything that may be an array of CuPy, PyTorch or JAX.
    """
    found = _what_it_is(x)
    if found is not None:
        kind, advice = found
        raise TypeError(f"{kind} cannot be trained on or predicted from: {advice}")


def _what_it_is(x: Any) -> tuple[str, str] | None:
    """Return the defect of an array and its remedy; None if there is none."""
    module = type(x).__module__
    for sparse, method in _SPARSE.items():
        if module.startswith(sparse):
            return f"a sparse {type(x).__name__} of {sparse}", f"{method} makes it dense"
    if module.startswith("torch.masked"):
        return "a masked tensor", ".to_tensor(value) fills what is masked"
    if isinstance(x, getattr(sys.modules.get("torch"), "Tensor", ())):
        return _of_tensor(x)
    if isinstance(x, getattr(getattr(sys.modules.get("jax"), "core", None), "Tracer", ())):
        return (
            "a traced JAX array, which has no numbers yet,",
            "call the estimator outside of jax.jit, grad and vmap; forward, predict and loss_and_grad run within",
        )
    return None


def _of_tensor(x: Any) -> tuple[str, str] | None:
    for flag, found in _DENSE_TENSORS.items():
        if getattr(x, flag):
            return found
    # Layouts are compared by name, so that PyTorch need not be imported here.
    return (
        None
        if str(x.layout) == "torch.strided"
        else (f"a tensor of the layout {x.layout}", ".to_dense() makes it dense")
    )

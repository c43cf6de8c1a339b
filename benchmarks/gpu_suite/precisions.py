"""Checks of the precision of products, by the error of one against float64, whatever a library was configured for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from portable_mlp.bench.measurement import distance

ERRORS = {"float32": (0.0, 1e-5), "tf32": (1e-5, 1e-3), "bfloat16": (1e-3, 2e-2)}
"""The bounds of the error of a product in each precision, as `product_error` measures it.

Operands rounded to 24, 11 and 8 significant bits give about 1e-7, 3e-4 and 2e-3.
"""

LOSS_TOLERANCES = {"float32": 1e-4, "tf32": 5e-3, "bfloat16": 5e-2}
"""The largest relative difference of losses from the same steps in float64."""


def product_error(multiply: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
    """Return the relative error, in the Frobenius norm, of a product of random float32 matrices, 1024 terms each."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(256, 1024)).astype("float32"), rng.normal(size=(1024, 128)).astype("float32")
    exact = a.astype("float64") @ b.astype("float64")
    return float(np.linalg.norm(multiply(a, b) - exact) / np.linalg.norm(exact))


def check_product_error(precision: str, error: float) -> None:
    """Raise ArithmeticError unless an error is one of the precision that was asked for."""
    low, high = ERRORS[precision]
    if not low <= error < high:
        raise ArithmeticError(
            f"its products err by {error:.1e}, those of {precision} by {low:.0e} to {high:.0e}: another precision"
        )


def check_losses(precision: str, losses: list[float], expected: list[float]) -> float:
    """Return the largest relative difference of losses from those expected; raise ArithmeticError beyond the limit."""
    error = distance(losses, expected)
    if not error < LOSS_TOLERANCES[precision]:
        raise ArithmeticError(f"its losses are {error:.1e} away from float64")
    return error

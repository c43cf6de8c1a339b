"""A step's primitives for NumPy, which write into existing memory.

Operation by operation they equal the portable ones, so that every bit is the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import array_api_compat.numpy
import numpy as np

from ..kernels.arrays import Array, relevel
from ..kernels.optimizers import Optimizer, Scalars, State
from ..kernels.primitives import Primitives
from .deferred_interrupts import whole_imports


class NumpyPrimitives(Primitives):
    """Plain NumPy, without a temporary where an output is given."""

    writes = True
    numbers_at_once = 2**15  # they and their temporaries stay in a core's own cache

    def __init__(self, xp: Any = array_api_compat.numpy) -> None:
        super().__init__(xp)

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """Return the matrix product, in ``out``."""
        return np.matmul(a, b, out=out)

    def transposed(self, x: Array) -> Array:
        """Return the transpose of the last two axes."""
        return x.mT

    def take(self, x: Array, rows: Array, axis: int, out: Array | None = None) -> Array:
        """Gather the samples ``rows``, in ``out`` if x is in row order; mode "clip" spares NumPy a buffered copy."""
        if not (x.flags.c_contiguous and x.flags.aligned):
            # numpy.take would first copy all of x into row order, in every step.
            return x[rows] if axis == 0 else x[..., rows, :]
        return np.take(x, rows, axis=axis, out=out, mode="clip")

    def one_hot(self, labels: Array, n_classes: int, dtype: Any, out: Array | None = None) -> Array:
        """Return rows with a 1 at the label's place, in ``out`` where it is given."""
        if out is None:
            out = np.empty((*labels.shape[:-1], n_classes), dtype)
        return np.equal(labels, np.arange(n_classes), out=out)

    def sum_samples(self, x: Array, out: Array | None = None) -> Array:
        """Return the sum over samples, in ``out``."""
        return np.add.reduce(x, axis=-2, out=out)

    def total(self, losses: Array) -> Array:
        """Return the sum of losses over samples."""
        return np.add.reduce(losses, axis=-1)

    def add_bias(self, z: Array, b: Array) -> Array:
        """Return ``z + b``, in ``z``."""
        return np.add(z, b[..., None, :], out=z)

    def activate(self, name: str, z: Array, b: Array) -> tuple[Array, Array | None]:
        """Return ``h = f(z + b)``, in ``z`` for the commonest."""
        if name == "relu":
            return np.maximum(self.add_bias(z, b), 0.0, out=z), None
        if name == "tanh":
            return np.tanh(self.add_bias(z, b), out=z), None
        return super().activate(name, z, b)

    def weighted_log(self, Y: Array, p: Array) -> Array:
        """Return ``Y log p`` with p clipped to [eps, 1 - eps]; with SciPy's logarithm, as scikit-learn's losses."""
        eps = np.finfo(p.dtype).eps
        return _scipy_xlogy()(Y, np.clip(p, eps, 1 - eps))

    def penalised(self, dW: Array, W: Array, strength: float | Array, divisor: float | Array) -> Array:
        """Return ``(dW + strength W) / divisor``, in ``dW``."""
        dW += relevel(self.xp, strength, 2) * W
        return self.divided(dW, divisor, 2)

    def divided(self, x: Array, divisor: float | Array, n_axes: int) -> Array:
        """Return ``x / divisor``, in ``x``."""
        if not (isinstance(divisor, float) and divisor == 1.0):
            x /= relevel(self.xp, divisor, n_axes)
        return x

    def scaled(self, x: Array, factor: float | Array) -> Array:
        """Return ``x factor``, in ``x``."""
        return np.multiply(x, factor, out=x)

    def update(self, optimizer: Optimizer, p: Array, g: Array, state: State, scalars: Scalars) -> tuple[Array, State]:
        """Return the parameters, in ``p``, and the optimizer's state after a step."""
        moved, state = optimizer.update(self.xp, p, g, state, scalars)
        p[...] = moved
        return p, state


@functools.cache
def _scipy_xlogy() -> Callable[[Array, Array], Array]:
    with whole_imports():
        from scipy.special import xlogy
    return xlogy


class TakesSparse(NumpyPrimitives):
    """Mixed into NumPy's primitives, lets the inputs of the network be a sparse matrix."""

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """Return the matrix product, dense, in ``out`` where it is given."""
        if isinstance(a, np.ndarray):
            return super().matmul(a, b, out)
        product = a @ b
        if out is None:
            return product
        out[...] = product
        return out

    def take(self, x: Array, rows: Array, axis: int, out: Array | None = None) -> Array:
        """Return the samples ``rows``; of a sparse matrix, sparse."""
        return super().take(x, rows, axis, out) if isinstance(x, np.ndarray) else x[rows]

    def transposed(self, x: Array) -> Array:
        """Return the transpose of the last two axes, sparse if x is."""
        return super().transposed(x) if isinstance(x, np.ndarray) else x.T

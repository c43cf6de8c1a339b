"""A step's primitives for CuPy: few kernels, which write into existing memory, and never wait for the GPU."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import array_api_compat.cupy
import cupy

from ..kernels.activations import ACTIVATIONS
from ..kernels.arrays import Array, relevel
from ..kernels.network import Network
from ..kernels.optimizers import Optimizer, Scalars, State
from ..kernels.primitives import GradientSums, KeptParameters, Primitives
from ..kernels.workspace import Workspace
from . import _cupy_kernels as kernels

if TYPE_CHECKING:
    from ._cupy_streams import CublasStream

ONE_THREAD_A_ROW = 128
"""Up to so many classes; with more, the portable formula's many kernels read memory better than one thread a row."""

_current: ContextVar[CublasStream | None] = ContextVar("current", default=None)


@contextlib.contextmanager
def multiplying_with(stream: CublasStream) -> Iterator[None]:
    """Compute products of matrices by the cuBLAS of a stream, the current one, within the context."""
    token = _current.set(stream)
    try:
        yield
    finally:
        _current.reset(token)


class CupyPrimitives(Primitives):
    """CuPy, with one kernel for each piece of element-wise work.

    Parameters
    ----------
    precision : str
        The precision of products, as for `portable_mlp.backends.Backend.at_precision`.
    """

    writes = True

    def __init__(self, precision: str = "float32") -> None:
        super().__init__(array_api_compat.cupy)
        self._precision = precision

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """Return the matrix product, in ``out``."""
        stream = _current.get()
        if stream is None:
            return cupy.matmul(a, b, out=out)
        if out is None:
            shape = (*cupy.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
            out = cupy.empty(shape, dtype=a.dtype)
        if self._precision == "bfloat16":
            a, b = _rounded(a), _rounded(b)
        stream.matmul(a, b, out, self._precision)
        return out

    def take(self, x: Array, rows: Array, axis: int, out: Array | None = None) -> Array:
        """Return the samples ``rows``, in ``out``."""
        return cupy.take(x, rows, axis=axis, out=out)

    def one_hot(self, labels: Array, n_classes: int, dtype: Any, out: Array | None = None) -> Array:
        """Return rows with a 1 at the label's place, in ``out``."""
        if out is None:
            return super().one_hot(labels, n_classes, dtype)
        kernels.one_hot(labels, n_classes, out)
        return out

    def sum_samples(self, x: Array, out: Array | None = None) -> Array:
        """Return the sum over samples, in ``out``: as a product with ones, which has more threads than columns."""
        stream = _current.get()
        if out is None or stream is None:
            return cupy.sum(x, axis=-2, out=out)
        stream.matmul(stream.ones(x.shape[-2], x.dtype), x, cupy.expand_dims(out, -2), "float32")
        return out

    def sum_of_squares(self, W: Array) -> Array:
        """Return the sum of all squares; `vecdot` would be a product of cuBLAS."""
        return kernels.sum_of_squares(W, axis=(-2, -1))

    def add_bias(self, z: Array, b: Array) -> Array:
        """Return ``z + b``, in ``z``."""
        kernels.add_bias(cupy.expand_dims(b, -2), z)
        return z

    def activate(self, name: str, z: Array, b: Array) -> tuple[Array, Array | None]:
        """Return ``h = f(z + b)``, in ``z`` unless the derivative needs ``z + b``, which is in ``z`` then."""
        kernel = kernels.activate(name)
        if kernel is None:
            return super().activate(name, z, b)
        b = cupy.expand_dims(b, -2)
        if not ACTIVATIONS[name].needs_z:
            kernel(b, z)
            return z, None
        h = cupy.empty_like(z)
        kernel(b, z, h)
        return h, z

    def d_activate(self, name: str, dh: Array, z: Array | None, h: Array) -> Array:
        """Return ``dz = dh f'(z)``, in ``dh``."""
        kernel = kernels.d_activate(name)
        if kernel is None:
            return super().d_activate(name, dh, z, h)
        kernel(h if z is None else z, h, dh)
        return dh

    def sample_losses(self, net: Network, logits: Array, Y: Array) -> tuple[Array, Array]:
        """Return each sample's loss, summed over outputs, and its derivative at the logits."""
        n_classes = Y.shape[-1]
        contiguous = logits.flags.c_contiguous and Y.flags.c_contiguous
        if net.loss != "cross_entropy" or n_classes > ONE_THREAD_A_ROW or not contiguous:
            return super().sample_losses(net, logits, Y)
        losses = cupy.empty(logits.shape[:-1], dtype=logits.dtype)
        kernels.cross_entropy(Y, Y.size // n_classes, n_classes, logits, losses)
        return losses, logits

    def penalised(self, dW: Array, W: Array, strength: float | Array, divisor: float | Array) -> Array:
        """Return ``(dW + strength W) / divisor``, the sum in ``dW``."""
        kernels.add_scaled(W, relevel(self.xp, strength, 2), dW)
        return self.divided(dW, divisor, 2)

    def scaled(self, x: Array, factor: float | Array) -> Array:
        """Return ``x factor``, in ``x``."""
        kernels.scale(factor, x)
        return x

    def accumulated(self, total: Array, loss: Array, n_samples: float) -> Array:
        """Return ``total + loss n_samples``, in ``total``."""
        kernels.add_loss(loss, n_samples, total)
        return total

    def reduce_and_update(
        self,
        optimizer: Optimizer,
        parameters: KeptParameters,
        sums: GradientSums,
        state: State,
        scalars: Scalars,
        workspace: Workspace | None = None,
    ) -> tuple[KeptParameters, State]:
        """Reduce sums over samples to gradients, and take the optimizer's step, in ``parameters`` and ``state``."""
        if workspace is None:
            return super().reduce_and_update(optimizer, parameters, sums, state, scalars)
        kernel = kernels.update(optimizer)
        if kernel is None:
            moved, after = super().reduce_and_update(optimizer, parameters, sums, state, scalars)
            for ours, theirs in zip((parameters, *state), (moved, *after), strict=True):
                ours[...] = theirs
            return parameters, state
        if not (isinstance(sums.strength, float) and sums.strength == 0.0):
            for (W, _), (dW, _) in zip(sums.params, sums.grads, strict=True):
                self.penalised(dW, W, sums.strength, 1.0)
        if isinstance(scalars, tuple):
            scalars = cupy.asarray(scalars, dtype=parameters.dtype)
        kernel(workspace.gradient, relevel(self.xp, sums.divisor, 1), scalars, parameters, *state)
        return parameters, state


def _rounded(x: Array) -> Array:
    """Return the bits of the nearest bfloat16, in the memory layout of x."""
    bits = cupy.empty_like(x, dtype=cupy.uint16)
    kernels.bfloat16(x, bits)
    return bits


@functools.cache
def cupy_primitives(precision: str) -> CupyPrimitives:
    """Return CuPy's primitives, the same object each time."""
    return CupyPrimitives(precision)

"""A step's primitives for CuPy: few kernels, which write into existing memory, and never wait for the GPU."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import array_api_compat.cupy
import cupy
import numpy as np

from ..kernels.activations import ACTIVATIONS
from ..kernels.arrays import Array, relevel
from ..kernels.network import Network
from ..kernels.optimizers import Optimizer, Scalars, State
from ..kernels.primitives import BatchLoss, GradientSums, KeptParameters, Primitives, Report
from ..kernels.targets import are_labels
from ..kernels.workspace import Workspace
from . import _cuda_blocks as blocks
from . import _cupy_kernels as kernels
from ._cuda_rows import ROW_THREADS

if TYPE_CHECKING:
    from ..kernels.step import Carry
    from ._cupy_streams import CublasStream

ONE_THREAD_A_ROW = 128
"""Up to so many classes; with more, a block takes a row, since one thread would read memory badly."""

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
    sums_layers_together = True

    def __init__(self, precision: str = "float32") -> None:
        super().__init__(array_api_compat.cupy)
        self._precision = precision

    def factor(self, x: Array) -> Array:
        """Return a matrix as products take it; in bfloat16, the bits of the nearest, in the memory layout of x."""
        if self._precision != "bfloat16" or x.dtype == cupy.uint16:
            return x
        bits = cupy.empty_like(x, dtype=cupy.uint16)
        kernels.bfloat16(x, bits)
        return bits

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """Return the matrix product, in ``out``."""
        stream = _current.get()
        if stream is None:
            return cupy.matmul(a, b, out=out)
        if out is None:
            shape = (*cupy.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
            out = cupy.empty(shape, dtype=cupy.float32 if self._precision == "bfloat16" else a.dtype)
        stream.matmul(self.factor(a), self.factor(b), out, self._precision)
        return out

    def gathered(
        self, X: Array, Y: Array, rows: Array, n_outputs: int, X_out: Array | None = None, Y_out: Array | None = None
    ) -> tuple[Array, Array]:
        """Gather inputs and targets by one kernel, into memory that is there."""
        labels = are_labels(self.xp, Y)
        if X_out is None or Y_out is None or not (labels or Y.dtype == X.dtype):
            return super().gathered(X, Y, rows, n_outputs, X_out, Y_out)
        kernel = kernels.gathered_labels if labels else kernels.gathered_rows
        n_features = X.shape[-1]
        kernel(X, Y, rows, n_features, n_outputs, X_out, Y_out, size=rows.size * (n_features + n_outputs))
        return X_out, Y_out

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
        """Return the sum over samples, in ``out``."""
        return cupy.sum(x, axis=-2, out=out)

    def sum_samples_of_layers(self, net: Network, dzs: Sequence[Array], workspace: Workspace) -> None:
        """Write the sums by one kernel."""
        gradient = workspace.gradient
        if not all(dz.flags.c_contiguous and dz.dtype == gradient.dtype for dz in dzs):
            super().sum_samples_of_layers(net, dzs, workspace)
            return
        n_samples, n_models = dzs[0].shape[-2], gradient.size // gradient.shape[-1]
        lanes = blocks.n_lanes(n_samples)
        kernels.layer_sums(net.sizes, gradient.dtype.name)(
            (blocks.n_tiles(net.sizes), n_models),
            (blocks.COLUMNS * lanes,),
            (gradient, _distance(gradient), np.int64(n_samples), *dzs),
        )

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

    def output_losses(
        self, net: Network, z: Array, b: Array | None, Y: Array, weights: Array | None, divisor: float | Array
    ) -> tuple[BatchLoss, Array, Array]:
        """Return each sample's loss and its derivative at the logits ``z + b``, which are used up."""
        kernel = kernels.network_losses(net, z.dtype.name, _is_wide(z))
        if kernel is None or b is None or not _are_rows(z, Y):
            return super().output_losses(net, z, b, Y, weights, divisor)
        return _weighted_row_losses(kernel, z, b, Y, weights), z, z

    def reported_losses(
        self, report: Report, z: Array, b: Array | None, Y: Array, weights: Array | None, divisor: float | Array
    ) -> tuple[BatchLoss, Array, Array]:
        """Return the loss to report and the derivative, by one kernel too."""
        kernel = kernels.reported_losses(report, z.shape[-1], z.dtype.name, _is_wide(z))
        if kernel is None or b is None or not _are_rows(z, Y):
            return super().reported_losses(report, z, b, Y, weights, divisor)
        return _weighted_row_losses(kernel, z, b, Y, weights), z, z

    def penalised(self, dW: Array, W: Array, strength: float | Array, divisor: float | Array) -> Array:
        """Return ``(dW + strength W) / divisor``, the sum in ``dW``."""
        kernels.add_scaled(W, relevel(self.xp, strength, 2), dW)
        return self.divided(dW, divisor, 2)

    def scaled(self, x: Array, factor: float | Array) -> Array:
        """Return ``x factor``, in ``x``."""
        kernels.scale(factor, x)
        return x

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
        moved, after = super().reduce_and_update(optimizer, parameters, sums, state, scalars)
        if workspace is None:
            return moved, after
        for ours, theirs in zip((parameters, *state), (moved, *after), strict=True):
            ours[...] = theirs
        return parameters, state

    def concluded(
        self,
        net: Network,
        optimizer: Optimizer,
        carry: Carry,
        sums: GradientSums,
        loss: BatchLoss,
        n_samples: float,
        scalars: Scalars,
        workspace: Workspace | None = None,
    ) -> tuple[Carry, Array]:
        """Conclude a step by one kernel, in the memory of the arguments, and the loss in the workspace's."""
        parameters, state, total = carry
        each: Array = loss.each if loss.mean is None else loss.mean
        loss_divisor = sums.divisor if loss.mean is None else 1.0
        numbers = sums.strength, sums.divisor, loss_divisor
        penalises = not (isinstance(sums.strength, float) and sums.strength == 0.0)
        strength, *kinds = map(_kind, numbers)
        dtype = parameters.dtype
        kernel = kernels.conclusion(net.sizes, optimizer, dtype.name, strength if penalises else "none", *kinds)
        if workspace is None or kernel is None or not each.flags.c_contiguous:
            return super().concluded(net, optimizer, carry, sums, loss, n_samples, scalars, workspace)
        if isinstance(scalars, tuple):
            scalars = cupy.asarray(scalars, dtype=dtype)
        found = cupy.empty_like(total) if workspace.loss is None else workspace.loss
        n_models, n_parameters = total.size, parameters.shape[-1]
        n_threads = blocks.block_threads(n_parameters)
        n_blocks = blocks.n_blocks(max(n_parameters, each.size // n_models), n_threads)
        partial = cupy.empty((n_models, n_blocks, 2), dtype=dtype)
        stream = _current.get()
        n_done = cupy.zeros(n_models, dtype=cupy.uint32) if stream is None else stream.counters(n_models)
        kernel(
            (n_blocks, n_models),
            (n_threads,),
            (
                *(parameters, *state, workspace.gradient, _distance(workspace.gradient)),
                *(each, np.int64(each.size // n_models), scalars),
                *(dtype.type(number) if isinstance(number, float) else number for number in numbers),
                *(dtype.type(n_samples), total, found, partial, n_done),
            ),
        )
        return carry, found


def _is_wide(z: Array) -> bool:
    return z.shape[-1] > ONE_THREAD_A_ROW


def _are_rows(z: Array, Y: Array) -> bool:
    """Return whether a kernel of rows may read targets, and read and write logits."""
    return z.flags.c_contiguous and Y.flags.c_contiguous and Y.dtype == z.dtype


def _weighted_row_losses(kernel: Any, z: Array, b: Array, Y: Array, weights: Array | None) -> BatchLoss:
    """Return the losses of a kernel of `_cuda_rows.row_losses_source`; the derivative is in ``z``."""
    losses = cupy.empty(z.shape[:-1], dtype=z.dtype)
    n_samples, n_outputs = z.shape[-2:]
    n_targets, n_rows = Y.size // n_outputs, z.size // n_outputs
    numbers = map(np.int64, (n_rows, n_samples, n_outputs))
    n_threads = ROW_THREADS if _is_wide(z) else min(ROW_THREADS, -(-n_rows // 32) * 32)
    n_blocks = n_rows if _is_wide(z) else -(-n_rows // n_threads)
    kernel((n_blocks,), (n_threads,), (Y, np.int64(n_targets), b, _distance(b), *numbers, z, losses))
    return BatchLoss(each=losses if weights is None else losses * weights)


def _kind(number: float | Array) -> str:
    """Return the kind of a number, as `_cuda_blocks.conclusion_source` has it."""
    if isinstance(number, float):
        return "number"
    return "shared" if number.size == 1 else "array"


def _distance(x: Array) -> np.int64:
    """Return the distance from one model's vector to the next, in elements."""
    return np.int64(x.strides[0] // x.dtype.itemsize if x.ndim > 1 else x.shape[-1])


@functools.cache
def cupy_primitives(precision: str) -> CupyPrimitives:
    """Return CuPy's primitives, the same object each time."""
    return CupyPrimitives(precision)

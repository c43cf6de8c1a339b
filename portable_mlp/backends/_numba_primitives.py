"""A step's primitives for NumPy, compiled by Numba: the element-wise work in one pass over memory each.

The optimizers' formulas are those of `portable_mlp.kernels.optimizers`, compiled unchanged. Without fast-math LLVM
keeps the order of operations, so that the results are NumPy's to the last bit. Compiled code is kept on disk, beside
this file or where ``NUMBA_CACHE_DIR`` says. What cannot be compiled on this machine is left to plain NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.arrays import Array
from ..kernels.network import Network
from ..kernels.optimizers import Optimizer, Scalars, State
from ..kernels.primitives import BatchLoss, GradientSums, Report
from ..kernels.targets import are_labels
from ..kernels.workspace import Workspace
from ._numba_compiling import with_compiled_methods
from ._numba_loops import (
    LONGEST_SUM,
    LOOPS_OF_UPDATES,
    bias_loop,
    bias_relu_loop,
    cross_entropy_sums_loop,
    d_relu_loop,
    d_tanh_loop,
    log_of_labels_loop,
    normalise_loop,
    one_hot_loop,
    penalise_loop,
    sum_rows_loop,
    weighted_log_loop,
    without_maximum_loop,
)
from ._numpy_primitives import NumpyPrimitives

# One loop for each formula rather than one made for all: Numba keeps no closure on disk.


@with_compiled_methods
class NumbaPrimitives(NumpyPrimitives):
    """NumPy's, with loops compiled by Numba where arrays are plain matrices in row order."""

    def _run(self, loop: Any, *arguments: Any) -> None:
        """Run a compiled loop; every one that a step has goes through here, and all its scalars through `_scalar`."""
        loop(*arguments)

    def _scalar(self, x: float | Array, dtype: Any) -> Any:
        """Return a scalar for a compiled loop."""
        return dtype.type(x)

    def one_hot(self, labels: Array, n_classes: int, dtype: Any, out: Array | None = None) -> Array:
        """Return rows with a 1 at the label's place, in ``out``."""
        if out is None or not _is_contiguous_matrix(labels):
            return super().one_hot(labels, n_classes, dtype, out)
        self._run(one_hot_loop, labels, self._scalar(0, out.dtype), self._scalar(1, out.dtype), out)
        return out

    def add_bias(self, z: Array, b: Array) -> Array:
        """Return ``z + b``, in ``z``."""
        if not _adds(z, b):
            return super().add_bias(z, b)
        self._run(bias_loop, z, b)
        return z

    def activate(self, name: str, z: Array, b: Array) -> tuple[Array, Array | None]:
        """Return ``h = f(z + b)``, in ``z`` for the commonest."""
        if name != "relu" or not _adds(z, b):
            return super().activate(name, z, b)
        self._run(bias_relu_loop, z, b, self._scalar(0, z.dtype))
        return z, None

    def d_activate(self, name: str, dh: Array, z: Array | None, h: Array) -> Array:
        """Return ``dz = dh f'(z)``, in ``dh`` for the commonest."""
        if name not in ("relu", "tanh") or not (_is_contiguous_matrix(dh) and _is_contiguous_matrix(h)):
            return super().d_activate(name, dh, z, h)
        if name == "relu":
            self._run(d_relu_loop, dh, h, self._scalar(0, h.dtype))
        else:
            self._run(d_tanh_loop, dh, h, self._scalar(1, h.dtype))
        return dh

    def sum_samples(self, x: Array, out: Array | None = None) -> Array:
        """Return the sum over samples, in ``out``."""
        # NumPy treats one column as a vector, which it sums in another order.
        if not _is_contiguous_matrix(x) or x.shape[1] == 1 or out is None or not out.flags.c_contiguous:
            return super().sum_samples(x, out)
        self._run(sum_rows_loop, x, out)
        return out

    def sample_losses(self, net: Network, logits: Array, Y: Array) -> tuple[Array, Array]:
        """Return each sample's loss, summed over outputs, and its derivative at the logits."""
        if (
            net.loss != "cross_entropy"
            or not (_is_contiguous_matrix(logits) and _is_contiguous_matrix(Y))
            or logits.shape[1] > LONGEST_SUM
        ):
            return super().sample_losses(net, logits, Y)
        shifted = np.empty_like(logits)
        self._run(without_maximum_loop, logits, shifted)
        e = np.exp(shifted)
        total, others, chosen = sums = np.empty_like(e, shape=(3, e.shape[0]))
        self._run(cross_entropy_sums_loop, shifted, e, Y, sums, self._scalar(0, e.dtype), self._scalar(1, e.dtype))
        return np.where(total < 2, np.log1p(others), np.log(total)) - chosen, e

    def softmax(self, z: Array) -> Array:
        """Return ``e^z_j / sum_k e^z_k`` over the last axis, with NumPy's own exponential."""
        if not _is_contiguous_matrix(z) or z.shape[1] > LONGEST_SUM:
            return super().softmax(z)
        e = self._exponentials(z)
        self._run(normalise_loop, e)
        return e

    def _exponentials(self, z: Array) -> Array:
        """Return ``e^(z_j - max_k z_k)`` over the last axis of a matrix."""
        e = np.empty_like(z)
        self._run(without_maximum_loop, z, e)
        return np.exp(e, out=e)

    def takes_labels(self, net: Network, report: Report | None = None) -> bool:
        """Return whether the loss takes labels: the cross-entropy of clipped probabilities does."""
        return net.loss == "cross_entropy" and report is not None and report.clips

    def reported_losses(
        self, report: Report, z: Array, b: Array | None, Y: Array, weights: Array | None, divisor: float | Array
    ) -> tuple[BatchLoss, Array, Array]:
        """Return the loss to report, the derivative and the logits; of labels in one pass over the exponentials."""
        if not are_labels(self.xp, Y):
            return super().reported_losses(report, z, b, Y, weights, divisor)
        plain = _is_contiguous_matrix(z) and _is_contiguous_matrix(Y) and z.shape[1] <= LONGEST_SUM
        if weights is not None or not plain:
            rows = self.one_hot(Y, z.shape[-1], z.dtype, np.empty_like(z, shape=(*Y.shape[:-1], z.shape[-1])))
            return super().reported_losses(report, z, b, rows, weights, divisor)
        logits = self.biased(z, b)
        e = self._exponentials(logits)
        of_classes = np.empty_like(e, shape=(e.shape[1],))
        eps, zero, one = (self._scalar(x, e.dtype) for x in (np.finfo(e.dtype).eps, 0, 1))
        self._run(log_of_labels_loop, e, Y, eps, zero, one, of_classes)
        return BatchLoss(mean=report.factor * self.xp.sum(of_classes / divisor)), e, logits

    def weighted_log(self, Y: Array, p: Array) -> Array:
        """Return ``Y log p`` with p clipped to [eps, 1 - eps]; the logarithm is the C library's, as SciPy's is."""
        if not (_is_contiguous_matrix(Y) and _is_contiguous_matrix(p)):
            return super().weighted_log(Y, p)
        eps, out = np.finfo(p.dtype).eps, np.empty_like(p)
        self._run(
            weighted_log_loop, Y, p, self._scalar(eps, p.dtype), self._scalar(p.dtype.type(1) - eps, p.dtype), out
        )
        return out

    def penalised(self, dW: Array, W: Array, strength: float | Array, divisor: float | Array) -> Array:
        """Return ``(dW + strength W) / divisor``, in ``dW``."""
        several = getattr(strength, "ndim", 0) or getattr(divisor, "ndim", 0)  # np.ndim takes ten times as long
        if several or not (_is_contiguous_matrix(dW) and _is_contiguous_matrix(W)):
            return super().penalised(dW, W, strength, divisor)
        self._run(penalise_loop, dW, W, self._scalar(strength, dW.dtype), self._scalar(divisor, dW.dtype))
        return dW

    def reduce_and_update(
        self,
        optimizer: Optimizer,
        parameters: Array,
        sums: GradientSums,
        state: State,
        scalars: Scalars,
        workspace: Workspace | None = None,
    ) -> tuple[Array, State]:
        """Update ``parameters`` and ``state`` in one pass over them and the workspace's gradient."""
        loop = LOOPS_OF_UPDATES.get(optimizer.formula)
        if loop is None or workspace is None or parameters.ndim > 1:
            return super().reduce_and_update(optimizer, parameters, sums, state, scalars, workspace)
        if not (isinstance(sums.strength, float) and sums.strength == 0.0):
            for (dW, _), (W, _) in zip(sums.grads, sums.params, strict=True):
                self.penalised(dW, W, sums.strength, 1.0)
        # One call for all that a step changes: a Ctrl-C takes effect before or after it.
        divisor, *numbers = (self._scalar(x, parameters.dtype) for x in (sums.divisor, *scalars, *optimizer.constants))
        self._run(loop, parameters, workspace.gradient, *state, divisor, tuple(numbers))
        return parameters, state


def _is_contiguous_matrix(x: Array) -> bool:
    return x.ndim == 2 and x.flags.c_contiguous


def _adds(z: Array, b: Array) -> bool:
    """Return whether a loop adds ``b``: Numba fails for other numbers, and compiles another loop for other memory."""
    return _is_contiguous_matrix(z) and z.dtype.char in "fd" and b.dtype == z.dtype and b.flags.carray

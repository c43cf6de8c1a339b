"""A step's primitives for NumPy, compiled by Numba: the element-wise work in one pass over memory each.

The optimizers' formulas are those of `portable_mlp.kernels.optimizers`, compiled unchanged. Without fast-math LLVM
keeps the order of operations, so that the results are NumPy's to the last bit. Compiled code is kept on disk, beside
this file or where ``NUMBA_CACHE_DIR`` says. What cannot be compiled on this machine is left to plain NumPy.
"""

from __future__ import annotations

import contextlib
import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from ..kernels import optimizers
from ..kernels.arrays import Array
from ..kernels.network import Network
from ..kernels.optimizers import Optimizer, Scalars, State
from ..kernels.primitives import BatchLoss, GradientSums, Report
from ..kernels.targets import are_labels
from ..kernels.workspace import Workspace
from ._numpy_primitives import NumpyPrimitives
from .deferred_interrupts import interrupts_held_back

LONGEST_SUM = 128
"""The length above which NumPy sums numbers in halves."""


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function when it is called for the first time."""
    # NumPy's rules for a division by zero: Python's would need a branch in every loop, which then is no vector loop.
    compiled = numba.njit(error_model="numpy", **options)(function)
    compile_for = compiled.compile

    @functools.wraps(compile_for)
    def compile_or_interpret(signature: Any) -> Any:
        try:
            if not _failures:
                with interrupts_held_back():
                    return compile_for(signature)
        except Exception as error:
            _leave_it_to_numpy(error)
        return function  # Numba then calls it: slow, with the same bits, and for the last time

    compiled.compile = compile_or_interpret
    return compiled


_failures: list[Exception] = []


def _leave_it_to_numpy(error: Exception) -> None:
    """Remove the compiled methods, so that those of plain NumPy are inherited, and warn."""
    _failures.append(error)
    for name in [name for name in vars(NumbaPrimitives) if not name.startswith("_")]:
        delattr(NumbaPrimitives, name)
    reason = next(iter(str(error).splitlines()), "")
    warnings.warn(
        f"Numba cannot compile here: {type(error).__name__}: {reason}; plain NumPy gives the same results, more slowly",
        RuntimeWarning,
        stacklevel=5,
    )


def _kept(function: Callable[..., Any], **options: Any) -> Any:
    """Compile, and store the result on disk if there is a folder to write to."""
    compiled = _compiled(function, **options)
    with contextlib.suppress(Exception):  # no such folder, or an unknown version of Numba
        from ._compiled_files import CompiledFiles

        compiled._cache = CompiledFiles(compiled)
    return compiled


_compiled_sgd = _compiled(optimizers.sgd_update)
_compiled_momentum = _compiled(optimizers.momentum_update)
_compiled_nesterov = _compiled(optimizers.nesterov_update)
_compiled_velocity = _compiled(optimizers.velocity_update)
_compiled_nesterov_velocity = _compiled(optimizers.nesterov_velocity_update)
_compiled_adam = _compiled(optimizers.adam_update)


@_compiled
def _compiled_sqrt(x: Any) -> Any:
    return np.sqrt(x)


# One loop for each formula rather than one made for all: Numba keeps no closure on disk.


@_kept
def _sgd_loop(p: Array, g: Array, divisor: float, scalars: Scalars) -> None:
    for i in range(p.size):
        (p[i],) = _compiled_sgd(p[i], g[i] / divisor, *scalars)


@_kept
def _momentum_loop(p: Array, g: Array, v: Array, divisor: float, scalars: Scalars) -> None:
    for i in range(p.size):
        p[i], v[i] = _compiled_momentum(p[i], g[i] / divisor, v[i], *scalars)


@_kept
def _nesterov_loop(p: Array, g: Array, v: Array, divisor: float, scalars: Scalars) -> None:
    for i in range(p.size):
        p[i], v[i] = _compiled_nesterov(p[i], g[i] / divisor, v[i], *scalars)


@_kept
def _velocity_loop(p: Array, g: Array, v: Array, divisor: float, scalars: Scalars) -> None:
    for i in range(p.size):
        p[i], v[i] = _compiled_velocity(p[i], g[i] / divisor, v[i], *scalars)


@_kept
def _nesterov_velocity_loop(p: Array, g: Array, v: Array, divisor: float, scalars: Scalars) -> None:
    for i in range(p.size):
        p[i], v[i] = _compiled_nesterov_velocity(p[i], g[i] / divisor, v[i], *scalars)


@_kept
def _adam_loop(p: Array, g: Array, m: Array, v: Array, divisor: float, scalars: Scalars) -> None:
    for i in range(p.size):
        p[i], m[i], v[i] = _compiled_adam(p[i], g[i] / divisor, m[i], v[i], _compiled_sqrt, *scalars)


_LOOPS_OF_UPDATES: dict[Any, Any] = {
    optimizers.sgd_update: _sgd_loop,
    optimizers.momentum_update: _momentum_loop,
    optimizers.nesterov_update: _nesterov_loop,
    optimizers.velocity_update: _velocity_loop,
    optimizers.nesterov_velocity_update: _nesterov_velocity_loop,
    optimizers.adam_update: _adam_loop,
}


@_kept
def _bias(z: Array, b: Array) -> None:
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] += b[j]


@_kept
def _bias_relu(z: Array, b: Array, zero: float) -> None:
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            x = z[i, j] + b[j]
            # Written so that a NaN stays one.
            z[i, j] = zero if x <= zero else x


@_kept
def _d_relu(dh: Array, h: Array, zero: float) -> None:
    for i in range(h.shape[0]):
        for j in range(h.shape[1]):
            dh[i, j] = dh[i, j] if h[i, j] > zero else zero


@_kept
def _d_tanh(dh: Array, h: Array, one: float) -> None:
    for i in range(h.shape[0]):
        for j in range(h.shape[1]):
            dh[i, j] = dh[i, j] * (one - h[i, j] * h[i, j])


@_kept
def _penalise(dW: Array, W: Array, strength: float, divisor: float) -> None:
    for i in range(dW.shape[0]):
        for j in range(dW.shape[1]):
            dW[i, j] = (dW[i, j] + strength * W[i, j]) / divisor


@_kept
def _sum_rows(x: Array, out: Array) -> None:
    for j in range(x.shape[1]):
        out[j] = x[0, j]
    for i in range(1, x.shape[0]):
        for j in range(x.shape[1]):
            out[j] += x[i, j]


@_kept
def _without_maximum(z: Array, out: Array) -> None:
    for i in range(z.shape[0]):
        largest = z[i, 0]
        for j in range(1, z.shape[1]):
            # As NumPy's maximum: a NaN is the largest. A branch would often be guessed wrong.
            largest = largest if (largest >= z[i, j]) | (largest != largest) else z[i, j]
        for j in range(z.shape[1]):
            out[i, j] = z[i, j] - largest


@_compiled
def _row_sum(x: Array, i: int) -> Any:
    """Add up row i in the order of NumPy's pairwise summation, for up to ``LONGEST_SUM`` numbers."""
    n = x.shape[1]
    if n < 8:
        total = x[i, 0]
        for j in range(1, n):
            total += x[i, j]
        return total
    s0, s1, s2, s3 = x[i, 0], x[i, 1], x[i, 2], x[i, 3]
    s4, s5, s6, s7 = x[i, 4], x[i, 5], x[i, 6], x[i, 7]
    rest = n - n % 8
    for j in range(8, rest, 8):
        s0 += x[i, j]
        s1 += x[i, j + 1]
        s2 += x[i, j + 2]
        s3 += x[i, j + 3]
        s4 += x[i, j + 4]
        s5 += x[i, j + 5]
        s6 += x[i, j + 6]
        s7 += x[i, j + 7]
    total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for j in range(rest, n):
        total += x[i, j]
    return total


@_kept
def _normalise(e: Array) -> None:
    for i in range(e.shape[0]):
        total = _row_sum(e, i)
        for j in range(e.shape[1]):
            e[i, j] /= total


@_kept
def _cross_entropy_sums(shifted: Array, e: Array, Y: Array, sums: Array, zero: float, one: float) -> None:
    """Put each row's sums of ``e``, of the ``e`` below 1, and of ``Y shifted`` into ``sums``; turn e into the gradient.

    The second is left 0 where the first is at least 2 and it is not needed. ``shifted`` is used up.
    """
    for i in range(e.shape[0]):
        for j in range(e.shape[1]):
            shifted[i, j] = Y[i, j] * shifted[i, j]
        sums[2, i] = _row_sum(shifted, i)
        total = _row_sum(e, i)
        sums[0, i] = total
        sums[1, i] = zero
        if not total >= one + one:
            for j in range(e.shape[1]):
                shifted[i, j] = e[i, j] if e[i, j] < one else zero
            sums[1, i] = _row_sum(shifted, i)
        for j in range(e.shape[1]):
            e[i, j] = e[i, j] / total - Y[i, j]


@_kept
def _one_hot(labels: Array, zero: float, one: float, out: Array) -> None:
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = one if labels[i, 0] == j else zero


@_kept
def _log_of_labels(e: Array, labels: Array, eps: float, zero: float, one: float, out: Array) -> None:
    """Put the sum of ``log p`` over the samples of each class, p clipped, into ``out``; turn e into the gradient."""
    low, high = eps, one - eps
    out[:] = zero
    for i in range(e.shape[0]):
        total = _row_sum(e, i)
        for j in range(e.shape[1]):
            e[i, j] /= total
        label = labels[i, 0]
        p = e[i, label]
        clipped = low if p < low else (high if p > high else p)
        out[label] += math.log(clipped)
        e[i, label] = p - one


@_kept
def _weighted_log(Y: Array, p: Array, low: float, high: float, out: Array) -> None:
    # Of a row of labels all but one are 0: a branch at each would be guessed wrong as often as there are rows.
    places = np.empty(p.shape[1], np.int64)
    for i in range(p.shape[0]):
        n = 0
        for j in range(p.shape[1]):
            out[i, j] = Y[i, j]
            places[n] = j
            # A NaN stays one, as it does with SciPy's.
            n += int((Y[i, j] != 0) | (p[i, j] != p[i, j]))
        for k in range(n):
            j = places[k]
            clipped = low if p[i, j] < low else (high if p[i, j] > high else p[i, j])
            out[i, j] = Y[i, j] * math.log(clipped)


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
        self._run(_one_hot, labels, self._scalar(0, out.dtype), self._scalar(1, out.dtype), out)
        return out

    def add_bias(self, z: Array, b: Array) -> Array:
        """Return ``z + b``, in ``z``."""
        if not _adds(z, b):
            return super().add_bias(z, b)
        self._run(_bias, z, b)
        return z

    def activate(self, name: str, z: Array, b: Array) -> tuple[Array, Array | None]:
        """Return ``h = f(z + b)``, in ``z`` for the commonest."""
        if name != "relu" or not _adds(z, b):
            return super().activate(name, z, b)
        self._run(_bias_relu, z, b, self._scalar(0, z.dtype))
        return z, None

    def d_activate(self, name: str, dh: Array, z: Array | None, h: Array) -> Array:
        """Return ``dz = dh f'(z)``, in ``dh`` for the commonest."""
        if name not in ("relu", "tanh") or not (_is_contiguous_matrix(dh) and _is_contiguous_matrix(h)):
            return super().d_activate(name, dh, z, h)
        if name == "relu":
            self._run(_d_relu, dh, h, self._scalar(0, h.dtype))
        else:
            self._run(_d_tanh, dh, h, self._scalar(1, h.dtype))
        return dh

    def sum_samples(self, x: Array, out: Array | None = None) -> Array:
        """Return the sum over samples, in ``out``."""
        # NumPy treats one column as a vector, which it sums in another order.
        if not _is_contiguous_matrix(x) or x.shape[1] == 1 or out is None or not out.flags.c_contiguous:
            return super().sum_samples(x, out)
        self._run(_sum_rows, x, out)
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
        self._run(_without_maximum, logits, shifted)
        e = np.exp(shifted)
        total, others, chosen = sums = np.empty_like(e, shape=(3, e.shape[0]))
        self._run(_cross_entropy_sums, shifted, e, Y, sums, self._scalar(0, e.dtype), self._scalar(1, e.dtype))
        return np.where(total < 2, np.log1p(others), np.log(total)) - chosen, e

    def softmax(self, z: Array) -> Array:
        """Return ``e^z_j / sum_k e^z_k`` over the last axis, with NumPy's own exponential."""
        if not _is_contiguous_matrix(z) or z.shape[1] > LONGEST_SUM:
            return super().softmax(z)
        e = self._exponentials(z)
        self._run(_normalise, e)
        return e

    def _exponentials(self, z: Array) -> Array:
        """Return ``e^(z_j - max_k z_k)`` over the last axis of a matrix."""
        e = np.empty_like(z)
        self._run(_without_maximum, z, e)
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
        self._run(_log_of_labels, e, Y, eps, zero, one, of_classes)
        return BatchLoss(mean=report.factor * self.xp.sum(of_classes / divisor)), e, logits

    def weighted_log(self, Y: Array, p: Array) -> Array:
        """Return ``Y log p`` with p clipped to [eps, 1 - eps]; the logarithm is the C library's, as SciPy's is."""
        if not (_is_contiguous_matrix(Y) and _is_contiguous_matrix(p)):
            return super().weighted_log(Y, p)
        eps, out = np.finfo(p.dtype).eps, np.empty_like(p)
        self._run(_weighted_log, Y, p, self._scalar(eps, p.dtype), self._scalar(p.dtype.type(1) - eps, p.dtype), out)
        return out

    def penalised(self, dW: Array, W: Array, strength: float | Array, divisor: float | Array) -> Array:
        """Return ``(dW + strength W) / divisor``, in ``dW``."""
        several = getattr(strength, "ndim", 0) or getattr(divisor, "ndim", 0)  # np.ndim takes ten times as long
        if several or not (_is_contiguous_matrix(dW) and _is_contiguous_matrix(W)):
            return super().penalised(dW, W, strength, divisor)
        self._run(_penalise, dW, W, self._scalar(strength, dW.dtype), self._scalar(divisor, dW.dtype))
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
        loop = _LOOPS_OF_UPDATES.get(optimizer.formula)
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

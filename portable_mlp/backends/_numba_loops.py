"""Loops for matrices in row order, compiled by Numba, with the bits of NumPy's functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..kernels import optimizers
from ..kernels.arrays import Array
from ..kernels.optimizers import Scalars
from ._numba_compiling import compiled_on_call, kept_on_disk

LONGEST_SUM = 128
"""The length above which NumPy sums numbers in halves."""

_compiled_sgd = compiled_on_call(optimizers.sgd_update)
_compiled_momentum = compiled_on_call(optimizers.momentum_update)
_compiled_nesterov = compiled_on_call(optimizers.nesterov_update)
_compiled_velocity = compiled_on_call(optimizers.velocity_update)
_compiled_nesterov_velocity = compiled_on_call(optimizers.nesterov_velocity_update)
_compiled_adam = compiled_on_call(optimizers.adam_update)


@compiled_on_call
def _compiled_sqrt(x: Any) -> Any:
    return np.sqrt(x)


@kept_on_disk
def sgd_loop(p: Array, g: Array, divisor: float, scalars: Scalars) -> None:
    for i in range(p.size):
        (p[i],) = _compiled_sgd(p[i], g[i] / divisor, *scalars)


@kept_on_disk
def momentum_loop(p: Array, g: Array, v: Array, divisor: float, scalars: Scalars) -> None:
    for i in range(p.size):
        p[i], v[i] = _compiled_momentum(p[i], g[i] / divisor, v[i], *scalars)


@kept_on_disk
def nesterov_loop(p: Array, g: Array, v: Array, divisor: float, scalars: Scalars) -> None:
    for i in range(p.size):
        p[i], v[i] = _compiled_nesterov(p[i], g[i] / divisor, v[i], *scalars)


@kept_on_disk
def velocity_loop(p: Array, g: Array, v: Array, divisor: float, scalars: Scalars) -> None:
    for i in range(p.size):
        p[i], v[i] = _compiled_velocity(p[i], g[i] / divisor, v[i], *scalars)


@kept_on_disk
def nesterov_velocity_loop(p: Array, g: Array, v: Array, divisor: float, scalars: Scalars) -> None:
    for i in range(p.size):
        p[i], v[i] = _compiled_nesterov_velocity(p[i], g[i] / divisor, v[i], *scalars)


@kept_on_disk
def adam_loop(p: Array, g: Array, m: Array, v: Array, divisor: float, scalars: Scalars) -> None:
    for i in range(p.size):
        p[i], m[i], v[i] = _compiled_adam(p[i], g[i] / divisor, m[i], v[i], _compiled_sqrt, *scalars)


LOOPS_OF_UPDATES: dict[Any, Any] = {
    optimizers.sgd_update: sgd_loop,
    optimizers.momentum_update: momentum_loop,
    optimizers.nesterov_update: nesterov_loop,
    optimizers.velocity_update: velocity_loop,
    optimizers.nesterov_velocity_update: nesterov_velocity_loop,
    optimizers.adam_update: adam_loop,
}


@kept_on_disk
def bias_loop(z: Array, b: Array) -> None:
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] += b[j]


@kept_on_disk
def bias_relu_loop(z: Array, b: Array, zero: float) -> None:
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            x = z[i, j] + b[j]
            # Written so that a NaN stays one.
            z[i, j] = zero if x <= zero else x


@kept_on_disk
def d_relu_loop(dh: Array, h: Array, zero: float) -> None:
    for i in range(h.shape[0]):
        for j in range(h.shape[1]):
            dh[i, j] = dh[i, j] if h[i, j] > zero else zero


@kept_on_disk
def d_tanh_loop(dh: Array, h: Array, one: float) -> None:
    for i in range(h.shape[0]):
        for j in range(h.shape[1]):
            dh[i, j] = dh[i, j] * (one - h[i, j] * h[i, j])


@kept_on_disk
def penalise_loop(dW: Array, W: Array, strength: float, divisor: float) -> None:
    for i in range(dW.shape[0]):
        for j in range(dW.shape[1]):
            dW[i, j] = (dW[i, j] + strength * W[i, j]) / divisor


@kept_on_disk
def sum_rows_loop(x: Array, out: Array) -> None:
    for j in range(x.shape[1]):
        out[j] = x[0, j]
    for i in range(1, x.shape[0]):
        for j in range(x.shape[1]):
            out[j] += x[i, j]


@kept_on_disk
def without_maximum_loop(z: Array, out: Array) -> None:
    for i in range(z.shape[0]):
        largest = z[i, 0]
        for j in range(1, z.shape[1]):
            # As NumPy's maximum: a NaN is the largest. A branch would often be guessed wrong.
            largest = largest if (largest >= z[i, j]) | (largest != largest) else z[i, j]
        for j in range(z.shape[1]):
            out[i, j] = z[i, j] - largest


@compiled_on_call
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


@kept_on_disk
def normalise_loop(e: Array) -> None:
    for i in range(e.shape[0]):
        total = _row_sum(e, i)
        for j in range(e.shape[1]):
            e[i, j] /= total


@kept_on_disk
def cross_entropy_sums_loop(shifted: Array, e: Array, Y: Array, sums: Array, zero: float, one: float) -> None:
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


@kept_on_disk
def one_hot_loop(labels: Array, zero: float, one: float, out: Array) -> None:
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = one if labels[i, 0] == j else zero


@kept_on_disk
def log_of_labels_loop(e: Array, labels: Array, eps: float, zero: float, one: float, out: Array) -> None:
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


@kept_on_disk
def weighted_log_loop(Y: Array, p: Array, low: float, high: float, out: Array) -> None:
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

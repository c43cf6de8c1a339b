"""Element-wise work on an NVIDIA GPU, one kernel each, made from the kernels' own formulas."""

from __future__ import annotations

import functools
from typing import Any

import cupy

from ..kernels.activations import ACTIVATIONS
from ..kernels.optimizers import Optimizer
from ..kernels.tracing import Symbol, Tracer, Untraceable
from ._cuda_formulas import traced

KERNELS_KEPT = 128


def _kernel(inputs: str, outputs: str, name: str, *formula: Any) -> Any:
    """Return the kernel of a formula, from the arguments of `traced`; None if it cannot be traced."""
    try:
        body = traced(*formula)
    except Untraceable:
        return None
    return cupy.ElementwiseKernel(inputs, outputs, body, name)


@functools.cache
def activate(name: str) -> Any:
    """Return ``kernel(b, z)``: ``z`` becomes ``f(z + b)``; or, where the derivative needs z, ``kernel(b, z, h)``.

    Then ``z`` becomes ``z + b``, and ``h`` is ``f(z + b)``. None where the formula cannot be traced, as for the others.
    """
    value, needs_z = ACTIVATIONS[name].value, ACTIVATIONS[name].needs_z

    def formula(xp: Tracer, z: Symbol, b: Symbol) -> Any:
        z = z + b
        return (z, value(xp, z)) if needs_z else value(xp, z)

    outputs, results = ("T z, T h", ["z", "h"]) if needs_z else ("T z", ["z"])
    return _kernel("T b", outputs, f"portable_mlp_{name}", formula, ["z", "b"], results)


@functools.cache
def d_activate(name: str) -> Any:
    """Return ``kernel(z, h, dh)``: ``dh`` becomes ``dh f'(z)``; some formulas read ``h`` alone."""
    backward = ACTIVATIONS[name].backward
    return _kernel("T z, T h", "T dh", f"portable_mlp_d_{name}", backward, ["dh", "z", "h"], ["dh"])


@functools.lru_cache(KERNELS_KEPT)
def update(optimizer: Optimizer) -> Any:
    """Return ``kernel(sums, divisor, scalars, p, *moments)``: a step along ``sums / divisor``, in place."""
    moments = [f"m{i}" for i in range(len(optimizer.moments))]
    n_scalars = len(optimizer.scalars(1, 1.0))

    def formula(xp: Tracer, p: Symbol, sums: Symbol, divisor: Symbol, *rest: Symbol) -> Any:
        state, scalars = rest[: len(moments)], rest[len(moments) :]
        root = (xp.sqrt,) if optimizer.with_root else ()
        return optimizer.formula(p, sums / divisor, *state, *root, *scalars, *optimizer.constants)

    scalars = [f"scalars[{i}]" for i in range(n_scalars)]
    written = ", ".join(f"T {name}" for name in ("p", *moments))
    arguments = ["p", "sums", "divisor", *moments, *scalars]
    inputs = "T sums, T divisor, raw T scalars"
    return _kernel(inputs, written, "portable_mlp_update", formula, arguments, ["p", *moments])


sum_of_squares = cupy.ReductionKernel("T x", "T y", "x * x", "a + b", "y = a", "0", "portable_mlp_sum_of_squares")
"""``kernel(x, axis=...)``: the sum of all squares along axes."""

add_bias = cupy.ElementwiseKernel("T b", "T z", "z = z + b;", "portable_mlp_add_bias")
"""``kernel(b, z)``: ``z`` becomes ``z + b``."""

add_scaled = cupy.ElementwiseKernel("T W, T strength", "T dW", "dW = dW + strength * W;", "portable_mlp_add_scaled")
"""``kernel(W, strength, dW)``: ``dW`` becomes ``dW + strength W``."""

scale = cupy.ElementwiseKernel("T factor", "T x", "x = x * factor;", "portable_mlp_scale")
"""``kernel(factor, x)``: ``x`` becomes ``x factor``."""

add_loss = cupy.ElementwiseKernel(
    "T loss, T n_samples", "T total", "total = total + loss * n_samples;", "portable_mlp_add_loss"
)
"""``kernel(loss, n_samples, total)``: ``total`` becomes ``total + loss n_samples``."""

one_hot = cupy.ElementwiseKernel(
    "raw L labels, int64 n_classes", "T Y", "Y = labels[i / n_classes] == L(i % n_classes);", "portable_mlp_one_hot"
)
"""``kernel(labels, n_classes, Y)``: each row of ``Y`` becomes 1 at its label's place, else 0."""

cross_entropy = cupy.ElementwiseKernel(
    "raw T Y, int64 n_rows, int64 n_classes",
    "raw T z, T loss",
    """
    // One thread a row: with few classes a row is a handful of numbers.
    const ptrdiff_t row = i * n_classes, target = (i % n_rows) * n_classes;
    T top = z[row];
    for (ptrdiff_t j = 1; j < n_classes; ++j)
        if (z[row + j] > top) top = z[row + j];
    T total = 0, others = 0, at_target = 0;
    for (ptrdiff_t j = 0; j < n_classes; ++j) {
        const T shifted = z[row + j] - top;
        const T e = exp(shifted);
        total += e;
        if (!(e >= 1)) others += e;
        at_target += Y[target + j] * shifted;
        z[row + j] = e;
    }
    loss = (total < 2 ? log1p(others) : log(total)) - at_target;
    for (ptrdiff_t j = 0; j < n_classes; ++j) z[row + j] = z[row + j] / total - Y[target + j];
    """,
    "portable_mlp_cross_entropy",
)
"""``kernel(Y, n_rows, n_classes, z, loss)``: each row's loss, and its derivative at the logits in place of ``z``.

The formula of `portable_mlp.kernels.losses.cross_entropy`. ``n_rows`` is how many ``Y`` has: models may share them.
"""

bfloat16 = cupy.ElementwiseKernel(
    "float32 x",
    "uint16 y",
    """
    unsigned int bits;
    memcpy(&bits, &x, sizeof bits);
    // To the nearest, a tie to the even one; what would round a NaN to infinity is left out.
    y = x != x ? 0x7fc0 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    """,
    "portable_mlp_bfloat16",
)
"""``kernel(x, y)``: ``y`` becomes the bits of the nearest bfloat16."""

"""The kernels of a step on an NVIDIA GPU, few and made from the kernels' own formulas where they have one."""

from __future__ import annotations

import functools
from typing import Any

import cupy

from ..kernels.activations import ACTIVATIONS
from ..kernels.losses import LOSSES
from ..kernels.network import Network
from ..kernels.optimizers import Optimizer
from ..kernels.primitives import Primitives, Report
from ..kernels.tracing import Symbol, Tracer, Untraceable
from . import _cuda_blocks as blocks
from ._cuda_formulas import traced
from ._cuda_rows import Formula, row_losses_source

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
def conclusion(
    sizes: tuple[int, ...], optimizer: Optimizer, dtype: str, strength: str, divisor: str, loss_divisor: str
) -> Any:
    """Return the kernel of `_cuda_blocks.conclusion_source`; None if the optimizer's formula cannot be traced."""
    try:
        source = blocks.conclusion_source(sizes, optimizer, dtype, strength, divisor, loss_divisor)
    except Untraceable:
        return None
    return cupy.RawKernel(source, "portable_mlp_conclusion")


@functools.lru_cache(KERNELS_KEPT)
def layer_sums(sizes: tuple[int, ...], dtype: str) -> Any:
    """Return the kernel of `_cuda_blocks.layer_sums_source`."""
    return cupy.RawKernel(blocks.layer_sums_source(sizes, dtype), "portable_mlp_layer_sums")


@functools.lru_cache(KERNELS_KEPT)
def network_losses(net: Network, dtype: str, wide: bool) -> Any:
    """Return the kernel of `_cuda_rows.row_losses_source` for the loss of a network; None if it cannot be traced."""
    formula, options = LOSSES[str(net.loss)].formula, dict(net.loss_options)
    return _row_losses(lambda xp, z, Y: formula(xp, z, Y, net.output, **options), dtype, wide)


@functools.lru_cache(KERNELS_KEPT)
def reported_losses(report: Report, n_outputs: int, dtype: str, wide: bool) -> Any:
    """Return the same kernel for a loss to report: the losses of all samples add up to its value, not divided yet."""
    factor = report.factor / n_outputs if report.averages else report.factor

    def formula(xp: Tracer, z: Symbol, Y: Symbol) -> tuple[Symbol, Symbol]:
        terms, dz = report.terms(Primitives(xp), z, Y)
        return factor * xp.sum(terms, axis=-1), dz

    return _row_losses(formula, dtype, wide)


def _row_losses(formula: Formula, dtype: str, wide: bool) -> Any:
    try:
        source = row_losses_source(formula, dtype, wide=wide)
    except Untraceable:
        return None
    return cupy.RawKernel(source, "portable_mlp_row_losses")


def _gathered(parameters: str, target: str, name: str) -> Any:
    """Return the kernel that gathers inputs and targets; ``target`` is the expression of one number of a target."""
    return cupy.ElementwiseKernel(
        f"raw T X, {parameters}, raw I rows, int64 n_features, int64 n_outputs",
        "raw T X_out, raw T Y_out",
        f"""
        const ptrdiff_t width = n_features + n_outputs, row = i / width, j = i % width, from = rows[row];
        if (j < n_features) X_out[row * n_features + j] = X[from * n_features + j];
        else {{
            const ptrdiff_t k = j - n_features;
            Y_out[row * n_outputs + k] = {target};
        }}
        """,
        f"portable_mlp_gathered_{name}",
    )


gathered_labels = _gathered("raw L Y", "Y[from] == L(k)", "labels")
"""``kernel(X, Y, rows, n_features, n_outputs, X_out, Y_out, size=...)``: labels become rows with a 1 at their place."""

gathered_rows = _gathered("raw T Y", "Y[from * n_outputs + k]", "rows")
"""The same for targets that are rows."""


sum_of_squares = cupy.ReductionKernel("T x", "T y", "x * x", "a + b", "y = a", "0", "portable_mlp_sum_of_squares")
"""``kernel(x, axis=...)``: the sum of all squares along axes."""

add_bias = cupy.ElementwiseKernel("T b", "T z", "z = z + b;", "portable_mlp_add_bias")
"""``kernel(b, z)``: ``z`` becomes ``z + b``."""

add_scaled = cupy.ElementwiseKernel("T W, T strength", "T dW", "dW = dW + strength * W;", "portable_mlp_add_scaled")
"""``kernel(W, strength, dW)``: ``dW`` becomes ``dW + strength W``."""

scale = cupy.ElementwiseKernel("T factor", "T x", "x = x * factor;", "portable_mlp_scale")
"""``kernel(factor, x)``: ``x`` becomes ``x factor``."""

one_hot = cupy.ElementwiseKernel(
    "raw L labels, int64 n_classes", "T Y", "Y = labels[i / n_classes] == L(i % n_classes);", "portable_mlp_one_hot"
)
"""``kernel(labels, n_classes, Y)``: each row of ``Y`` becomes 1 at its label's place, else 0."""

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

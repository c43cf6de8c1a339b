"""Losses as CUDA kernels: formulas over rows, traced once, so that each becomes one kernel.

A loss of `portable_mlp.kernels` maps the logits and the targets of a sample, a row, to its loss and the derivative at
the logits. It takes sums and maxima over the row, and what follows these needs the row once more: the kernel goes over
the row in passes, each of which computes what the sums before it allow.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels.arrays import Array
from ..kernels.tracing import Symbol, Tracer, Untraceable, trace
from ._cuda_blocks import OVER_A_BLOCK, TYPES
from ._cuda_formulas import BOOLEANS, expression

ROW_THREADS = 128
"""Threads of a block: each has a row, and there may be fewer; or all together have one."""

Formula = Callable[[Any, Array, Array], tuple[Array, Array]]


class RowSymbol(Symbol):
    """A number of each row, such as its sum; with or without an axis of length one in the place of the row."""

    def __getitem__(self, key: Any) -> RowSymbol:
        return self


class RowLines(Tracer):
    """The lines of a formula over rows, by the pass that they belong to.

    Parameters
    ----------
    dtype : str
        The dtype of all numbers.

    Attributes
    ----------
    numbers, rows : list of tuple of int, str
        The lines for each number of a row, and those for a row, each with its pass: the lines of a row come before the
        pass, those of its numbers belong to it and to all later ones.
    reductions : list of tuple of int, str, str, str
        The pass, "sum" or "max", the name of the result, and the name of what is reduced.
    """

    __name__ = "cuda"

    def __init__(self, dtype: str) -> None:
        self._dtype = np.dtype(dtype)
        self.numbers: list[tuple[int, str]] = []
        self.rows: list[tuple[int, str]] = []
        self.reductions: list[tuple[int, str, str, str]] = []
        self._passes: dict[str, int] = {}
        self._counter = itertools.count()

    def finfo(self, dtype: Any) -> Any:
        """Return the limits of the dtype of all numbers."""
        return np.finfo(self._dtype)

    def operation(self, name: str, *operands: Symbol | float) -> Symbol:
        """Append the line of one operation; return its result."""
        symbols = [x for x in operands if isinstance(x, Symbol)]
        in_pass = max(map(self.pass_of, symbols), default=0)
        of_row = all(isinstance(x, RowSymbol) for x in symbols)
        result = (RowSymbol if of_row else Symbol)(self, f"t{next(self._counter)}")
        line = f"const {'bool' if name in BOOLEANS else 'T'} {result} = {expression(name, *operands)};"
        (self.rows if of_row else self.numbers).append((in_pass, line))
        self._passes[str(result)] = in_pass
        return result

    def sum(self, x: Symbol, axis: int, keepdims: bool = False) -> Symbol:
        """Append a sum over the row; return its result."""
        return self._reduction("sum", x, axis)

    def max(self, x: Symbol, axis: int, keepdims: bool = False) -> Symbol:
        """Append a maximum over the row; return its result."""
        return self._reduction("max", x, axis)

    def pass_of(self, x: Symbol) -> int:
        """Return the first pass in which a result is known."""
        return self._passes.get(str(x), 0)

    def _reduction(self, kind: str, x: Symbol, axis: int) -> Symbol:
        if axis != -1 or isinstance(x, RowSymbol):
            raise Untraceable("a reduction that is not over the numbers of a row")
        result = RowSymbol(self, f"t{next(self._counter)}")
        self.reductions.append((self.pass_of(x), kind, str(result), str(x)))
        self._passes[str(result)] = self.pass_of(x) + 1
        return result


def row_losses_source(formula: Formula, dtype: str, *, wide: bool) -> str:
    """Return the source of the kernel of a loss.

    ``kernel(Y, n_targets, b, b_stride, n_rows, n_samples, n_outputs, z, losses)``: the loss of each row at the logits
    ``z + b``, and its derivative there in place of ``z``. ``n_targets`` is how many rows ``Y`` has: models may share
    them; each has ``n_samples`` rows of ``z``, and a bias, ``b_stride`` numbers from the next.

    Parameters
    ----------
    formula : callable
        ``formula(xp, z, Y) -> (losses, dz)``, by the contract of `portable_mlp.kernels.losses`.
    dtype : str
        The dtype of all numbers: "float32" or "float64".
    wide : bool
        Whether a block of threads has a row, rather than one thread.

    Raises
    ------
    Untraceable
        If the formula does something else than operations on numbers, and sums and maxima over rows.
    """
    lines = RowLines(dtype)
    loss, dz = trace(formula, lines, "z", "Y")
    if not isinstance(loss, RowSymbol):
        raise Untraceable("a loss that is not one number for each row")
    last = max([lines.pass_of(dz), *(in_pass for in_pass, *_ in lines.reductions)])
    passes = "".join(_pass(lines, i, wide, f"all_z[at + j] = {dz};" if i == last else "") for i in range(last + 1))
    place = "blockIdx.x" if wide else "(long long) blockIdx.x * blockDim.x + threadIdx.x"
    return (
        (OVER_A_BLOCK if wide else "typedef {T} T;\n").format(T=TYPES[dtype], threads=ROW_THREADS)
        + f"""
extern "C" __global__ void portable_mlp_row_losses(
    const T* all_Y, const long long n_targets, const T* all_b, const long long b_stride, const long long n_rows,
    const long long n_samples, const long long n_outputs, T* all_z, T* losses
) {{
    const long long row = {place};
    if (row >= n_rows) return;
    const T *targets = all_Y + row % n_targets * n_outputs, *bias = all_b + row / n_samples * b_stride;
    const long long at = row * n_outputs;
{passes}{_rows(lines, last + 1)}
    {"if (threadIdx.x == 0) " if wide else ""}losses[row] = {loss};
}}
"""
    )


def _pass(lines: RowLines, i: int, wide: bool, end: str) -> str:
    """Return a pass over a row, with the lines of rows before it and the reductions of its numbers."""
    reductions = [(kind, name, x) for in_pass, kind, name, x in lines.reductions if in_pass == i]
    starts = {"sum": "0", "max": "-1 / T(0)"}
    steps = {"sum": "{0} += {1};", "max": "if ({1} > {0} || {1} != {1}) {0} = {1};"}
    numbers = [line for in_pass, line in lines.numbers if in_pass <= i]
    inside = [*numbers, *(steps[kind].format(name, x) for kind, name, x in reductions), end]
    first, stride = ("threadIdx.x", "blockDim.x") if wide else ("0", "1")
    return "\n".join(
        [
            _rows(lines, i),
            *(f"    T {name} = {starts[kind]};" for kind, name, _ in reductions),
            f"    for (long long j = {first}; j < n_outputs; j += {stride}) {{",
            "        const T z = all_z[at + j] + bias[j], Y = targets[j];",
            *(f"        {line}" for line in inside if line),
            "    }",
            *(f"    {name} = {kind}_over_block({name});" for kind, name, _ in reductions if wide),
            "",
        ]
    )


def _rows(lines: RowLines, i: int) -> str:
    return "\n".join(f"    {line}" for in_pass, line in lines.rows if in_pass == i)

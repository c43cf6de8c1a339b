"""CUDA kernels whose threads work together: sums over samples, and the conclusion of a step.

Each function returns the source of one kernel, for a dtype and for what else is known beforehand. Sums are taken in an
order that depends on the sizes alone, so that every launch gives the same bits.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..kernels.optimizers import Optimizer
from ..kernels.parameters import n_parameters
from ..kernels.tracing import Symbol, Tracer
from ._cuda_formulas import traced

TYPES = {"float32": "float", "float64": "double"}

NUMBERS_A_THREAD = 4
"""How many parameters a thread of `conclusion_source` takes, or more of very many."""

COLUMNS = 32
"""Columns that a block of `layer_sums_source` sums: as many as read one line of memory together."""

OVER_A_BLOCK = """
typedef {T} T;

// A number becomes its sum, or its maximum, over all threads of the block, whose number is a power of two. Not a number
// is the largest of all.
__device__ T sum_over_block(T x) {{
    __shared__ T shared[{threads}];
    shared[threadIdx.x] = x;
    __syncthreads();
    for (unsigned half = {threads} / 2; half > 0; half /= 2) {{
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        __syncthreads();
    }}
    x = shared[0];
    __syncthreads();
    return x;
}}

__device__ T max_over_block(T x) {{
    __shared__ T shared[{threads}];
    shared[threadIdx.x] = x;
    __syncthreads();
    for (unsigned half = {threads} / 2; half > 0; half /= 2) {{
        if (threadIdx.x < half) {{
            const T other = shared[threadIdx.x + half];
            if (other > shared[threadIdx.x] || other != other) shared[threadIdx.x] = other;
        }}
        __syncthreads();
    }}
    x = shared[0];
    __syncthreads();
    return x;
}}
"""


def layer_sums_source(sizes: Sequence[int], dtype: str) -> str:
    """Return the kernel that sums ``dz`` of every layer over samples, into the biases of a flat gradient.

    A block sums `COLUMNS` columns of one layer, of one model; the threads of a column take its rows in turn.
    """
    layers, tiles = range(len(sizes) - 1), 0
    cases = []
    for i, (_, offset) in enumerate(_layers(sizes)):
        n_columns = sizes[i + 1]
        n_tiles = -(-n_columns // COLUMNS)
        cases.append(
            f"if (tile >= {tiles} && tile < {tiles + n_tiles}) "
            f"{{ x = dz{i}; n_columns = {n_columns}; offset = {offset}; first_tile = {tiles}; }}"
        )
        tiles += n_tiles
    arguments, choice = ", ".join(f"const T* dz{i}" for i in layers), "\n    ".join(cases)
    return f"""
typedef {TYPES[dtype]} T;

extern "C" __global__ void portable_mlp_layer_sums(
    T* gradient, const long long stride, const long long n_samples, {arguments}
) {{
    __shared__ T shared[32 * {COLUMNS}];
    const long long tile = blockIdx.x, model = blockIdx.y;
    const T* x = dz0;
    long long n_columns = 0, offset = 0, first_tile = 0;
    {choice}
    const unsigned lanes = blockDim.x / {COLUMNS}, lane = threadIdx.x / {COLUMNS};
    const long long column = (tile - first_tile) * {COLUMNS} + threadIdx.x % {COLUMNS};
    T sum = 0;
    if (column < n_columns) {{
        x += model * n_samples * n_columns + column;
        #pragma unroll 8
        for (long long row = lane; row < n_samples; row += lanes) sum += x[row * n_columns];
    }}
    shared[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned half = lanes / 2; half > 0; half /= 2) {{
        if (lane < half) shared[threadIdx.x] += shared[threadIdx.x + {COLUMNS} * half];
        __syncthreads();
    }}
    if (lane == 0 && column < n_columns) gradient[model * stride + offset + column] = shared[threadIdx.x];
}}
"""


def n_tiles(sizes: Sequence[int]) -> int:
    """Return the number of blocks of `layer_sums_source`, for each model."""
    return sum(-(-n_columns // COLUMNS) for n_columns in sizes[1:])


def n_lanes(n_samples: int) -> int:
    """Return the number of threads for a column of `layer_sums_source`, a power of two: each adds about eight rows.

    >>> [n_lanes(n) for n in (1, 8, 16, 200, 8192)]
    [1, 1, 2, 16, 32]
    """
    return min(32, 1 << max(0, (n_samples // 8).bit_length() - 1))


def conclusion_source(
    sizes: Sequence[int], optimizer: Optimizer, dtype: str, strength: str, divisor: str, loss_divisor: str
) -> str:
    """Return the kernel that concludes a step: it updates the parameters, and forms the batch's loss with its penalty.

    The last block to finish adds up what all blocks have of the losses and of the squared weights.

    Parameters
    ----------
    sizes : sequence of int
        The sizes of the network.
    optimizer : Optimizer
        The optimizer, whose formula is traced.
    dtype : str
        The dtype of all numbers: "float32" or "float64".
    strength, divisor, loss_divisor : str
        The kind of each: "number"; "shared", an array of one; "array", with one for each model. The strength may be
        "none" too.

    Raises
    ------
    Untraceable
        If the optimizer's formula cannot be traced.
    """
    n, moments = n_parameters(sizes), [f"m{i}" for i in range(len(optimizer.moments))]
    update = _update(optimizer, moments).replace("\n", "\n        ")
    loads = "".join(f"\n        T {m} = all_{m}[model * {n}LL + i];" for m in moments)
    stores = "".join(f"\n        all_{m}[model * {n}LL + i] = {m};" for m in moments)
    kinds = {"strength": strength, "divisor": divisor, "loss_divisor": loss_divisor}
    declared, values = zip(*(_number(name, kind) for name, kind in kinds.items()), strict=True)
    penalise = "" if strength == "none" else f"if ({_is_weight(sizes)}) {{ sums[1] += p * p; g += strength * p; }}"
    penalty = "" if strength == "none" else " + T(0.5) * strength * sums[1] / divisor"
    return (
        OVER_A_BLOCK.format(T=TYPES[dtype], threads=block_threads(n))
        + f"""
extern "C" __global__ void portable_mlp_conclusion(
    T* all_p, {"".join(f"T* all_{m}, " for m in moments)}const T* all_g, const long long g_stride, const T* losses,
    const long long n_losses, const T* scalars, {", ".join(declared)}, const T n_samples, T* all_totals, T* all_losses,
    volatile T* partial, unsigned* n_done
) {{
    const long long model = blockIdx.y, first = blockIdx.x * blockDim.x + threadIdx.x, step = gridDim.x * blockDim.x;
    const T strength = {values[0]}, divisor = {values[1]};
    T sums[2] = {{0, 0}};
    for (long long i = first; i < n_losses; i += step) sums[0] += losses[model * n_losses + i];
    for (long long i = first; i < {n}LL; i += step) {{
        T p = all_p[model * {n}LL + i], g = all_g[model * g_stride + i];{loads}
        {penalise}
        g = g / divisor;
        {update}
        all_p[model * {n}LL + i] = p;{stores}
    }}
    for (int n = 0; n < 2; ++n) sums[n] = sum_over_block(sums[n]);
    __shared__ bool is_last;
    if (threadIdx.x == 0) {{
        for (int n = 0; n < 2; ++n) partial[(model * gridDim.x + blockIdx.x) * 2 + n] = sums[n];
        __threadfence();
        is_last = atomicAdd(n_done + model, 1u) == gridDim.x - 1;
    }}
    __syncthreads();
    if (!is_last) return;
    __threadfence();
    for (int n = 0; n < 2; ++n) {{
        sums[n] = 0;
        for (unsigned i = threadIdx.x; i < gridDim.x; i += blockDim.x)
            sums[n] += partial[(model * gridDim.x + i) * 2 + n];
    }}
    for (int n = 0; n < 2; ++n) sums[n] = sum_over_block(sums[n]);
    if (threadIdx.x == 0) {{
        const T loss = sums[0] / {values[2]}{penalty};
        all_losses[model] = loss;
        all_totals[model] += loss * n_samples;
        n_done[model] = 0;  // for the next launch
    }}
}}
"""
    )


def _update(optimizer: Optimizer, moments: Sequence[str]) -> str:
    """Return the lines of an optimizer's formula for ``p``, its gradient ``g`` and its moments."""

    def formula(xp: Tracer, p: Symbol, g: Symbol, *rest: Symbol) -> object:
        root = (xp.sqrt,) if optimizer.with_root else ()
        return optimizer.formula(p, g, *rest[: len(moments)], *root, *rest[len(moments) :], *optimizer.constants)

    scalars = [f"scalars[{i}]" for i in range(len(optimizer.scalars(1, 1.0)))]
    return traced(formula, ["p", "g", *moments, *scalars], ["p", *moments])


def _number(name: str, kind: str) -> tuple[str, str]:
    """Return the declaration of an argument of `conclusion_source` of some kind, and its value for a model.

    >>> _number("divisor", "array")
    ('const T* all_divisor', 'all_divisor[model]')
    """
    values = {"number": "all_{0}", "shared": "*all_{0}", "array": "all_{0}[model]", "none": "0"}
    star = "*" if kind in ("shared", "array") else ""
    return f"const T{star} all_{name}", values[kind].format(name)


def block_threads(n_numbers: int) -> int:
    """Return the number of threads of a block of `conclusion_source`, a power of two.

    >>> [block_threads(n) for n in (10, 300, 7_510)]
    [32, 64, 256]
    """
    return min(256, max(32, 1 << (n_numbers // NUMBERS_A_THREAD).bit_length() - 1))


def n_blocks(n_numbers: int, n_threads: int) -> int:
    """Return the number of blocks of `conclusion_source`, for each model.

    >>> [n_blocks(n, 256) for n in (10, 7_510, 100_000_000)]
    [1, 8, 1024]
    """
    return min(1024, -(-n_numbers // (NUMBERS_A_THREAD * n_threads)))


def _layers(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Return where the weights and the bias of each layer start in the flat vector."""
    places, at = [], 0
    for fan_in, fan_out in itertools.pairwise(sizes):
        places.append((at, at + fan_in * fan_out))
        at += (fan_in + 1) * fan_out
    return places


def _is_weight(sizes: Sequence[int]) -> str:
    """Return the condition that the parameter ``i`` of the flat vector is a weight, not a bias.

    >>> _is_weight((3, 4, 2))
    '(i >= 0LL && i < 12LL) || (i >= 16LL && i < 24LL)'
    """
    return " || ".join(f"(i >= {start}LL && i < {stop}LL)" for start, stop in _layers(sizes))

"""Does NVIDIA's compiler take every kernel: ``python -m gpu_suite.nvrtc`` compiles them for two GPUs, without a GPU.

It needs CuPy, NVRTC and CUDA's headers (``nox -s nvrtc`` installs them), but no driver. Kernels of blocks of threads
are compiled as `cupy.RawKernel` would; of kernels element by element CuPy's own code around them is generated first.
"""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from portable_mlp.backends import _cuda_blocks
from portable_mlp.backends._cuda_rows import row_losses_source
from portable_mlp.estimators.losses import REPORTED
from portable_mlp.kernels.activations import ACTIVATIONS
from portable_mlp.kernels.losses import LOSSES, checked_loss_options
from portable_mlp.kernels.optimizers import adam, sgd
from portable_mlp.kernels.primitives import Primitives

ARCHITECTURES = ("80", "90")
DTYPES = ("float32", "float64")
SIZES = (64, 100, 30, 10)
OPTIMIZERS = {
    "adam": adam(),
    "plain": sgd(0.0),
    "momentum": sgd(0.9, nesterov=False),
    "nesterov": sgd(0.9),
    "velocity": sgd(0.9, False, rate_in_velocity=True),
    "nesterov velocity": sgd(0.9, rate_in_velocity=True),
}


def block_sources() -> Iterator[tuple[str, str]]:
    """Yield the name and the source of every kernel of blocks of threads, in each of its variants."""
    kinds = ("number", "shared", "array")
    for dtype in DTYPES:
        yield f"layer sums, {dtype}", _cuda_blocks.layer_sums_source(SIZES, dtype)
        for name, optimizer in OPTIMIZERS.items():
            for strength, divisor in itertools.product(("none", *kinds), kinds):
                source = _cuda_blocks.conclusion_source(SIZES, optimizer, dtype, strength, divisor, divisor)
                yield f"conclusion of {name}, {strength}, {divisor}, {dtype}", source
        for wide in (False, True):
            for name, formula in _losses():
                yield f"{name}, wide={wide}, {dtype}", row_losses_source(formula, dtype, wide=wide)


def _losses() -> Iterator[tuple[str, Any]]:
    for name, loss in LOSSES.items():
        for output in loss.outputs:
            options = dict(checked_loss_options(name, {}))

            def formula(xp: Any, z: Any, Y: Any, loss: Any = loss, output: str = output, options: Any = options) -> Any:
                return loss.formula(xp, z, Y, output, **options)

            yield f"{name} of {output}", formula
    for name, report in REPORTED.items():

        def reported(xp: Any, z: Any, Y: Any, report: Any = report) -> Any:
            terms, dz = report.terms(Primitives(xp), z, Y)
            return report.factor * xp.sum(terms, axis=-1), dz

        yield f"reported {name}", reported


def element_sources() -> Iterator[tuple[str, str]]:
    """Yield the name and the source of every kernel element by element, with the code that CuPy puts around it."""
    from portable_mlp.backends import _cupy_kernels as kernels

    for dtype in map(np.dtype, DTYPES):
        for models in (0, 1):
            matrix, bias, flat = (dtype, 2 + models, True), (dtype, 2 + models, False), (dtype, 1, True)
            what = f"{dtype}, {'models' if models else 'one model'}"
            yield f"add_bias, {what}", _around(kernels.add_bias, [bias, matrix])
            for name, activation in ACTIVATIONS.items():
                results = [matrix] * (2 if activation.needs_z else 1)
                yield f"activate {name}, {what}", _around(kernels.activate(name), [bias, *results])
                yield f"d_activate {name}, {what}", _around(kernels.d_activate(name), [flat] * 3)
        for labels in ("int32", "int64", "uint8"):
            of_labels = (np.dtype(labels), 2, True)
            rows = (np.dtype("int64"), 1, True)
            where = [(dtype, 2, True), of_labels, rows, None, None, (dtype, 2, True), (dtype, 2, True)]
            yield f"gathered_labels {labels}, {dtype}", _around(kernels.gathered_labels, where, 1)
            one_hot = [of_labels, None, (dtype, 1, True)]
            yield f"one_hot {labels}, {dtype}", _around(kernels.one_hot, one_hot, 1)
        rows_of = [(dtype, 2, True), (dtype, 2, True), (np.dtype("int64"), 1, True), None, None]
        yield (
            f"gathered_rows, {dtype}",
            _around(kernels.gathered_rows, [*rows_of, (dtype, 2, True), (dtype, 2, True)], 1),
        )
        yield f"scale, {dtype}", _around(kernels.scale, [(dtype, 1, True)] * 2)
        yield f"add_scaled, {dtype}", _around(kernels.add_scaled, [(dtype, 2, False)] * 3)
    for ndim, contiguous in ((1, True), (2, False)):
        numbers = [(np.dtype("float32"), ndim, contiguous), (np.dtype("uint16"), ndim, contiguous)]
        yield f"bfloat16 of {ndim} axes", _around(kernels.bfloat16, numbers)


def _around(kernel: Any, arguments: list[Any], ndim: int | None = None) -> str:
    """Return CuPy's source of a kernel for arrays (dtype, ndim, contiguous), or None for an integer."""
    import cupy
    from cupy._core import _carray, _kernel, _scalar, core

    array, index, scalar = 1, 2, 3  # kinds of CuPy's arguments

    def info(argument: Any) -> Any:
        if argument is None:
            return _kernel._ArgInfo(scalar, _scalar.CScalar, np.dtype("int64"), 0, True, True)
        dtype, n_axes, contiguous = argument
        return _kernel._ArgInfo(array, cupy.ndarray, dtype, n_axes, contiguous, True)

    infos = list(map(info, arguments))
    dtypes = [None if argument is None else argument[0] for argument in arguments]
    *_, types = kernel._decide_params_type(tuple(dtypes[: kernel.nin]), tuple(dtypes[kernel.nin :]))
    n_axes = max(argument[1] for argument in arguments if argument is not None) if ndim is None else ndim
    indexer = _kernel._ArgInfo(index, _carray.Indexer, None, n_axes, True, True)
    code = _kernel._get_elementwise_kernel_code(
        (*infos, indexer), types, kernel.params, kernel.operation, kernel.name, kernel.preamble
    )
    return "".join(f"#include <{header}>\n" for header in core._cupy_header_list) + code


def compiled(source: str, architecture: str, *, with_headers: bool) -> str | None:
    """Return None, or what NVRTC says of a source that it does not take."""
    from cupy._core import core
    from cupy.cuda import compiler

    options = core.assemble_cupy_compiler_options(()) if with_headers else ()
    options = (*options, f"-arch=sm_{architecture}", "--device-as-default-execution-space")
    log = io.StringIO()
    try:
        compiler._NVRTCProgram(source, "kernel.cu", (), (), method="cubin").compile(options, log)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:2000]}"
    return None


def main() -> int:
    """Compile everything; print what failed, and how many."""
    kinds = ((list(block_sources()), False), (list(element_sources()), True))
    n_kernels, n_failed = sum(len(sources) for sources, _ in kinds), 0
    for architecture in ARCHITECTURES:
        for sources, with_headers in kinds:
            for name, source in sources:
                said = compiled(source, architecture, with_headers=with_headers)
                if said is not None:
                    n_failed += 1
                    sys.stdout.write(f"sm_{architecture}, {name}: {said}\n")
    sys.stdout.write(f"{n_kernels} kernels for {len(ARCHITECTURES)} GPUs: {n_failed} failed\n")
    return min(n_failed, 1)


if __name__ == "__main__":
    sys.exit(main())

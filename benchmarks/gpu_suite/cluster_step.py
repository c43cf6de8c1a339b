"""What could be: whole steps in one launch, by a cluster of eight blocks, for 64-100-10 and batches of 200 with Adam.

``python -m gpu_suite.cluster_step FILE`` compiles ``cluster_step.cu`` by CuPy, compares 16 steps with NumPy, and times
many, of one network and of several side by side; a line of JSON for each figure. It is an experiment: the library has
no such kernel, and nobody has run this one.
"""

from __future__ import annotations

import pathlib
import statistics
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import portable_mlp as pm
from portable_mlp.kernels.optimizers import adam
from portable_mlp.kernels.parameters import n_parameters

from .small_steps import Write, writing_to

SOURCE = pathlib.Path(__file__).with_name("cluster_step.cu")
NET, BATCH_SIZE, N_BLOCKS, N_SAMPLES = pm.Network((64, 100, 10)), 200, 8, 12_800
STEPS_COMPARED, STEPS_TIMED = 16, 2048


def shared_bytes() -> int:
    """Return the size of ``Smem``: parameters and gradients, a block's samples, and its slice of the moments."""
    n, (n_inputs, n_hidden, n_classes) = n_parameters(NET.sizes), NET.sizes
    samples = BATCH_SIZE // N_BLOCKS
    floats = 2 * n + samples * (n_inputs + 2 * n_hidden + n_classes) + 2 * -(-n // N_BLOCKS) + 2 * samples
    return 4 * floats


def problem() -> tuple[np.ndarray, np.ndarray]:
    """Return samples and labels."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(N_SAMPLES, NET.sizes[0])).astype("float32"), rng.integers(0, NET.sizes[-1], N_SAMPLES)


def order(n_steps: int) -> np.ndarray:
    """Return the row numbers of all batches, in passes over shuffled samples."""
    n_passes = -(-n_steps * BATCH_SIZE // N_SAMPLES)
    passes = [np.random.default_rng(i).permutation(N_SAMPLES) for i in range(n_passes)]
    return np.concatenate(passes)[: BATCH_SIZE * n_steps]


def expected(n_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the parameters and the losses of the same steps in float64."""
    (X, y), rows = problem(), order(n_steps).reshape(n_steps, BATCH_SIZE)
    optimizer, flat = adam(), pm.pack(pm.init_params(NET, dtype="float32")).astype("float64")
    state, losses = optimizer.init(np, flat), []
    for t, some in enumerate(rows, start=1):
        loss, grads = pm.loss_and_grad(NET, pm.unpack(NET, flat), X[some].astype("float64"), y[some])
        flat, state = optimizer.update(np, flat, pm.pack(grads), state, optimizer.scalars(t, 1e-3))
        losses.append(float(loss))
    return flat, np.asarray(losses)


def prepared(kernel: Any, n_steps: int, n_clusters: int = 1) -> tuple[list[Any], Callable[[], None]]:
    """Return the arrays of a launch, the parameters first and the losses last, and the launch."""
    import cupy

    flat = pm.pack(pm.init_params(NET, dtype="float32"))
    scalars = np.asarray([adam().scalars(t, 1e-3) for t in range(1, n_steps + 1)], "float32")
    on_host = (flat, np.zeros_like(flat), np.zeros_like(flat), *problem(), order(n_steps), scalars)
    arrays = [*map(cupy.asarray, on_host), cupy.zeros(n_steps, "float32")]

    def launch() -> None:
        kernel((N_BLOCKS * n_clusters,), (256,), (*arrays, np.int32(n_steps)), shared_mem=shared_bytes())

    return arrays, launch


def measure(write: Write) -> None:
    """Compile, compare and time the kernel."""
    import cupy

    kernel = cupy.RawKernel(SOURCE.read_text(encoding="utf-8"), "train", options=("--std=c++17",))
    kernel.max_dynamic_shared_size_bytes = shared_bytes()
    write(
        cluster="compiled", registers=kernel.num_regs, local_bytes=kernel.local_size_bytes, shared_bytes=shared_bytes()
    )
    (parameters, *_, losses), launch = prepared(kernel, STEPS_COMPARED)
    launch()
    flat, each = expected(STEPS_COMPARED)
    errors = (float(np.max(np.abs(cupy.asnumpy(a) - b))) for a, b in ((parameters, flat), (losses, each)))
    write(cluster=f"{STEPS_COMPARED} steps", **dict(zip(("parameters_off_by", "losses_off_by"), errors, strict=True)))
    for n_clusters in (1, 8, 16, 32):
        _, launch = prepared(kernel, STEPS_TIMED, n_clusters)
        launch()
        step = 1e3 * statistics.median(_milliseconds(launch) for _ in range(7)) / STEPS_TIMED
        write(clusters=n_clusters, step=step, step_of_a_model=step / n_clusters)


def _milliseconds(launch: Callable[[], None]) -> float:
    import cupy

    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    launch()
    end.record()
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(start, end))


if __name__ == "__main__":
    measure(writing_to(pathlib.Path(sys.argv[1])))

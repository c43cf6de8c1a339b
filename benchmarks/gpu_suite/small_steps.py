"""What small steps cost: ``python -m gpu_suite.small_steps cuda FILE`` appends a line of JSON for each figure.

Steps launched one by one and replayed from a graph, a node of a graph, a recorder and a short fit.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np

import portable_mlp as pm
from portable_mlp.backends._graph_runner import LAUNCHES_FIRST, GraphRunner
from portable_mlp.bench.cases import Case

from .on_device import OursOnDevice
from .suite import GPU_CASES

STEPS_A_CALL, ROUNDS, CALLS_A_ROUND = 64, 5, 20

Write = Callable[..., None]


def seconds_of(work: Callable[[], Any], wait: Callable[[], Any], n: int = CALLS_A_ROUND) -> tuple[float, float]:
    """Return the seconds of a call, where many are enqueued, and those on the host: medians over rounds."""
    done, enqueued = [], []
    work()
    wait()
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(n):
            work()
        enqueued.append(time.perf_counter() - start)
        wait()
        done.append(time.perf_counter() - start)
    return statistics.median(done) / n, statistics.median(enqueued) / n


def of_steps(name: str, case: Case, device: str, how: str) -> dict[str, Any]:
    """Return the times of our steps, "replayed" from a graph or "launched" one by one, in microseconds."""
    refuse = mock.patch.object(GraphRunner, "_record", side_effect=RuntimeError("to be launched one by one"))
    with refuse if how == "launched" else contextlib.nullcontext():
        start = time.perf_counter()
        ours = OursOnDevice(name, case, "float32", device)
        ours.enqueue(STEPS_A_CALL)
        ours.wait()
        first = time.perf_counter() - start
        for n_steps in (STEPS_A_CALL, 1) * LAUNCHES_FIRST:
            ours.enqueue(n_steps)
        step, on_host = seconds_of(lambda: ours.enqueue(STEPS_A_CALL), ours.wait)
        one, _ = seconds_of(lambda: ours.enqueue(1), ours.wait)
    return {
        "step": 1e6 * step / STEPS_A_CALL,
        "step_on_host": 1e6 * on_host / STEPS_A_CALL,
        "call_of_one_step": 1e6 * one,
        "first_call_s": first,
        "labels_of_graphs": _labels(ours.loop._runner),
    }


def _labels(runner: Any) -> dict[str, int]:
    """Return the number of labels in the drawing of each graph of CuPy, about one a node; nothing for others."""
    graphs = {key: getattr(found.launch, "_graph", None) for key, found in getattr(runner, "_recordings", {}).items()}
    return {str(key): graph.debug_dot_str().count("label=") for key, graph in graphs.items() if graph is not None}


def of_nodes() -> Iterator[dict[str, Any]]:
    """Yield the times of a graph's nodes, with CuPy, in microseconds."""
    import cupy

    stream, pool = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
    x, y, z = cupy.zeros(1024, "float32"), cupy.zeros((), "float32"), cupy.zeros((), "float32")
    add = cupy.ElementwiseKernel("", "T x", "x = x + 1", "tiny")

    def copy() -> None:
        z[...] = y

    nodes = {"kernel": lambda: add(x), "4-byte copy": copy, "sum of 1024": x.sum}
    cupy.cuda.Device().synchronize()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        for name, work in nodes.items():
            eager, on_host = seconds_of(work, stream.synchronize, 1000)
            stream.begin_capture()
            for _ in range(1000):
                work()
            graph = stream.end_capture()
            replayed, launch = seconds_of(graph.launch, stream.synchronize)
            yield {
                "node": name,
                "launched": 1e6 * eager,
                "launched_on_host": 1e6 * on_host,
                "replayed": 1e3 * replayed,
                "launch_of_1000": 1e6 * launch,
            }


def of_short_fits() -> Iterator[dict[str, Any]]:
    """Yield the times of calls of `partial_fit` with CuPy, one after another, in milliseconds."""
    X, y = np.random.default_rng(0).normal(size=(1000, 64)).astype("float32"), np.arange(1000) % 10
    clf = pm.MLPClassifier((100,), backend="cupy", random_state=0)
    for i in range(4):
        start = time.perf_counter()
        clf.partial_fit(X, y, classes=np.arange(10))
        yield {"partial_fit": i, "ms": 1e3 * (time.perf_counter() - start)}


def measure(device: str, cases: tuple[Case, ...], write: Write) -> None:
    """Write all figures; what fails is written as such, and stops nothing."""
    for name in ("cupy", "torch") if device != "cpu" else ("torch",):
        for case in cases:
            for how in ("replayed", "launched"):
                what = {"backend": name, "case": case.name, "how": how}
                try:
                    write(**what, **of_steps(name, case, device, how))
                except Exception:
                    write(**what, failed=traceback.format_exc(limit=-4))
    for figures in (of_nodes, of_short_fits) if device != "cpu" else ():
        try:
            for figure in figures():
                write(**figure)
        except Exception:
            write(what=figures.__name__, failed=traceback.format_exc(limit=-5))


def writing_to(path: pathlib.Path) -> Write:
    """Return ``write(**figures)``, which appends a line to a file and prints it."""

    def write(**figures: Any) -> None:
        line = json.dumps(figures) + "\n"
        with open(path, "a", encoding="utf-8") as file:
            file.write(line)
        sys.stdout.write(line)
        sys.stdout.flush()

    return write


if __name__ == "__main__":
    measure(sys.argv[1], GPU_CASES[:2], writing_to(pathlib.Path(sys.argv[2])))

"""The first minutes on a GPU: the most valuable things first, each in a process of its own that may fail alone.

``python benchmarks/gpu.py --first FOLDER [--seconds 540]`` writes as it goes, so that what was reached survives a
kill: ``summary.txt`` has a line for each stage, ``log.txt`` everything that was printed, ``small_steps.jsonl`` the
times of small steps, and a folder for each table of the benchmark.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]

SECONDS = 540.0
"""The time of all stages together, unless another is given."""

SECONDS_WORTH_BEGINNING = 10.0
"""What has less time left is left out."""

UNSET = ("NVIDIA_TF32_OVERRIDE", "CUPY_TF32", "CUDA_LAUNCH_BLOCKING")
"""Variables that would change what is measured."""

PYTEST = ("pytest", "-p", "no:cacheprovider", "-q", "--tb=short", "--durations=5", "-m", "gpu")


class Stage(NamedTuple):
    """A part of the first run.

    Attributes
    ----------
    name : str
        Its name in the summary.
    seconds : float
        The most time that it may take.
    command : tuple of str
        The module that Python runs, and its arguments; or a program's path, where it begins with a slash.
    """

    name: str
    seconds: float
    command: tuple[str, ...]


def stages(out: pathlib.Path, device: str) -> list[Stage]:
    """Return the stages in their order.

    Parameters
    ----------
    out : Path
        The folder of the results.
    device : str
        "cuda"; with "cpu", a trial, only stages that a CPU can take.
    """
    steps = str(out / "small_steps.jsonl")
    every = [
        Stage("facts", 60, ("gpu_suite.facts",)),
        # Is each backend right? What fails first is what the rest stumbles over.
        Stage("smoke", 110, ("gpu_suite.smoke", device)),
        # What is about the GPU itself: graphs, cuBLAS in a capture, threads, precisions, pickling.
        Stage(
            "tests of graphs and cuBLAS",
            110,
            (*PYTEST, "tests/backends/test_gpu_graphs.py", "tests/backends/test_cublas.py"),
        ),
        Stage("small steps", 60, ("gpu_suite.small_steps", device, steps)),
        Stage("steps in one launch", 40, ("gpu_suite.cluster_step", steps)),
        _table("digits", "float32", 150, out, device),
        _table("mnist", "tf32", 150, out, device),
        Stage(
            "tests of kernels, steps and training",
            130,
            (*PYTEST, *_side_by_side(), "tests/kernels", "tests/backends/test_backends.py", "tests/training"),
        ),
        Stage("tests of estimators", 100, (*PYTEST, *_side_by_side(), "tests/estimators")),
        _table("mnist, large batch", "bfloat16", 200, out, device),
        _table("big", "tf32", 300, out, device),
        *_memory_check(device),
    ]
    return every if device != "cpu" else [stage for stage in every if stage.command[0] not in ("pytest", CLUSTER)]


CLUSTER = "gpu_suite.cluster_step"


def _table(case: str, precision: str, seconds: float, out: pathlib.Path, device: str) -> Stage:
    """Return the stage of a table of the benchmark, which ends itself in time."""
    folder = str(out / f"{case}, {precision}")
    chosen = ("--case", case, "--precision", precision, "--device", device, "--seconds", f"{seconds - 15:g}")
    return Stage(f"benchmark of {case}, {precision}", seconds, ("gpu", "--out", folder, *chosen))


def _side_by_side() -> tuple[str, ...]:
    return ("-n", "6") if importlib.util.find_spec("xdist") else ()


def _memory_check(device: str) -> list[Stage]:
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None or device == "cpu":
        return []
    options = ("--tool", "memcheck", "--error-exitcode", "9")
    return [Stage("memcheck", 90, (sanitizer, *options, sys.executable, "-m", "gpu_suite.smoke", device, "--short"))]


def run(out: pathlib.Path, device: str, seconds: float) -> int:
    """Take the stages within a time limit; return 0 if none failed."""
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    return take(stages(out, device), out, min(seconds, SECONDS))


def take(chosen: Sequence[Stage], out: pathlib.Path, seconds: float) -> int:
    """Take some stages, and write how each went into the summary; return 0 if none failed."""
    ends_at, codes = time.monotonic() + seconds, []
    with (
        tempfile.TemporaryDirectory() as caches,
        open(out / "summary.txt", "w", encoding="utf-8") as summary,
        open(out / "log.txt", "wb") as log,
    ):
        for stage in chosen:
            left = min(stage.seconds, ends_at - time.monotonic())
            if left < SECONDS_WORTH_BEGINNING:
                line = "left out, the time is over"
            else:
                log.write(f"\n===== {stage.name}, at most {left:.0f} s\n".encode())
                log.flush()
                line, code = _taken(stage, left, log.fileno(), environment(caches), out / "log.txt")
                codes.append(code)
            for file in (summary, sys.stdout):
                print(f"{stage.name}: {line}", file=file, flush=True)
    return int(any(codes))


def _taken(
    stage: Stage, seconds: float, log: int, variables: Mapping[str, str], printed: pathlib.Path
) -> tuple[str, int]:
    """Run a stage; return a line on how it went, with the last that it printed, and its exit code."""
    is_program = stage.command[0].startswith("/")
    command = stage.command if is_program else (sys.executable, "-m", *stage.command)
    start, before = time.monotonic(), printed.stat().st_size
    process = subprocess.Popen(
        command, cwd=ROOT, env=variables, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        code = process.wait(seconds)
        how = f"exit code {code}"
    except subprocess.TimeoutExpired:
        code, how = -1, "ended when its time was over"
    finally:
        with contextlib.suppress(ProcessLookupError):  # its own processes too
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    with open(printed, "rb") as file:
        file.seek(before)
        lines = file.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"{how}, {time.monotonic() - start:.0f} s | {last[:200]}", code


def environment(caches: str) -> dict[str, str]:
    """Return the environment of the stages, with caches in a folder of their own, which are empty."""
    names = {"CUPY_CACHE_DIR": "cupy", "TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}
    inherited = {name: value for name, value in os.environ.items() if name not in UNSET}
    return inherited | {
        "PYTHONPATH": os.pathsep.join(
            map(str, (ROOT, ROOT / "benchmarks", *filter(None, [os.environ.get("PYTHONPATH")])))
        ),
        "PYTHONUNBUFFERED": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "JAX_ENABLE_X64": "1",
        **{name: os.path.join(caches, folder) for name, folder in names.items()},
    }

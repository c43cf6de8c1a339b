"""What is on this machine: ``python -m gpu_suite.facts`` prints versions, the GPU, and every backend."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
import sys

import portable_mlp as pm
from portable_mlp.backends import _cublas

DISTRIBUTIONS = (
    "numpy",
    "array-api-compat",
    "array-api-strict",
    "cupy-cuda13x",
    "cupy-cuda12x",
    "nvmath-python",
    "cuda-pathfinder",
    "cuda-core",
    "cuda-bindings",
    "nvidia-cublas",
    "nvidia-cuda-nvrtc",
    "nvidia-cuda-runtime",
    "torch",
    "triton",
    "jax",
    "scikit-learn",
    "pytest",
    "ml-dtypes",
)
QUERY = "--query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem"


def facts() -> list[str]:
    """Return them, a line each."""
    return [
        f"Python {platform.python_version()}, {platform.platform()}",
        ", ".join(f"{name} {_version(name)}" for name in DISTRIBUTIONS),
        _gpus(),
        f"cuBLAS by nvmath-python: {_cublas.why_not() or 'loads'}",
        *map(str, pm.backends()),
    ]


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _gpus() -> str:
    if shutil.which("nvidia-smi") is None:
        return "no nvidia-smi"
    asked = subprocess.run(["nvidia-smi", QUERY, "--format=csv,noheader"], capture_output=True, text=True)
    return (asked.stdout or asked.stderr).strip()


if __name__ == "__main__":
    sys.stdout.write("\n".join(facts()) + "\n")

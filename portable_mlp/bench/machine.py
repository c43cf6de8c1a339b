"""Facts about the machine of a measurement: processor, cores, the BLAS of NumPy, versions, commit."""

from __future__ import annotations

import datetime
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import subprocess
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import __version__, backends
from ..distributed.supervision.cores import busy_cores, n_cores

OTHER_LIBRARIES = ("numba", "nvmath-python", "scikit-learn", "scipy")
"""Libraries that have a share in the figures without being backends."""


def machine() -> dict[str, Any]:
    """Return the facts about this machine as JSON values."""
    facts: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "portable_mlp": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "cpu": _cpu(),
        "cores": n_cores(),
        "load": round(busy_cores(), 2),
        "blas": _blas(),
        "gpu": _gpu(),
        "environment": {name: value for name, value in sorted(os.environ.items()) if _matters(name)},
        "versions": {info.name: info.version for info in backends() if info.version} | _other_versions(),
    }
    return {name: value for name, value in facts.items() if value is not None}


def advice(facts: dict[str, Any]) -> list[str]:
    """Return sentences on what would make this machine faster, by the facts of `machine`."""
    kernels = (facts.get("blas") or {}).get("architecture")
    if kernels not in ("Haswell", "Zen") or not has_avx512(np.show_config(mode="dicts")):
        return []
    asked = facts["environment"].get("OPENBLAS_CORETYPE")
    reason = (
        f"OPENBLAS_CORETYPE={asked} in the environment asks for it; without"
        if asked
        else "some versions mistake new processors (OpenMathLib/OpenBLAS#6029); with OPENBLAS_CORETYPE=SkylakeX there"
    )
    return [
        f"OpenBLAS runs its kernels for {kernels}, though this processor has AVX-512: {reason}, before Python starts, "
        "matrix products may be twice as fast, and results change in the last digit"
    ]


def has_avx512(config: Mapping[str, Any]) -> bool:
    """Return whether NumPy found AVX-512 on this processor, from ``numpy.show_config(mode="dicts")``."""
    simd = config.get("SIMD Extensions", {})
    names = (*simd.get("baseline", ()), *simd.get("found", ()))
    return any(name.startswith("AVX512") or name == "X86_V4" for name in names)


def _matters(variable: str) -> bool:
    """Return whether an environment variable changes what is measured."""
    return variable.endswith("_NUM_THREADS") or variable.startswith(("OPENBLAS_", "XLA_", "JAX_")) or "TF32" in variable


def _blas() -> dict[str, Any] | None:
    """Return facts about the BLAS of NumPy, None without threadpoolctl."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return None
    from threadpoolctl import threadpool_info

    kept = ("internal_api", "version", "architecture", "num_threads")
    for library in threadpool_info():
        if library["user_api"] == "blas":
            return {name: library[name] for name in kept if name in library}
    return None


def _gpu() -> str | None:
    """Return the GPUs and their drivers, as nvidia-smi reports them; None without it."""
    asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return "; ".join(found.stdout.strip().splitlines())


def _other_versions() -> dict[str, str]:
    versions = {}
    for name in OTHER_LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _commit() -> str | None:
    """Return the commit of the checkout that the package lies in, None where it was installed from elsewhere."""
    here = pathlib.Path(__file__).parents[2]
    if not (here / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def _cpu() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())

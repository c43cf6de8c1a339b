"""How this process was started: alone, or by mpiexec or srun together with others."""

from __future__ import annotations

import importlib.util
import os

from .rank import RANK

STARTED = (*RANK, "SLURM_PROCID")
"""Variables that MPI's launchers and SLURM give to each process that they start."""

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
"""In these they say how many they have started together."""


def started_by_mpi() -> bool:
    """Tell whether this process is one of a job of MPI, and mpi4py is there to join it."""
    return any(name in os.environ for name in STARTED) and importlib.util.find_spec("mpi4py") is not None


def rank_started() -> int:
    """Return which of the processes that were started together this is, as far as the environment says.

    Raises
    ------
    ValueError
        If it says no number.
    """
    return next((_number_in(name) for name in STARTED if name in os.environ), 0)


def n_started() -> int:
    """Return how many processes were started together, as far as the environment says.

    Raises
    ------
    ValueError
        If it says no number.
    """
    return max((_number_in(name) for name in SIZES if name in os.environ), default=1)


def _number_in(name: str) -> int:
    value = os.environ[name]
    if not value.isdecimal():
        raise ValueError(
            f"the environment variable {name}, in which MPI's launchers leave a number, is {value!r}: unset it, or "
            "start the processes with mpiexec or srun"
        )
    return int(value)

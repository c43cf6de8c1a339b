"""The environment variables of mpiexec and srun for the number of a process, and of all that they started."""

from __future__ import annotations

import importlib.util
import os

from .rank import RANK_VARIABLES

STARTED = (*RANK_VARIABLES, "SLURM_PROCID")
"""Each process that MPI's launchers or SLURM start has one of these, with its number."""

SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
"""The number of processes that were started together."""


def started_by_mpi() -> bool:
    """Return whether this process belongs to a job of MPI, and mpi4py is installed to join it."""
    return any(name in os.environ for name in STARTED) and importlib.util.find_spec("mpi4py") is not None


def rank_started() -> int:
    """Return the number of this process among those started together, 0 where the environment has none.

    Raises
    ------
    ValueError
        If the environment has something else than a number.
    """
    return next((_number_in(name) for name in STARTED if name in os.environ), 0)


def n_started() -> int:
    """Return how many processes were started together, 1 where the environment does not have it.

    Raises
    ------
    ValueError
        If the environment has something else than a number.
    """
    return max((_number_in(name) for name in SIZE_VARIABLES if name in os.environ), default=1)


def _number_in(name: str) -> int:
    value = os.environ[name]
    if not value.isdecimal():
        raise ValueError(
            f"the environment variable {name}, in which MPI's launchers leave a number, is {value!r}: unset it, or "
            "start the processes with mpiexec or srun"
        )
    return int(value)

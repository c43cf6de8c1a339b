"""How this process was started: alone, or by mpiexec or srun together with others."""

from __future__ import annotations

import importlib.util
import os

STARTED = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
"""Variables that MPICH, Open MPI and SLURM give to each process that they start."""


def started_by_mpi() -> bool:
    """Tell whether this process is one of a job of MPI, and mpi4py is there to join it."""
    return any(name in os.environ for name in STARTED) and importlib.util.find_spec("mpi4py") is not None

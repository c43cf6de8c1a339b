"""The time in which two processes add up an array: a program for ``mpiexec``, and the function that runs it."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np

from .supervision.cores import threads_per_rank
from .supervision.mpi_launcher import Launcher
from .supervision.shared_memory import leftovers_removed

N_FLOATS = 100_000
RANKS = 2
ROUNDS, WARM_UP = 200, 20
SECONDS_AT_MOST = 60.0


class Latency(NamedTuple):
    """A measured time.

    Attributes
    ----------
    ranks, floats : int
        Number of processes, and of the float32 that they added up.
    microseconds : float
        Median time of an all-reduce.
    """

    ranks: int
    floats: int
    microseconds: float


def measure_all_reduce(launcher: Launcher) -> Latency:
    """Return the time of an all-reduce here; raise OSError if the processes cannot be started, or do not meet."""
    command = [*launcher.command(RANKS), sys.executable, "-m", "mpi4py", "-m", __name__]
    try:
        with leftovers_removed():
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=SECONDS_AT_MOST,
                env={**os.environ, **threads_per_rank(RANKS)},
                stdin=subprocess.DEVNULL,
                check=True,
            )
        latency = Latency(*json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        raise OSError(f"{RANKS} processes did not meet within {SECONDS_AT_MOST:g} s") from None
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines()
        raise OSError(f"{launcher.path} failed: {lines[-1] if lines else f'exit code {error.returncode}'}") from None
    except ValueError:
        raise OSError(f"{launcher.path} starts processes that do not find each other") from None
    return latency


def main() -> None:
    """Meet the other ranks again and again; rank 0 prints the measurement as JSON."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    x = np.zeros(N_FLOATS, dtype=np.float32)
    times = []
    for _ in range(WARM_UP + ROUNDS):
        start = time.perf_counter()
        comm.Allreduce(MPI.IN_PLACE, x)
        times.append(time.perf_counter() - start)
    if comm.rank == 0:
        median = statistics.median(times[WARM_UP:])
        sys.stdout.write(json.dumps(Latency(comm.size, N_FLOATS, round(median * 1e6, 1))))


if __name__ == "__main__":
    main()

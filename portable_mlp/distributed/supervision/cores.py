"""Cores: how many this process may use, how many are busy, and what that means for a number of ranks."""

from __future__ import annotations

import os

THREADS = (
    *("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS"),
)
"""The environment variables that limit the threads of a process, one for each library."""


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_cores() -> float:
    """Return how many cores were busy over the last minute, on average; 0.0 where the system does not report it."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return 0.0


def threads_per_rank(procs: int) -> dict[str, str]:
    """Return the environment variables that share the cores out among the ranks; what the user has set stays."""
    share = str(max(1, n_cores() // procs))
    return {name: os.environ.get(name, share) for name in THREADS}


def doubt(procs: int, cores: int, load: float) -> str | None:
    """Return why so many ranks would be slow here, None if they would not.

    Parameters
    ----------
    procs : int
        Number of ranks to start.
    cores : int
        Number of cores that they may use.
    load : float
        Number of cores that other programs keep busy, on average over the last minute.

    Examples
    --------
    >>> doubt(2, cores=4, load=0.3)
    >>> doubt(4, cores=2, load=0.3)
    '4 processes share 2 cores: a process that waits for others keeps its core busy, so that this is slower than fewer'
    """
    if procs == 1:
        return None
    reason = "a process that waits for others keeps its core busy, so that this is slower than fewer"
    if procs > cores:
        return f"{procs} processes share {cores} cores: {reason}"
    if procs > cores - round(load):
        return f"{procs} processes share {cores} cores with other programs (load {load:.1f}): {reason}"
    return None

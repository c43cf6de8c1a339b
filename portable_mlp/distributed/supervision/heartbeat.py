"""The heartbeat of a job for its supervisor: the modification time of a file."""

from __future__ import annotations

import contextlib
import os
import time

VARIABLE = "PORTABLE_MLP_HEARTBEAT"
"""The environment variable with the path of the file, which the supervisor has created."""

SECONDS_BETWEEN_BEATS = 0.1
"""The shortest time between two beats."""


class Heartbeat:
    """Sets the time of the file that the environment names, on rank 0.

    Parameters
    ----------
    rank : int
        Number of this process; only 0 writes.
    """

    def __init__(self, rank: int) -> None:
        self._path = os.environ.get(VARIABLE) if rank == 0 else None
        self._last = -SECONDS_BETWEEN_BEATS

    def beat(self) -> None:
        """Record that all processes have come to the same point, unless the last beat was just now."""
        if self._path is None or time.monotonic() - self._last < SECONDS_BETWEEN_BEATS:
            return
        # Training continues without a supervisor.
        with contextlib.suppress(OSError):
            os.utime(self._path)
        self._last = time.monotonic()

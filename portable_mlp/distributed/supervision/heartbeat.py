"""A sign of life for whoever supervises the processes: the time of a file."""

from __future__ import annotations

import contextlib
import os
import time

VARIABLE = "PORTABLE_MLP_HEARTBEAT"
"""Names the file, which the supervisor has made, in the environment."""

SECONDS_BETWEEN_BEATS = 0.1
"""The shortest time between two beats."""


class Heartbeat:
    """Sets the time of the file that the environment names, on rank 0.

    Parameters
    ----------
    rank : int
        Of this process.
    """

    def __init__(self, rank: int) -> None:
        self._path = os.environ.get(VARIABLE) if rank == 0 else None
        self._last = -SECONDS_BETWEEN_BEATS

    def beat(self) -> None:
        """Say that all processes have come to the same point, unless that was just said."""
        if self._path is None or time.monotonic() - self._last < SECONDS_BETWEEN_BEATS:
            return
        # Where nobody is left to see it, training goes on.
        with contextlib.suppress(OSError):
            os.utime(self._path)
        self._last = time.monotonic()

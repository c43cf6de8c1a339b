"""The number and the time of the steps that a process has taken in one way, by which it decides to go on in another."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator


class StepClock:
    """The steps taken so far, and their time.

    Parameters
    ----------
    clock : callable
        Returns the time in seconds, from any origin.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._steps, self._seconds = 0, 0.0

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Count a step, and its time."""
        before = self._clock()
        yield
        self._steps += 1
        self._seconds += self._clock() - before

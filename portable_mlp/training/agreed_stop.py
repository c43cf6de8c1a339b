"""Requests to stop that reach any rank, answered by all of them after the same step."""

from __future__ import annotations

import time

from ..distributed.group import Group
from .interruption import Requests

SECONDS_BETWEEN = 0.2
"""Ranks ask each other about as often."""

STEPS_BETWEEN = 1000
"""At most."""


class AgreedRequests(Requests):
    """Requests of a whole group.

    How many steps lie between two questions is what rank 0 says, from how long its steps take.

    Parameters
    ----------
    group : Group
        Whose ranks all call `check` equally often.
    """

    def __init__(self, group: Group) -> None:
        super().__init__()
        self._group = group
        self._steps = self._left = 1
        self._asked = time.perf_counter()

    def check(self) -> None:
        """Raise StopAsked on all ranks if there was a request to one of them."""
        self._left -= 1
        if self._left > 0:
            return
        now = time.perf_counter()
        steps = int(self._steps * SECONDS_BETWEEN / max(now - self._asked, 1e-9))
        told = self._group.gathered(self.received or 0, min(max(steps, 1), STEPS_BETWEEN))
        self._steps = self._left = told[0][1]
        self._asked = now
        # SIGTERM, which ends the process, is a larger number than SIGINT.
        self.received = max(signal for signal, _ in told) or None
        super().check()

"""Requests to stop: received by any rank, acted upon by all of them after the same step."""

from __future__ import annotations

import time

from ..distributed.group import Group
from .stop_requests import Requests

SECONDS_BETWEEN = 0.2
"""The approximate time between two exchanges of requests among the ranks."""

STEPS_BETWEEN = 1000
"""The most steps between two exchanges."""


class AgreedRequests(Requests):
    """Requests of a whole group.

    Rank 0 sets the number of steps between two exchanges, from the duration of its own steps.

    Parameters
    ----------
    group : Group
        The group, whose ranks must call `check` equally often.
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
        named = self._group.gathered(self.received or 0, min(max(steps, 1), STEPS_BETWEEN))
        self._steps = self._left = named[0][1]
        self._asked = now
        # SIGTERM, which ends the process, is a larger number than SIGINT.
        self.received = max(signal for signal, _ in named) or None
        super().check()

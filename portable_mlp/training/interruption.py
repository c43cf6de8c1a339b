"""Requests to stop, acted upon between two steps, so that the state of training is complete and can be kept."""

from __future__ import annotations

import signal

from ..exit_codes import TERMINATED
from ..signal_handlers import SignalHandlers


class StopAsked(Exception):
    """Raised between two steps."""


class Requests(SignalHandlers):
    """Records Ctrl-C (SIGINT) and SIGTERM instead of letting them interrupt a step.

    A second Ctrl-C takes effect at once, by the original handler.
    """

    def __init__(self) -> None:
        super().__init__(signal.SIGINT, signal.SIGTERM)
        self.received: int | None = None

    def check(self) -> None:
        """Raise StopAsked if there was a request."""
        if self.received is not None:
            raise StopAsked

    def end_if_terminated(self) -> None:
        """Raise SystemExit if the request was SIGTERM."""
        if self.received == signal.SIGTERM:
            raise SystemExit(TERMINATED)

    def receive(self, number: int) -> None:
        """Record a request."""
        self.received = number
        self.restore(number)

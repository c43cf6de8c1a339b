"""Requests to stop, acted upon between two steps, so that the state of training is complete and can be kept."""

from __future__ import annotations

import contextlib
import signal
import threading
import types
from typing import Any, Self

from ..exit_codes import TERMINATED


class StopAsked(Exception):
    """Raised between two steps."""


class Requests(contextlib.AbstractContextManager["Requests"]):
    """Records Ctrl-C (SIGINT) and SIGTERM instead of letting them interrupt a step.

    A second Ctrl-C takes effect at once, by the original handler. Outside the main thread, where Python receives no
    signals, nothing changes.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                # A handler that is not Python's (None) cannot be restored, and an ignored signal stays ignored.
                if handler is not None and handler is not signal.SIG_IGN:
                    self._before[number] = handler
                    signal.signal(number, self._take_note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        """Restore the handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise StopAsked if there was a request."""
        if self.received is not None:
            raise StopAsked

    def end_if_terminated(self) -> None:
        """Raise SystemExit if the request was SIGTERM."""
        if self.received == signal.SIGTERM:
            raise SystemExit(TERMINATED)

    def _take_note(self, number: int, frame: types.FrameType | None) -> None:
        self.received = number
        signal.signal(number, self._before[number])

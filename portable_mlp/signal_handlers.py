"""Handlers of signals that are in effect while a context lasts."""

from __future__ import annotations

import contextlib
import signal
import threading
import types
from abc import abstractmethod
from typing import Any, Self


class SignalHandlers(contextlib.AbstractContextManager["SignalHandlers"]):
    """Receives some signals while the context lasts, and restores their handlers at its end.

    Outside the main thread, where Python receives no signals, nothing changes.

    Parameters
    ----------
    *numbers : int
        The signals, SIGINT first. One that is ignored, as by nohup, stays ignored.
    """

    def __init__(self, *numbers: int) -> None:
        self._numbers = numbers
        self._before: dict[int, Any] = {}

    @abstractmethod
    def receive(self, number: int) -> None:
        """Act on a signal."""

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in self._numbers:
                handler = signal.getsignal(number)
                # A handler that is not Python's (None) cannot be restored.
                if handler is not None and handler is not signal.SIG_IGN:
                    self._before[number] = handler
                    signal.signal(number, self._received)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        # SIGINT, which comes first, is restored last: from then on Ctrl-C may end this loop.
        for number in reversed(self._before):
            self.restore(number)

    def restore(self, number: int) -> None:
        """Let a signal take effect by its original handler."""
        signal.signal(number, self._before[number])

    def _received(self, number: int, frame: types.FrameType | None) -> None:
        self.receive(number)

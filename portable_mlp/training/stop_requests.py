"""Requests to stop, acted upon between two steps, so that the state of training is complete and can be kept."""

from __future__ import annotations

import contextlib
import contextvars
import signal
from collections.abc import Iterator
from typing import Self

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


class SharedRequest(Requests):
    """The request to stop that all trainings of a call share, such as the fits of a search, in whatever threads.

    It ends the call: each training passes it on as KeyboardInterrupt. The call receives the signals, the trainings do
    not. Where the call runs within a task of another one, a request to that one is a request to it.
    """

    def __init__(self) -> None:
        self._outer = shared_request()
        super().__init__()

    @property
    def received(self) -> int | None:
        """The signal that was received, or that stands for what ended the call."""
        return self._number or (self._outer.received if self._outer is not None else None)

    @received.setter
    def received(self, number: int | None) -> None:
        self._number = number

    def __enter__(self) -> Self:
        return self

    def pass_on(self) -> None:
        """Raise KeyboardInterrupt if there was a request."""
        if self.received is not None:
            raise KeyboardInterrupt

    def ask(self) -> None:
        """Ask all trainings to stop between two steps."""
        self.received = signal.SIGINT


_shared: contextvars.ContextVar[SharedRequest | None] = contextvars.ContextVar("shared_request", default=None)


def shared_request() -> SharedRequest | None:
    """Return the request that this training shares with others, None where it is by itself."""
    return _shared.get()


@contextlib.contextmanager
def sharing(request: SharedRequest) -> Iterator[None]:
    """Let the trainings that start while the context lasts share a request."""
    token = _shared.set(request)
    try:
        yield
    finally:
        _shared.reset(token)


def pass_on_interruption() -> None:
    """Raise KeyboardInterrupt in an interrupted training that is one of many: the others are to stop, too."""
    if shared_request() is not None:
        raise KeyboardInterrupt

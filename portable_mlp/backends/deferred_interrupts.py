"""Ctrl-C while a library is imported or compiles: neither can be continued half-way in the same process."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

from ..signal_handlers import SignalHandlers


@contextlib.contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Defer a Ctrl-C (SIGINT) to the end of the block; a second one takes effect at once.

    Outside the main thread, where Python receives no signals, nothing changes.
    """
    deferred = _DeferredInterrupt()
    try:
        with deferred:
            yield
    finally:
        if deferred.received:
            signal.raise_signal(signal.SIGINT)


class _DeferredInterrupt(SignalHandlers):
    """A record of one Ctrl-C."""

    def __init__(self) -> None:
        super().__init__(signal.SIGINT)
        self.received = False

    def receive(self, number: int) -> None:
        """Record it."""
        self.received = True
        self.restore(number)


@contextlib.contextmanager
def whole_imports() -> Iterator[None]:
    """Import libraries completely or not at all, so that an interrupted import can be repeated.

    Python removes the package whose import failed from ``sys.modules``, but keeps those of its modules that were
    complete: the next attempt would find them without their package.
    """
    before = set(sys.modules)
    try:
        with interrupts_held_back():
            yield
    except BaseException:
        for name in sys.modules.keys() - before:
            if not all(package in sys.modules for package in _packages(name)):
                sys.modules.pop(name, None)
        raise


def _packages(name: str) -> Iterator[str]:
    """Yield the packages that contain a module, the outermost first."""
    for i, letter in enumerate(name):
        if letter == ".":
            yield name[:i]

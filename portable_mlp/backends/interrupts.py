"""Ctrl-C while a library is imported or compiles: neither can be taken up again half-way in the same process."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import types
from collections.abc import Iterator


@contextlib.contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Hear a Ctrl-C (SIGINT) only at the end of the block; a second one is not held back.

    Outside the main thread, where Python hears no signals, nothing changes.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    heard = False

    def take_note(number: int, frame: types.FrameType | None) -> None:
        nonlocal heard
        heard = True
        signal.signal(signal.SIGINT, handler)

    signal.signal(signal.SIGINT, take_note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if heard:
            signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def whole_imports() -> Iterator[None]:
    """Import libraries whole or not at all, so that an import that was broken off can be tried again.

    Python takes the package whose import failed out of ``sys.modules``, but leaves those of its modules that were
    ready: the next attempt would meet them without their package.
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
    """Yield the packages that a module lies in, the outermost first."""
    for i, letter in enumerate(name):
        if letter == ".":
            yield name[:i]

"""Ctrl-C while the command line is being imported: one line and exit code 130, as later, instead of a traceback.

Until the handler is set there is a traceback: this file imports little.
"""

from __future__ import annotations

import os
import signal
import sys

from .exit_codes import INTERRUPTED


def is_command_line() -> bool:
    """Tell whether this process is the command line, rather than a program that imports the package."""
    program = os.path.splitext(os.path.basename(sys.argv[0]))[0] if sys.argv else ""
    return program == "portable-mlp" or (program == "-m" and "portable_mlp" in sys.orig_argv)


def raise_when_interrupted() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: object) -> None:
    try:
        os.write(2, b"portable-mlp: interrupted\n")
    finally:
        os._exit(INTERRUPTED)


if is_command_line() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # There is nothing yet that could be lost.
    signal.signal(signal.SIGINT, _end)

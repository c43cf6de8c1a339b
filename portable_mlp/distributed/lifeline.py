"""Become a program that is asked to end when the process that started it dies, even by kill -9 (on Linux).

Run by path, as ``lifeline.py PARENT PROGRAM...``, so that it imports nothing of the package.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""See prctl(2); what is set outlasts exec."""


def main() -> None:
    """Become the program."""
    parent, *program = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):  # it died before it was watched
            sys.exit(128 + signal.SIGTERM)
    os.execv(program[0], program)


if __name__ == "__main__":
    main()

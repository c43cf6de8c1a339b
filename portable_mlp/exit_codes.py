"""The exit codes of the command line and of the programs that it starts."""

from __future__ import annotations

import signal

CHECK_FAILED = 1
USERS_MISTAKE = 2
GAVE_UP = 75
"""A job of several processes failed: EX_TEMPFAIL of sysexits.h, another attempt may succeed."""
INTERRUPTED = 128 + signal.SIGINT
CLOSED_PIPE = 128 + 13
"""The reader of the output has closed it: 128 and SIGPIPE, which Windows does not have."""
TERMINATED = 128 + signal.SIGTERM

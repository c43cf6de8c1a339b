"""A process that ends a job after the death of its supervisor, by kill -9 too.

It reads from a pipe whose other end the supervisor alone has, and which the system closes with it, on Linux and macOS
alike. A rank could not do this for the others, since it may be stopped; nor could ``mpiexec``, which waits for those
that are. It is in a session of its own, so that what ends the supervisor's terminal does not end it.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from .members import ask_root, kill_members, members
from .shared_memory import remove_since, segments

SECONDS_FOR_A_STATE = 5.0
"""The time for a job to write a last state, before it is killed."""

SECONDS_BETWEEN_SCANS = 0.05
SECONDS_TO_APPEAR = 1.0
"""The time within which processes appear that a dead supervisor was just starting."""


@contextlib.contextmanager
def guarded_folder() -> Iterator[pathlib.Path]:
    """Yield a new folder for a job; should this process die, end that job, and remove the folder and its leftovers."""
    folder = pathlib.Path(tempfile.gettempdir(), f"portable-mlp-job-{secrets.token_hex(8)}")
    guardian = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        # A program that reads our output to its end does not wait for the guardian.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert guardian.stdin is not None
    try:
        job = {"folder": str(folder), "segments": [str(path) for path in segments()]}
        guardian.stdin.write(json.dumps(job).encode() + b"\n")
        guardian.stdin.flush()
        # The guardian knows the folder before it exists, and outlives it: at any moment somebody removes it.
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        guardian.kill()
        guardian.communicate()


def main() -> None:
    """Wait for the death of the supervisor; end its job, and remove the leftovers."""
    line = sys.stdin.readline()
    sys.stdin.read()
    if not line.endswith("\n"):  # it died before it had started anything
        return
    job = json.loads(line)
    folder = pathlib.Path(job["folder"])
    ask_root(folder, signal.SIGTERM)
    deadline = time.monotonic() + SECONDS_FOR_A_STATE
    while members(folder) and time.monotonic() < deadline:
        time.sleep(SECONDS_BETWEEN_SCANS)
    _kill_until_quiet(folder)
    remove_since({pathlib.Path(path) for path in job["segments"]})
    shutil.rmtree(folder, ignore_errors=True)


def _kill_until_quiet(folder: pathlib.Path) -> None:
    """Kill the job's processes until none has been seen for the time within which another one may appear."""
    last_seen = time.monotonic()
    while time.monotonic() - last_seen < SECONDS_TO_APPEAR:
        if members(folder):
            kill_members(folder)
            last_seen = time.monotonic()
        time.sleep(SECONDS_BETWEEN_SCANS)


if __name__ == "__main__":
    main()

"""A process that ends a job after the death of its supervisor, by kill -9 too.

It reads from a pipe whose other end the supervisor alone has, and which the system closes with it, on Linux and macOS
alike. A rank could not do this for the others, since it may be stopped; nor could ``mpiexec``, which waits for those
that are. It is in a session of its own, so that what ends the supervisor's terminal does not end it.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import signal
import subprocess
import sys
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
def guarded(folder: pathlib.Path) -> Iterator[None]:
    """End the job with that folder, and remove its leftovers, should this process die within the context."""
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
        yield
    finally:
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
    start = time.monotonic()
    while members(folder) and time.monotonic() - start < SECONDS_FOR_A_STATE:
        time.sleep(SECONDS_BETWEEN_SCANS)
    while True:
        kill_members(folder)
        if time.monotonic() - start > SECONDS_TO_APPEAR:
            break
        time.sleep(SECONDS_BETWEEN_SCANS)
    remove_since({pathlib.Path(path) for path in job["segments"]})
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

"""The processes of a job: a list of them, signals to rank 0, and the end of all."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import time

from .heartbeat import VARIABLE as HEARTBEAT

SECONDS_TO_END = 1.0
"""The time for a job to end when it is asked to, before it is killed, and the time for the kill."""

PROCESSES = pathlib.Path("/proc")
"""The folder in which Linux shows the environment of each process."""


def heartbeat_of(folder: pathlib.Path) -> pathlib.Path:
    """Return the heartbeat file of a job, whose path all its processes have in their environment."""
    return folder / "heartbeat"


def members(folder: pathlib.Path) -> list[int]:
    """Return the processes of the job with that folder; where the system shows no environments (macOS), its ranks."""
    if not PROCESSES.is_dir():
        return [pid for pid in map(pid_in, folder.glob("*.pid")) if pid is not None and _runs(pid)]
    mark = f"{HEARTBEAT}={heartbeat_of(folder)}".encode()
    found = []
    for process in PROCESSES.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def kill_members(folder: pathlib.Path) -> None:
    """Kill the job's processes, and what they have started meanwhile, until there is none; stopped ones too."""
    deadline = time.monotonic() + SECONDS_TO_END
    while (left := members(folder)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(SECONDS_TO_END / 50)


def ask_root(folder: pathlib.Path, number: int) -> bool:
    """Send a signal to rank 0, which acts for all; return whether it was there."""
    pid = pid_in(folder / "0.pid")
    try:
        if pid is not None:
            os.kill(pid, number)
    except OSError:
        return False
    return pid is not None


def pid_in(path: pathlib.Path) -> int | None:
    """Return the process id in a file of the job's folder, None where it has none."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True

"""The files that a killed MPI leaves in /dev/shm, where they would take memory until the machine is restarted."""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator

FOLDER = pathlib.Path("/dev/shm")
NAMES = ("mpich_shm_*", "ucx_shm_posix_*", "sm_segment.*", "vader_segment.*", "Intel_MPI_*", "impi_*")
"""The names of such files of MPICH, UCX, Open MPI and Intel's MPI."""

ROUNDS, SECONDS_BETWEEN = 10, 0.05


@contextlib.contextmanager
def leftovers_removed() -> Iterator[None]:
    """Remove, at the end, the files of MPI that appeared meanwhile, are the user's own, and are used by no process.

    Another job's files are safe: its ranks hold them open from the moment they are made, and files are listed before
    processes are asked. Where another job has been killed too, it does not matter whose supervisor tidies up.
    """
    before = segments()
    try:
        yield
    finally:
        remove_since(before)


def remove_since(before: set[pathlib.Path]) -> None:
    """Remove the files of MPI that were not there before, are the user's own, and are used by no process."""
    # A process that has just been killed may take a moment to let go of its files.
    for _ in range(ROUNDS):
        left = segments() - before
        for path in left - _in_use(left):
            with contextlib.suppress(OSError):
                path.unlink()
            left.discard(path)
        if not left:
            break
        time.sleep(SECONDS_BETWEEN)


def segments() -> set[pathlib.Path]:
    """Return the files of MPI that belong to the user."""
    found = set()
    for name in NAMES:
        for path in FOLDER.glob(name):
            with contextlib.suppress(OSError):
                if path.stat().st_uid == os.geteuid():
                    found.add(path)
    return found


def _in_use(paths: set[pathlib.Path]) -> set[pathlib.Path]:
    """Return those of the paths that a process has open or mapped."""
    used: set[pathlib.Path] = set()
    if not paths:
        return used
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            maps = (process / "maps").read_text(encoding="utf-8", errors="replace")
            used |= {path for path in paths if str(path) in maps}
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    used.add(descriptor.readlink())
    return used & paths

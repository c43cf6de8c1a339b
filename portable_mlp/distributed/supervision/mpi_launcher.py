"""``mpiexec`` on this machine: its place, its vendor, and the command that starts ranks with it."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
from typing import NamedTuple

from ...backends import BackendUnavailable
from ...backends.extras import install

OPEN_MPI = "Open MPI"
VENDORS = {"Intel(R) MPI": "Intel MPI", "MPICH": "MPICH", "HYDRA": "MPICH", "Open MPI": OPEN_MPI, "OpenRTE": OPEN_MPI}
"""Vendors by a word in the description of their library or launcher; Intel's launcher has HYDRA in it, too."""

SECONDS_TO_ANSWER = 60.0


class Launcher(NamedTuple):
    """An ``mpiexec`` that fits the MPI library of mpi4py.

    Attributes
    ----------
    path : str
        Path of the program.
    library : str
        The version of the MPI library that mpi4py loads, one line.
    vendor : str
        "MPICH", "Open MPI", "Intel MPI" or "another MPI".
    """

    path: str
    library: str
    vendor: str

    def command(self, procs: int) -> list[str]:
        """Return the command that starts so many ranks on this machine; the program of a rank follows it."""
        return [self.path, *self.flags(), "-n", str(procs)]

    def flags(self) -> list[str]:
        """Return the options with which this MPI starts any number of ranks here.

        Open MPI refuses root, refuses more ranks than cores, and ties each rank to one core, with all its threads.
        """
        if self.vendor != OPEN_MPI:
            return []
        as_root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
        return [*as_root, "--oversubscribe", "--bind-to", "none"]


def find_launcher() -> Launcher:
    """Return the ``mpiexec`` beside this Python, else the one on the PATH.

    Raises
    ------
    BackendUnavailable
        If mpi4py, its MPI library or ``mpiexec`` is missing, or if the last two do not belong together: each process
        would then believe that it is alone. The message has the command that installs it.
    """
    if os.name != "posix":
        raise BackendUnavailable("several processes are started on Linux and macOS only; leave out --procs")
    library = mpi_library()
    path = mpiexec_path()
    if path is None:
        raise BackendUnavailable(
            f"mpiexec, which starts several processes, is neither beside {sys.executable} nor on the PATH: "
            f"{install('mpi')}"
        )
    found = Launcher(path, library, vendor_of(library))
    described = vendor_of(_stdout_of([path, "--version"]) or "")
    # MPICH and Intel's MPI, its descendant, start each other's programs; Open MPI has a way of its own.
    if (found.vendor == OPEN_MPI) != (described == OPEN_MPI):
        raise BackendUnavailable(
            f"mpi4py uses {found.library}, but {path} is of {described}, which cannot start its programs: keep one MPI "
            f"in this environment, such as that of {install('mpi')}, and its mpiexec first on the PATH"
        )
    return found


def mpi_library() -> str:
    """Return the version of the MPI library that mpi4py loads, in one line.

    Raises
    ------
    BackendUnavailable
        If mpi4py is missing, or finds no library.
    """
    if importlib.util.find_spec("mpi4py") is None:
        raise BackendUnavailable(f"several processes need mpi4py, which is missing: {install('mpi')}")
    # In another process: a library of MPI that was loaded once stays.
    answer = _stdout_of([sys.executable, "-m", "mpi4py", "--mpi-lib-version"])
    if answer is None:
        raise BackendUnavailable(f"mpi4py is installed but finds no MPI library: {install('mpi')}")
    return " ".join(answer.strip("\0\n ").splitlines()[0].split())


def mpiexec_path() -> str | None:
    """Return the ``mpiexec`` beside this Python, else the one on the PATH, None where there is none."""
    beside = pathlib.Path(sysconfig.get_path("scripts")) / "mpiexec"
    return str(beside) if beside.is_file() else shutil.which("mpiexec")


def vendor_of(description: str) -> str:
    """Return the vendor of an MPI by its description of itself.

    >>> vendor_of("Open MPI v5.0.11, package: ...")
    'Open MPI'
    """
    return next((vendor for words, vendor in VENDORS.items() if words in description), "another MPI")


def _stdout_of(command: list[str]) -> str | None:
    """Return the stdout of a program, None if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS_TO_ANSWER)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout

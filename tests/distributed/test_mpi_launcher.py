"""Which ``mpiexec`` is taken, what it is told, and what is said where one is missing or does not fit."""

import importlib.util
import os
import pathlib
import subprocess
import sys
import sysconfig
from typing import Any

import pytest

from portable_mlp import BackendUnavailable
from portable_mlp.distributed.supervision import cores, mpi_launcher
from portable_mlp.distributed.supervision.cores import doubt, threads_per_rank
from portable_mlp.distributed.supervision.mpi_launcher import (
    Launcher,
    find_launcher,
    vendor_of,
)

LIBRARIES = {
    "MPICH Version:      5.0.2\nMPICH Release date: ...": "MPICH",
    "Open MPI v5.0.11, package: Open MPI root@host Distribution, ident: 5.0.11": "Open MPI",
    "Intel(R) MPI Library 2021.18 for Linux* OS\n": "Intel MPI",
    "MVAPICH-Plus Version : 4.0": "another MPI",
}
LAUNCHERS = {
    "HYDRA build details:\n    Version:   5.0.2": "MPICH",
    "mpiexec (Open MPI) 5.0.11\n\nReport bugs to ...": "Open MPI",
    "mpirun (OpenRTE) 4.1.4": "Open MPI",
    "Intel(R) MPI Library for Linux* OS, Version 2021.18 Build 20251113\nCopyright": "Intel MPI",
}


@pytest.mark.parametrize(("description", "vendor"), {**LIBRARIES, **LAUNCHERS}.items())
def test_the_vendor_is_read_from_what_it_says(description: str, vendor: str) -> None:
    assert vendor_of(description) == vendor


def test_the_one_beside_this_python_is_found_and_starts_ranks_that_know_each_other() -> None:
    launcher = find_launcher()
    assert launcher.path == str(pathlib.Path(sysconfig.get_path("scripts")) / "mpiexec")
    code = "from mpi4py import MPI; MPI.COMM_WORLD.Barrier(); import sys; sys.stdout.write(f'{MPI.COMM_WORLD.size} ')"
    done = subprocess.run(
        [*launcher.command(2), sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == "2 2 "
    library = subprocess.run([sys.executable, "-m", "mpi4py", "--mpi-lib-version"], capture_output=True, text=True)
    assert launcher.library.split() == library.stdout.splitlines()[0].split()


@pytest.mark.parametrize("root", [True, False])
def test_open_mpi_is_told_what_it_would_refuse(root: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    as_root = ["--allow-run-as-root"] if root else []
    command = Launcher("/bin/mpiexec", "Open MPI v5.0.11", "Open MPI").command(4)
    assert command == ["/bin/mpiexec", *as_root, "--oversubscribe", "--bind-to", "none", "-n", "4"]
    assert Launcher("/bin/mpiexec", "MPICH Version: 5", "MPICH").command(4) == ["/bin/mpiexec", "-n", "4"]


def test_without_mpi4py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match=r'need mpi4py, which is missing: pip install "\.\[mpi\]"'):
        find_launcher()


def test_without_mpiexec(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendUnavailable, match=r'neither beside .* nor on the PATH: pip install "\.\[mpi\]'):
        find_launcher()


def test_the_one_on_the_path_is_found_too(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    (tmp_path / "mpiexec").symlink_to(pathlib.Path(sysconfig.get_path("scripts")) / "mpiexec")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert find_launcher().path == str(tmp_path / "mpiexec")


@pytest.mark.parametrize(
    ("library", "launcher"),
    [("MPICH Version: 5.0.2", "mpiexec (Open MPI) 5.0.11"), ("Open MPI v5.0.11", "HYDRA build details")],
)
def test_a_launcher_of_another_mpi_is_refused(library: str, launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpi_launcher, "_stdout_of", lambda command: launcher if "--version" in command else library)
    with pytest.raises(BackendUnavailable, match=r"mpi4py uses .* cannot start its programs: keep one MPI"):
        find_launcher()


def test_a_library_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpi_launcher, "_stdout_of", lambda command: None)
    with pytest.raises(BackendUnavailable, match="mpi4py is installed but finds no MPI library"):
        find_launcher()


def test_cores_are_shared_out_and_the_users_choice_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "n_cores", lambda: 8)
    for name in cores.THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert threads_per_rank(3) == {
        **dict.fromkeys(cores.THREADS, "2"),
        "OMP_NUM_THREADS": "5",
    }
    assert threads_per_rank(20)["OPENBLAS_NUM_THREADS"] == "1"


@pytest.mark.parametrize(
    ("procs", "load", "said"),
    [
        (4, 0.2, None),
        (4, 1.1, "4 processes share 4 cores with"),
        (2, 1.9, None),
        (1, 9.0, None),
        (5, 0.0, "5 processes share 4 cores:"),
    ],
)
def test_more_ranks_than_idle_cores_are_told(procs: int, load: float, said: Any) -> None:
    message = doubt(procs, 4, load)
    assert message is None if said is None else str(message).startswith(said)

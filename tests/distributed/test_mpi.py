"""Processes over MPI, started by the mpiexec of the ``mpich`` wheel. Missing MPI is a failure, not a reason to skip."""

import functools
import json
import os
import pathlib
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.distributed.supervision.shared_memory import leftovers_removed
from tests.cli.commands import printed, table_of_kinds
from tests.distributed import mpi_rank
from tests.processes import environment
from tests.selection import one_in, rarely

ROOT = pathlib.Path(__file__).parent.parent.parent
RANK = pathlib.Path(mpi_rank.__file__)
MPIEXEC = pathlib.Path(sysconfig.get_path("scripts")) / "mpiexec"
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    # Two threads on each of four ranks would wait for each other.
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
}


def mpiexec(size: int, *command: object, **variables: str) -> "subprocess.CompletedProcess[str]":
    assert MPIEXEC.exists(), "the tests need the mpich wheel: pip install --group test"
    with leftovers_removed():  # what kills a rank leaves files of MPI
        return subprocess.run(
            [MPIEXEC, "-n", str(size), sys.executable, *map(str, command)],
            env=environment(**ENVIRONMENT, **variables),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def outcomes(size: int, folder: pathlib.Path, scenario: str, *arguments: object, **variables: str) -> list[Any]:
    """Return what every rank found."""
    folder.mkdir(exist_ok=True)
    done = mpiexec(size, "-W", "error", RANK, folder, scenario, *arguments, **variables)
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(size)]


def errors_of(size: int, folder: pathlib.Path) -> list[str]:
    """Return what every rank raised."""
    return [(folder / f"error-{rank}").read_text() for rank in range(size)]


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], list[Any]]:
    """What every rank of a group found that promises no bits, by the size of the group."""
    return functools.cache(lambda size: outcomes(size, tmp_path_factory.mktemp("fast"), "fast"))


@pytest.mark.parametrize(("names", "four"), [("numpy", False), *rarely(("numpy torch jax", True))])
def test_the_same_bits_on_one_two_and_four_ranks(names: str, four: bool, tmp_path: pathlib.Path) -> None:
    """Two of them with Numba, the others without."""
    (alone,) = outcomes(1, tmp_path / "1", "bits", *names.split())
    assert set(alone) == set(names.split())
    for found in outcomes(2, tmp_path / "2", "bits", *names.split(), NUMBA_DISABLE_JIT="0"):
        assert found == alone
    for found in outcomes(4, tmp_path / "4", "bits", "numpy") if four else ():
        assert found["numpy"] == alone["numpy"]


@pytest.mark.parametrize("size", [2, *rarely(4)])
def test_fast_training_is_that_of_one_process(size: int, fast: Callable[[int], list[Any]]) -> None:
    together = fast(size)
    for found in together:
        assert found == together[0]
    alone = {dtype: mpi_rank.numbers(mpi_rank.train(dtype=dtype).params) for dtype in ("float32", "float64")}
    alone["fitted"] = mpi_rank.fitted()
    for name, tolerance in (("float32", 1e-6), ("float64", 1e-13), ("fitted", 1e-13)):
        found, expected = np.asarray(together[0][name]), np.asarray(alone[name])
        assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected)


def test_ctrl_c_on_one_rank_ends_the_fit_of_all(fast: Callable[[int], list[Any]]) -> None:
    messages, n_epochs, _ = fast(2)[0]["interrupted"]
    assert messages == ["Training interrupted by user."]
    assert 0 < n_epochs < 100_000
    assert fast(2)[1]["interrupted"] == fast(2)[0]["interrupted"]


def test_samples_of_their_own(tmp_path: pathlib.Path) -> None:
    alone = mpi_rank.numbers(mpi_rank.train(dtype="float64").params)
    for found in outcomes(2, tmp_path / "2", "own"):
        np.testing.assert_allclose(found, alone, rtol=1e-11, atol=1e-13)


def test_a_killed_rank_ends_the_job_and_any_number_goes_on(tmp_path: pathlib.Path) -> None:
    with pm.parallel("serial", reproducible=True):
        mpi_rank.train(checkpoint=tmp_path / "alone")
    folder = tmp_path / "killed"
    folder.mkdir()
    # Of 108 steps; each run goes on after the last multiple of 5 before.
    for size, rank, step in ((2, 1, 33), (4, 0, 20)):
        done = mpiexec(size, RANK, folder, "resumed", rank, step)
        assert done.returncode != 0
        assert not list(folder.glob("rank-*"))
    assert outcomes(2, folder, "resumed") == [mpi_rank.digest(tmp_path / "alone")] * 2


def test_an_error_of_one_rank_ends_the_job(tmp_path: pathlib.Path) -> None:
    done = mpiexec(2, RANK, tmp_path, "bad_data", 1)
    assert done.returncode != 0
    assert done.stderr.count("portable_mlp: rank 1 of 2 ends the job:\nTraceback") == 1
    assert done.stderr.count("ValueError: X[3, 2] is nan") == 1


def test_an_error_of_all_ranks_is_raised_on_each(tmp_path: pathlib.Path) -> None:
    done = mpiexec(2, RANK, tmp_path, "bad_data", 0, 1)
    assert done.returncode == 1
    assert all(error.startswith("ValueError: X[3, 2] is nan") for error in errors_of(2, tmp_path))
    assert "ends the job" not in done.stderr


OTHER_OPTIONS: list[dict[str, Any]] = [
    {"batch_size": 21},
    {"epochs": 3},
    {"l2": 0.5, "solver": "sgd"},
    {"shuffle": False},
    {"patience": 0},
]


def test_other_options_on_one_rank_are_an_error_of_all(tmp_path: pathlib.Path) -> None:
    """Also one that is refused where it is given: all ranks raise the error that names it."""
    found, others = outcomes(2, tmp_path, "unlike", *map(json.dumps, OTHER_OPTIONS))
    assert found == others
    for options, error in zip(OTHER_OPTIONS, found, strict=True):
        assert error.startswith("ValueError: all ranks must give train")
        assert all(f"{name} is " in error for name in options)


def test_other_options_on_one_rank_end_the_job(tmp_path: pathlib.Path) -> None:
    done = mpiexec(2, RANK, tmp_path, "unlike_to_the_end", json.dumps({"l2": 0.5}))
    assert done.returncode == 1
    assert "ends the job" not in done.stderr
    errors = errors_of(2, tmp_path)
    assert errors[0] == errors[1]
    assert errors[0] in done.stderr
    assert len(list(tmp_path.iterdir())) == 2


def test_sigterm_to_one_rank_ends_all_with_a_state(tmp_path: pathlib.Path) -> None:
    heartbeat = tmp_path / "heartbeat"
    heartbeat.touch()
    os.utime(heartbeat, (0, 0))
    done = mpiexec(2, RANK, tmp_path, "terminated", PORTABLE_MLP_HEARTBEAT=str(heartbeat))
    assert done.returncode == 143, done.stderr
    assert "ends the job" not in done.stderr
    assert list(tmp_path.glob("step-*.safetensors"))
    assert heartbeat.stat().st_mtime > 0


# The command line.


@pytest.mark.parametrize(
    "launcher",
    one_in(2, [("-m", "portable_mlp"), ("-m", "mpi4py", "-m", "portable_mlp")]),
)
def test_the_command_line_trains_together(
    launcher: tuple[str, ...], tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table = table_of_kinds(tmp_path, 90)
    command = ("train", table, "--epochs", 2, "--hidden", 16, "--reproducible", "--json", "--save")
    done = mpiexec(2, *launcher, *command, tmp_path / "two.safetensors")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epochs"] == 2
    alone, _ = printed(*command, tmp_path / "one.safetensors", capfd=capfd)
    assert json.loads(done.stdout)["history"]["loss"] == json.loads(alone)["history"]["loss"]
    assert (tmp_path / "two.safetensors").read_bytes() == (tmp_path / "one.safetensors").read_bytes()


def test_a_mistake_is_one_paragraph_of_rank_0(tmp_path: pathlib.Path) -> None:
    table, missing = tmp_path / "table.csv", tmp_path / "missing.csv"
    table.write_text("a,b\n1,x\n2,y\n3,x\n4,oops\n")
    for size, path, options, message in (
        (2, missing, (), "portable-mlp: "),
        (2, table, ("--learning-rate", "-1"), "portable-mlp: learning_rate"),
        (2, table, ("--epochs", "1", "--save", "/proc/model.safetensors"), "portable-mlp: /proc/model.safetensors"),
        (3, table, ("--reproducible",), "portable-mlp: a reproducible training takes 1, 2, 4 or 8 processes, got 3"),
    ):
        done = mpiexec(size, "-m", "mpi4py", "-m", "portable_mlp", "train", path, *options)
        assert done.returncode == 2, done.stderr
        assert done.stderr.count(message) == 1
        assert done.stdout == ""


def test_other_options_on_the_command_line(tmp_path: pathlib.Path) -> None:
    def command(*options: str) -> tuple[str, ...]:
        return ("-m", "portable_mlp", "train", "digits", "--epochs", "1", *options)

    save = ("--save", str(tmp_path / "model.safetensors"))
    done = mpiexec(
        1, *command("--l2", "0.0001", *save), ":", "-n", "1", sys.executable, *command("--l2", "0.5", "--json")
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "portable-mlp: all ranks must give the command the same options, but l2 is 0.0001 on rank 0" in done.stderr
    assert "and 0.5 on rank 1; save is '" in done.stderr
    assert done.stderr.count("portable-mlp:") == 1
    assert not list(tmp_path.iterdir())

"""``train --procs``: what is started, what is refused, and that the real command works."""

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from portable_mlp.cli import processes
from portable_mlp.cli.app import run
from portable_mlp.distributed.supervision.supervisor import Rules
from tests.cli.commands import printed, table_of_kinds
from tests.processes import environment

START = [sys.executable, "-m", "mpi4py", "-m", "portable_mlp", "train"]


@pytest.fixture
def supervised(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the supervisor would be called with."""
    calls: list[Any] = []

    def supervise(*arguments: Any) -> int:
        calls.append(arguments)
        return 75

    monkeypatch.setattr(processes, "supervise", supervise)
    return calls


def test_the_ranks_get_the_same_arguments_without_the_supervisors(supervised: list[Any]) -> None:
    own = ["--procs", "4", "--restarts=5", "--timeout", "7.5"]
    others = ["--l2=1e-05", "--checkpoint=a folder", "--resume", "--json", "--hidden=", "--delimiter=\t", "--seed=3"]
    others += ["--drop=one", "--drop=two", "--no-shuffle"]
    assert run(["train", "--procs=1", "-x.csv"]) == 2  # not an option: a table's name stands behind --
    assert run(["train", *own, *others, "--", "-x.csv"]) == 75
    ((program, again, n, rules),) = supervised
    assert again == program
    assert (n, rules) == (4, Rules(timeout=7.5, restarts=5, checkpoint=pathlib.Path("a folder")))
    assert program[:6] == START
    assert program[-2:] == ["--", "-x.csv"]
    assert set(others) <= set(program)
    assert not any(part.startswith(("--procs", "--restarts", "--timeout")) for part in program)
    # What the ranks read is what was written.
    assert run([*program[5:-2], "--procs=2", *program[-2:]]) == 75
    assert supervised[1][0] == program


def test_auto_is_one_for_each_core(supervised: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "n_cores", lambda: 6)
    assert run(["train", "digits", "--procs", "auto"]) == 75
    ((program, again, n, rules),) = supervised
    assert (n, rules) == (6, Rules())
    assert sorted(again) == sorted([*program, "--resume"])
    assert again[-2:] == ["--", "digits"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--procs", "0"], "--procs takes a number of processes, at least 1, or auto; got '0'"),
        (["--procs", "two"], "--procs takes a number of processes, at least 1, or auto; got 'two'"),
        (["--procs", "2", "--timeout", "0"], "--timeout takes seconds, more than 0; got 0"),
        (["--procs", "2", "--restarts", "1"], "--restarts needs a folder to go on from: --checkpoint DIR"),
        (["--timeout", "5"], "--restarts and --timeout are for several processes: --procs N"),
        (["--restarts", "2"], "--restarts and --timeout are for several processes: --procs N"),
    ],
)
def test_mistakes(options: list[str], message: str, supervised: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "digits", *options]) == 2
    assert capsys.readouterr().err == f"portable-mlp: {message}\n"
    assert not supervised


def test_under_mpiexec_it_is_refused(
    supervised: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PMI_RANK", "1")
    assert run(["train", "digits", "--procs", "2"]) == 2
    assert "--procs starts the processes itself: leave out mpiexec, or --procs" in capsys.readouterr().err
    assert not supervised


def test_the_real_command(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One rank, with a state and a model; stdout is JSON alone, and the same command without --procs agrees."""
    model, states = tmp_path / "model", tmp_path / "states"
    command = ["train", str(table_of_kinds(tmp_path, 90)), "--backend", "numpy", "--hidden", "16", "--epochs", "2"]
    of_a_rank = [*command, "--procs", "1", "--checkpoint", str(states), "--save", str(model), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "portable_mlp", *of_a_rank],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert list(states.glob("step-*"))
    assert model.exists()
    alone, _ = printed(*command, "--json", capfd=capfd)
    assert json.loads(done.stdout)["history"]["loss"] == json.loads(alone)["history"]["loss"]


def test_a_mistake_in_the_real_command(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "portable_mlp", "train", str(tmp_path / "nothing.csv"), "--procs", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("nothing.csv") == 1

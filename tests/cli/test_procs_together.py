"""``train --procs`` from end to end: ranks of the real trainer are killed, stopped and asked to end."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from portable_mlp.cli.app import run
from tests.cli.commands import table_of_kinds
from tests.processes import environment
from tests.selection import rarely

PATIENCE = 120.0
TRAIN = ["--backend", "numpy", "--reproducible", "--hidden", "32", "--batch-size", "50", "--epochs", "24"]


class Training:
    """``portable-mlp train`` with a folder of states, in a folder for temporary files of its own."""

    def __init__(self, folder: pathlib.Path, *options: Any) -> None:
        self.temporary, self.states, self.model = folder / "temporary", folder / "states", folder / "model.safetensors"
        self.temporary.mkdir(exist_ok=True)
        table = table_of_kinds(folder, 1000)
        places = ["--checkpoint", self.states, "--checkpoint-every", 20, "--save", self.model]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "portable_mlp", "train", *TRAIN, *map(str, [*places, *options, table])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(TMPDIR=str(self.temporary)),
        )

    def wait_for_states(self, n: int) -> None:
        end = time.monotonic() + PATIENCE
        while len(list(self.states.glob("step-*"))) < n:
            assert time.monotonic() < end
            assert self.process.poll() is None, self.end()
            time.sleep(0.01)

    def signal_rank(self, rank: int, number: int) -> None:
        (pid,) = self.temporary.glob(f"portable-mlp-job-*/{rank}.pid")
        os.kill(int(pid.read_text()), number)

    def end(self) -> tuple[int, str]:
        _, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, err


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The model of one process that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    model = folder / "model.safetensors"
    assert run(["train", *TRAIN, "--save", str(model), str(table_of_kinds(folder, 1000))]) == 0
    return model.read_bytes()


@pytest.mark.parametrize(
    ("number", "rank"),
    [(signal.SIGKILL, 1), *rarely((signal.SIGKILL, 0), (signal.SIGSTOP, 0), (signal.SIGSTOP, 1))],
)
def test_a_rank_that_dies_or_hangs_changes_no_bit(rank: int, number: int, whole: bytes, tmp_path: pathlib.Path) -> None:
    # A busy machine takes long to start two processes, and from their start on silence is a hang.
    training = Training(tmp_path, "--procs", 2, "--timeout", 60 if number == signal.SIGKILL else 20)
    training.wait_for_states(1)
    training.signal_rank(rank, number)
    code, err = training.end()
    assert code == 0, err
    assert "it goes on from its newest checkpoint in 1 s: restart 1 of 3" in err
    assert training.model.read_bytes() == whole
    assert not list(training.temporary.iterdir())


@pytest.mark.thorough  # each time: test_supervisor passes a request to stop on
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_what_was_stopped_on_two_goes_on_on_one(number: int, code: int, whole: bytes, tmp_path: pathlib.Path) -> None:
    training = Training(tmp_path, "--procs", 2)
    training.wait_for_states(2)
    training.process.send_signal(number)
    assert training.end()[0] == code
    assert not training.model.exists()
    alone = Training(tmp_path, "--resume")
    assert alone.end()[0] == 0
    assert alone.model.read_bytes() == whole

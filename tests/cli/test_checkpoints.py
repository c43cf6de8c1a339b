"""``train --checkpoint`` and ``--resume``: the same model file, byte by byte, as without an interruption."""

import pathlib
import signal
import subprocess
import sys
import time

import pytest

from portable_mlp.cli.app import run
from tests.cli.commands import table_of_kinds
from tests.processes import environment
from tests.selection import rarely

TRAIN = ["train", "kinds.csv", "--hidden", "32", "--backend", "numpy", "--batch-size", "50"]
TRAIN += ["--schedule", "constant", "--validation", "0.1", "--patience", "200"]


@pytest.fixture(autouse=True)
def in_a_folder_with_a_table(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table_of_kinds(tmp_path, 1000)


def train(*options: str | pathlib.Path) -> int:
    return run([*TRAIN, *map(str, options)])


def test_a_run_in_two_parts_gives_the_same_file(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole, parts, folder = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors", tmp_path / "states"
    assert train("--epochs", "4", "--save", whole) == 0
    assert train("--epochs", "2", "--save", parts, "--checkpoint", folder) == 0
    assert parts.read_bytes() != whole.read_bytes()
    for _ in range(2):  # what is finished is not done again
        assert train("--epochs", "4", "--save", parts, "--checkpoint", folder, "--resume") == 0
        assert parts.read_bytes() == whole.read_bytes()
    out, _ = capfd.readouterr()
    assert out.count("max_epochs") == 4


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), *rarely((signal.SIGTERM, 143), (signal.SIGKILL, -9))]
)
def test_a_signal_ends_it_with_its_code_and_nothing_is_lost(
    number: int, code: int, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, parts, folder = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors", tmp_path / "states"
    options = ["--epochs", "150", "--checkpoint", str(folder), "--checkpoint-every", "10", "--save", str(parts)]
    command = [sys.executable, "-c", "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "]
    command[-1] += "import sys; from portable_mlp.__main__ import main; sys.exit(main())"
    process = subprocess.Popen([*command, *TRAIN, *options], stderr=subprocess.PIPE, text=True, env=environment())
    while not list(folder.glob("step-*")):
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert not parts.exists()
    if number == signal.SIGINT:
        assert f"{folder} has what was reached; the same command with --resume goes on" in err
    assert run([*TRAIN, *options, "--resume"]) == 0
    assert train("--epochs", "150", "--save", whole) == 0
    assert parts.read_bytes() == whole.read_bytes()


def test_mistakes(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("--epochs", "1", "--resume") == 2
    assert "--resume and --checkpoint-every need a folder: --checkpoint DIR" in capfd.readouterr().err
    assert train("--epochs", "1", "--checkpoint", "states") == 0
    capfd.readouterr()
    assert train("--epochs", "1", "--checkpoint", "states") == 2
    assert "states holds checkpoints already: resume, or give another folder" in capfd.readouterr().err
    assert train("--epochs", "1", "--checkpoint", "states", "--resume", "--seed", "1") == 2
    assert "holds the checkpoints of another training: data was" in capfd.readouterr().err
    assert train("--epochs", "1", "--checkpoint", "states", "--checkpoint-every", "0") == 2
    assert "checkpoint_every must be at least 1, got 0" in capfd.readouterr().err
    (tmp_path / "file").write_text("")
    assert train("--epochs", "1", "--checkpoint", tmp_path / "file") == 2
    assert "file" in capfd.readouterr().err

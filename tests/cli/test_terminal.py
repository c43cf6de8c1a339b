"""Control characters and directional marks in cells, names and paths reach no terminal as they are."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portable_mlp.cli.app import run

EVIL = "\x1b]0;owned\x07\x1b[2J\u202e\x9b1m"
ESCAPED = r"\x1b]0;owned\x07\x1b[2J\u202e\x9b1m"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def evil_csv() -> str:
    """A table whose name, columns and labels are all orders to a terminal."""
    name = f"{EVIL}.csv"
    rows = "".join(f"{i},{EVIL if i % 2 else 'good'}\n" for i in range(40))
    Path(name).write_text(f"a{EVIL},{EVIL}\n{rows}", encoding="utf-8")
    return name


def assert_harmless(text: str) -> None:
    assert [line for line in text.split("\n") if not line.isprintable()] == []
    assert ESCAPED in text


def shown(capfd: pytest.CaptureFixture[str], code: int, *arguments: Any) -> tuple[str, str]:
    capfd.readouterr()
    assert run(list(map(str, arguments))) == code
    out, err = capfd.readouterr()
    return out, err


MISTAKES = {
    "cell": ("train", "bad.csv"),
    "path": ("train", f"{EVIL}.tsv"),
    "kind of file": ("train", EVIL),
    "target": ("train", "good.csv", "--target", EVIL),
    "delimiter": ("train", "good.csv", "--delimiter", EVIL),
    "activation": ("train", "digits", "--activation", EVIL),
    "backend": ("train", "digits", "--backend", EVIL),
    "option": ("train", "digits", f"--{EVIL}"),
    "command": (EVIL,),
    "folder": ("train", "digits", "--save", f"{EVIL}/m.safetensors"),
    "model": ("predict", EVIL, "digits"),
    "no model": ("inspect", f"{EVIL}.csv"),
}


@pytest.mark.parametrize("arguments", MISTAKES.values(), ids=MISTAKES)
@pytest.mark.usefixtures("evil_csv")
def test_a_mistake_is_told_in_printable_text(arguments: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    Path("good.csv").write_text("a,y\n1,2\n")
    Path("bad.csv").write_text(f"a,y\n{EVIL},2\n", encoding="utf-8")
    out, err = shown(capfd, 2, *arguments)
    assert out == ""
    assert_harmless(err)


def test_what_train_inspect_and_predict_say_is_printable(evil_csv: str, capfd: pytest.CaptureFixture[str]) -> None:
    out, err = shown(capfd, 0, "train", evil_csv, "--epochs", 1, "--save", f"{EVIL}.safetensors")
    assert_harmless(out)
    assert err.count("\x1b") == 0
    out, _ = shown(capfd, 0, "inspect", f"{EVIL}.safetensors")
    assert_harmless(out)
    _, err = shown(capfd, 0, "predict", f"{EVIL}.safetensors", evil_csv, "--output", f"{EVIL}-out.csv")
    assert_harmless(err)
    assert EVIL in Path(f"{EVIL}-out.csv").read_text(encoding="utf-8")


def test_predictions_are_escaped_on_a_terminal_and_exact_in_a_pipe(
    evil_csv: str, capfd: pytest.CaptureFixture[str]
) -> None:
    shown(capfd, 0, "train", evil_csv, "--epochs", 1, "--save", "m.safetensors")
    command = [sys.executable, "-m", "portable_mlp", "predict", "m.safetensors", evil_csv, "--proba"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert f"proba_{EVIL}".encode() in done.stdout
    terminal, end = os.openpty()
    with subprocess.Popen(command, stdout=end, stderr=subprocess.PIPE) as process:
        os.close(end)
        seen = b""
        while chunk := read_or_end(terminal):
            seen += chunk
        assert process.wait(timeout=60) == 0
    os.close(terminal)
    text = seen.decode().replace("\r\n", "\n")
    assert_harmless(text)
    assert len(text.splitlines()) == len(done.stdout.decode().splitlines()) == 41


def read_or_end(terminal: int) -> bytes:
    """Read what was written to a terminal; Linux reports its end as an error."""
    try:
        return os.read(terminal, 2**16)
    except OSError:
        return b""

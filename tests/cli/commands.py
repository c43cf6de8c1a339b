"""Commands run in the process of the tests, and a table for them."""

import pathlib

import pytest

from portable_mlp.cli.app import run

Capture = pytest.CaptureFixture[str]


def printed(*arguments: object, capfd: Capture, code: int = 0) -> tuple[str, str]:
    """Run a command; return what it prints on stdout and on stderr."""
    capfd.readouterr()
    assert run([str(argument) for argument in arguments]) == code, capfd.readouterr().err
    out, err = capfd.readouterr()
    return out, err


def table_of_kinds(folder: pathlib.Path, n_rows: int) -> pathlib.Path:
    """Write a table of two numbers and one of three kinds, which a process reads sooner than it imports the digits."""
    path = folder / "kinds.csv"
    path.write_text("a,b,kind\n" + "".join(f"{i % 7},{i},{('x', 'y', 'z')[i % 3]}\n" for i in range(n_rows)))
    return path

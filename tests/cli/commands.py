"""Commands run in the process of the tests."""

import pytest

from portable_mlp.cli.app import run

Capture = pytest.CaptureFixture[str]


def printed(*arguments: object, capfd: Capture, code: int = 0) -> tuple[str, str]:
    """Run a command; return what it prints on stdout and on stderr."""
    capfd.readouterr()
    assert run([str(argument) for argument in arguments]) == code, capfd.readouterr().err
    out, err = capfd.readouterr()
    return out, err

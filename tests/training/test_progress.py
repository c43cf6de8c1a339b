"""Progress on stderr: a bar on a terminal, lines in a log file; a resumed run reports its position."""

import pathlib
import re
import sys

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.training import progress

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 3)), RNG.integers(0, 2, 60)
NET = pm.Network((3, 4, 2))


def trained(epochs: int, **options: object) -> None:
    pm.train(NET, pm.init_params(NET), X, Y, batch_size=20, epochs=epochs, progress=True, **options)  # type: ignore[arg-type]


def test_a_log_file_gets_a_line_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The clock is ours: 2.5 seconds pass whenever somebody looks at it."""
    now = iter(np.arange(0.0, 1e6, 2.5).tolist())
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(now))
    trained(6)
    lines = capfd.readouterr().err.splitlines()
    assert 4 < len(lines) < 18
    assert all(re.fullmatch(r"epoch \d/6, \d+% done(, loss \d\.\d{4}, [\d,]+ samples/s)?", line) for line in lines)
    assert lines[-1].startswith("epoch 6/6, 100% done, loss ")
    done = [int(line.split()[2].rstrip("%")) for line in lines]
    assert done == sorted(done)


def test_a_short_run_is_one_line_in_a_log_file(capfd: pytest.CaptureFixture[str]) -> None:
    trained(3)
    assert capfd.readouterr().err.count("\n") == 1


def test_a_stream_that_can_only_write_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tee:
        def __init__(self) -> None:
            self.written = ""

        def write(self, text: str) -> int:
            self.written += text
            return len(text)

        def flush(self) -> None: ...

    tee = Tee()
    monkeypatch.setattr(sys, "stderr", tee)
    trained(3)
    assert tee.written.startswith("epoch 3/3, 100% done")


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # by which rich takes a pipe for a terminal
    trained(3)
    shown = capfd.readouterr().err
    assert "━" in shown
    assert "done, loss" not in shown


@pytest.mark.parametrize("terminal", [False, True])
def test_a_resumed_run_reports_its_position(
    terminal: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    trained(2, checkpoint=tmp_path, resume=True)
    assert "resumes" not in capfd.readouterr().err
    trained(5, checkpoint=tmp_path, resume=True)
    assert "resumes after epoch 2 of 5" in capfd.readouterr().err
    trained(5, checkpoint=tmp_path, resume=True)
    assert "resumes after epoch 5 of 5" in capfd.readouterr().err


def test_a_position_within_an_epoch(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Killed(Exception):
        pass

    def kill(end: pm.EpochEnd) -> bool:
        raise Killed

    with pytest.raises(Killed):
        trained(5, checkpoint=tmp_path, checkpoint_every=2, callbacks=[kill])
    capfd.readouterr()
    trained(5, checkpoint=tmp_path, checkpoint_every=2, resume=True)
    assert "resumes after epoch 0 of 5 and 2 batches of the next one" in capfd.readouterr().err

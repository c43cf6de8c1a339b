"""``train --preset best``: several networks in one file, from rows to predictions, resumed, and on processes."""

import csv
import json
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest

import portable_mlp as pm
from portable_mlp.cli.app import run
from portable_mlp.tables import prepared_rows
from portable_mlp.tables.limits import RowLimit
from tests.processes import environment

N = 90
RNG = np.random.default_rng(0)
FLATS = pd.DataFrame({"size": RNG.normal(80, 20, N).round(1), "district": RNG.choice(["north", "south"], N)})
FLATS["kind"] = np.where(FLATS["size"] + 20 * (FLATS["district"] == "north") > 90, "dear", "cheap")
BEST = ("--target", "kind", "--preset", "best", "--hidden", "4", "--epochs", "3", "--backend", "numpy", "--save")


@pytest.fixture(autouse=True)
def in_a_folder_with_flats(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FLATS.to_csv("flats.csv", index=False)


def done(*arguments: Any, capfd: pytest.CaptureFixture[str]) -> str:
    capfd.readouterr()
    code = run([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    assert code == 0, err
    return out


def test_networks_of_an_ensemble_are_averaged(capfd: pytest.CaptureFixture[str]) -> None:
    summary = json.loads(done("train", "flats.csv", *BEST, "m.safetensors", "--json", capfd=capfd))
    assert (summary["networks"], summary["rows"], len(summary["history"])) == (8, N, 8)
    assert summary["held_out"] in (11, 12)
    losses = [min(history["validation_loss"]) for history in summary["history"]]
    assert summary["validation_loss"] == pytest.approx(np.mean(losses))
    assert "best_epoch" not in summary
    assert "networks   8\n" in done("inspect", "m.safetensors", capfd=capfd)
    done("predict", "m.safetensors", "flats.csv", "--proba", "--output", "answers.csv", capfd=capfd)
    rows = list(csv.DictReader(pathlib.Path("answers.csv").read_text().splitlines()))
    net, params, _ = pm.load_model("m.safetensors")
    inputs = pm.TableEncoder(n_pieces=8).fit(FLATS[["size", "district"]]).transform(FLATS)
    expected = pm.predict(net, params, inputs.astype(np.float32)).astype(float).mean(axis=0)
    assert params[0].W.shape == (8, inputs.shape[1], 4)
    np.testing.assert_allclose([[float(row["proba_cheap"]), float(row["proba_dear"])] for row in rows], expected, 1e-5)
    done("export", "m.safetensors", "m.onnx", capfd=capfd)
    columns = {"size": FLATS[["size"]].to_numpy(np.float32), "district": FLATS[["district"]].to_numpy(object)}
    (proba,) = onnxruntime.InferenceSession("m.onnx").run(["proba"], columns)
    np.testing.assert_allclose(proba, expected, rtol=0, atol=1e-6)
    assert run(["export", "m.safetensors", "m.onnx", "--training"]) == 2
    assert "the model is an ensemble of 8 networks, but a training step is of one" in capfd.readouterr().err


def test_an_ensemble_that_was_stopped_is_resumed_to_the_same_file(capfd: pytest.CaptureFixture[str]) -> None:
    done("train", "flats.csv", *BEST, "whole", capfd=capfd)
    done("train", "flats.csv", *BEST, "parts", "--checkpoint", "states", capfd=capfd)
    assert sorted(path.name for path in pathlib.Path("states").iterdir()) == [f"network-{i}" for i in range(1, 9)]
    for i in range(4, 9):
        shutil.rmtree(f"states/network-{i}")
    done("train", "flats.csv", *BEST, "parts", "--checkpoint", "states", "--resume", capfd=capfd)
    assert pathlib.Path("parts").read_bytes() == pathlib.Path("whole").read_bytes()


@pytest.mark.thorough  # each time: one process in test_presets, and one network on several in test_mpi
def test_several_processes_give_the_same_file(capfd: pytest.CaptureFixture[str]) -> None:
    done("train", "flats.csv", *BEST, "one", "--reproducible", capfd=capfd)
    together = [*BEST, "two", "--reproducible", "--procs", "2"]
    command = [sys.executable, "-m", "portable_mlp", "train", "flats.csv", *together]
    subprocess.run(command, check=True, env=environment(), timeout=120)
    assert pathlib.Path("two").read_bytes() == pathlib.Path("one").read_bytes()


def test_what_is_chosen_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    out = done("train", "flats.csv", "--target", "kind", capfd=capfd)
    shown = {line[:20].strip(): line[20:] for line in out.splitlines() if not line.startswith("  ")}
    assert shown["held out"] == "none: trained to the end on all rows"
    assert (shown["batch size"], shown["epochs"], shown["solver"], shown["schedule"]) == ("32", "333", "adam", "cosine")
    out = done("train", "flats.csv", "--target", "size", capfd=capfd)
    assert f"  predictions stay between {FLATS['size'].min():g} and {FLATS['size'].max():g}, as the targets do\n" in out


def test_a_large_file_has_no_ensemble(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(prepared_rows, "STREAMED_BYTES", 0)
    monkeypatch.setattr(prepared_rows, "row_limit", lambda *_: RowLimit(199, "too many"))
    np.save("numbers.npy", RNG.normal(size=(200, 3)))
    assert run(["train", "numbers.npy", "--preset", "best"]) == 2
    assert "numbers.npy: an ensemble is for tables that fit into memory" in capfd.readouterr().err
    assert run(["train", "numbers.npy", "--preset", "bets"]) == 2
    assert "--preset must be one of 'default', 'best'; got 'bets', did you mean 'best'" in capfd.readouterr().err

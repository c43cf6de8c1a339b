"""`train`, `predict` and `evaluate` on text tables larger than memory, against the same tables in memory."""

import gzip
import io
import json
import pathlib
import re
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import portable_mlp as pm
from portable_mlp.cli.app import run
from portable_mlp.tables import limits, loaded_text, text_tables
from portable_mlp.training import stream

RNG = np.random.default_rng(0)
N_ROWS = 600
SIZE, AGE = RNG.normal(size=(2, N_ROWS)).round(3)
ZONE = RNG.choice(["north", "south", 'the "old"\ntown'], N_ROWS)
RENT = (40 + 9 * SIZE - 4 * AGE + 5 * (ZONE == "north")).round(2)
DEAR = np.where(RENT > 42, "dear", "cheap")
TARGETS = {"rent": RENT, "dear": DEAR}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Texts are in memory unless a test says otherwise; copies are in a folder in which nothing stays."""
    (tmp_path / "copies").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))
    yield
    assert not list((tmp_path / "copies").iterdir())


def text_of(target: str, n_rows: int = N_ROWS, *, is_target_known: bool = True) -> str:
    columns = [range(n_rows), SIZE, AGE, ZONE, np.where(SIZE > 0, "yes", "no"), TARGETS[target]]
    rows = zip(*columns, strict=False)
    written = ('{},{},{},"{}",{},{}\n'.format(i, a, b, str(c).replace('"', '""'), d, y) for i, a, b, c, d, y in rows)
    return f"row,size,age,zone,lift,{target}\n" + "".join(written)


def saved(target: str) -> str:
    pathlib.Path(name := f"{target}.csv").write_text(text_of(target))
    return name


def in_groups(monkeypatch: pytest.MonkeyPatch, rows: int = 100) -> None:
    """Take every text for one that is too large for memory."""
    monkeypatch.setattr(loaded_text, "text_bytes", lambda: 0)
    monkeypatch.setattr(text_tables, "GROUP_ROWS", rows)


OPTIONS = ["--id", "row", "--epochs", "3", "--batch-size", "32", "--hidden", "8", "--backend", "numpy", "--l2", "0.001"]


def trained(data: str, *options: Any, capfd: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    capfd.readouterr()
    code = run(["train", data, *OPTIONS, "--json", *map(str, options)])
    out, err = capfd.readouterr()
    assert code == 0, err
    summary: dict[str, Any] = json.loads(out)
    return summary, err


@pytest.mark.parametrize("target", TARGETS)
def test_a_text_of_one_group_gives_the_very_model_that_it_gives_in_memory(
    target: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    data = saved(target)
    expected, err = trained(data, "--save", "whole", capfd=capfd)
    assert "too large" not in err
    in_groups(monkeypatch, N_ROWS)
    found, err = trained(data, "--save", "copied", capfd=capfd)
    assert f"portable-mlp: {data}, 1 MB, is too large for memory: its cells are copied to a temporary file in" in err
    (net, copied, metadata), (same_net, whole, kept) = map(pm.load_model, ("copied", "whole"))
    assert pm.pack(copied).tobytes() == pm.pack(whole).tobytes()
    del kept["baseline"]  # which takes all targets at once
    assert (net, metadata) == (same_net, kept)
    assert found["history"]["loss"] == expected["history"]["loss"]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", "-"])
def test_several_groups_are_learnt_from(
    suffix: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also without PyArrow."""
    in_groups(monkeypatch)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    content, name = text_of("dear").encode(), f"flats{suffix}"
    if suffix == "-":
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        name = "-"
    else:
        pathlib.Path(name).write_bytes(gzip.compress(content) if suffix == ".csv.gz" else content)
    summary, _ = trained(name, "--epochs", 9, "--validation", 0.1, "--test", 0.2, "--save", "m", capfd=capfd)
    assert summary["rows"] == N_ROWS * 8 // 10
    assert summary["assessment"]["scores"]["accuracy"] > 0.8 > 0.7 > summary["assessment"]["baseline"]["accuracy"]
    assert pm.load_model("m")[2]["preparation"]["classes"] == ["cheap", "dear"]


def test_a_wrong_cell_is_named_by_its_line(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """The cells of two lines before it count."""
    name = saved("rent")
    text = pathlib.Path(name).read_text()
    line = 2 + text[: text.index("\n500,")].count("\n")
    pathlib.Path(name).write_text(text.replace(f"\n500,{SIZE[500]},", "\n500,wide,"))
    messages = []
    for is_large in (False, True):
        if is_large:
            in_groups(monkeypatch)
        assert run(["train", name, *OPTIONS]) == 2
        messages.append(capfd.readouterr().err.splitlines()[-1])
    assert messages[0] == messages[1]
    assert messages[0].startswith(f"portable-mlp: {name}:{line}:2: 'wide' is not a number")


@pytest.mark.parametrize("options", [["--folds", 2], ["--preset", "best"], ["--solver", "lbfgs"]])
def test_what_needs_all_rows_reads_them(
    options: list[Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    in_groups(monkeypatch)
    name = saved("rent")
    _, err = trained(name, *options, "--epochs", 1, capfd=capfd)
    assert "too large" not in err
    monkeypatch.setattr(limits, "table_bytes", lambda: 24 * 6 * (N_ROWS - 1))
    assert run(["train", name, *OPTIONS, *map(str, options)]) == 2
    assert "more than 599 rows, which take half of this machine's memory; " in capfd.readouterr().err


def test_a_table_that_fits_though_its_features_do_not(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its rows come from memory, and the model is the same."""
    data = saved("dear")
    trained(data, "--save", "whole", capfd=capfd)
    monkeypatch.setattr(stream, "BATCHES_A_PIECE", 3)
    monkeypatch.setattr(limits, "table_bytes", lambda: 16 * N_ROWS * 22 - 1)
    summary, _ = trained(data, "--save", "batches", capfd=capfd)
    assert pm.pack(pm.load_model("batches")[1]).tobytes() == pm.pack(pm.load_model("whole")[1]).tobytes()
    assert summary["rows"] == N_ROWS
    assert run(["train", data, *OPTIONS, "--folds", "2"]) == 2
    assert "features of" in capfd.readouterr().err


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("suffix", [".csv", ".tsv.gz", ".parquet"])
def test_predictions_and_scores_are_those_of_the_table_in_memory(
    target: str, suffix: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    data = saved(target)
    trained(data, "--save", "model", capfd=capfd)
    proba = ["--proba"] if target == "dear" else []
    found = []
    for name in ("whole", "copied"):
        if name == "copied":
            in_groups(monkeypatch)
        assert run(["predict", "model", data, "--output", f"{name}{suffix}", *proba]) == 0
        assert run(["predict", "model", data, *proba]) == 0
        assert run(["evaluate", "model", data, "--json"]) == 0
        out, err = capfd.readouterr()
        found.append((out, err.replace("copied", "whole")))
    assert found[0] == found[1]
    if suffix == ".parquet":
        assert pq.read_table("whole.parquet").equals(pq.read_table("copied.parquet"))
        assert pq.read_table("copied.parquet").num_rows == N_ROWS
    else:
        assert pathlib.Path(f"whole{suffix}").read_bytes() == pathlib.Path(f"copied{suffix}").read_bytes()


def test_a_mistake_in_a_later_group_leaves_the_file_as_it_was(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    data = saved("rent")
    trained(data, "--save", "model", capfd=capfd)
    in_groups(monkeypatch)
    pathlib.Path(data).write_text(pathlib.Path(data).read_text().replace("\n500,", "\n500,x"))
    pathlib.Path("old.csv").write_text("as it was")
    assert run(["predict", "model", data, "--output", "old.csv"]) == 2
    assert f":2: 'x{SIZE[500]}' is not a number" in capfd.readouterr().err
    assert pathlib.Path("old.csv").read_text() == "as it was"


def test_targets_that_cannot_be_read_cost_the_scores_alone(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In one of the groups, and in a table of more rows than can be scored in memory."""
    data = saved("rent")
    trained(data, "--features", "lift", "--save", "model", capfd=capfd)
    in_groups(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(limits, "table_bytes", lambda: 4 * 8 * 2 * 500)
        assert run(["predict", "model", data, "--output", "new.csv"]) == 0
        reason = "not scored: there are more than 500 rows, which take half of this machine's memory"
        assert capfd.readouterr().err == f"600 predictions written to new.csv\nportable-mlp: {reason}\n"
        assert run(["evaluate", "model", data]) == 2
        assert capfd.readouterr().err == f"portable-mlp: {reason}\n"
    text = pathlib.Path(data).read_text()
    pathlib.Path(data).write_text(re.sub(r"(\n250,.*?,(?:yes|no),)[^\n]*", r"\1free", text, count=1, flags=re.DOTALL))
    assert run(["predict", "model", data, "--output", "new.csv"]) == 0
    assert "'free' is not a number" in (err := capfd.readouterr().err)
    assert "scores" not in err

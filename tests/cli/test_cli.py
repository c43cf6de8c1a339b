"""The command line as its user meets it: what it prints, what it leaves, how it ends."""

import contextlib
import csv
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import portable_mlp as pm
from portable_mlp.backends.extras import install
from portable_mlp.cli import demo
from portable_mlp.cli.app import run
from portable_mlp.cli.commands import COMMANDS, Commands
from portable_mlp.storage import tensor_files
from portable_mlp.tables.prepared_rows import Rows
from tests.estimators.problems import quietly

ROWS = 60


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def flowers() -> pathlib.Path:
    """A table with three classes named by text, told apart by two columns of very different scale."""
    rng = np.random.default_rng(0)
    path = pathlib.Path("flowers.csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["length", "kind", "weight, g"])
        for i in range(ROWS):
            kind = i % 3
            writer.writerow([kind + rng.normal() / 10, ["äster", "=rose", "tulip"][kind], 1e6 + 1e4 * kind])
    return path


@pytest.fixture
def houses() -> pathlib.Path:
    """A table with a price far from zero."""
    rng = np.random.default_rng(0)
    size = rng.uniform(50, 200, ROWS)
    path = pathlib.Path("houses.tsv")
    path.write_text("size\tprice\n" + "".join(f"{s}\t{2e5 + 3e3 * s}\n" for s in size))
    return path


def command(*arguments: Any, capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code, stdout and stderr."""
    capfd.readouterr()
    code = run([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    return code, out, err


def mistake(*arguments: Any, capfd: pytest.CaptureFixture[str]) -> str:
    """Run a command that must fail as a user's mistake: code 2, nothing on stdout, one line on stderr."""
    code, out, err = command(*arguments, capfd=capfd)
    assert code == 2, (out, err)
    assert out == ""
    assert err.startswith("portable-mlp: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


def trained(path: pathlib.Path, *arguments: Any, capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    code, out, err = command("train", path, "--json", *arguments, capfd=capfd)
    assert code == 0, err
    summary: dict[str, Any] = json.loads(out)
    return summary


def predictions(*arguments: Any, capfd: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    """Predict; on stderr are at most the scores of rows that have targets, as `test_evaluate.py` has them."""
    code, out, err = command("predict", *arguments, capfd=capfd)
    assert (code, err.partition(" of ")[0]) in ((0, ""), (0, "scores"))
    return list(csv.DictReader(io.StringIO(out)))


def test_text_classes_are_learnt_and_predicted(flowers, capfd) -> None:
    summary = trained(flowers, "--target", "kind", "--save", "model.safetensors", "--validation", 0.1, capfd=capfd)
    assert summary["task"] == "classification"
    assert summary["validation_accuracy"] == 1.0
    rows = predictions("model.safetensors", flowers, "--proba", capfd=capfd)
    assert list(rows[0]) == ["prediction", "proba_=rose", "proba_tulip", "proba_äster"]
    assert [row["prediction"] for row in rows] == ["äster", "=rose", "tulip"] * (ROWS // 3)
    assert sum(float(rows[0][name]) for name in list(rows[0])[1:]) == pytest.approx(1.0, abs=1e-6)


def test_predict_finds_its_columns_by_name_and_needs_no_target(flowers, capfd) -> None:
    trained(
        flowers, "--target", "kind", "--save", "m.safetensors", "--epochs", 60, "--learning-rate", 0.05, capfd=capfd
    )
    pathlib.Path("new.csv").write_text('"weight, g",length\n1020000,2.0\n1000000,0.0\n')
    assert [row["prediction"] for row in predictions("m.safetensors", "new.csv", capfd=capfd)] == ["tulip", "äster"]


def test_a_quantity_is_predicted_in_its_own_units(houses, capfd) -> None:
    summary = trained(houses, "--save", "m.safetensors", "--l2", 0, "--validation", 0.1, "--epochs", 200, capfd=capfd)
    assert summary["task"] == "regression"
    assert summary["validation_r2"] > 0.99
    assert len(summary["history"]["loss"]) == 200
    pathlib.Path("new.csv").write_text("size\n100\n")
    price = float(predictions("m.safetensors", "new.csv", capfd=capfd)[0]["prediction"])
    assert price == pytest.approx(5e5, rel=0.02)


def test_arrays_are_taken(capfd) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    np.savez("data.npz", X=X, y=X @ rng.normal(size=(3, 2)))
    trained("data.npz", "--save", "m.safetensors", "--epochs", 3, capfd=capfd)
    np.save("new.npy", X[:5])
    rows = predictions("m.safetensors", "new.npy", capfd=capfd)
    assert [list(row) for row in rows] == [["prediction_0", "prediction_1"]] * 5


def test_predictions_go_to_a_file_in_one_step(flowers, capfd) -> None:
    trained(flowers, "--target", "kind", "--save", "m.safetensors", "--epochs", 2, capfd=capfd)
    code, out, err = command("predict", "m.safetensors", flowers, "--output", "out.csv", capfd=capfd)
    assert (code, out) == (0, "")
    assert err.startswith(f"{ROWS} predictions written to out.csv\nscores of {ROWS} rows ")
    lines = pathlib.Path("out.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "prediction"
    assert len(lines) == ROWS + 1


def test_cells_may_be_separated_by_what_is_said(capfd) -> None:
    for name, delimiter in (("semicolon", ";"), ("tab", "tab"), ("bar", "|")):
        path = pathlib.Path(f"{name}.csv")
        cells = [["a", "kind"], *([str(i % 7), "xy"[i % 2]] for i in range(30))]
        path.write_text(
            "".join("\t".join(row) + "\n" for row in cells).replace("\t", {"tab": "\t"}.get(delimiter, delimiter))
        )
        trained(path, "--delimiter", delimiter, "--save", "m.safetensors", "--epochs", 1, capfd=capfd)
        assert len(predictions("m.safetensors", path, "--delimiter", delimiter, capfd=capfd)) == 30
        assert "--delimiter names the delimiter" in mistake("train", path, "--strict", capfd=capfd)


def test_predictions_can_be_made_safe_for_spreadsheets(flowers, capfd) -> None:
    trained(
        flowers, "--target", "kind", "--save", "m.safetensors", "--epochs", 60, "--learning-rate", 0.05, capfd=capfd
    )
    rows = predictions("m.safetensors", flowers, "--spreadsheet-safe", capfd=capfd)
    assert [row["prediction"] for row in rows] == ["äster", "'=rose", "tulip"] * (ROWS // 3)


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    pathlib.Path("data.parquet").write_bytes(b"PAR1")
    message = mistake("train", "data.parquet", capfd=capfd)
    assert message == f"portable-mlp: .parquet files need PyArrow: {install('parquet')}\n"


def test_a_model_saved_without_preparation_predicts_raw_rows(capfd) -> None:
    net = pm.Network((2, 2))
    params = (pm.Layer(np.asarray([[1.0, -1.0], [0.0, 0.0]]), np.zeros(2)),)
    pm.save_model("m.safetensors", net, params)
    pathlib.Path("new.csv").write_text("a,b\n-3,0\n3,0\n")
    assert [row["prediction"] for row in predictions("m.safetensors", "new.csv", capfd=capfd)] == ["1", "0"]


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax", "strict"])
def test_every_backend_trains_and_predicts(backend: str, flowers, capfd) -> None:
    arguments = ("--target", "kind", "--epochs", 3, "--save", "m.safetensors", "--backend", backend)
    assert trained(flowers, *arguments, capfd=capfd)["backend"] == backend
    assert len(predictions("m.safetensors", flowers, "--backend", backend, capfd=capfd)) == ROWS


def test_options_reach_the_training(flowers, capfd) -> None:
    summary = trained(
        flowers, "--target", "kind", "--hidden", "", "--solver", "sgd", "--schedule", "cosine", "--learning-rate", 0.5,
        "--batch-size", 7, "--l2", 0, "--validation", 0, "--seed", 3, "--dtype", "float64", "--epochs", 2,
        "--save", "m.safetensors", capfd=capfd,
    )  # fmt: skip
    assert summary["history"]["learning_rate"] == [0.5, 0.25]
    assert "validation_loss" not in summary["history"]
    net, params, _ = pm.load_model("m.safetensors")
    assert net.sizes == (12, 3)  # with 8 pieces of a number, and 2 of the other, which has 3 values
    assert params[0].W.dtype == np.float64


def test_patience_reports_the_epoch_that_was_kept(flowers, capfd) -> None:
    summary = trained(flowers, "--target", "kind", "--patience", 1, "--learning-rate", 1, "--epochs", 50, capfd=capfd)
    history = summary["history"]
    best = history["validation_loss"].index(min(history["validation_loss"]))
    assert summary["validation_loss"] == history["validation_loss"][best]
    assert summary["loss"] == history["loss"][best]
    assert summary["best_epoch"] == best + 1
    by_score = trained(flowers, "--target", "kind", "--patience", 1, "--monitor", "score", "--epochs", 50, capfd=capfd)
    assert by_score["validation_accuracy"] == max(by_score["history"]["validation_score"])


def test_the_summary_is_readable(flowers, capfd) -> None:
    options = ("--epochs", 2, "--validation", 0.2)
    code, out, err = command("train", flowers, "--target", "kind", *options, capfd=capfd)
    assert code == 0
    shown = {line[:20].strip(): line[20:] for line in out.splitlines()}
    assert shown["task"] == "classification"
    assert shown["network"] == "12-256-3"
    assert shown["held out"] == "12"
    assert float(shown["validation accuracy"]) >= 0.0
    assert "epoch 2/2" in err
    assert "only 4 steps were taken" in err
    assert "saved               no (--save model.safetensors keeps the model)" in out


def test_a_target_whose_texts_hardly_repeat_is_pointed_out(tmp_path, capfd) -> None:
    (tmp_path / "days.csv").write_text("x,day\n" + "".join(f"{i % 7},2001-02-{i:02}\n" for i in range(1, 13)))
    code, _, err = command("train", tmp_path / "days.csv", "--epochs", 1, capfd=capfd)
    assert code == 0
    assert "12 classes in 12 rows: hardly a target comes twice; --target names another column" in err


def test_inspect_shows_the_model(flowers, capfd) -> None:
    trained(flowers, "--target", "kind", "--save", "m.safetensors", "--epochs", 2, capfd=capfd)
    code, out, _ = command("inspect", "m.safetensors", capfd=capfd)
    assert code == 0
    for word in ("12-256-3", "relu", "float32", "kind", r"'\xe4ster'", "'weight, g'"):
        assert word in out
    code, out, _ = command("inspect", "m.safetensors", "--json", capfd=capfd)
    assert json.loads(out)["sizes"] == [12, 256, 3]
    assert json.loads(out)["metadata"]["preparation"]["classes"] == ["=rose", "tulip", "äster"]


def test_inspect_says_who_wrote_the_file_and_its_checksum(capfd) -> None:
    net = pm.Network((2, 1), output="identity")
    pm.save_model("m.safetensors", net, pm.init_params(net), {"remark": "kept"})
    _, out, _ = command("inspect", "m.safetensors", capfd=capfd)
    shown = {line[:11].strip(): line[11:] for line in out.splitlines()}
    _, out, _ = command("inspect", "m.safetensors", "--json", capfd=capfd)
    said = json.loads(out)
    assert said["metadata"] == {"remark": "kept"}
    assert (shown["format"], shown["written by"]) == ("1", f"portable_mlp {pm.__version__}")
    assert (said["format"], said["written_by"]) == (1, f"portable_mlp {pm.__version__}")
    content = pathlib.Path("m.safetensors").read_bytes()
    assert shown["bytes"] == str(said["bytes"]) == str(len(content))
    assert shown["sha256"] == said["sha256"]
    assert hashlib.sha256(content.replace(said["sha256"].encode(), b"0" * 64)).hexdigest() == said["sha256"]


@pytest.mark.parametrize("labels", [["no", "yes"], ["äster", "rose", "tulip"], [3, 5, 9], [2, 7], [True, False]])
def test_an_estimators_file_predicts_too(labels: list[Any], capfd) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), np.resize(np.array(labels), 60)
    table = pd.DataFrame(X, columns=["a", "b"])
    clf = quietly(pm.MLPClassifier((4,), max_iter=5, random_state=0).fit, table, y)
    clf.save("clf.safetensors")
    table.to_csv("new.csv", index=False)
    found = predictions("clf.safetensors", "new.csv", "--proba", capfd=capfd)
    assert [row["prediction"] for row in found] == [str(label) for label in clf.predict(table)]
    proba = [[float(row[f"proba_{label}"]) for label in clf.classes_] for row in found]
    np.testing.assert_allclose(proba, clf.predict_proba(table), rtol=1e-12)
    _, out, _ = command("inspect", "clf.safetensors", capfd=capfd)
    assert "'a', 'b'" in out
    assert ascii(clf.classes_[0].item()) in out
    pathlib.Path("other.csv").write_text("b,c\n1,2\n")
    assert "expects the columns 'a', 'b'" in mistake("predict", "clf.safetensors", "other.csv", capfd=capfd)


def test_a_regressors_file_predicts_too(capfd) -> None:
    X = np.random.default_rng(0).normal(size=(60, 2))
    reg = quietly(pm.MLPRegressor(hidden_layer_sizes=(4,), max_iter=5, random_state=0).fit, X, 1e3 + X)
    reg.save("reg.safetensors")
    np.save("new.npy", X[:9])
    rows = predictions("reg.safetensors", "new.npy", capfd=capfd)
    found = [[float(row["prediction_0"]), float(row["prediction_1"])] for row in rows]
    np.testing.assert_allclose(found, reg.predict(X[:9]), rtol=1e-12)


@pytest.mark.parametrize("y", [np.eye(3, dtype=int)[np.arange(60) % 3], np.zeros(60, dtype=int)], ids=["labels", "one"])
def test_an_estimator_that_the_command_line_does_not_know(y: np.ndarray, capfd) -> None:
    X = np.random.default_rng(0).normal(size=(60, 2))
    quietly(pm.MLPClassifier((4,), max_iter=3, random_state=0).fit, X, y).save("clf.safetensors")
    np.save("new.npy", X)
    message = mistake("predict", "clf.safetensors", "new.npy", capfd=capfd)
    assert "an estimator for several labels or a single class" in message
    assert command("inspect", "clf.safetensors", capfd=capfd)[0] == 0


def test_classes_of_a_logistic_network_saved_by_hand(capfd) -> None:
    net = pm.Network((2, 1), output="logistic")
    params = (pm.Layer(np.asarray([[1.0], [0.0]]), np.zeros(1)),)
    pm.save_model("m.safetensors", net, params, {"classes": ["no", "yes"]})
    pathlib.Path("new.csv").write_text("a,b\n-3,0\n3,0\n")
    found = predictions("m.safetensors", "new.csv", "--proba", capfd=capfd)
    assert [row["prediction"] for row in found] == ["no", "yes"]
    assert float(found[1]["proba_yes"]) == pytest.approx(1 / (1 + np.exp(-3)), rel=1e-12)


def test_a_model_that_would_be_too_large_is_named_before_the_training(capfd, monkeypatch) -> None:
    monkeypatch.setattr(tensor_files, "MOST_HEADER_BYTES", 10_000)
    names = [f"{i:0200d}" for i in range(45)]
    rows = [["kind", *names], *([i % 2, *range(i, i + 45)] for i in range(4))]
    pathlib.Path("wide.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    options = ("--target", "kind", "--save", "m.safetensors", "--hidden", "2")
    message = mistake("train", "wide.csv", *options, capfd=capfd)
    assert "the header, which holds the metadata, would have" in message
    assert "epoch" not in message
    assert not pathlib.Path("m.safetensors").exists()


def test_control_characters_do_not_reach_the_terminal(capfd) -> None:
    name = "\x1b[2J\x9bm.safetensors"
    pathlib.Path(name).write_bytes(b"")
    assert r"\x1b[2J\x9bm.safetensors: the file is empty" in mistake("inspect", name, capfd=capfd)
    net = pm.Network((2, 2))
    pm.save_model(name, net, pm.init_params(net), {"classes": ["\x1b[31m", "b"]})
    code, out, _ = command("inspect", name, capfd=capfd)
    assert code == 0
    assert "\x1b" not in out
    assert "\x1b" not in mistake("predict", name + "x", "digits", capfd=capfd)


def test_backends_are_listed(capfd) -> None:
    code, out, _ = command("backends", "--json", capfd=capfd)
    infos = {info["name"]: info for info in json.loads(out)}
    assert code == 0
    assert infos["numpy"]["available"]
    code, out, _ = command("backends", capfd=capfd)
    assert "numpy" in out
    assert "array_api_strict" not in out


def test_gradcheck_passes_on_every_backend(capfd) -> None:
    code, out, _ = command("gradcheck", capfd=capfd)
    assert code == 0
    for name in ("numpy", "torch", "jax", "strict"):
        assert name in out
    assert "WRONG" not in out


def test_gradcheck_fails_on_a_wrong_gradient(monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    from portable_mlp.kernels import activations

    wrong = activations.ACTIVATIONS["tanh"]._replace(backward=lambda xp, dh, z, h: dh * (1.0 - h))
    monkeypatch.setitem(activations.ACTIVATIONS, "tanh", wrong)
    code, out, _ = command("gradcheck", "--backend", "numpy", capfd=capfd)
    assert code == 1
    assert "WRONG" in out
    assert "tanh" in out


def test_gradcheck_says_which_library_breaks(monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    def broken(self: Any, x: Any) -> Any:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(type(pm.get_backend("torch")), "to_numpy", broken)
    code, out, err = command("gradcheck", "--backend", "torch", "--backend", "numpy", capfd=capfd)
    assert code == 1
    assert "failed" in out
    assert "right" in out
    assert err == "torch: RuntimeError: out of luck\n"


def test_demo_learns_the_digits(monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    monkeypatch.setattr(demo, "TIMED_EPOCHS", 2)
    code, out, err = command("demo", "--output", "out", capfd=capfd)
    assert code == 0, err
    accuracy = float(out.split("test accuracy ")[1].split()[0])
    assert accuracy >= 0.97
    assert {path.suffix for path in pathlib.Path("out").iterdir()} == {".safetensors", ".png"}
    assert pathlib.Path("out/digits.png").read_bytes().startswith(b"\x89PNG")
    for name in ("numpy", "cupy", "torch", "jax", "strict"):
        assert name in out
    rows = predictions("out/digits.safetensors", "digits", capfd=capfd)
    assert len(rows) == 1797


@pytest.mark.parametrize("error", [AttributeError("the driver is\ntoo old"), KeyError(), pm.BackendUnavailable("gone")])
def test_a_library_that_fails_in_the_demo_costs_its_row(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def failing(name: str) -> Any:
        if name == "torch":
            raise error
        return pm.get_backend(name)

    monkeypatch.setattr(demo, "get_backend", failing)
    monkeypatch.setattr(demo, "backends", lambda: [one for one in pm.backends() if one.name in ("numpy", "torch")])
    rows = Rows(np.zeros((8, 64)), np.arange(8))
    demo._compare_backends(demo.Split(rows, rows), Console(stderr=True))
    table = {row[1]: row for line in capfd.readouterr().out.splitlines() if len(row := line.split()) > 1}
    assert (str(error) or "KeyError").split()[0] in table["torch"]
    assert table["numpy"][3] == "cpu"


BAD_TABLES = {
    "no-number": ("a,b\n1,2\nx,3\n", r"data.csv:3:1: 'x' is not a number"),
    "nan": ("a,b\n1,2\nnan,3\n", r"data.csv:3:1: 'nan' is not a finite number"),
    "infinity": ("a,b\n1,2\ninf,3\n", r"data.csv:3:1: 'inf' is not a finite number"),
    "ragged": ("a,b\n1,2\n1,2,3\n", "data.csv:3: 3 cells where the header has 2"),
    "empty": ("", "data.csv: the file is empty"),
    "header-only": ("a,b\n", "data.csv"),
    "no header": ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "data.csv:1:1: '5.1' is a number"),
    "one-class": ("a,b\n1,x\n2,x\n3,x\n", "at least two classes, but every target is 'x'"),
}


@pytest.mark.parametrize(("content", "message"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_bad_table_is_one_clear_line_and_leaves_nothing(content: str, message: str, capfd) -> None:
    pathlib.Path("data.csv").write_text(content)
    assert message in mistake(
        "train", "data.csv", "--strict", "--save", "m.safetensors", "--validation", 0, capfd=capfd
    )
    assert not pathlib.Path("m.safetensors").exists()


MISTAKES = {
    "missing file": (("train", "none.csv"), "none.csv: No such file or directory"),
    "missing column": (("train", "flowers.csv", "--target", "kid"), "no column 'kid' (did you mean 'kind'?)"),
    "unknown backend": (("train", "digits", "--backend", "abacus"), "there is no backend 'abacus'"),
    "unknown device": (("train", "digits", "--backend", "torch", "--device", "moon"), "torch has no device 'moon'"),
    "unknown dtype": (("train", "digits", "--dtype", "float16x"), "dtype 'float16x' is not available"),
    "integer dtype": (("train", "digits", "--dtype", "int32"), "parameters must be real floating"),
    "unknown option": (
        ("train", "digits", "--epoch", "3"),
        "No such option: --epoch; did you mean --epochs? See portable-mlp train --help",
    ),
    "guessed option": (("train", "digits", "--lr=1"), "No such option: --lr; did you mean --learning-rate? See"),
    "nothing near": (("train", "digits", "--colour"), "No such option: --colour; see portable-mlp train --help"),
    "short option": (("train", "digits", "-x"), "No such option: -x; see portable-mlp train --help"),
    "option of no command": (
        ("--verson",),
        "No such option: --verson; did you mean --version? See portable-mlp --help",
    ),
    "option before a script": (
        ("accelerate", "--bakend", "numpy", "script.py"),
        "No such option: --bakend; did you mean --backend? See portable-mlp accelerate --help",
    ),
    "no value": (("train", "digits", "--seed"), "see portable-mlp train --help"),
    "no data": (("train",), "see portable-mlp train --help"),
    "too much": (("inspect", "a", "b"), "see portable-mlp inspect --help"),
    "no number": (("train", "digits", "--epochs", "many"), "--epochs"),
    "no command": (("tain",), "No such command: tain; did you mean train? See portable-mlp --help"),
    "no such thing": (("wash",), "No such command: wash; the commands are demo, backends, train, "),
    "near choice": (("train", "digits", "--solver", "adm"), "'sgd', 'lbfgs'; got 'adm', did you mean 'adam'?"),
    "near backend": (("train", "digits", "--backend", "pytorch"), "'strict', did you mean 'torch'?"),
    "bad hidden": (("train", "digits", "--hidden", "1,x"), "--hidden takes whole numbers separated by commas"),
    "zero hidden": (("train", "digits", "--hidden", "0"), "--hidden needs at least one unit"),
    "bad activation": (("train", "digits", "--activation", "sigmoid"), "activation must be one of"),
    "bad task": (("train", "digits", "--task", "clustering"), "--task must be one of 'auto', 'classification'"),
    "bad validation": (("train", "digits", "--validation", "1"), "--validation is a fraction"),
    "no patience": (
        ("train", "digits", "--validation", "0", "--patience", "3"),
        "--patience needs rows to validate on",
    ),
    "no score": (
        ("train", "digits", "--validation", "0", "--patience", "3", "--monitor", "score"),
        "--patience and --monitor need rows to validate on",
    ),
    "target of digits": (("train", "digits", "--target", "x"), "--target does not go with digits"),
    "delimiter of digits": (("predict", "m.safetensors", "digits", "--delimiter", ";"), "--delimiter does not go with"),
    "rows of digits": (("train", "digits", "--max-rows", "9"), "--max-rows does not go with digits"),
    "unknown delimiter": (
        ("train", "flowers.csv", "--delimiter", "x"),
        "delimiter must be one of ',', '\\t', ';', '|'",
    ),
    "too many rows": (
        ("train", "flowers.csv", "--target", "kind", "--max-rows", "9"),
        "flowers.csv:11: more than 9 rows",
    ),
    "too many to predict": (
        ("predict", "m.safetensors", "new.csv", "--max-rows", "1"),
        "new.csv:3: more than 1 row, the limit that was set",
    ),
    "no rows": (("train", "flowers.csv", "--max-rows", "0"), "--max-rows"),
    "wrong delimiter": (("train", "flowers.csv", "--delimiter", ";"), "is the only column; no feature is left"),
    "a pickle": (("train", "model.pkl"), "model.pkl: the file's name must end in .csv, .tsv, .csv.gz"),
    "no folder": (("train", "digits", "--save", "no/m.safetensors"), "/no does not exist"),
    "folder": (("train", "digits", "--save", "."), "this is not a file"),
    "device": (("train", "digits", "--save", "/dev/null"), "this is not a file"),
    "over the data": (("train", "flowers.csv", "--save", "flowers.csv"), "read by the same command"),
    "model for stdout": (("train", "digits", "--save", "-"), "--save -: this is written to a file, not to standard"),
    "ONNX for stdout": (("export", "m.safetensors", "-"), "FILE -: this is written to a file"),
    "figures for stdout": (("bench", "--json", "-"), "--json -: this is written to a file"),
    "folder for stdout": (("train", "digits", "--checkpoint", "-"), "--checkpoint -: this takes a folder"),
    "demo for stdout": (("demo", "--output", "-"), "--output -: this takes a folder"),
    "file for folder": (("train", "digits", "--checkpoint", "flowers.csv"), "--checkpoint flowers.csv: this is not a"),
    "model like a pickle": (
        ("train", "digits", "--save", "m.pkl"),
        "--save m.pkl: what is written there is a .safetens",
    ),
    "ONNX like a model": (("export", "m.safetensors", "x.safetensors"), "FILE x.safetensors: what is written there is"),
    "picture like another": (("bench", "--plot", "x.jpg"), "--plot x.jpg: what is written there is a .png file"),
    "page like a picture": (("bench", "--html", "x.png"), "--html x.png: what is written there is a .html file"),
    "figures like a table": (("bench", "--json", "x.csv"), "--json x.csv: what is written there is a .json file"),
    "predictions like arrays": (
        ("predict", "m.safetensors", "new.csv", "--output", "x.npy"),
        "x.npy: a table is written in the format that its name ends in: .csv, .tsv, .csv.gz, .tsv.gz or .parquet",
    ),
    "predictions like nothing": (("predict", "m.safetensors", "new.csv", "--output", "x"), "x: a table is written in"),
    "stream for several": (("train", "-", "--procs", "2"), "standard input goes to one process alone"),
    "over the model": (("predict", "m.safetensors", "flowers.csv", "--output", "./m.safetensors"), "read by the same"),
    "no model": (("predict", "none.safetensors", "digits"), "none.safetensors: No such file or directory"),
    "not a model": (("inspect", "flowers.csv"), "flowers.csv: not a safetensors file"),
    "quantities have no classes": (("predict", "m.safetensors", "digits", "--proba"), "predicts quantities"),
    "another width": (("predict", "m.safetensors", "digits"), "digits has 64 features, but m.safetensors takes 2"),
    "seed": (("train", "digits", "--seed", "-1"), "--seed"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
@pytest.mark.usefixtures("flowers")
def test_a_mistake_is_one_clear_line(arguments: tuple[str, ...], message: str, capfd) -> None:
    net = pm.Network((2, 1), output="identity")
    pm.save_model("m.safetensors", net, pm.init_params(net))
    pathlib.Path("new.csv").write_text("a,b\n1,2\n3,4\n")
    assert message in mistake(*arguments, capfd=capfd)


EMPTY = [
    ("train", "", "--epochs", "1"),
    ("train", "flowers.csv", "--save", ""),
    ("train", "flowers.csv", "--checkpoint="),
    ("train", "flowers.csv", "--target", ""),
    ("predict", "", "flowers.csv"),
    ("predict", "m.safetensors", ""),
    ("predict", "m.safetensors", "flowers.csv", "--output", ""),
    ("inspect", ""),
    ("export", "m.safetensors", ""),
    ("export", "", "m.onnx"),
    ("bench", "--json", ""),
    ("bench", "--plot", ""),
    ("bench", "--html", ""),
    ("demo", "--output", ""),
    ("gradcheck", "--backend", "numpy", "--backend", ""),
    ("accelerate", ""),
]


@pytest.mark.parametrize("arguments", EMPTY, ids=" ".join)
@pytest.mark.usefixtures("flowers")
def test_an_empty_text_is_no_value(arguments: tuple[str, ...], capfd) -> None:
    """As a path it would be the folder that the command runs in."""
    net = pm.Network((2, 1), output="identity")
    pm.save_model("m.safetensors", net, pm.init_params(net))
    assert " is empty: say what it should be; see portable-mlp " in mistake(*arguments, capfd=capfd)
    assert {path.name for path in pathlib.Path().iterdir()} == {"flowers.csv", "m.safetensors"}


def test_no_command_shows_the_help(capfd) -> None:
    code, out, err = command(capfd=capfd)
    assert code == 2
    assert "Usage" in out + err
    assert err.endswith("portable-mlp: no command was given; see portable-mlp --help\n")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".TSV"])
def test_predictions_are_written_in_the_format_of_the_name(suffix: str, flowers, capfd) -> None:
    options = ("--target", "kind", "--epochs", 60, "--learning-rate", 0.05)
    trained(flowers, *options, "--save", "m.safetensors", capfd=capfd)
    expected = predictions("m.safetensors", flowers, "--proba", capfd=capfd)
    code, out, err = command("predict", "m.safetensors", flowers, "--proba", "--output", f"out{suffix}", capfd=capfd)
    assert (code, out) == (0, "")
    assert err.startswith(f"{ROWS} predictions written to out{suffix}\nscores of {ROWS} rows ")
    if suffix == ".parquet":
        found = pd.read_parquet("out.parquet")
    else:
        # As it is, by what the name says: pandas infers the compression.
        found = pd.read_csv(f"out{suffix}", sep="\t" if ".tsv" in suffix.lower() else ",")
    assert found["prediction"].tolist() == [row["prediction"] for row in expected]
    for name in list(expected[0])[1:]:
        assert found[name].tolist() == [float(row[name]) for row in expected]
    # The program reads what it has written.
    assert trained(pathlib.Path(f"out{suffix}"), "--target", "prediction", "--epochs", 1, capfd=capfd)["rows"] == ROWS


def test_a_constant_column_does_not_spoil_predictions(capfd) -> None:
    """300 times 0.1 has a standard deviation of 4e-16, by rounding alone."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    pathlib.Path("data.csv").write_text("k,x,y\n" + "".join(f"0.1,{a},{3 * a}\n" for a in x))
    trained(pathlib.Path("data.csv"), "--epochs", 60, "--save", "m.safetensors", capfd=capfd)
    pathlib.Path("new.csv").write_text("k,x\n0.2,1\n")
    assert float(predictions("m.safetensors", "new.csv", capfd=capfd)[0]["prediction"]) == pytest.approx(3.0, abs=1.0)


def test_numbers_too_large_to_scale_are_named(capfd) -> None:
    pathlib.Path("data.csv").write_text("a,b\n1.7e308,1.5\n-1.7e308,2.5\n1.7e308,4.5\n")
    assert "column 'a' are too large to be scaled" in mistake("train", "data.csv", capfd=capfd)


def test_classes_of_a_model_saved_by_hand(capfd) -> None:
    net = pm.Network((2, 2))
    pm.save_model("m.safetensors", net, pm.init_params(net), {"classes": ["no", "yes"]})
    pathlib.Path("new.csv").write_text("a,b\n1,2\n")
    assert predictions("m.safetensors", "new.csv", capfd=capfd)[0]["prediction"] in ("no", "yes")


def test_a_reader_that_has_seen_enough_is_no_mistake() -> None:
    net = pm.Network((64, 10))
    pm.save_model("m.safetensors", net, pm.init_params(net))
    np.save("rows.npy", np.ones((2_000, 64)))
    command_line = [sys.executable, "-m", "portable_mlp", "predict", "m.safetensors", "rows.npy", "--proba"]
    with subprocess.Popen(command_line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_install_commands_can_be_copied(monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = command("backends", capfd=capfd)
    assert code == 0
    assert "…" not in out


def test_divergence_is_told_below_the_progress_bar(capfd) -> None:
    code, out, err = command("train", "digits", "--learning-rate", "1e30", "--solver", "sgd", capfd=capfd)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("portable-mlp: training diverged in epoch 1, at batch ")
    assert "--learning-rate" in err.splitlines()[-1]


@pytest.mark.parametrize("n_rows", [2, 3, 4, 7])
def test_tiny_tables_train(n_rows: int, capfd) -> None:
    """Every class keeps a row to train on; a table too small to hold any out is not validated."""
    pathlib.Path("tiny.csv").write_text("x,kind\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(n_rows)))
    summary = trained(pathlib.Path("tiny.csv"), "--epochs", 1, "--validation", 0.4, capfd=capfd)
    assert summary["outputs"] == 2
    assert ("validation_loss" in summary) == (n_rows > 2)


def test_several_targets_are_no_classes(capfd) -> None:
    np.savez("two.npz", X=np.zeros((4, 2)), y=np.zeros((4, 2), dtype=np.int64))
    message = mistake("train", "two.npz", "--task", "classification", capfd=capfd)
    assert "classification needs one target for each row, but y has shape (4, 2)" in message


def test_a_broken_number_column_is_not_taken_for_classes(capfd) -> None:
    rows = [f"{i},{i / 2}" for i in range(30)]
    rows[5] = "5,abc"
    pathlib.Path("prices.csv").write_text("size,price\n" + "\n".join(rows) + "\n")
    message = mistake("train", "prices.csv", capfd=capfd)
    assert "prices.csv:7:2: 'abc' is not a number" in message
    assert "--task classification takes it as a class" in message
    assert "prices.csv:7:2: 'abc' is not a number" in mistake(
        "train", "prices.csv", "--task", "regression", capfd=capfd
    )


def test_a_table_of_another_width_is_named(flowers, houses, capfd) -> None:
    trained(flowers, "--target", "kind", "--save", "m.safetensors", "--epochs", 1, capfd=capfd)
    message = mistake("predict", "m.safetensors", houses, capfd=capfd)
    assert "the model expects the columns 'length', 'weight, g', the file lacks" in message
    np.save("narrow.npy", np.zeros((3, 1)))
    assert "expected 2 features, got 1" in mistake("predict", "m.safetensors", "narrow.npy", capfd=capfd)


def test_a_broken_preparation_is_a_model_file_error(capfd) -> None:
    net = pm.Network((2, 2))
    sound = {
        "feature_names": ["a", "b"],
        "target_name": None,
        "input_mean": [0.0, 1.0],
        "input_scale": [1.0, 1.0],
        "classes": ["no", "yes"],
        "target_mean": None,
        "target_scale": None,
    }
    pathlib.Path("new.csv").write_text("a,b\n1,2\n")
    pm.save_model("m.safetensors", net, pm.init_params(net), {"preparation": sound})
    assert len(predictions("m.safetensors", "new.csv", capfd=capfd)) == 1
    for preparation in (
        3,
        {},
        {"feature_names": ["a"], "target_name": None, "input_mean": [0.0], "input_scale": [1.0]},
        {**sound, "feature_names": ["a", 2]},
        {**sound, "feature_names": "ab"},
        {**sound, "target_name": 3},
        {**sound, "input_mean": [0.0, "1"]},
        {**sound, "input_mean": [0.0, 10**400]},
        {**sound, "input_scale": [1.0, 0.0]},
        {**sound, "input_scale": [1.0, None]},
        {**sound, "classes": ["no", "no"]},
        {**sound, "classes": ["no", 1]},
        {**sound, "classes": [["no"], ["yes"]]},
        {**sound, "classes": None},
        {**sound, "classes": None, "target_mean": [0.0, 1.0], "target_scale": [1.0]},
        {**sound, "module": "os"},
    ):
        pm.save_model("m.safetensors", net, pm.init_params(net), {"preparation": preparation})
        assert "preparation of the inputs does not fit" in mistake("predict", "m.safetensors", "digits", capfd=capfd)


def test_help_and_version(capfd) -> None:
    assert command("--version", capfd=capfd) == (0, f"portable-mlp {pm.__version__}\n", "")
    for name in ("demo", "backends", "train", "predict", "inspect", "gradcheck"):
        code, out, err = command(name, "--help", capfd=capfd)
        assert (code, err) == (0, "")
        assert "Usage" in out


def test_help_breaks_no_line_within_a_paragraph() -> None:
    for name in COMMANDS:
        assert "\n" not in Commands().get_command(None, name).help.replace("\n\n", "")


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("portable_mlp.cli.inspect.read_model_file", interrupted)
    code, out, err = command("inspect", "m", capfd=capfd)
    assert (code, out, err) == (130, "", "portable-mlp: interrupted\n")


def test_as_a_module_and_as_a_program() -> None:
    environment = {**os.environ, "COLUMNS": "100"}
    program = pathlib.Path(sys.executable).with_name("portable-mlp")
    for start in ([sys.executable, "-m", "portable_mlp"], [str(program)]):
        done = subprocess.run([*start, "--version"], capture_output=True, text=True, env=environment, timeout=60)
        assert (done.returncode, done.stdout) == (0, f"portable-mlp {pm.__version__}\n")


def test_without_typer_the_command_is_named() -> None:
    code = "import sys; sys.modules['typer'] = None; from portable_mlp.__main__ import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == f"portable-mlp: the command line needs typer, which is missing: {install('cli')}\n"


def test_what_a_step_adds_is_an_option(flowers: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    def loss(*options: Any) -> float:
        common = ("--target", "kind", "--epochs", 4, "--backend", "numpy", "--dtype", "float64", "--json")
        code, out, _ = command("train", flowers, *common, *options, capfd=capfd)
        assert code == 0
        return float(json.loads(out)["loss"])

    added = {
        "--weight-decay": ("--solver", "adamw", "--weight-decay", 50),
        "--clip-norm": ("--solver", "sgd", "--clip-norm", 0.001),
        "--momentum": ("--solver", "sgd", "--momentum", 0.1),
        "--label-smoothing": ("--label-smoothing", 0.3),
        "--warmup-steps": ("--warmup-steps", 50),
        "--decay": ("--schedule", "exponential", "--decay", 0.01),
    }
    for name, options in added.items():
        at = options.index(name)
        assert loss(*options) != loss(*options[:at], *options[at + 2 :]), name


def test_predictions_go_into_a_stream_of_texts_alone(flowers: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Such as a notebook has, or a test."""
    assert command("train", flowers, "--target", "kind", "--epochs", 2, "--save", "m.safetensors", capfd=capfd)[0] == 0
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert run(["predict", "m.safetensors", str(flowers)]) == 0
    assert out.getvalue().startswith("prediction\n")
    assert len(out.getvalue().splitlines()) == ROWS + 1


def test_a_file_named_minus_is_no_stream(flowers: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert command("train", flowers, "--target", "kind", "--epochs", 2, "--save", "run-0.01", capfd=capfd)[0] == 0
    assert "./-: a table is written in the format" in mistake(
        "predict", "run-0.01", flowers, "--output", "./-", capfd=capfd
    )

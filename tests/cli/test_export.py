"""``portable-mlp export``: from a table to a file that onnxruntime answers raw rows with, as predict does."""

import csv
import io
import json
import pathlib
import sys
from typing import Any

import numpy as np
import onnxruntime
import pytest

import portable_mlp as pm
from portable_mlp.backends.extras import install
from portable_mlp.cli.app import run
from portable_mlp.kernels.optimizers import OPTIMIZERS
from tests.estimators.problems import quietly

RTOL = {"float32": 1e-6, "float64": 1e-12}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=RTOL)
def dtype(request: pytest.FixtureRequest) -> str:
    return request.param


def table(name: str) -> np.ndarray:
    """Write a table whose columns are far from zero, of numbers that float32 has too; return its features."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(1990, 2026, 60), 1e6 + rng.integers(0, 100, 60), rng.integers(0, 2, 60) / 4])
    latent = X[:, 0] / 10 + X[:, 1] / 30
    if name == "flowers":
        target = np.asarray(["äster", "=rose", "tulip"])[np.argsort(np.argsort(latent)) // 20]
    else:
        target = (2e5 + 3e3 * latent).round()
    rows = [("year", "price, ct", "x", "target"), *zip(*X.T.tolist(), target.tolist(), strict=True)]
    with open(f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return X


def command(*arguments: Any, capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    capfd.readouterr()
    code = run([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    return code, out, err


def trained(name: str, dtype: str, capfd: pytest.CaptureFixture[str]) -> np.ndarray:
    X = table(name)
    options = ("--epochs", 20, "--batch-size", 10, "--hidden", "16,8", "--dtype", dtype, "--save", "m.safetensors")
    code, _, err = command("train", f"{name}.csv", *options, capfd=capfd)
    assert code == 0, err
    return X


def predicted(name: str, *options: str, capfd: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    code, out, err = command("predict", "m.safetensors", f"{name}.csv", *options, capfd=capfd)
    assert code == 0, err
    return list(csv.DictReader(io.StringIO(out)))


def exported(*options: str, capfd: pytest.CaptureFixture[str]) -> onnxruntime.InferenceSession:
    what = "training step" if options else "model"
    done = command("export", "m.safetensors", "m.onnx", *options, capfd=capfd)
    assert done == (0, "", f"{what} written to m.onnx\n")
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    return onnxruntime.InferenceSession("m.onnx", settings)


def test_classes_of_raw_rows(dtype: str, capfd: pytest.CaptureFixture[str]) -> None:
    X = trained("flowers", dtype, capfd)
    session = exported(capfd=capfd)
    (proba,) = session.run(["proba"], {"X": X.astype(dtype)})
    rows = predicted("flowers", "--proba", capfd=capfd)
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    assert classes == ["=rose", "tulip", "äster"]
    expected = [[float(row[f"proba_{name}"]) for name in classes] for row in rows]
    np.testing.assert_allclose(proba, expected, rtol=0, atol=RTOL[dtype])
    assert [classes[i] for i in proba.argmax(axis=1)] == [row["prediction"] for row in rows]


def test_quantities_in_their_own_units(dtype: str, capfd: pytest.CaptureFixture[str]) -> None:
    X = trained("houses", dtype, capfd)
    session = exported(capfd=capfd)
    (prediction,) = session.run(["prediction"], {"X": X.astype(dtype)})
    expected = [[float(row["prediction"])] for row in predicted("houses", capfd=capfd)]
    np.testing.assert_allclose(prediction, expected, rtol=RTOL[dtype])
    kept = session.get_modelmeta().custom_metadata_map
    assert json.loads(kept["feature_names"]) == ["year", "price, ct", "x"]
    assert json.loads(kept["target_name"]) == "target"
    assert "classes" not in kept


@pytest.mark.parametrize("classes", [["no", "yes"], [3, 7]])
def test_two_classes_of_one_output_have_a_column_each(classes: list[Any], capfd: pytest.CaptureFixture[str]) -> None:
    """As in the file that the estimator itself writes."""
    X = np.random.default_rng(0).normal(size=(40, 3))
    y = np.asarray(classes)[(X[:, 0] > 0).astype(int)]
    model = quietly(pm.MLPClassifier((4,), max_iter=50, random_state=0).fit, X, y)
    model.save("m.safetensors")
    session = exported(capfd=capfd)
    (proba,) = session.run(["proba"], {"X": X})
    np.testing.assert_allclose(proba, model.predict_proba(X), rtol=0, atol=1e-12)
    named = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    assert [named[i] for i in proba.argmax(axis=1)] == model.predict(X).tolist()
    model.to_onnx("own.onnx")
    np.testing.assert_array_equal(onnxruntime.InferenceSession("own.onnx").run(["proba"], {"X": X})[0], proba)


def test_predictions_stay_within_the_targets(dtype: str, capfd: pytest.CaptureFixture[str]) -> None:
    X = trained("houses", dtype, capfd)
    targets = [float(row["target"]) for row in csv.DictReader(open_text("houses.csv"))]
    far = np.vstack([X.max(axis=0) + 1000, X.min(axis=0) - 1000, X.mean(axis=0)])
    pathlib.Path("houses.csv").write_text('year,"price, ct",x\n' + "".join(f"{a},{b},{c}\n" for a, b, c in far))
    expected = [[float(row["prediction"])] for row in predicted("houses", capfd=capfd)]
    assert {answer for (answer,) in expected[:2]} <= {min(targets), max(targets)}
    (prediction,) = exported(capfd=capfd).run(["prediction"], {"X": far.astype(dtype)})
    np.testing.assert_allclose(prediction, expected, rtol=RTOL[dtype])


@pytest.mark.parametrize(
    ("solver", "options"), [("adam", ()), ("adam", ("--solver", "adam")), ("sgd", ("--solver", "sgd"))]
)
def test_the_training_step_goes_on_from_raw_rows(
    solver: str, options: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    X = trained("flowers", "float64", capfd)
    session = exported("--training", *options, capfd=capfd)
    net, params, metadata = pm.load_model("m.safetensors")
    preparation = metadata["preparation"]
    labels = np.asarray(
        [preparation["classes"].index(row["target"]) for row in csv.DictReader(open_text("flowers.csv"))]
    )
    inputs = pm.TableEncoder(n_pieces=8).fit_transform(dict(zip(["year", "price", "x"], X.T, strict=True)))
    assert inputs.shape == (60, 3 + 8 + 8)
    expected = pm.train(net, params, inputs, labels, solver=solver, batch_size=25, epochs=1, shuffle=False)
    state: dict[str, Any] = {}
    names = [output.name for output in session.get_outputs()]
    for start in range(0, len(X), 25):
        batch = {"X": X[start : start + 25], "y": labels[start : start + 25]}
        results = dict(zip(names, session.run(None, batch | state), strict=True))
        state = {name.removeprefix("next_"): x for name, x in results.items() if name.startswith("next_")}
    np.testing.assert_allclose(state["parameters"], pm.pack(expected.params), rtol=0, atol=1e-12)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == preparation["classes"]


def open_text(name: str) -> io.StringIO:
    return io.StringIO(pathlib.Path(name).read_text(encoding="utf-8"), newline="")


def test_a_model_saved_by_hand_takes_rows_as_they_are(capfd: pytest.CaptureFixture[str]) -> None:
    net = pm.Network((2, 3, 1), output="logistic")
    params = pm.init_params(net)
    pm.save_model("m.safetensors", net, params)
    X = np.random.default_rng(0).normal(size=(9, 2))
    (proba,) = exported(capfd=capfd).run(["proba"], {"X": X})
    np.testing.assert_allclose(proba, pm.predict(net, params, X), rtol=0, atol=1e-15)


MISTAKES = {
    "a missing folder": (("m.safetensors", "nowhere/m.onnx"), "FILE nowhere/m.onnx: the folder"),
    "a folder": (("m.safetensors", "folder"), "FILE folder: this is not a file"),
    "the model itself": (("m.safetensors", "m.safetensors"), "this file is read by the same command"),
    "no model": (("other.safetensors", "m.onnx"), "other.safetensors: not a safetensors file"),
    "a missing model": (("missing.safetensors", "m.onnx"), "missing.safetensors: No such file"),
    "a solver for nothing": (("m.safetensors", "m.onnx", "--solver", "adam"), "--solver goes with --training"),
    "another solver": (
        ("m.safetensors", "m.onnx", "--training", "--solver", "lbfgs"),
        f"solver must be one of {', '.join(map(repr, OPTIMIZERS))}",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(
    arguments: tuple[str, ...], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pathlib.Path("folder").mkdir()
    pathlib.Path("other.safetensors").write_text("text")
    net = pm.Network((2, 2))
    pm.save_model("m.safetensors", net, pm.init_params(net))
    before = sorted(pathlib.Path().iterdir())
    code, out, err = command("export", *arguments, capfd=capfd)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert sorted(pathlib.Path().iterdir()) == before


def test_without_onnx_the_command_is_named(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    net = pm.Network((2, 2))
    pm.save_model("m.safetensors", net, pm.init_params(net))
    for name in [name for name in sys.modules if name.split(".")[0] == "onnx"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, out, err = command("export", "m.safetensors", "m.onnx", capfd=capfd)
    assert (code, out) == (2, "")
    assert err == f"portable-mlp: ONNX files need onnx, which is missing: {install('onnx')}\n"
    assert not pathlib.Path("m.onnx").exists()

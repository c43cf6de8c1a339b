"""`predict` on raw rows, in every kind of file, against scikit-learn's scaler and a network written out in loops."""

import csv
import gzip
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.preprocessing import StandardScaler

import portable_mlp as pm
from portable_mlp.cli.app import run

NAMES = ["small", "large", "far", "constant", "plain"]
TEXT_SUFFIXES = [".csv", ".tsv", ".csv.gz", ".tsv.gz"]
NAMED = [*TEXT_SUFFIXES, ".parquet"]
SUFFIXES = [*NAMED, ".npz", ".npy"]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 5)) * [1e-7, 1e6, 1e-3, 0.0, 1.0] + [0.0, -3e6, 1e3, 0.1, 0.0]
Z = (X - X.mean(axis=0)) / [1e-7, 1e6, 1e-3, 1.0, 1.0]
PRICE = 2e5 + 1e4 * (Z[:, 0] - 2 * Z[:, 1] + Z[:, 2] * Z[:, 4])
NEW = X[:9] + RNG.normal(size=(9, 5)) * [1e-7, 1e6, 1e-3, 0.01, 1.0]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def saved(stem: str, suffix: str, columns: dict[str, Any]) -> str:
    """Save columns of numbers or texts, the target, if there is one, as the last of them."""
    name = stem + suffix
    if suffix in TEXT_SUFFIXES:
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter="," if ".csv" in suffix else "\t")
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
        whole = text.getvalue().encode()
        Path(name).write_bytes(gzip.compress(whole) if name.endswith(".gz") else whole)
    elif suffix == ".parquet":
        pq.write_table(pa.table(columns), name, row_group_size=50)
    elif suffix == ".npy":
        np.save(name, np.column_stack(list(columns.values())))
    else:
        features = [column for column_name, column in columns.items() if column_name in NAMES]
        rest = {"y": columns["y"]} if "y" in columns else {}
        np.savez(name, X=np.column_stack(features), **rest)
    return name


def named(rows: np.ndarray, order: list[str] = NAMES) -> dict[str, np.ndarray]:
    return {name: rows[:, NAMES.index(name)] for name in order}


def train(data: str, *arguments: str) -> None:
    options = (
        "--strict --save model.safetensors --dtype float64 --validation 0 --epochs 15 --batch-size 10 --hidden 6,4"
    )
    assert run(["train", data, *options.split(), "--activation", "tanh", *arguments]) == 0


def predicted(data: str, capfd: pytest.CaptureFixture[str], *arguments: str) -> dict[str, list[str]]:
    capfd.readouterr()
    code = run(["predict", "model.safetensors", data, *arguments])
    out, err = capfd.readouterr()
    assert (code, err.partition(" of ")[0]) == (0, "scores" if data.startswith("with-target") else "")
    header, *rows = csv.reader(io.StringIO(out))
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


def outputs_by_hand(inputs: np.ndarray) -> list[list[float]]:
    """Return the saved network's outputs before its last activation, one number after the other."""
    _, params, _ = pm.load_model("model.safetensors")
    outputs = []
    for row in inputs.tolist():
        h = row
        for k, (W, b) in enumerate(params):
            z = [
                math.fsum([float(b[j]), *(h[i] * float(W[i, j]) for i in range(W.shape[0]))]) for j in range(W.shape[1])
            ]
            h = z if k == len(params) - 1 else [math.tanh(value) for value in z]
        outputs.append(h)
    return outputs


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_quantities(suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    train(saved("data", suffix, named(X) | {"y": PRICE}))
    scaler, target_scaler = StandardScaler().fit(X), StandardScaler().fit(PRICE[:, None])
    by_hand = target_scaler.inverse_transform(np.asarray(outputs_by_hand(scaler.transform(NEW))))[:, 0]
    files = [saved("new", suffix, named(NEW))]
    if suffix in NAMED:
        files.append(saved("other-order", suffix, named(NEW, [NAMES[i] for i in (3, 1, 4, 0, 2)])))
        files.append(saved("with-target", suffix, {"y": np.zeros(9)} | named(NEW)))
        files += [saved("other-kind", other, named(NEW)) for other in NAMED if other != suffix]
        files += [saved("array", ".npz", named(NEW)), saved("array", ".npy", named(NEW))]
    for file in files:
        prices = np.asarray(predicted(file, capfd)["prediction"], dtype=np.float64)
        np.testing.assert_allclose(prices, by_hand, rtol=1e-11)


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != ".npy"])
def test_classes(suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    kinds = np.array(["äster", "rose", "=tulip"])[np.digitize(Z[:, 1], [-0.5, 0.5])]
    train(saved("data", suffix, named(X) | {"y": kinds}))
    table = predicted(saved("new", suffix, named(NEW)), capfd, "--proba")
    assert list(table) == ["prediction", "proba_=tulip", "proba_rose", "proba_äster"]
    for i, logits in enumerate(outputs_by_hand(StandardScaler().fit(X).transform(NEW))):
        powers = [math.exp(value) for value in logits]
        proba = [power / math.fsum(powers) for power in powers]
        written = [float(table[name][i]) for name in list(table)[1:]]
        # scikit-learn rounds the mean of "far", a million deviations from 0, a little more.
        np.testing.assert_allclose(written, proba, rtol=1e-10)
        assert table["prediction"][i] == ["=tulip", "rose", "äster"][proba.index(max(proba))]


@pytest.mark.parametrize(
    ("suffix", "streamed"), [*((suffix, False) for suffix in SUFFIXES), (".parquet", True), (".npy", True)]
)
@pytest.mark.parametrize("labels", [(0, 1), (-1, 1)])
def test_classes_that_are_whole_numbers_written_as_floats(
    labels: tuple[int, int], streamed: bool, suffix: str, capfd: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """A join with another table makes floats of them; they come back as the integers that they are."""
    monkeypatch.setattr("portable_mlp.tables.prepared_rows.STREAMED_BYTES", 0 if streamed else 2**28)
    y = np.where(Z[:, 1] > 0, labels[1], labels[0]).astype(np.float64)
    train(saved("data", suffix, named(X) | {"y": y}))
    table = predicted(saved("new", suffix, named(NEW)), capfd, "--proba")
    assert list(table) == ["prediction", *(f"proba_{label}" for label in labels)]
    assert set(table["prediction"]) == set(map(str, labels))
    assert pm.load_model("model.safetensors")[2]["preparation"]["classes"] == list(labels)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
@pytest.mark.parametrize("task", ["auto", "classification"])
def test_classes_come_back_as_they_are_written(suffix: str, task: str, capfd: pytest.CaptureFixture[str]) -> None:
    for low, high in (("007", "012"), ("+1", "-1"), ("TRUE", "FALSE"), ("1" * 25, "2" * 25)):
        train(saved("data", suffix, named(X) | {"y": np.where(Z[:, 1] > 0, high, low)}), "--task", task)
        table = predicted(saved("new", suffix, named(NEW)), capfd)
        assert set(table["prediction"]) == {low, high}


def test_truth_values_are_the_same_features_in_every_file(capfd: pytest.CaptureFixture[str]) -> None:
    """Where the words are learnt and where they are predicted from."""
    small, is_far = X[:, 0], Z[:, 2] > 0
    found = []
    for suffix in SUFFIXES:
        if suffix == ".npz":
            np.savez("data.npz", X=np.column_stack((small, is_far)), y=PRICE)
        else:
            saved("data", suffix, {"small": small, "far": is_far, "y": PRICE})
        train(f"data{suffix}", "--validation", "0.2")
        files = [saved("new", other, {"small": small, "far": is_far}) for other in SUFFIXES]
        found += [predicted(file, capfd)["prediction"] for file in files if suffix in NAMED or file[-4:-1] == ".np"]
    assert len(found) == 5 * 7 + 2 * 2
    assert all(prices == found[0] for prices in found)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_columns_that_lack_or_are_too_many(suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    train(saved("data", suffix, named(X) | {"y": PRICE}))
    fewer, more = named(NEW, NAMES[:4]), named(NEW) | {"more": NEW[:, 0]}
    where = "" if suffix == ".parquet" else ":1"
    expected = "the model expects the columns 'small', 'large', 'far', 'constant', 'plain', the file"
    for columns, fault, width in ((fewer, "lacks 'plain'", 4), (more, "has besides 'more'", 6)):
        if suffix == ".npz":
            np.savez("new.npz", X=np.column_stack(list(columns.values())))
        else:
            saved("new", suffix, columns)
        capfd.readouterr()
        assert run(["predict", "model.safetensors", f"new{suffix}"]) == 2
        message = f"{where}: {expected} {fault}" if suffix in NAMED else f": expected 5 features, got {width}"
        assert capfd.readouterr() == ("", f"portable-mlp: new{suffix}{message}\n")


def test_float32_is_standardised_in_float64(capfd: pytest.CaptureFixture[str]) -> None:
    """The column 'far' is 1000 with a deviation of 0.001: in float32 it would be rounded away."""
    train(saved("data", ".csv", named(X) | {"y": PRICE}), "--dtype", "float32")
    scaler, target_scaler = StandardScaler().fit(X), StandardScaler().fit(PRICE[:, None])
    by_hand = target_scaler.inverse_transform(np.asarray(outputs_by_hand(scaler.transform(NEW))))[:, 0]
    prices = np.asarray(predicted(saved("new", ".csv", named(NEW)), capfd)["prediction"], dtype=np.float64)
    np.testing.assert_allclose(prices, by_hand, atol=1e-5 * PRICE.std(), rtol=0)

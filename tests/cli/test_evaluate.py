"""`evaluate`, and the scores that `predict` prints where the table has targets, beside scikit-learn's metrics."""

import io
import json
import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics
from sklearn.datasets import load_digits

import portable_mlp as pm
from portable_mlp.storage.models import load_model, save_model
from tests.cli.commands import Capture, printed

RNG = np.random.default_rng(0)
N = 120
FLATS = pd.DataFrame({"size": RNG.normal(80, 20, N).round(1), "district": RNG.choice(["north", "south"], N)})
FLATS["rent"] = (5.0 * FLATS["size"] + 100 * (FLATS["district"] == "north") + RNG.normal(size=N)).round(1)
FLATS["dear"] = np.where(FLATS["rent"] > 500, "yes, dear", "no")
FLATS["floor"] = RNG.choice([1, 2, 7], N)
TRAINING = (
    "--epochs",
    30,
    "--batch-size",
    20,
    "--hidden",
    8,
    "--validation",
    0,
    "--dtype",
    "float64",
    "--save",
    "m.safetensors",
)


@pytest.fixture(autouse=True)
def in_a_folder_with_flats(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FLATS.to_csv("flats.csv", index=False)


def train(target: str, *arguments: object, data: str = "flats.csv", capfd: Capture) -> None:
    printed("train", data, "--target", target, *TRAINING, *arguments, capfd=capfd)


def evaluated(data: str = "flats.csv", *arguments: object, capfd: Capture) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(
        printed("evaluate", "m.safetensors", data, "--json", *arguments, capfd=capfd)[0]
    )
    return described


def predicted(data: str = "flats.csv", *arguments: object, capfd: Capture) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(printed("predict", "m.safetensors", data, *arguments, capfd=capfd)[0]))


@pytest.mark.parametrize("target", ["dear", "floor"])
def test_scores_of_classes_are_those_of_the_predictions(target: str, capfd: Capture) -> None:
    train(target, "--drop", "rent", capfd=capfd)
    described = evaluated(capfd=capfd)
    answers = predicted("flats.csv", "--proba", capfd=capfd)
    y, proba = FLATS[target], answers.drop(columns="prediction").to_numpy()
    assert described["rows"] == N
    assert described["scores"] == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(y, answers["prediction"]),
            "balanced_accuracy": metrics.balanced_accuracy_score(y, answers["prediction"]),
            "roc_auc": metrics.roc_auc_score(y, proba[:, 1] if target == "dear" else proba, multi_class="ovr"),
            "log_loss": metrics.log_loss(y, y_proba=proba),
        },
        rel=1e-12,
    )
    assert described["confusion_matrix"] == metrics.confusion_matrix(y, answers["prediction"]).tolist()
    assert [one["name"] for one in described["classes"]] == sorted(set(y))
    assert described["baseline"]["accuracy"] == pytest.approx(y.value_counts(normalize=True).max())


def test_scores_of_quantities_are_those_of_the_predictions(capfd: Capture) -> None:
    train("rent", "--drop", "dear", capfd=capfd)
    answers = predicted(capfd=capfd)["prediction"]
    scores = evaluated(capfd=capfd)["scores"]
    assert scores["r2"] == pytest.approx(metrics.r2_score(FLATS["rent"], answers), rel=1e-12)
    assert scores["mae"] == pytest.approx(metrics.mean_absolute_error(FLATS["rent"], answers), rel=1e-12)
    assert scores["rmse"] == pytest.approx(metrics.root_mean_squared_error(FLATS["rent"], answers), rel=1e-12)


def test_the_baseline_is_of_the_rows_of_training(capfd: Capture) -> None:
    """Also where the rows to score are others, of which another class is the largest."""
    train("dear", capfd=capfd)
    share = (FLATS["dear"] == "no").mean()
    largest = "no" if share > 0.5 else "yes, dear"
    others = FLATS[FLATS["dear"] != largest]
    others.to_csv("others.csv", index=False)
    described = evaluated("others.csv", capfd=capfd)
    assert described["baseline_is"] == f"always {largest!r}, the largest class of the training rows"
    assert described["baseline"]["accuracy"] == 0.0
    assert described["baseline"]["log_loss"] == pytest.approx(-np.log(min(share, 1 - share)))
    # A model file without it: the rows that are scored are what there is to compare with.
    net, params, metadata = load_model("m.safetensors")
    del metadata["baseline"]
    save_model("m.safetensors", net, params, metadata)
    assert evaluated("others.csv", capfd=capfd)["baseline_is"].endswith(", the largest class of these rows")


def test_predict_scores_on_stderr_what_has_targets(capfd: Capture) -> None:
    train("dear", capfd=capfd)
    out, err = printed("predict", "m.safetensors", "flats.csv", capfd=capfd)
    assert list(pd.read_csv(io.StringIO(out))) == ["prediction"]
    shown, warned = printed("evaluate", "m.safetensors", "flats.csv", capfd=capfd)
    assert (err, warned) == (shown, "")
    assert shown.startswith("scores of 120 rows")
    FLATS.drop(columns="dear").to_csv("new.csv", index=False)
    assert printed("predict", "m.safetensors", "new.csv", capfd=capfd) == (out, "")


def test_rows_without_a_target_are_predicted_and_not_scored(capfd: Capture) -> None:
    train("rent", "--drop", "dear", capfd=capfd)
    before = predicted(capfd=capfd)
    some = FLATS.copy()
    some.loc[:9, "rent"] = None
    some.to_csv("some.csv", index=False)
    pd.testing.assert_frame_equal(predicted("some.csv", capfd=capfd), before)
    assert evaluated("some.csv", capfd=capfd)["rows"] == N - 10
    some.assign(rent=None).to_csv("none.csv", index=False)
    out, err = printed("predict", "m.safetensors", "none.csv", capfd=capfd)
    assert len(out.splitlines()) == N + 1
    assert err == ""
    assert "none.csv: no row has a target" in printed("evaluate", "m.safetensors", "none.csv", capfd=capfd, code=2)[1]


def test_targets_that_cannot_be_read_cost_no_predictions(capfd: Capture) -> None:
    train("rent", "--drop", "dear", capfd=capfd)
    FLATS.astype({"rent": object}).replace({"rent": {FLATS["rent"][3]: "dear"}}).to_csv("odd.csv", index=False)
    out, err = printed("predict", "m.safetensors", "odd.csv", capfd=capfd)
    assert len(out.splitlines()) == N + 1
    assert err == "portable-mlp: not scored: odd.csv:5:3: 'dear' is not a number\n"
    err = printed("evaluate", "m.safetensors", "odd.csv", capfd=capfd, code=2)[1]
    assert err == "portable-mlp: odd.csv:5:3: 'dear' is not a number\n"
    FLATS.drop(columns="rent").to_csv("new.csv", index=False)
    err = printed("evaluate", "m.safetensors", "new.csv", capfd=capfd, code=2)[1]
    assert "new.csv: no column 'rent'; the columns are" in err


def test_classes_that_the_model_does_not_know_count_as_wrong(capfd: Capture) -> None:
    train("floor", capfd=capfd)
    FLATS.assign(floor=FLATS["floor"].replace(7, 6.5)).to_csv("other.csv", index=False)
    described = evaluated("other.csv", capfd=capfd)
    assert described["rows_of_unknown_classes"] == (FLATS["floor"] == 7).sum()
    assert [one["name"] for one in described["classes"]] == [1, 2, 7, 6.5]
    out, _ = printed("evaluate", "m.safetensors", "other.csv", capfd=capfd)
    assert f"{(FLATS['floor'] == 7).sum()} rows of classes that the model does not know count as wrong" in out


def test_a_model_that_is_not_better_is_said_to_be_so(capfd: Capture) -> None:
    noise = pd.DataFrame({"x": RNG.normal(size=200), "y": RNG.choice(["a", "b"], 200)})
    noise.head(150).to_csv("noise.csv", index=False)
    noise.tail(50).to_csv("more.csv", index=False)
    train("y", "--epochs", 200, "--hidden", 64, data="noise.csv", capfd=capfd)
    out, err = printed("evaluate", "m.safetensors", "more.csv", capfd=capfd)
    assert err.startswith("portable-mlp: the model is not better than the baseline (always '")
    assert "log loss" in err
    assert "warning" not in out
    assert evaluated("more.csv", capfd=capfd)["warning"] == err.removeprefix("portable-mlp: ").rstrip()


@pytest.mark.parametrize("suffix", [".tsv", ".parquet", ".npz", ".npy"])
def test_targets_of_every_kind_of_file(suffix: str, capfd: Capture) -> None:
    table = FLATS[["size", "floor", "rent"]]
    data = f"flats{suffix}"
    if suffix == ".tsv":
        table.to_csv(data, index=False, sep="\t")
    elif suffix == ".parquet":
        pq.write_table(pa.Table.from_pandas(table), data)
    elif suffix == ".npz":
        np.savez(data, X=table[["size", "floor"]], y=table["rent"])
    else:
        np.save(data, table.to_numpy(dtype=float))
    arguments = () if suffix in (".npz", ".npy") else ("--target", "rent")
    printed("train", data, *arguments, *TRAINING, capfd=capfd)
    answers = predicted(data, capfd=capfd)["prediction"]
    scores = evaluated(data, capfd=capfd)["scores"]
    assert scores["r2"] == pytest.approx(metrics.r2_score(table["rent"], answers), rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "target"), [(["--drop", "x1"], 3), (["--id", "x0"], 3), (["--target", "x0", "--drop", "x3"], 0)]
)
def test_the_target_of_an_array_is_the_one_of_training(arguments: list[str], target: int, capfd: Capture) -> None:
    rows = FLATS[["size", "floor", "size", "rent"]].to_numpy(dtype=float)
    rows[:, 2] += RNG.normal(size=N)
    np.save("flats.npy", rows)
    printed("train", "flats.npy", *arguments, *TRAINING, capfd=capfd)
    answers = predicted("flats.npy", capfd=capfd)["prediction"]
    scores = evaluated("flats.npy", capfd=capfd)["scores"]
    assert scores["r2"] == pytest.approx(metrics.r2_score(rows[:, target], answers), rel=1e-12)


def test_a_feature_of_an_array_is_no_target(capfd: Capture) -> None:
    np.save("flats.npy", FLATS[["size", "floor", "size", "rent"]].to_numpy(dtype=float))
    printed("train", "flats.npy", "--drop", "x1", *TRAINING, capfd=capfd)
    # As files of earlier releases are.
    net, params, metadata = load_model("m.safetensors")
    metadata["preparation"]["target_name"] = None
    save_model("m.safetensors", net, params, metadata)
    assert "scores" not in printed("predict", "m.safetensors", "flats.npy", capfd=capfd)[1]
    err = printed("evaluate", "m.safetensors", "flats.npy", capfd=capfd, code=2)[1]
    assert "no target is known; --target names its column" in err
    assert evaluated("flats.npy", "--target", "x3", capfd=capfd)["scores"]["r2"] > 0


@pytest.mark.parametrize("arguments", [(), ("--strict",)])
def test_no_column_is_the_target_beside_an_array_of_targets(arguments: tuple[str, ...], capfd: Capture) -> None:
    np.savez("flats.npz", X=FLATS[["size", "floor"]], y=FLATS["rent"])
    printed("train", "flats.npz", *TRAINING, *arguments, capfd=capfd)
    err = printed("evaluate", "m.safetensors", "flats.npz", "--target", "x0", capfd=capfd, code=2)[1]
    assert "flats.npz: the target of an .npz file is the array y; the target column 'x0' cannot be chosen" in err


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_large_whole_numbers_are_classes(suffix: str, capfd: Capture) -> None:
    table = FLATS[["size"]].assign(code=2**60 + 1 + (FLATS["rent"] > 500), district=FLATS["district"])
    table.to_csv(data := "codes.csv", index=False)
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pandas(table), data := "codes.parquet")
    train("code", "--task", "classification", data=data, capfd=capfd)
    described = evaluated(data, capfd=capfd)
    assert [one["name"] for one in described["classes"]] == [2**60 + 1, 2**60 + 2]
    lines = printed("predict", "m.safetensors", data, capfd=capfd)[0].split()[1:]
    assert described["scores"]["accuracy"] == (table["code"].to_numpy() == np.array(lines, dtype=int)).mean() > 0.8


def test_decimal_commas_of_the_target_alone(capfd: Capture) -> None:
    german = FLATS[["district", "rent"]].assign(rent=lambda t: t["rent"] / 1000)
    german.to_csv("german.csv", index=False, sep=";", decimal=",")
    train("rent", "--decimal", ",", data="german.csv", capfd=capfd)
    answers = predicted("german.csv", capfd=capfd)["prediction"]
    assert evaluated("german.csv", capfd=capfd)["scores"]["mae"] == pytest.approx(
        metrics.mean_absolute_error(german["rent"], answers), rel=1e-12
    )


def test_targets_with_decimal_commas_and_truth_values(capfd: Capture) -> None:
    german = FLATS[["size", "rent"]].assign(size=lambda t: t["size"] + 0.05)
    german.to_csv("german.csv", index=False, sep=";", decimal=",")
    train("rent", "--decimal", ",", data="german.csv", capfd=capfd)
    answers = predicted("german.csv", capfd=capfd)["prediction"]
    assert evaluated("german.csv", capfd=capfd)["scores"]["mae"] == pytest.approx(
        metrics.mean_absolute_error(german["rent"], answers), rel=1e-12
    )
    pq.write_table(pa.Table.from_pandas(FLATS.assign(dear=FLATS["rent"] > 500)[["size", "dear"]]), "truth.parquet")
    train("dear", data="truth.parquet", capfd=capfd)
    described = evaluated("truth.parquet", capfd=capfd)
    assert [one["name"] for one in described["classes"]] == [False, True]
    answers = predicted("truth.parquet", capfd=capfd)["prediction"]
    assert described["scores"]["accuracy"] == ((FLATS["rent"] > 500) == answers).mean() > 0.8


def test_models_of_numbers_and_of_estimators(capfd: Capture) -> None:
    FLATS[["size", "floor", "rent"]].to_csv("numbers.csv", index=False)
    train("rent", "--strict", data="numbers.csv", capfd=capfd)
    expected = evaluated("numbers.csv", capfd=capfd)
    assert expected["scores"]["r2"] > 0.5
    assert "scores of 120 rows" in printed("predict", "m.safetensors", "numbers.csv", capfd=capfd)[1]
    X, y = load_digits(return_X_y=True)
    frame = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(64)]).assign(digit=y)
    frame.to_csv("digits.csv", index=False)
    classifier = pm.MLPClassifier((16,), random_state=0, max_iter=5)
    for _ in range(5):
        classifier.partial_fit(frame.drop(columns="digit"), y, classes=range(10))
    classifier.save("m.safetensors")
    scores = evaluated("digits.csv", "--target", "digit", capfd=capfd)["scores"]
    frame.drop(columns="digit").to_csv("new.csv", index=False)
    answers = predicted("new.csv", capfd=capfd)["prediction"]
    assert scores["accuracy"] == metrics.accuracy_score(y, answers)
    err = printed("evaluate", "m.safetensors", "new.csv", capfd=capfd, code=2)[1]
    assert "no target is known; --target names its column" in err


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    train("rent", "--drop", "dear", capfd=capfd)
    expected = evaluated(capfd=capfd)
    with open("flats.csv") as file:
        monkeypatch.setattr("sys.stdin", file)
        assert evaluated("-", capfd=capfd)["scores"] == expected["scores"]
    FLATS[["size", "rent"]].to_csv("numbers.csv", index=False)
    train("rent", "--strict", data="numbers.csv", capfd=capfd)
    with open("numbers.csv") as file:
        monkeypatch.setattr("sys.stdin", file)
        err = printed("evaluate", "m.safetensors", "-", capfd=capfd, code=2)[1]
    assert "standard input can be read once" in err

"""`train --test`, `--folds` and `--report`: the scores are those of rows that the model has not seen."""

import html
import json
import pathlib
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

import portable_mlp as pm
from portable_mlp.cli import assessed
from portable_mlp.tables import prepared_rows
from portable_mlp.tables.hold_out import stratified_splits
from portable_mlp.tables.limits import RowLimit
from tests.cli.commands import Capture, printed
from tests.selection import one_in

RNG = np.random.default_rng(0)
N = 150
FLATS = pd.DataFrame({"size": RNG.normal(80, 20, N).round(1), "district": RNG.choice(["north", "south", None], N)})
FLATS["rent"] = (5.0 * FLATS["size"] + 100 * (FLATS["district"] == "north") + 10 * RNG.normal(size=N)).round(1)
FLATS["dear"] = np.where(FLATS["rent"] > 480, "<b>dear</b>", "cheap")
QUICK = ("--epochs", 15, "--hidden", 8, "--batch-size", 20, "--learning-rate", 0.01, "--dtype", "float64")


@pytest.fixture(autouse=True)
def in_a_folder_with_flats(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FLATS.to_csv("flats.csv", index=False)


def train(target: str, *arguments: object, data: str = "flats.csv", capfd: Capture) -> dict[str, Any]:
    out, _ = printed("train", data, "--target", target, *QUICK, "--json", *arguments, capfd=capfd)
    summary: dict[str, Any] = json.loads(out)
    return summary


def evaluated(model: str, data: str, capfd: Capture) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(printed("evaluate", model, data, "--json", capfd=capfd)[0])
    return described


def parameters(path: str) -> np.ndarray:
    return np.concatenate([x.ravel() for layer in pm.load_model(path)[1] for x in layer])


@pytest.mark.parametrize("target", ["dear", "rent"])
def test_a_test_part_is_held_out_from_everything(target: str, capfd: Capture) -> None:
    """The model is that of a table without these rows, and its scores are those of `evaluate` on them."""
    other = "rent" if target == "dear" else "dear"
    found = train(target, "--drop", other, "--test", 0.2, "--save", "m.safetensors", capfd=capfd)["assessment"]
    ((kept, scored),) = stratified_splits(FLATS[target].to_numpy(), 0.2, 1, classification=target == "dear", seed=0)
    assert len(scored) == found["rows"] == 30
    FLATS.iloc[kept].to_csv("kept.csv", index=False)
    FLATS.iloc[scored].to_csv("scored.csv", index=False)
    train(target, "--drop", other, "--save", "kept.safetensors", data="kept.csv", capfd=capfd)
    np.testing.assert_array_equal(parameters("m.safetensors"), parameters("kept.safetensors"))
    expected = evaluated("kept.safetensors", "scored.csv", capfd)
    assert found["scores"] == pytest.approx(expected["scores"], rel=1e-12)
    assert found["baseline"] == pytest.approx(expected["baseline"], rel=1e-12)
    assert found["scored_on"] == "30 rows, held out from training"


@pytest.mark.parametrize("target", ["dear", "rent"])
def test_folds_are_scored_by_models_that_have_not_seen_them(target: str, capfd: Capture) -> None:
    """And the model that is saved is that of all rows."""
    other = "rent" if target == "dear" else "dear"
    found = train(target, "--drop", other, "--folds", 3, "--save", "m.safetensors", capfd=capfd)["assessment"]
    train(target, "--drop", other, "--save", "all.safetensors", capfd=capfd)
    np.testing.assert_array_equal(parameters("m.safetensors"), parameters("all.safetensors"))
    scores = []
    splits = stratified_splits(FLATS[target].to_numpy(), 1 / 3, 3, classification=target == "dear", seed=0)
    assert sorted(np.concatenate([scored for _, scored in splits]).tolist()) == list(range(N))
    for kept, scored in splits:
        FLATS.iloc[kept].to_csv("kept.csv", index=False)
        FLATS.iloc[scored].to_csv("scored.csv", index=False)
        train(target, "--drop", other, "--save", "kept.safetensors", data="kept.csv", capfd=capfd)
        scores.append(evaluated("kept.safetensors", "scored.csv", capfd)["scores"])
    for name, mean in found["scores"].items():
        assert mean == pytest.approx(np.mean([one[name] for one in scores]), rel=1e-12)
        assert found["spread"][name] == pytest.approx(np.std([one[name] for one in scores]), rel=1e-9, abs=1e-15)
    assert found["rows"] == N


def test_scores_are_printed_at_the_end(capfd: Capture) -> None:
    out, err = printed("train", "flats.csv", "--target", "dear", "--test", 0.2, *QUICK, capfd=capfd)
    last = out[out.index("30 rows, held out from training") :]
    assert re.search(r"accuracy +[\d.]+ +[\d.]+\n", last)
    assert "baseline" in last
    assert "'cheap'" in last
    out, err = printed("train", "flats.csv", "--target", "rent", "--folds", 3, *QUICK, capfd=capfd)
    assert "fold 1 of 3" in err
    assert re.search(r"R² +0\.\d+ ± 0\.\d+ +-0\.\d+\n", out)


def test_a_model_that_is_not_better_is_said_to_be_so(capfd: Capture) -> None:
    """By a test part, and by the hold-out where there is none."""
    noise = pd.DataFrame({"x": RNG.normal(size=200), "y": np.where(np.arange(200) % 20, "common", "rare")})
    noise.to_csv("noise.csv", index=False)
    for option in ("--test", "--validation"):
        _, err = printed("train", "noise.csv", "--target", "y", option, 0.3, *QUICK, capfd=capfd)
        assert "portable-mlp: the model is not better than the baseline (always 'common', the largest class" in err
        assert "accuracy 0.95 against 0.95" in err


@pytest.mark.parametrize(("target", "arguments"), one_in(2, ["dear", "rent"], [("--test", 0.2), ("--folds", 3), ()]))
def test_a_report_is_one_page(target: str, arguments: tuple[object, ...], capfd: Capture) -> None:
    saved = ("--save", "m.safetensors", "--report", "report.html")
    printed("train", "flats.csv", "--target", target, *QUICK, *saved, *arguments, capfd=capfd)
    text = pathlib.Path("report.html").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text)
    assert "<script" not in text
    assert "<b>" not in text
    assert "categor" in text
    assert "Importance of the columns" in text
    assert "portable-mlp predict m.safetensors" in text
    if not arguments:
        assert "of the other 4 folds" in text


@pytest.mark.parametrize("target", ["dear", "rent"])
def test_the_lines_of_a_report_do_what_they_say(target: str, capfd: Capture) -> None:
    train(target, "--test", 0.2, "--save", "m.safetensors", "--report", "report.html", capfd=capfd)
    text = pathlib.Path("report.html").read_text(encoding="utf-8")
    lines = dict(re.findall(r"<h3>([^<]*)</h3><pre>(.*?)</pre>", text, re.DOTALL))
    FLATS.drop(columns=target).to_csv("new.csv", index=False)
    FLATS.to_csv("labelled.csv", index=False)
    for command in html.unescape(lines["On the command line"] + "\n" + lines["As ONNX"]).splitlines():
        printed(*command.split()[1:], capfd=capfd)
    answers = pd.read_csv("answers.csv")
    namespace: dict[str, Any] = {}
    exec(html.unescape(lines["In Python"]), namespace)
    exec(html.unescape(lines["ONNX in Python"]), namespace)
    predictions = namespace["model"].predict(namespace["frame"])
    if target == "dear":
        assert predictions.tolist() == answers["prediction"].tolist()
    else:
        np.testing.assert_allclose(predictions, answers["prediction"], rtol=1e-12)
    (answer,) = namespace["session"].run(None, namespace["inputs"])
    row = pd.DataFrame({name: cells for name, (cells,) in namespace["row"].items()})
    assert row["district"].tolist() == ["north"]
    model = namespace["model"]
    expected = model.predict_proba(row) if target == "dear" else model.predict(row)[:, None]
    np.testing.assert_allclose(answer, expected, rtol=1e-11)


def test_the_lines_of_a_report_read_the_delimiter_and_the_encoding(capfd: Capture) -> None:
    """Those that were found in the table, not named."""
    written: dict[str, Any] = {"index": False, "sep": ";", "encoding": "utf-16"}
    FLATS.drop(columns="dear").to_csv("flats.csv", **written)
    train("rent", "--test", 0.2, "--save", "m.safetensors", "--report", "report.html", capfd=capfd)
    text = pathlib.Path("report.html").read_text(encoding="utf-8")
    lines = dict(re.findall(r"<h3>([^<]*)</h3><pre>(.*?)</pre>", text, re.DOTALL))
    FLATS[["size", "district"]].to_csv("new.csv", **written)
    namespace: dict[str, Any] = {}
    exec(html.unescape(lines["In Python"]), namespace)
    printed("predict", "m.safetensors", "new.csv", "--output", "answers.csv", capfd=capfd)
    predictions = namespace["model"].predict(namespace["frame"])
    np.testing.assert_allclose(predictions, pd.read_csv("answers.csv")["prediction"], rtol=1e-12)


def test_rare_classes_count_as_much_as_others(capfd: Capture) -> None:
    n = 600
    rare = RNG.random(n) < 0.07
    table = pd.DataFrame({"x": RNG.normal(size=n) + 1.3 * rare, "z": RNG.choice(["u", "v", None], n)})
    table.assign(y=np.where(rare, "rare", "common")).to_csv("rare.csv", index=False)
    options = ("train", "rare.csv", "--target", "y", "--test", 0.3, "--json")
    plain, balanced = (
        json.loads(printed(*options, *more, capfd=capfd)[0])["assessment"]
        for more in ((), ("--class-weight", "balanced"))
    )
    assert balanced["classes"][1]["recall"] > plain["classes"][1]["recall"] + 0.2
    assert balanced["scores"]["balanced_accuracy"] > plain["scores"]["balanced_accuracy"]
    assert plain["scores"]["accuracy"] > balanced["scores"]["accuracy"]


def test_folds_resume(capfd: Capture) -> None:
    options = ("--folds", 3, "--checkpoint", "states", "--resume", "--save")
    first = train("rent", *options, "first.safetensors", capfd=capfd)
    again = train("rent", *options, "again.safetensors", capfd=capfd)
    assert again["assessment"] == first["assessment"]
    assert pathlib.Path("again.safetensors").read_bytes() == pathlib.Path("first.safetensors").read_bytes()
    plain = train("rent", "--save", "plain.safetensors", capfd=capfd)
    assert "assessment" not in plain
    assert pathlib.Path("plain.safetensors").read_bytes() == pathlib.Path("first.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--test", 0.2, "--folds", 5), "--test and --folds are two ways to score a model: choose one"),
        (("--test", 0), "--test is a fraction of the rows, between 0 and 1; got 0.0"),
        (("--test", 1), "--test is a fraction of the rows, between 0 and 1; got 1.0"),
        (("--folds", 1), "--folds"),
        (("--folds", 500), "--folds 500 needs as many rows; the table has 150"),
        (("--test", 0.001), "too few of the 150 rows can be held out"),
        (("--report", "no/report.html"), "--report no/report.html: the folder"),
        (("--report", "report.png"), "what is written there is a .html file"),
        (("--report", "flats.csv"), "this file is read by the same command"),
    ],
    ids=lambda x: " ".join(map(str, x)) if isinstance(x, tuple) else "",
)
def test_mistakes(arguments: tuple[object, ...], message: str, capfd: Capture) -> None:
    out, err = printed("train", "flats.csv", "--target", "rent", *arguments, capfd=capfd, code=2)
    assert out == ""
    assert message in err


def test_whole_numbers_that_nearly_all_differ_are_a_quantity(capfd: Capture) -> None:
    table = pd.DataFrame({"x": range(16), "y": np.arange(16) ** 2})
    table.to_csv("few.csv", index=False)
    assert train("y", "--folds", 4, data="few.csv", capfd=capfd)["task"] == "regression"
    table.assign(y=[*range(15), 0]).to_csv("few.csv", index=False)
    assert train("y", data="few.csv", capfd=capfd)["task"] == "regression"
    table.assign(y=[0] * 9 + [1] * 6 + [2]).to_csv("few.csv", index=False)
    assert train("y", data="few.csv", capfd=capfd)["task"] == "classification"
    err = printed("train", "few.csv", "--target", "y", "--folds", 16, capfd=capfd, code=2)[1]
    assert "every class keeps one to train on; --task regression takes whole numbers as a quantity" in err


def test_folds_of_a_large_table_are_those_of_the_table_in_memory(
    monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    FLATS[["size", "rent"]].to_parquet("flats.parquet", row_group_size=40)
    FLATS[["size", "rent"]].to_csv("numbers.csv", index=False)
    expected = train("rent", "--folds", 3, data="numbers.csv", capfd=capfd)
    monkeypatch.setattr(prepared_rows, "STREAMED_BYTES", 100)
    assert train("rent", "--folds", 3, data="flats.parquet", capfd=capfd)["assessment"] == expected["assessment"]


def test_a_table_that_stays_in_its_file_has_a_test_part_and_no_folds(
    monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.setattr(prepared_rows, "STREAMED_BYTES", 100)
    monkeypatch.setattr(prepared_rows, "row_limit", lambda *_: RowLimit(149, "too many"))
    FLATS[["size", "rent"]].to_parquet("flats.parquet", row_group_size=40)
    for option in (("--folds", 3), ("--report", "report.html")):
        err = printed("train", "flats.parquet", "--target", "rent", *option, capfd=capfd, code=2)[1]
        assert "flats.parquet: --folds, and --report without --test, are for tables that fit into memory" in err
    err = printed("train", "flats.parquet", "--target", "rent", "--test", 0.001, capfd=capfd, code=2)[1]
    assert "too few of the 150 rows can be held out" in err
    summary = train("rent", "--test", 0.2, "--report", "report.html", data="flats.parquet", capfd=capfd)
    assert (summary["rows"], summary["assessment"]["scored_on"]) == (120, "30 rows, held out from training")
    assert "Importance of the columns" in pathlib.Path("report.html").read_text(encoding="utf-8")


def test_a_report_takes_five_folds() -> None:
    asked = assessed.AssessmentOptions(report=pathlib.Path("report.html"))
    assert len(asked.splits(np.arange(20.0), classification=False, seed=0)) == 5
    assert assessed.AssessmentOptions().splits(np.arange(20.0), classification=False, seed=0) == []


def test_the_lines_of_a_report_read_cells_as_they_are_written(capfd: Capture) -> None:
    """Codes keep their zeros, and None is a text where it was one in training."""
    codes = FLATS.assign(code=np.where(FLATS["dear"] == "cheap", "01234", "05678"))[["code", "size", "rent"]]
    codes["code"] = codes["code"].where(np.arange(N) % 3 > 0, "None")
    codes.to_csv("codes.csv", index=False, sep=";")
    options = ("--delimiter", ";", "--test", 0.2, "--save", "m.safetensors", "--report", "report.html")
    train("rent", *options, data="codes.csv", capfd=capfd)
    lines = html.unescape(pathlib.Path("report.html").read_text(encoding="utf-8"))
    codes.to_csv("new.csv", index=False, sep=";")
    printed("predict", "m.safetensors", "new.csv", "--delimiter", ";", "--output", "answers.csv", capfd=capfd)
    namespace: dict[str, Any] = {}
    exec(re.findall(r"<h3>In Python</h3><pre>(.*?)</pre>", lines, re.DOTALL)[0], namespace)
    predictions = namespace["model"].predict(namespace["frame"])
    np.testing.assert_allclose(predictions, pd.read_csv("answers.csv")["prediction"], rtol=1e-12)


def test_patience_says_how_many_rows_there_are(capfd: Capture) -> None:
    FLATS.head(4).to_csv("four.csv", index=False)
    command = ("train", "four.csv", "--target", "rent", *QUICK, "--patience", 5)
    assert "of 4 rows each network would hold out 0.1" in printed(*command, capfd=capfd, code=2)[1]
    assert "--validation 0.0 leaves none of 4 rows" in printed(*command, "--validation", 0, capfd=capfd, code=2)[1]


def test_one_answer_for_every_row_is_said(capfd: Capture) -> None:
    """Of columns that say nothing the best guess is the largest class, unless the others count more."""
    rng = np.random.default_rng(0)
    rare = np.where(np.arange(300) % 25 == 0, "ill", "well")
    pd.DataFrame({"x": rng.normal(size=300), "state": rare}).to_csv("rare.csv", index=False)
    arguments = ("train", "rare.csv", "--target", "state", "--test", 0.3, "--epochs", 3)
    said = "one class is predicted for every row; --class-weight balanced makes rows of rare classes count more"
    out, err = printed(*arguments, capfd=capfd)
    assert "'well'" in out
    assert err.count(said) == 1
    assert said not in printed(*arguments, "--class-weight", "balanced", capfd=capfd)[1]

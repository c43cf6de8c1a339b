"""The page of a training: all that is said of it, nothing fetched, and a stranger's names as text alone."""

import html
import pathlib
import re
from typing import Any

import numpy as np
import pytest

from portable_mlp.cli.report_page import TrainingReport
from portable_mlp.tables.baseline import Baseline
from portable_mlp.tables.encoding import ColumnReport
from portable_mlp.tables.importance import Importance
from portable_mlp.tables.scores import averaged, class_scores, quantity_scores
from tests.markup import Page

RNG = np.random.default_rng(0)
HARMFUL = '</pre><script>alert("1")</script>"><img src=x onerror=alert(1)>$x^2$ \u202e&amp;'
HISTORY: dict[str, list[Any]] = {"loss": [1.0, 0.5, 0.3], "validation_loss": [1.1, 0.7, 0.6]}


def report(classes: list[Any] | None, n_rows: int = 60, **changes: Any) -> TrainingReport:
    if classes is None:
        y = RNG.normal(size=n_rows)
        answers = y[:, None] + 0.3 * RNG.normal(size=(n_rows, 1))
        scores = quantity_scores(y, answers, Baseline.of(y, None))
    else:
        y = np.array(classes)[np.arange(n_rows) % len(classes)]
        answers = RNG.dirichlet(np.ones(len(classes)), n_rows)
        scores = class_scores(y, answers, classes, Baseline.of(y, classes))
    usual = TrainingReport(
        data="folder/flats.csv",
        summary={"task": "classification", "target": "rent", "rows": n_rows, "loss": 0.123456, "saved": None},
        histories=[HISTORY],
        scored_on=f"{n_rows} rows, held out from training",
        scores=scores,
        y=y,
        answers=answers,
        classes=classes,
        importances=[Importance("size", 0.5, 0.1), Importance("zone", -0.01, 0.02)],
        columns=[ColumnReport("size", "number", 1, "scaled"), ColumnReport("key", "dropped", 0, "tells rows apart")],
        notes=("1 row without a target left out",),
        example={"size": [[83.5]], "zone": [["a"]]},
        saved=pathlib.Path("m.safetensors"),
    )
    return usual._replace(**changes)


@pytest.mark.parametrize("classes", [["no", "yes"], [1, 2, 7], None], ids=["two", "three", "quantities"])
def test_a_page_has_all_parts(classes: list[Any] | None) -> None:
    text = report(classes).page()
    page = Page(text)
    for part in ("Scores", "baseline", "Learning curve", "Importance of the columns", "What is done with each column"):
        assert part in page.text
    for words in ("flats.csv", "tells rows apart", "1 row without a target left out", "held out from training"):
        assert words in page.text
    assert ("Confusion matrix" in page.text) == (classes is not None)
    assert ("Calibration" in page.text) == (classes is not None)
    assert ("nine of ten within" in page.text) == (classes is None)
    assert page.tags.count("img") == 2
    assert "portable-mlp predict m.safetensors new.csv" in page.text
    assert ("pm.TableClassifier" in page.text) == (classes is not None)
    assert "portable-mlp export m.safetensors m.onnx" in page.text
    for heading, lines in re.findall(r"<h3>([^<]*Python)</h3><pre>(.*?)</pre>", text, re.DOTALL):
        compile(html.unescape(lines), heading, "exec")
    # The estimators of tables do not load models of rows of numbers.
    assert "pm.Table" not in report(classes, columns=[]).page()


def test_words_of_treatments_are_explained_where_they_occur() -> None:
    said = {
        "scaled": "deviation 1",
        "3 categories": "Each category has a feature",
        "2 pieces between quantiles": "linear within",
    }
    for treatment in said:
        text = Page(report(None, columns=[ColumnReport("size", "number", 1, treatment)]).page()).text
        assert [words for words in said.values() if words in text] == [said[treatment]]
    dropped = report(None, columns=[ColumnReport("key", "dropped", 0, "tells rows apart")]).page()
    assert not any(words in dropped for words in said.values())


@pytest.mark.parametrize(("classes", "words"), [(["no", "yes"], "it occurs more often"), ([1, 2, 7], "underconfident")])
def test_the_line_of_calibration_is_explained(classes: list[Any], words: str) -> None:
    """Of two classes the curve is that of the second one, which may be improbable."""
    text = Page(report(classes).page()).text
    assert f"above the line {'' if len(classes) == 2 else 'the model is '}{words}" in text
    assert ("confident" in text) == (len(classes) > 2)


def test_nothing_is_fetched_and_no_script_runs() -> None:
    page = Page(report(["no", "yes"]).page())
    assert {"script", "link", "iframe", "object", "base"} & {*page.tags} == set()
    assert all(source.startswith("data:image/png;base64,") for source in page.attributes["src"])
    assert page.attributes.keys() <= {"lang", "charset", "src", "alt", "class", "style"}
    assert not re.search(r"url\(|@import", "".join(page.attributes["style"]))


def test_names_of_a_stranger_are_text() -> None:
    quiet = Page(report(["no", "yes"]).page())
    loud = report(
        [HARMFUL, f"{HARMFUL}2"],
        data=f"{HARMFUL}.csv",
        summary={"task": HARMFUL, "target": HARMFUL, "rows": 3, "loss": 0.1, HARMFUL: 1},
        importances=[Importance(HARMFUL, 0.5, 0.1), Importance("zone", -0.01, 0.02)],
        columns=[ColumnReport(HARMFUL, "number", 1, HARMFUL), ColumnReport("key", "dropped", 0, HARMFUL)],
        notes=(HARMFUL,),
        example={HARMFUL: [[HARMFUL]]},
        saved=pathlib.Path(f"{HARMFUL.replace('/', '|')}.safetensors"),
    ).page()
    page = Page(loud)
    assert page.tags.count("script") == 0
    assert page.tags.count("img") == 2
    assert {*page.tags} == {*quiet.tags}
    assert page.attributes.keys() == quiet.attributes.keys()
    assert '<script>alert("1")</script>' in page.text
    assert "\u202e" not in loud
    assert "\\u202e" in page.text


def test_a_model_that_is_not_better_is_marked() -> None:
    y = np.array(["no"] * 9 + ["yes"])
    answers = np.tile([0.4, 0.6], (10, 1))
    scores = class_scores(y, answers, ["no", "yes"], Baseline.of(y, ["no", "yes"]))
    page = Page(report(["no", "yes"], y=y, answers=answers, scores=scores).page())
    assert "the model is not better than the baseline" in page.text
    assert "warning" in page.attributes["class"]
    assert "warning" not in Page(report(None).page()).attributes["class"]
    assert "The model was not saved" in Page(report(None, saved=None).page()).text


def test_folds_have_a_spread() -> None:
    one = report(["no", "yes"])
    page = Page(one._replace(scores=averaged([one.scores, report(["no", "yes"]).scores])).page())
    assert "spread over folds" in page.text
    assert page.text.count("±") >= 4


def test_very_many_classes_are_the_commonest_mistakes() -> None:
    page = Page(report(list(range(60)), n_rows=300).page())
    assert "The commonest mistakes" in page.text
    assert "Confusion matrix" not in page.text


def test_several_networks_and_a_curve_below_zero() -> None:
    """Losses that are not above zero have no logarithm."""
    histories = [HISTORY, {"loss": [0.2, -0.1]}]
    assert Page(report(None, histories=histories, importances=[], columns=[]).page()).tags.count("img") == 2

"""What the pages of the documentation say, done: their code runs, and prints what they show."""

import datetime
import pathlib
import re
import shlex
import tomllib
from typing import Any

import numpy as np
import pandas as pd
import pytest

import portable_mlp as pm
from portable_mlp.cli.app import run
from portable_mlp.cli.commands import COMMANDS
from tests.pages import PAGES, README, ROOT, blocks_of, code_of, is_alike, run_page

Names = dict[str, Any]


def check_estimators(names: Names) -> None:
    clf = names["clf"]
    assert (clf.class_weight, clf.backend, clf.coefs_[0].__class__.__module__) == ("balanced", "torch", "torch")
    assert pathlib.Path("digits.safetensors").exists()


def check_tutorial(names: Names) -> None:
    """The web server's answers, for a table of classes that has dates and gaps too."""
    days = [datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(5 * i) for i in range(60)]
    X = {
        "day": [f"{day:%Y-%m-%d}" for day in days],
        "room": [("single", "suite", None)[i % 3] for i in range(60)],
        "guests": [None if i % 7 == 0 else i % 4 for i in range(60)],
    }
    model = pm.TableClassifier(random_state=0).fit(pd.DataFrame(X), ["yes" if i % 3 else "no" for i in range(60)])
    model.to_onnx("flats.onnx")
    served: Names = {}
    exec(code_of(ROOT / "docs" / "tutorial.md", "python")[2].rpartition("print(")[0], served)
    for i in range(8):
        row = {"day": days[i].timestamp(), "room": X["room"][i], "guests": X["guests"][i]}
        expected = model.predict_proba(pd.DataFrame({name: cells[i : i + 1] for name, cells in X.items()}))[0]
        assert served["answer"](row) == pytest.approx(dict(zip(("no", "yes"), expected, strict=True)), rel=1e-4)


def check_tables(names: Names) -> None:
    assert isinstance(pm.TableRegressor.load("flats.safetensors"), pm.TableRegressor)
    assert len(names["model"].predict(names["table"].X)) == 40


def check_onnx(names: Names) -> None:
    """The proba of the page, and that of a model in float32."""
    X, clf = names["X"] / 16, names["clf"]
    np.testing.assert_allclose(names["proba"], clf.predict_proba(X), rtol=0, atol=1e-12)
    single = pm.MLPClassifier((50,), max_iter=20, random_state=0).fit(X.astype("float32"), names["y"])
    narrow = {**names, "clf": single}
    exec(code_of(ROOT / "docs" / "guides" / "onnx.md", "python")[1], narrow)
    np.testing.assert_allclose(narrow["proba"], single.predict_proba(X.astype("float32")), rtol=0, atol=1e-6)
    assert narrow["proba"].dtype == "float32"


def check_processes(names: Names) -> None:
    assert names["group"].size == 1
    assert pathlib.Path("model.safetensors").exists()


CHECKS = {
    "docs/tutorial.md": check_tutorial,
    "docs/guides/estimators.md": check_estimators,
    "docs/guides/tables.md": check_tables,
    "docs/guides/onnx.md": check_onnx,
    "docs/guides/processes.md": check_processes,
}
"""What a page leaves behind, beyond what it shows."""

COMMAND_LINES = {
    re.split(r"  | #", line)[0].strip(" $")
    for page in PAGES
    for language in ("text", "console", "bash")
    for block in code_of(page, language)
    for line in block.splitlines()
    if line.strip(" $").startswith("portable-mlp ")
}


def named(pages: list[pathlib.Path]) -> Any:
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.relative_to(ROOT).as_posix())


@named(
    [
        page
        for page in PAGES
        if page != README and any(block.runs for block in blocks_of(page) if block.language == "python")
    ]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_page_runs_from_top_to_bottom(
    page: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_page(page, capfd)
    CHECKS.get(page.relative_to(ROOT).as_posix(), len)(names)


def test_what_is_printed_is_compared_with_what_is_shown() -> None:
    assert is_alike("accuracy 0.972 of 1,000", "accuracy  0.961 of 1000")
    assert not is_alike("accuracy 0.972", "accuracy 0.5")
    assert not is_alike("accuracy 0.972", "score 0.972")
    assert not is_alike("relu2 1", "relu3 1")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_is_shown_exists(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    shown = [line for line in sorted(COMMAND_LINES) if line.split()[1] == name]
    assert shown, "no page shows it"
    assert run([name, "--help"]) == 0
    help_text = capfd.readouterr().out
    for line in shown:
        for argument in shlex.split(line)[2:]:
            assert not argument.startswith("--") or argument in help_text, line


def test_no_command_is_shown_that_does_not_exist() -> None:
    assert {line.split()[1] for line in COMMAND_LINES} <= {*COMMANDS, "--version"}


@named(PAGES)
def test_links_lead_somewhere(page: pathlib.Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        made = target.startswith(("gallery/", "../gallery/", "reference/generated/", "../reference/generated/"))
        if not target.startswith("http") and not made:
            assert (page.parent / target).exists(), target


@named(PAGES)
def test_a_statement_about_tests_links_to_them(page: pathlib.Path) -> None:
    for paragraph in re.split(r"\n\n|\n(?=[-|])", page.read_text(encoding="utf-8")):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", paragraph)
        if re.search(r"\btests?\b[^.;:]*\b(checks?|compares?|holds?|kills?|pass|do so)\b", words, re.IGNORECASE):
            assert re.search(r"\]\([./]*tests/[\w/]+\.py\)", paragraph), paragraph


def test_every_extra_is_on_the_page_about_installation() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert [name for name in project["optional-dependencies"] if f"`{name}`" not in page] == []

"""The measurement of the defaults for tables, on a small table that is made up."""

import hashlib
import json
import pathlib

import numpy as np
import pandas as pd
import pytest
from table_suite import run as running
from table_suite.collect import as_csv, listed
from table_suite.splits import read, split
from table_suite.summary import summary

FAMILIES = {"penguins-raw": "penguins", "cars": "Auto", "mpg": "Auto"}
"""Tables that share rows with another."""


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    rng = np.random.default_rng(0)
    bill = rng.uniform(5.0, 50.0, 60)
    frame = pd.DataFrame({"total_bill": bill, "day": rng.choice(["Fri", "Sat"], 60), "tip": 0.1 * bill + 1.0})
    frame.loc[3, "total_bill"] = np.nan
    frame.loc[4, "tip"] = np.nan
    frame.to_csv(tmp_path / "tips.csv")
    read.cache_clear()
    return tmp_path


def test_the_halves_were_drawn_by_names_alone() -> None:
    halves = {name: row["half"] for name, row in listed().items() if row["half"]}
    families = sorted(
        {FAMILIES.get(name, name) for name in halves}, key=lambda x: hashlib.sha256(x.encode()).hexdigest()
    )
    half_of = {family: ("choose", "report")[i % 2] for i, family in enumerate(families)}
    assert halves == {name: half_of[FAMILIES.get(name, name)] for name in halves}


def test_a_file_within_an_archive_within_an_archive() -> None:
    files = {"p-1/p/resources.tar.gz/resources/rdata/csv/car/Chile.csv": b"a,b\n1,2\n", "p-1/setup.py": b""}
    assert as_csv("resources.tar.gz/rdata/csv/car/Chile.csv", files) == b"a,b\n1,2\n"


def test_rows_without_target_and_the_nameless_index_go(folder: pathlib.Path) -> None:
    task, X, y = read(folder, "tips")
    assert (task, list(X.columns), len(y)) == ("regression", ["total_bill", "day"], 59)


def test_a_split_is_a_matter_of_its_seed(folder: pathlib.Path) -> None:
    first, again, other = (split(folder, "tips", seed, 40) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.y, again.y)
    assert len(first.y) == 30
    assert len(first.y_test) == 10
    assert not set(first.y.tolist()) & set(first.y_test.tolist())
    assert first.y.tolist() != other.y.tolist()


def test_what_is_recorded_is_not_run_again(
    folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "measured", lambda half: ["tips"])
    out = tmp_path / "results.jsonl"
    methods = ("constant", "linear", "ours_default")
    for _ in range(2):
        running.run(folder, out, half="report", methods=methods, seeds=1, most_rows=40)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["method"] for row in rows] == list(methods)
    table = summary(pd.DataFrame(rows), "constant")
    assert table.loc["ours_default", "mean"] > 0.9 > table.loc["constant", "mean"]

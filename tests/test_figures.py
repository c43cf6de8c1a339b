"""Figures about speed on the pages are those of the files in `benchmarks/results`."""

import json
import pathlib
import re
from typing import Any

import pandas as pd
import pytest

from portable_mlp.bench.cases import CASES
from tests.pages import README, ROOT

RESULTS = ROOT / "benchmarks" / "results"
BENCHMARKS = ROOT / "docs" / "benchmarks.md"
PROCESSES = ROOT / "docs" / "guides" / "processes.md"
STEPS = "network, batch | floor"
"""How the heading of a table of training steps starts."""

CANDIDATES = {"this library": "numpy", "`numpy`": "numpy", "`jax`": "jax", "`torch`": "torch"}
"""Candidates by their columns, where these have another name."""

JOBS = {
    "1 process, 1 BLAS thread": "1 process, 1 thread",
    "1 process, 2 BLAS threads": "1 process, 2 threads",
    "2 ranks, 1 thread each": "2 MPI ranks",
    "PyTorch's DistributedDataParallel, 2 processes": "2 DDP processes",
}

NETWORKS = {
    f"{'-'.join(map(str, case.sizes))}, {case.batch_size}{', tanh' if case.activation == 'tanh' else ''}": case.name
    for case in CASES
}


def tables_of(page: pathlib.Path, start: str) -> list[list[dict[str, str]]]:
    """Return the tables of a page whose heading starts so, as rows of cells by column."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", page.read_text(encoding="utf-8"), re.MULTILINE):
        head, _, *rows = ([cell.strip() for cell in line.strip("| \n").split("|")] for line in table.splitlines())
        if " | ".join(head).startswith(start):
            found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found


def results_of(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("page", "number", "name"),
    [
        (README, 0, "cpu-2-cores-xeon-adam-2026-11-30"),
        (BENCHMARKS, 0, "cpu-2-cores-xeon-adam-2026-11-30"),
        (BENCHMARKS, 1, "cpu-2-cores-adam-2026-11-22"),
    ],
)
def test_a_table_of_steps_is_its_file(page: pathlib.Path, number: int, name: str) -> None:
    results = results_of(name)
    measured = {(row["case"], row["candidate"]): row["microseconds"] for row in results["rows"]}
    rows = tables_of(page, STEPS)[number]
    assert rows
    for row in rows:
        case = NETWORKS[row.pop("network, batch")]
        for column, cell in row.items():
            assert cell == f"{measured[case, CANDIDATES.get(column, column)]:,.0f}", (case, column)
    assert results["machine"]["date"][:10] in page.read_text(encoding="utf-8")


def test_every_table_of_steps_is_compared_with_a_file() -> None:
    pages = [README, *(ROOT / "docs").rglob("*.md")]
    assert {page: len(tables) for page in pages if (tables := tables_of(page, STEPS))} == {README: 1, BENCHMARKS: 2}


def microseconds(name: str) -> dict[str, dict[str, float]]:
    """Return the time of each candidate by case, for those that could be timed."""
    found: dict[str, dict[str, float]] = {}
    for row in results_of(name)["rows"]:
        if row["microseconds"] is not None:
            found.setdefault(row["case"], {})[row["candidate"]] = row["microseconds"]
    return found


def test_what_is_said_of_the_tables() -> None:
    newer, older = microseconds("cpu-2-cores-xeon-adam-2026-11-30"), microseconds("cpu-2-cores-adam-2026-11-22")
    for case in ("tiny", "digits", "mnist, small batch"):
        others = [time for candidate, time in newer[case].items() if candidate not in ("numpy", "floor")]
        assert newer[case]["numpy"] < min(others)  # ahead of everything else
    ahead = {candidate for candidate, time in newer["mnist"].items() if time < newer["mnist"]["numpy"]}
    assert ahead == {"floor", "jax", "JAX scan"}
    of_floor = {case: older[case]["numpy"] / older[case]["floor"] for case in NETWORKS.values() if case in older}
    assert [f"{of_floor[case]:.1f}" for case in ("digits", "mnist, small batch")] == ["2.1", "2.1"]
    assert [f"{of_floor[case]:.2f}" for case in ("wide", "mnist")] == ["1.06", "1.17"]
    assert of_floor["wide"] < of_floor["big"] < of_floor["mnist"]
    small = ("tiny", "digits", "mnist, small batch")
    times = [run[case]["PyTorch eager"] / run[case]["numpy"] for run in (newer, older) for case in small if case in run]
    assert 3 < min(times) < max(times) < 25


def test_the_defaults_of_tables_beside_trees() -> None:
    """The two means of the page with the comparison, and that neither took much more time than the other."""
    lines = (RESULTS / "tables-report-2026-12-01.jsonl").read_text(encoding="utf-8").splitlines()
    runs = [json.loads(line) for line in lines]
    ours, trees = ([run for run in runs if run["method"] == method] for method in ("ours_default", "boosted_trees"))
    means = [sum(max(run["score"], -1) for run in some) / len(some) for some in (ours, trees)]
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    assert f"On {len({run['table'] for run in ours})} tables" in page
    assert f"on average, {means[0]:.3f} against {means[1]:.3f}" in page
    assert sum(run["cpu_seconds"] for run in ours) < sum(run["cpu_seconds"] for run in trees)


def test_the_table_beside_realmlp() -> None:
    (rows,) = tables_of(BENCHMARKS, "method | mean")
    lines = (RESULTS / "tables-report-2026-12-01.jsonl").read_text(encoding="utf-8").splitlines()
    runs = pd.DataFrame([json.loads(line) for line in lines])
    runs["score"] = runs["score"].clip(lower=-1.0)
    names = {
        "`--preset best`": "ours_best",
        "default": "ours_default",
        "RealMLP-TD-S (pytabkit 1.7.3, PyTorch 2.13)": "realmlp_td_s",
        "scikit-learn's `HistGradientBoosting`": "boosted_trees",
        "scikit-learn's MLP": "sklearn_mlp",
    }
    assert [row["method"] for row in rows] == list(names)
    for row in rows:
        of_method = runs[runs["method"] == names[row["method"]]]
        by_task = of_method.groupby("task")
        figures = (
            of_method["score"].mean(),
            *by_task["score"].mean()[["classification", "regression"]],
            of_method["log_loss"].mean(),
        )
        assert list(row.values())[1:5] == [f"{figure:.3f}" for figure in figures]
        assert list(row.values())[5] == f"{of_method['cpu_seconds'].mean():.1f}"
        assert f" {figures[0]:.3f}" in README.read_text(encoding="utf-8")


def test_what_several_processes_gain_is_in_the_file_of_the_study() -> None:
    results = results_of("scaling-2-cores-2026-11-22")
    measured = {(row["network"], row["batch_size"], row["who"]): row for row in results["steps"]}
    (rows,) = tables_of(PROCESSES, "network, batch | 1 process")
    for row in rows:
        network, batch_size = row.pop("network, batch").split(", ")
        for column, cell in row.items():
            job = measured[network, int(batch_size), JOBS[column]]
            microseconds, _, speed_up = cell.replace("**", "").partition(" (")
            assert microseconds == f"{job['microseconds']:,.0f}", (network, column)
            assert not speed_up or speed_up.startswith(f"{job['speed_up']:.2f}"), (network, column)
    (longest,) = (row for row in results["all_reduces"] if row["n_floats"] == 100_000)
    text = " ".join(PROCESSES.read_text(encoding="utf-8").split())
    assert f"takes {longest['mpi']:.0f} µs" in text
    assert f"gloo takes {longest['gloo']:,.0f}" in text
    assert 0 < longest["step"] - longest["mpi"] < 1

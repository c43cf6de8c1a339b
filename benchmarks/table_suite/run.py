"""Methods scored on the tables of one half: a line of JSON for each table, seed and method."""

import json
import pathlib
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from .methods import METHODS
from .scores import scores
from .splits import measured, read, split


def run(
    tables: pathlib.Path,
    out: pathlib.Path,
    *,
    half: str,
    methods: Sequence[str],
    seeds: int,
    most_rows: int,
    smallest: int | None = None,
) -> None:
    """Append to a file of results what it does not have yet; of so many ``smallest`` tables alone, if given."""
    done = {(row["table"], row["seed"], row["method"], row["most_rows"]) for row in recorded(out)}
    names = measured(half)
    if smallest is not None:
        names = sorted(names, key=lambda name: len(read(tables, name)[1]))[:smallest]
    for seed in range(seeds):
        for name in names:
            for method in methods:
                if (name, seed, method, most_rows) not in done:
                    row = one_run(tables, name, seed, method, most_rows)
                    with out.open("a", encoding="utf-8") as lines:
                        lines.write(f"{json.dumps(row)}\n")


def recorded(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    """Yield what a file of results has."""
    if path.exists():
        yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())


def one_run(folder: pathlib.Path, name: str, seed: int, method: str, most_rows: int) -> dict[str, Any]:
    """Return the scores of one method on one split of one table."""
    rows = split(folder, name, seed, most_rows)
    began = time.process_time()
    with warnings.catch_warnings(action="ignore"):  # the peers' own, about convergence
        answers = METHODS[method](rows, seed)
    seconds = time.process_time() - began
    described = {"table": name, "seed": seed, "method": method, "most_rows": most_rows, "task": rows.task}
    numbers = {key: round(value, 5) for key, value in scores(rows.task, rows.y_test, answers).items()}
    return {**described, "n_trained": len(rows.y), **numbers, "cpu_seconds": round(seconds, 2)}

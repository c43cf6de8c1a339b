"""Cost over the number of models: ``python benchmarks/many_models.py [--most N] [--backend NAME] [--json FILE]``.

`fit_many` fits 1, 2, 4, ... 512 models of the digits, on the rows of five folds, `GridSearchCV` scores as many fits:
each number in a process of its own, the numbers in turns. The figures of a process appear on stderr as soon as they
are known, the medians of the rounds at the end, after about four minutes on two idle cores. Processor time of a model
should not grow with their number, and memory only by the fitted models that are returned: nothing for a search, which
keeps none. Linux only.
"""

import argparse
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold

import portable_mlp as pm
from portable_mlp.backends import BACKENDS
from portable_mlp.bench.machine import machine
from portable_mlp.bench.trust import busy
from portable_mlp.cli.output_files import check_reports, write_file
from portable_mlp.cli.terminal import echo

FOLDS = 5
ROUNDS = 3
MOST = 512
CALLS = ("fit_many", "GridSearchCV")
PROCESS = pathlib.Path("/proc/self")
"""Linux's account of this process: its memory now, and at its peak, which can be set back."""


class Cost(NamedTuple):
    """The cost of one call, in a process of its own.

    Attributes
    ----------
    call : {"fit_many", "GridSearchCV"}
        The function.
    n_models : int
        The number of its fits.
    seconds, processor_seconds : float
        The time on the clock, and of all cores.
    peak_bytes : int
        The memory of the process at its peak.
    grown_bytes : int
        The part of it that the call added.
    model_bytes : int
        The arrays of all fitted models that the call returns.
    """

    call: str
    n_models: int
    seconds: float
    processor_seconds: float
    peak_bytes: int
    grown_bytes: int
    model_bytes: int


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=MOST, metavar="N", help="the largest number of models")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="processes of each number")
    parser.add_argument("--backend", default="numpy", choices=list(BACKENDS), help="the library that computes")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="for all figures")
    parser.add_argument("--measure", nargs=2, metavar=("CALL", "N"), help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.measure is not None:
        sys.stdout.write(json.dumps(measured(chosen.measure[0], int(chosen.measure[1]), chosen.backend)))
        return
    try:
        check_reports(chosen.json, None)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    facts = machine()
    for sentence in busy(facts):
        echo(sentence, err=True)
    costs = []
    for _ in range(chosen.rounds):
        for n, call in itertools.product(numbers_up_to(chosen.most), CALLS):
            costs.append(measured_elsewhere(call, n, chosen.backend))
            echo(row(costs[-1:]), err=True)
    for line in table(costs):
        echo(line)
    figures = {"machine": facts, "backend": chosen.backend, "costs": [cost._asdict() for cost in costs]}
    write_file(chosen.json, json.dumps(figures, indent=2) + "\n")


def numbers_up_to(most: int) -> list[int]:
    """Return the powers of two up to a number."""
    return [2**i for i in range(most.bit_length())]


def measured_elsewhere(call: str, n_models: int, backend: str) -> Cost:
    """Return the cost of a call in a new process."""
    command = [sys.executable, __file__, "--backend", backend, "--measure", call, str(n_models)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Cost(*json.loads(done.stdout))


def measured(call: str, n_models: int, backend: str) -> Cost:
    """Return the cost of a call in this process, whose libraries and steps are loaded and compiled before."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    pm.get_backend(backend).load("float32")
    called(call, FOLDS, X, y, backend)
    reset_peak()
    before, start, used = peak_bytes(), time.perf_counter(), time.process_time()
    models = called(call, n_models, X, y, backend)
    seconds, processor_seconds = time.perf_counter() - start, time.process_time() - used
    size = sum(array.nbytes for model in models for array in arrays_of(model))
    return Cost(call, n_models, seconds, processor_seconds, peak_bytes(), peak_bytes() - before, size)


def called(call: str, n_models: int, X: np.ndarray, y: np.ndarray, backend: str) -> list[Any]:
    """Fit so many models; return those that the caller receives."""
    options: dict[str, Any] = {"hidden_layer_sizes": (64,), "max_iter": 10, "backend": backend}
    folds = [kept for kept, _ in KFold(FOLDS).split(X)]
    if call == "fit_many":
        models = [pm.MLPClassifier(random_state=i, **options) for i in range(n_models)]
        return pm.fit_many(models, X, y, rows=[folds[i % FOLDS] for i in range(n_models)])
    one_fold = [(folds[0], np.setdiff1d(np.arange(len(y)), folds[0]))]
    space = {"random_state": list(range(n_models))}
    pm.GridSearchCV(pm.MLPClassifier(**options), space, cv=one_fold, refit=False).fit(X, y)
    return []


def arrays_of(value: Any) -> Iterator[Any]:
    """Yield the arrays, of whatever library, and NumPy's numbers that a fitted model consists of."""
    if hasattr(value, "nbytes"):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from arrays_of(part)
    elif hasattr(value, "__dict__"):
        yield from arrays_of(list(vars(value).values()))


def reset_peak() -> None:
    """Let the peak of memory be what the process has now."""
    (PROCESS / "clear_refs").write_text("5")


def peak_bytes() -> int:
    """Return the most memory that this process has had since the peak was set back, in bytes."""
    line = next(line for line in (PROCESS / "status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def table(costs: Sequence[Cost]) -> Iterator[str]:
    """Yield the lines of a table: medians over the rounds."""
    yield f"{'call':13}{'models':>7}{'ms a model':>12}{'CPU ms':>8}{'peak MiB':>10}{'grown by':>10}{'models have':>12}"
    for call, n in itertools.product(CALLS, sorted({cost.n_models for cost in costs})):
        yield row([cost for cost in costs if (cost.call, cost.n_models) == (call, n)])


def row(rounds: Sequence[Cost]) -> str:
    """Return the line of one call with one number of models: medians."""
    call, n, *_ = rounds[0]
    seconds, used, *sizes = (statistics.median(column) for column in list(zip(*rounds, strict=True))[2:])
    mib = "".join(f"{size / 2**20:{width}.1f}" for size, width in zip(sizes, (10, 10, 12), strict=True))
    return f"{call:13}{n:7}{1e3 * seconds / n:12.1f}{1e3 * used / n:8.1f}{mib}"


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()

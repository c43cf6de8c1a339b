"""What one rank of `test_mpi` does: ``python mpi_rank.py FOLDER SCENARIO ARGUMENTS...``."""

import contextlib
import hashlib
import json
import os
import pathlib
import signal
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import portable_mlp as pm
from portable_mlp.storage.checkpoints import CheckpointFolder

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(130, 6)), RNG.integers(0, 3, 130)
NET = pm.Network((6, 9, 3))


def train(name: str = "numpy", dtype: str = "float32", rows: slice = slice(None), **options: Any) -> pm.TrainResult:
    backend = pm.get_backend(name)
    params = pm.init_params(NET, backend=backend, dtype=dtype)
    chosen = {"epochs": 12, "batch_size": 16, "learning_rate": 0.01, "l2": 0.01, **options}
    return pm.train(NET, params, backend.asarray(X[rows], dtype=dtype), backend.asarray(Y[rows]), **chosen)


def numbers(params: Any) -> list[float]:
    host = pm.get_backend("numpy")
    return np.concatenate([host.asarray(x).reshape(-1) for layer in params for x in layer]).tolist()


def digest(folder: pathlib.Path) -> str:
    """Return a digest of the parameters and the moments."""
    with CheckpointFolder(folder) as entered:
        found = entered.newest()
    assert found is not None
    names = ("parameters", "moment_0", "moment_1")
    return hashlib.sha256(b"".join(found.arrays[name].tobytes() for name in names)).hexdigest()


def classifier(max_iter: int, **options: Any) -> tuple[Any, list[str]]:
    """Return a fitted estimator that does not stop by itself, and the warnings of its fit."""
    model = pm.MLPClassifier((9,), random_state=0, max_iter=max_iter, tol=0.0, n_iter_no_change=10**6, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, Y)
    return model, [str(warning.message) for warning in caught]


def fitted() -> list[float]:
    """Return the numbers of an estimator after some epochs."""
    model, _ = classifier(max_iter=8, early_stopping=True)
    return numbers([*zip(model.coefs_, model.intercepts_, strict=True)])


def _signal_in_step(group: Any, number: int, rank: int = 1, step: int = 30) -> None:
    original, done = group.summed, []

    def summed(message: Any) -> Any:
        done.append(None)
        if group.rank == rank and len(done) == step:
            os.kill(os.getpid(), number)
        return original(message)

    group.summed = summed


@contextlib.contextmanager
def error_kept(group: Any, of_all: bool = True) -> Iterator[None]:
    """Write down the error of this rank: the launcher may end it before it has printed it, once another has ended."""
    try:
        yield
    except ValueError as error:
        (pathlib.Path(FOLDER) / f"error-{group.rank}").write_text(f"{type(error).__name__}: {error}")
        if of_all:
            from mpi4py import MPI

            MPI.COMM_WORLD.Barrier()
        raise


def bits(group: Any) -> Any:
    """The same bits on every library: of what each rank returns, and of what rank 0 has written."""
    found = {}
    for name in ARGUMENTS:
        folder = pathlib.Path(FOLDER) / name
        returned = numbers(train(name, checkpoint=folder).params)
        found[name] = [returned, group.on_root(lambda folder=folder: digest(folder))]
    return found


def fast(group: Any) -> Any:
    """Without the promise of bits: both dtypes, an estimator, and one whose fit Ctrl-C ends on one rank."""
    found = {"float32": numbers(train().params), "float64": numbers(train(dtype="float64").params), "fitted": fitted()}
    _signal_in_step(group, signal.SIGINT)
    model, messages = classifier(max_iter=100_000)
    kept = numbers([*zip(model.coefs_, model.intercepts_, strict=True)])
    return {**found, "interrupted": [messages, model.n_iter_, kept]}


def own(group: Any) -> Any:
    """Rows of its own for each rank, unevenly."""
    edges = [0, *(7 * (rank + 1) for rank in range(group.size - 1)), len(X)]
    return numbers(train(dtype="float64", rows=slice(edges[group.rank], edges[group.rank + 1])).params)


def resumed(group: Any) -> Any:
    """Train with states after every 5 steps; the rank and the step at which it is killed may be given."""
    if ARGUMENTS:
        _signal_in_step(group, signal.SIGKILL, *map(int, ARGUMENTS))
    train(checkpoint=FOLDER, checkpoint_every=5, resume=True)
    return group.on_root(lambda: digest(pathlib.Path(FOLDER)))


def bad_data(group: Any) -> Any:
    """A mistake in the data of the ranks that are named."""
    if str(group.rank) in ARGUMENTS:
        X[3, 2] = np.nan
    with error_kept(group, of_all=len(ARGUMENTS) == group.size):
        train()


def unlike(group: Any) -> Any:
    """Options of rank 1 alone, one set of them after the other; return the errors."""
    found = []
    for options in map(json.loads, ARGUMENTS):
        try:
            train(**(options if group.rank else {}))
        except ValueError as error:
            found.append(f"{type(error).__name__}: {error}")
    return found


def unlike_to_the_end(group: Any) -> Any:
    """Options of rank 1 alone."""
    with error_kept(group):
        train(**(json.loads(ARGUMENTS[0]) if group.rank else {}))


def terminated(group: Any) -> Any:
    """SIGTERM reaches one rank in the middle."""
    _signal_in_step(group, signal.SIGTERM)
    train(epochs=100_000, checkpoint=FOLDER)


if __name__ == "__main__":
    FOLDER, SCENARIO, *ARGUMENTS = sys.argv[1:]
    options = {"reproducible": SCENARIO in ("bits", "resumed"), "samples": "own" if SCENARIO == "own" else "all"}
    with pm.parallel("mpi", **options) as entered_group:
        outcome = globals()[SCENARIO](entered_group)
    (pathlib.Path(FOLDER) / f"rank-{entered_group.rank}.json").write_text(json.dumps(outcome))

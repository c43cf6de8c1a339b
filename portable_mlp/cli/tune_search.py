"""The search of ``portable-mlp tune``: what is searched, where its trials are evaluated, and where they are kept."""

from __future__ import annotations

import contextlib
import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import typer
from threadpoolctl import threadpool_limits

from ..distributed.agreement import check_same_options
from ..distributed.group import several_ranks
from ..distributed.parallel import parallel
from ..distributed.supervision.mpi_environment import started_by_mpi
from ..exit_codes import GAVE_UP
from ..kernels.options import check_choice
from ..storage.checkpoints import CheckpointFolder
from ..tables.columns import RawTable, Table
from ..tables.fitting import asks_for_classes
from ..tables.search import TableSearch
from ..tables.search_loop import Ended, Searched
from ..tables.search_space import search_space
from ..tables.search_states import SearchStates, identity_of_search
from ..training.checkpointing import entered_on_root
from .assessed import AssessmentOptions
from .misuse import PROGRAM
from .processes import check_not_started, n_processes
from .terminal import echo
from .trainer import Trainer
from .tune_processes import evaluate_in_processes
from .tune_side_by_side import evaluate_in_threads, evaluate_on_ranks


def search_of(
    table: Table | RawTable, trainer: Trainer, asked: AssessmentOptions, n_folds: int, score: str | None
) -> TableSearch:
    """Return the search on a table, or on what a test part leaves of it."""
    assert table.y is not None  # a table to train on has targets
    classification = asks_for_classes(table.y, trainer.task)
    of_task: Any = {"classification": classification, "seed": trainer.seed}
    with_test = asked.splits(table.y, **of_task)
    rows = table.take(with_test[0][0]) if with_test else table
    assert rows.y is not None
    task = "classification" if classification else "regression"
    prepared = trainer._replace(task=task).checked(rows)
    splits = AssessmentOptions(folds=n_folds).splits(rows.y, **of_task)
    if not classification and any(len(scored) < 2 for _, scored in splits):
        raise ValueError(f"--folds {n_folds} of {len(rows.y)} rows leaves folds of one row, and R² needs two or more")
    search = TableSearch(
        rows,
        splits,
        search_space(
            len(rows.y),
            rows.X.shape[1],
            trainer.chosen,
            is_encoded=isinstance(rows, RawTable),
            penalty=prepared.recipe.training["l2"],
        ),
        task=task,
        reading=trainer.reading,
        backend=trainer.backend.name,
        device=trainer.backend.device_name,
        dtype=trainer.dtype,
        seed=trainer.seed,
        score=score,
    )
    if score is not None:
        check_choice("--score", score, search.baseline.folds[0])
    check_same_options("the search", identity_of_search(search))
    return search


@contextlib.contextmanager
def on_ranks_started(procs: str | None) -> Iterator[bool]:
    """Join the processes that MPI started, if it did; yield whether this is the first of them, or the only one."""
    if procs is not None or not started_by_mpi():
        yield True
        return
    with parallel("mpi") as group:
        yield group.rank == 0


def evaluation(procs: str | None) -> Callable[[TableSearch, Iterator[int], Ended], None]:
    """Return the function that evaluates trials: in processes, on the ranks of the current group, or in threads."""
    if procs is not None:
        check_not_started()
        return functools.partial(evaluate_in_processes, n_processes=n_processes(procs))
    group = several_ranks()
    return evaluate_in_threads if group is None else functools.partial(evaluate_on_ranks, group=group)


@contextlib.contextmanager
def kept_trials(checkpoint: pathlib.Path | None, search: TableSearch, *, resume: bool) -> Iterator[SearchStates]:
    """Yield the trials that are finished, in a folder or in none."""
    folder = contextlib.nullcontext() if checkpoint is None else CheckpointFolder(checkpoint)
    with entered_on_root(folder, checkpoint, resume) as entered:
        if resume and entered is not None and not entered.has_states():
            echo(f"{PROGRAM}: {checkpoint} has no state: the search starts from the beginning", err=True)
        yield SearchStates(entered, search)


def searched_by(run: Callable[[], Searched]) -> Searched:
    """Run a search with one thread of BLAS, here as in processes: another number would be other bits.

    Raises
    ------
    typer.Exit
        If a process died.
    KeyboardInterrupt
        If Ctrl-C came before any trial was finished.
    ValueError
        If training diverged in every trial.
    """
    try:
        with threadpool_limits(1, "blas"):
            searched = run()
    except ChildProcessError as error:
        echo(f"{PROGRAM}: {error}", err=True)
        raise typer.Exit(GAVE_UP) from None
    if not searched.trials:
        raise KeyboardInterrupt
    if all(trial.diverged for trial in searched.trials):
        raise ValueError("training diverged in every trial; a smaller --learning-rate may help; nothing was saved")
    return searched

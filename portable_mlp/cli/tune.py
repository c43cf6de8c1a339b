"""``portable-mlp tune``: a random search for the best model of a table."""

from __future__ import annotations

import functools
import pathlib
from typing import Annotated

import typer

from ..backends import get_backend
from ..tables.columns import RawTable
from ..tables.measures import MEASURES
from ..tables.recipe import TableOptions
from ..tables.remarks import remarks
from ..tables.search_loop import run_trials
from ..tables.search_record import SEARCH_ENTRY, SearchRecord
from .assessed import AssessmentOptions, TestOption
from .misuse import PROGRAM
from .model_options import model_options
from .model_saving import kept_all_the_same, saved_all_the_same, saved_and_scored
from .option_groups import with_options_of
from .options import (
    FILES,
    PROCESSES,
    SCORES,
    SEARCH,
    BackendOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ResumeOption,
    SaveOption,
    SeedOption,
)
from .output_files import check_folder, check_writable, write_file
from .pictures import load_matplotlib
from .processes import rank_0_speaking
from .terminal import echo
from .train_output import details, figures, setting, show_assessment, show_summary, show_table
from .trainer import Trainer
from .training_table import TrainingTable, training_table
from .tune_output import show_trials, trials_all_the_same, trials_as_json, warn_of_baseline
from .tune_picture import picture_of_trials
from .tune_progress import shown_trials
from .tune_search import evaluation, kept_trials, on_ranks_started, search_of, searched_by


@rank_0_speaking()
@with_options_of(table=training_table, chosen=model_options)
def tune(
    *,
    table: TrainingTable,
    trials: Annotated[
        int, typer.Option(min=1, metavar="N", help="Most trials; the first has the defaults.", rich_help_panel=SEARCH)
    ] = 60,
    folds: Annotated[
        int, typer.Option(min=2, metavar="K", help="Folds by which each trial is scored.", rich_help_panel=SEARCH)
    ] = 5,
    score: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Score by which the best trial is chosen: {', '.join(MEASURES)}.",
            show_default="accuracy, or r2 of quantities",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    time: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Begin no trial after so many seconds.", rich_help_panel=SEARCH),
    ] = None,
    chosen: TableOptions,
    test: TestOption = None,
    plot: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="FILE.png", help="Picture of the scores over each parameter.", rich_help_panel=SCORES),
    ] = None,
    seed: SeedOption = 0,
    backend: BackendOption = "auto",
    device: DeviceOption = None,
    dtype: DtypeOption = "float32",
    procs: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Evaluate trials in N processes of this machine; auto: one for each core.",
            show_default="this one alone",
            rich_help_panel=PROCESSES,
        ),
    ] = None,
    save: SaveOption = None,
    checkpoint: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="DIR", help="Folder for the finished trials.", rich_help_panel=FILES),
    ] = None,
    resume: ResumeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Search for the best model of a table; --save keeps it.

    Each trial draws layers, learning rate, penalty, dropout and other options at random, and is scored by
    cross-validation; trial 1 is what train would train. An option that is given is the same in all trials. The best
    model is then trained on all rows. Ctrl-C ends the search, and keeps the best so far.

    Example: portable-mlp tune houses.csv --target price --time 60 --save houses.safetensors
    """
    _check_limits(time, checkpoint, resume=resume)
    _check_files(table.data, save, plot)
    asked = AssessmentOptions(test)
    asked.check(sources=(table.data,))
    library = get_backend(backend, device)
    saving = {"resume": False}
    trainer = Trainer(chosen, table.options, table.task, library, dtype, seed, None, saving, is_saved=save is not None)
    with on_ranks_started(procs) as is_first:
        evaluate = evaluation(procs)
        table.check_processes()
        rows = table.read()
        search = search_of(rows, trainer, asked, folds, score)
        with kept_trials(checkpoint, search, resume=resume) as states, shown_trials(search, trials) as show:
            searched = searched_by(functools.partial(run_trials, search, trials, time, states, show, evaluate))
    if not is_first:
        return  # the best model is trained by one process
    if searched.stopped_because == "interrupted" and checkpoint is not None:
        echo(f"{PROGRAM}: {checkpoint} has the finished trials; the same command with --resume goes on", err=True)
    best = search.space.with_parameters(search.ranked(searched.trials)[0].parameters)
    found_by = SearchRecord.of(search, searched.trials).to_metadata()
    with trials_all_the_same(search, searched, as_json=as_json), kept_all_the_same(checkpoint):
        trained = trainer._replace(chosen=best).of_table(rows, asked)
        if trained.fitted.was_interrupted:
            raise KeyboardInterrupt
        trained = saved_and_scored(trained, table.data, save, **{SEARCH_ENTRY: found_by})
    summary = {
        **setting(trained.prepared, library, dtype),
        **figures(trained.prepared, trained.fitted.results),
        "saved": None if save is None else str(save),
    }
    preparation = trained.prepared.preparation
    notes = (*rows.notes, *remarks(rows, preparation)) if isinstance(rows, RawTable) else ()
    with saved_all_the_same(save):
        if as_json:
            show_summary(summary, {**trials_as_json(search, searched), **details(trained, notes)})
        else:
            show_trials(search, searched, is_tested=test is not None)
            show_table(preparation, notes)
            show_summary(summary, None)
        show_assessment(trained, as_json=as_json)
        warn_of_baseline(search, searched)
        if plot is not None:
            write_file(plot, picture_of_trials(search, searched.trials), "picture")


def _check_limits(seconds: float | None, checkpoint: pathlib.Path | None, *, resume: bool) -> None:
    if seconds is not None and not seconds > 0:
        raise ValueError(f"--time takes seconds, more than 0; got {seconds:g}")
    if checkpoint is None and resume:
        raise ValueError("--resume needs a folder: --checkpoint DIR")
    if checkpoint is not None:
        check_folder("--checkpoint", checkpoint)


def _check_files(data: str, save: pathlib.Path | None, plot: pathlib.Path | None) -> None:
    if save is not None:
        check_writable("--save", save, sources=(data,), suffix=".safetensors")
    if plot is not None:
        check_writable("--plot", plot, sources=(data,), suffix=".png")
        load_matplotlib()

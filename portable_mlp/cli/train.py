"""``portable-mlp train``: from a table to a model file."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from ..backends import get_backend
from ..distributed.group import on_root
from ..tables.columns import RawTable, Table
from ..tables.errors import GapError, MatrixSizeError
from ..tables.raw import ReadingOptions
from ..tables.recipe import TableOptions
from ..tables.remarks import remarks
from ..tables.row_sources import SAMPLED, RowSource, TableRows
from .assessed import AssessmentOptions, FoldsOption, ReportOption, TestOption
from .model_options import model_options
from .model_saving import kept_all_the_same, saved_all_the_same, saved_and_scored
from .option_groups import with_options_of
from .options import (
    FILES,
    PROCESSES,
    BackendOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ResumeOption,
    SaveOption,
    SeedOption,
)
from .output_files import STREAM, check_folder, check_writable
from .processes import (
    ProcsOption,
    RestartsOption,
    TimeoutOption,
    check_alone,
    in_process_group,
    run_supervised,
)
from .report_writing import write_report
from .train_output import details, figures, hint, setting, show_assessment, show_summary, show_table
from .trainer import Trained, Trainer
from .training_table import ONE_STANDARD_INPUT, TrainingTable, training_table


@in_process_group
@with_options_of(table=training_table, chosen=model_options)
def train(
    *,
    context: typer.Context,
    table: TrainingTable,
    chosen: TableOptions,
    test: TestOption = None,
    folds: FoldsOption = None,
    report: ReportOption = None,
    seed: SeedOption = 0,
    backend: BackendOption = "auto",
    device: DeviceOption = None,
    dtype: DtypeOption = "float32",
    procs: ProcsOption = None,
    restarts: RestartsOption = None,
    timeout: TimeoutOption = None,
    save: SaveOption = None,
    checkpoint: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the state of the run, written at the end of each epoch.",
            rich_help_panel=FILES,
        ),
    ] = None,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Write the state after every N steps (batches) too, for long epochs.",
            rich_help_panel=FILES,
        ),
    ] = None,
    resume: ResumeOption = False,
    reproducible: Annotated[
        bool,
        typer.Option(
            "--reproducible", help="Give the same bits on 1, 2, 4 or 8 processes; slower.", rich_help_panel=PROCESSES
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a network on a table; --save keeps it.

    Columns may hold numbers, text, truth values and dates, with missing cells. The treatment of each column is printed
    and kept in the model file. Options that are not given depend on the number of rows; the choice is printed. A large
    .parquet table, or .npy table of numbers, stays in its file, and may be larger than memory; the cells of such a
    text table are copied to a temporary file.

    Example: portable-mlp train houses.csv --target price --save houses.safetensors
    """
    _check_checkpoint(checkpoint, checkpoint_every, resume)
    if procs is not None:
        if table.data == STREAM:
            raise ValueError(f"{ONE_STANDARD_INPUT}, and --procs starts several: name a file")
        raise typer.Exit(run_supervised(context, procs, restarts, timeout, checkpoint))
    check_alone(restarts, timeout)
    table.check_processes()
    if save is not None:
        check_writable("--save", save, sources=(table.data,), suffix=".safetensors")
    asked = AssessmentOptions(test, folds, report)
    asked.check(sources=(table.data,))
    library = get_backend(backend, device)
    saving = {"checkpoint_every": checkpoint_every, "resume": resume}
    trainer = Trainer(chosen, table.options, table.task, library, dtype, seed, checkpoint, saving, save is not None)
    trained, notes, found = _trained(context, table, trainer, asked)
    prepared, fitted = trained.prepared, trained.fitted
    with kept_all_the_same(checkpoint):
        trained = saved_and_scored(trained, table.data, save)
    summary = {
        **setting(prepared, library, dtype),
        **figures(prepared, fitted.results),
        "seconds": round(trained.seconds, 3),
        "saved": None if save is None else str(save),
    }
    with saved_all_the_same(save):
        if not as_json:
            show_table(prepared.preparation, notes)
        show_summary(summary, details(trained, notes) if as_json else None)
        show_assessment(trained, as_json=as_json)
        if report is not None:
            on_root(lambda: write_report(report, table.data, summary, trained, notes, save, found))
    hint(prepared, fitted.results[0])


def _check_checkpoint(checkpoint: pathlib.Path | None, every: int | None, resume: bool) -> None:
    if checkpoint is None and (resume or every is not None):
        raise ValueError("--resume and --checkpoint-every need a folder: --checkpoint DIR")
    if checkpoint is not None:
        check_folder("--checkpoint", checkpoint)


def _trained(
    context: typer.Context, named: TrainingTable, trainer: Trainer, asked: AssessmentOptions
) -> tuple[Trained, tuple[str, ...], ReadingOptions]:
    """Read the table, or open it for as long as the command runs.

    Returns
    -------
    trained : Trained
        Its model.
    notes : tuple of str
        Remarks on the table.
    found : ReadingOptions
        The options, with the delimiter and the encoding that were found.
    """
    whole = trainer.needs_all_rows(asked)
    source = named.open_if_large(whole=whole)
    if source is not None:
        context.with_resource(source)
        try:
            return trainer.of_source(source, asked), source.notes, named.options
        except GapError:
            if source.schema is not None or named.options.strict:
                raise
        with_gaps = named.open_with_gaps()
        if with_gaps is not None:
            context.with_resource(with_gaps)
            return trainer.of_source(with_gaps, asked), with_gaps.notes, named.options
    table = named.read() if whole else named.read_or_copy()
    if isinstance(table, RowSource):
        context.with_resource(table)
        return trainer.of_source(table, asked), table.notes, _as_found(named.options, table)
    try:
        trained = trainer.of_table(table, asked)
    except MatrixSizeError:
        if whole or not isinstance(table, RawTable) or table.y is None or table.y.ndim > 1:
            raise
        trained = trainer.of_source(TableRows(named.data, table, named.options), asked)
        table = table._replace(notes=(*table.notes, SAMPLED))
    if isinstance(table, Table):
        return trained, (), named.options
    notes = (*table.notes, *remarks(table, trained.prepared.preparation))
    return trained, notes, _as_found(named.options, table)


def _as_found(options: ReadingOptions, table: RawTable | RowSource) -> ReadingOptions:
    """Return the options with the format of a text file."""
    return options if table.text is None else options._replace(**table.text._asdict())

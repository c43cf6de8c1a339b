"""``portable-mlp train``: from a table to a model file."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import typer

from ..backends import get_backend
from ..distributed.group import current_group, on_root
from ..kernels.options import check_choice
from ..tables.columns import RawTable, Table
from ..tables.digits import digits, refuse_with_digits
from ..tables.errors import DataError
from ..tables.prepared_rows import open_if_large
from ..tables.reading import (
    MixedTargetError,
    ReadingOptions,
    RowSource,
    TargetKind,
    read_raw_table,
    read_training_table,
)
from ..tables.recipe import PRESETS, TableOptions
from .assessed import AssessmentOptions, FoldsOption, ReportOption, TestOption
from .network_options import (
    ActivationOption,
    HiddenOption,
    LossOption,
    LossOptionsOption,
    read_activation,
    read_constants,
    read_sizes,
)
from .options import (
    BACKEND,
    FILES,
    PROCESSES,
    TABLE,
    TRAINING,
    BackendOption,
    DelimiterOption,
    DeviceOption,
    JsonOption,
    MaxRowsOption,
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
from .table_options import (
    CategoricalOption,
    DecimalOption,
    DropOption,
    EncodingOption,
    FeaturesOption,
    IdOption,
    NoHeaderOption,
    StrictOption,
)
from .train_output import details, figures, hint, setting, show_assessment, show_summary, show_table
from .trainer import Trained, Trainer
from .training_options import with_training_options

TARGET_KINDS: dict[str, TargetKind] = {"auto": "unmixed", "classification": "any", "regression": "numbers"}
"""The targets that each task accepts."""

ONE_STANDARD_INPUT = "standard input goes to one process alone"


@in_process_group
@with_training_options
def train(
    *,
    context: typer.Context,
    data: Annotated[
        str,
        typer.Argument(
            help="digits, or a table: .csv/.tsv (.gz too), .parquet, .npz with X and y, .npy; - is standard input."
        ),
    ],
    target: Annotated[
        str | None, typer.Option(help="Column to predict.", show_default="the last one", rich_help_panel=TABLE)
    ] = None,
    task: Annotated[
        str,
        typer.Option(
            help="auto, classification or regression; auto takes text and few whole numbers for classes.",
            rich_help_panel=TABLE,
        ),
    ] = "auto",
    drop: DropOption = None,
    id: IdOption = None,
    features: FeaturesOption = None,
    categorical: CategoricalOption = None,
    strict: StrictOption = False,
    encoding: EncodingOption = None,
    decimal: DecimalOption = ".",
    no_header: NoHeaderOption = False,
    delimiter: DelimiterOption = None,
    max_rows: MaxRowsOption = None,
    preset: Annotated[
        str,
        typer.Option(
            help=f"{' or '.join(PRESETS)}: best averages eight networks, in about ten times as long.",
            rich_help_panel=TRAINING,
        ),
    ] = "default",
    hidden: HiddenOption = None,
    activation: ActivationOption = None,
    loss: LossOption = None,
    loss_options: LossOptionsOption = None,
    training: dict[str, Any],
    validation: Annotated[
        float | None,
        typer.Option(
            help="Fraction of the rows held out to validate on; 0 for none.",
            show_default="by the table",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    test: TestOption = None,
    folds: FoldsOption = None,
    report: ReportOption = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=2**32 - 1, help="Seed of the first weights, the split and the shuffle.", rich_help_panel=TRAINING
        ),
    ] = 0,
    backend: BackendOption = "auto",
    device: DeviceOption = None,
    dtype: Annotated[str, typer.Option(help="float32 or float64.", rich_help_panel=BACKEND)] = "float32",
    procs: ProcsOption = None,
    restarts: RestartsOption = None,
    timeout: TimeoutOption = None,
    save: Annotated[
        pathlib.Path | None, typer.Option(help="File for the model, such as model.safetensors.", rich_help_panel=FILES)
    ] = None,
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
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Resume from the newest state in --checkpoint, if there is one.", rich_help_panel=FILES
        ),
    ] = False,
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
    .parquet or .npy table of numbers stays in its file, and may be larger than memory. Example:
    portable-mlp train houses.csv --target price --save houses.safetensors
    """
    check_choice("--task", task, TARGET_KINDS)
    check_choice("--preset", preset, PRESETS)
    _check_checkpoint(checkpoint, checkpoint_every, resume)
    if procs is not None:
        if data == STREAM:
            raise ValueError(f"{ONE_STANDARD_INPUT}, and --procs starts several: name a file")
        raise typer.Exit(run_supervised(context, procs, restarts, timeout, checkpoint))
    check_alone(restarts, timeout)
    _check_input(data)
    _check_validation(validation)
    chosen = TableOptions(
        preset=preset,
        hidden=read_sizes(hidden),
        activation=read_activation(activation),
        loss=loss,
        loss_options=read_constants(loss_options),
        hold_out=validation,
        training=training,
    )
    if save is not None:
        check_writable("--save", save, sources=(data,), suffix=".safetensors")
    asked = AssessmentOptions(test, folds, report)
    asked.check(sources=(data,))
    library = get_backend(backend, device)
    options = ReadingOptions(
        target=target,
        drop=tuple(drop or ()),
        id=id,
        features=tuple(features) if features else None,
        categorical=tuple(categorical or ()),
        encoding=encoding,
        decimal=decimal,
        delimiter=delimiter,
        header=not no_header,
        strict=strict,
        max_rows=max_rows,
    )
    saving = {"checkpoint_every": checkpoint_every, "resume": resume}
    trainer = Trainer(chosen, options, task, library, dtype, seed, checkpoint, saving, save is not None)
    trained, notes, found = _trained(context, _Reading(data, task, options), trainer, asked)
    prepared, fitted = trained.prepared, trained.fitted
    if save is not None:
        on_root(lambda: fitted.model.save(save))
    trained = _scored(trained, data, save)
    summary = {
        **setting(prepared, library, dtype),
        **figures(prepared, fitted.results),
        "seconds": round(trained.seconds, 3),
        "saved": None if save is None else str(save),
    }
    with _saved_all_the_same(save):
        if not as_json:
            show_table(prepared.preparation, notes)
        show_summary(summary, details(trained) if as_json else None)
        show_assessment(trained, as_json=as_json)
        if report is not None:
            on_root(lambda: write_report(report, data, summary, trained, notes, save, found))
    hint(prepared, fitted.results[0])


def _check_checkpoint(checkpoint: pathlib.Path | None, every: int | None, resume: bool) -> None:
    if checkpoint is None and (resume or every is not None):
        raise ValueError("--resume and --checkpoint-every need a folder: --checkpoint DIR")
    if checkpoint is not None:
        check_folder("--checkpoint", checkpoint)


def _check_input(data: str) -> None:
    """Refuse standard input where several processes train together."""
    group = current_group()
    if data == STREAM and group is not None and group.size > 1:
        raise ValueError(f"{ONE_STANDARD_INPUT}, and {group.size} train together: name a file")


def _check_validation(fraction: float | None) -> None:
    if fraction is not None and not 0.0 <= fraction < 1.0:
        raise ValueError(f"--validation is a fraction of the rows, from 0 to below 1; got {fraction}")


class _Reading(NamedTuple):
    """A table to read, and the options for reading it."""

    data: str
    task: str
    options: ReadingOptions

    @property
    def is_of_numbers(self) -> bool:
        """Whether every cell must be a number, and no option is about single columns."""
        options, usual = self.options, ReadingOptions(strict=True)
        return options == usual._replace(target=options.target, delimiter=options.delimiter, max_rows=options.max_rows)

    def table(self) -> Table | RawTable:
        """Read it whole."""
        options = self.options
        if self.data == "digits":
            given = {
                name: value for name, value in options._asdict().items() if value != getattr(ReadingOptions(), name)
            }
            refuse_with_digits(**given)
            return digits()
        kind = TARGET_KINDS[self.task]
        try:
            if not self.is_of_numbers:
                return read_raw_table(self.data, options, target_kind=kind, last=True)
            return read_training_table(
                self.data,
                options.target,
                target_kind=kind,
                delimiter=options.delimiter,
                max_rows=options.max_rows,
            )
        except MixedTargetError as error:
            raise MixedTargetError(f"{error}; --task classification takes it as a class") from None

    def open_if_large(self) -> RowSource | None:
        """Open it, if it is to stay in its file."""
        options = self.options
        if options.delimiter is not None or not self._replace(options=options._replace(strict=True)).is_of_numbers:
            return None
        return open_if_large(self.data, options.target, TARGET_KINDS[self.task], options.max_rows)


def _trained(
    context: typer.Context, reading: _Reading, trainer: Trainer, asked: AssessmentOptions
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
    source = reading.open_if_large()
    if source is not None:
        context.with_resource(source)
        return trainer.of_source(source, asked), (), reading.options
    table = reading.table()
    trained = trainer.of_table(table, asked)
    if not isinstance(table, RawTable):
        return trained, (), reading.options
    return trained, table.notes, reading.options._replace(**{} if table.text is None else table.text._asdict())


def _scored(trained: Trained, data: str, save: pathlib.Path | None) -> Trained:
    """Score the model, if this was asked for; an error names the file, and the one that has the model."""
    try:
        return trained.scored()
    except DataError as error:
        kept = "" if save is None else f"; {save} has the model"
        raise DataError(f"{data}: {error}{kept}") from None


@contextlib.contextmanager
def _saved_all_the_same(save: pathlib.Path | None) -> Iterator[None]:
    """Add to the words of an error of printing that the model was saved."""
    try:
        yield
    except OSError as error:
        if save is not None:
            error.strerror = f"{error.strerror}; {save} has the model"
        raise

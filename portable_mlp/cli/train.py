"""``portable-mlp train``: from a table to a model file."""

from __future__ import annotations

import contextlib
import math
import pathlib
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import typer

from ..backends import Backend, get_backend
from ..distributed.group import current_group, on_root
from ..kernels.options import check_choice
from ..tables.columns import RawTable, Table
from ..tables.digits import digits, refuse_with_digits
from ..tables.fitting import PreparedTable
from ..tables.preparation import Preparation
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
from ..training.result import TrainResult
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
    print_json,
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
from .score_table import show_scores, show_warning
from .table_options import (
    CategoricalOption,
    DecimalOption,
    DropOption,
    EncodingOption,
    FeaturesOption,
    IdOption,
    NoHeaderOption,
    StrictOption,
    show_columns,
)
from .terminal import echo
from .trainer import Trained, Trainer
from .training_options import with_training_options

TARGET_KINDS: dict[str, TargetKind] = {"auto": "unmixed", "classification": "any", "regression": "numbers"}
"""The targets that each task accepts."""

ONE_STANDARD_INPUT = "standard input goes to one process alone"

FEW_STEPS = 200
"""Fewer steps than this leave most networks half-trained."""


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
    trained, notes = _trained(context, _Reading(data, task, options), trainer, asked)
    prepared, fitted = trained.prepared, trained.fitted
    if save is not None:
        on_root(lambda: fitted.model.save(save))
    summary = {
        **_setting(prepared, library, dtype),
        **_figures(prepared, fitted.results),
        "seconds": round(trained.seconds, 3),
        "saved": None if save is None else str(save),
    }
    with _saved_all_the_same(save):
        if not as_json:
            _show_table(prepared.preparation, notes)
        _show(summary, _details(trained) if as_json else None)
        _show_assessment(trained, as_json=as_json)
        if report is not None:
            on_root(lambda: write_report(report, data, summary, trained, notes, save, options))
    _hint(prepared, fitted.results[0])


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
) -> tuple[Trained, tuple[str, ...]]:
    """Read the table, or open it for as long as the command runs; return its model, and what was noticed of it."""
    source = reading.open_if_large()
    if source is not None:
        context.with_resource(source)
        return trainer.of_source(source, asked), ()
    table = reading.table()
    return trainer.of_table(table, asked), table.notes if isinstance(table, RawTable) else ()


def _setting(prepared: PreparedTable, backend: Backend, dtype: str) -> dict[str, Any]:
    """Return what was trained, and on what."""
    preparation, training = prepared.preparation, prepared.recipe.training
    several = {"networks": prepared.recipe.n_networks} if prepared.recipe.n_networks > 1 else {}
    return {
        "task": "regression" if preparation.classes is None else "classification",
        "target": preparation.target_name,
        "outputs": preparation.n_outputs,
        "rows": prepared.n_rows,
        "held_out": prepared.n_held_out,
        **several,
        "network": "-".join(map(str, prepared.net.sizes)),
        **{name: training[name] for name in ("solver", "learning_rate", "schedule", "batch_size", "l2")},
        "backend": backend.name,
        "device": backend.device_name,
        "dtype": dtype,
    }


def _figures(prepared: PreparedTable, results: list[TrainResult]) -> dict[str, Any]:
    """Return what the training came to; of several networks the mean."""
    each = [_figures_of(result, prepared, patient="patience" in prepared.training()) for result in results]
    if len(each) == 1:
        return each[0]
    means = {name: sum(one[name] for one in each) / len(each) for name, x in each[0].items() if isinstance(x, float)}
    return {name: means.get(name, x) for name, x in each[0].items() if name != "best_epoch"}


def _figures_of(result: TrainResult, prepared: PreparedTable, *, patient: bool) -> dict[str, Any]:
    """Return what a training came to: the losses of the epoch whose parameters were kept."""
    history = result.history
    # With patience the parameters are those of the best epoch, also where it did not run out.
    kept = result.best_epoch - 1 if patient and result.best_epoch is not None else -1
    figures: dict[str, Any] = {
        "epochs": result.n_epochs,
        "stopped_because": result.stopped_because,
        "loss": history["loss"][kept] if history["loss"] else None,
    }
    if history.get("validation_loss"):
        score = "validation_r2" if prepared.preparation.classes is None else "validation_accuracy"
        figures["best_epoch"] = result.best_epoch
        figures["validation_loss"] = history["validation_loss"][kept]
        figures[score] = history["validation_score"][kept]
    return figures


def _details(trained: Trained) -> dict[str, Any]:
    """Return what is for programs alone: scores, what is done with each column, and the history of each network."""
    encoder, assessment = trained.prepared.preparation.encoder, trained.assessment
    histories = [result.history for result in trained.fitted.results]
    details: dict[str, Any] = {}
    if assessment is not None:
        details["assessment"] = {"scored_on": assessment.scored_on, **assessment.scores.to_json()}
    details["columns"] = [] if encoder is None else [one._asdict() for one in encoder.report]
    return details | {"history": histories[0] if len(histories) == 1 else histories}


@contextlib.contextmanager
def _saved_all_the_same(save: pathlib.Path | None) -> Iterator[None]:
    """Add to the words of an error of printing that the model was saved."""
    try:
        yield
    except OSError as error:
        if save is not None:
            error.strerror = f"{error.strerror}; {save} has the model"
        raise


def _show_table(preparation: Preparation, notes: tuple[str, ...]) -> None:
    """Print what was noticed of the table, and what is done with each of its columns."""
    for note in notes:
        echo(f"  {note}")
    if preparation.encoder is not None:
        show_columns(preparation.encoder.report)
    if preparation.target_low is not None:
        echo(f"  predictions stay {preparation.range_in_words}, as the targets do")


def _show(summary: dict[str, Any], details: dict[str, Any] | None) -> None:
    """Print the summary for people; with the details, as JSON for programs."""
    if details is not None:
        print_json({**summary, **details})
        return
    for name, value in summary.items():
        shown = f"{value:.6g}" if isinstance(value, float) else value
        if name == "held_out" and not value:
            shown = "none: trained to the end on all rows"
        if name == "saved" and value is None:
            shown = "no (--save model.safetensors keeps the model)"
        echo(f"{name.replace('_', ' '):<20}{shown}")


def _show_assessment(trained: Trained, *, as_json: bool) -> None:
    """Print the scores, if they were asked for, and the warning on stderr."""
    scores = trained.scores()
    if scores is None:
        return
    if trained.assessment is not None and not as_json:
        echo(f"scored on {trained.assessment.scored_on}")
        show_scores(scores)
    else:
        show_warning(scores)


def _hint(prepared: PreparedTable, result: TrainResult) -> None:
    """Say on stderr when so few steps were taken that the network can hardly have learnt."""
    n_trained = prepared.n_rows - prepared.n_held_out
    n_steps = result.n_epochs * math.ceil(n_trained / prepared.recipe.training["batch_size"])
    if result.stopped_because == "max_epochs" and n_steps < FEW_STEPS:
        echo(
            f"portable-mlp: only {n_steps} steps were taken; a smaller --batch-size or more --epochs may fit better",
            err=True,
        )

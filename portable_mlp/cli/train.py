"""``portable-mlp train``: from a table to a model file."""

from __future__ import annotations

import contextlib
import math
import pathlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, NamedTuple, TypeAlias

import typer

from ..backends import Backend, get_backend
from ..distributed.group import current_group, on_root
from ..kernels.losses import LOSSES, TargetRange
from ..kernels.network import Network
from ..kernels.options import check_choice
from ..storage.checkpoints import CheckpointFolder
from ..storage.models import check_savable, save_model
from ..tables.columns import RawTable
from ..tables.digits import digits, refuse_with_digits
from ..tables.hold_out import split
from ..tables.preparation import Preparation, learn, learn_encoded
from ..tables.prepared_rows import Rows, StreamedRows, open_if_large, prepare_streamed
from ..tables.reading import (
    MixedTargetError,
    ReadingOptions,
    RowSource,
    Table,
    TargetKind,
    read_raw_table,
    read_training_table,
)
from ..tables.scores import Baseline
from ..tables.targets import is_classification
from ..training.result import TrainResult
from ..training.train import train as fit
from .network_options import ActivationOption, HiddenOption, LossOption, LossOptionsOption, NetworkOptions
from .options import BackendOption, DelimiterOption, DeviceOption, JsonOption, MaxRowsOption, print_json
from .output_files import STREAM, check_folder, check_writable
from .processes import (
    ProcsOption,
    RestartsOption,
    TimeoutOption,
    check_alone,
    in_process_group,
    run_supervised,
)
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
from .training_options import with_training_options

TARGET_KINDS: dict[str, TargetKind] = {"auto": "unmixed", "classification": "any", "regression": "numbers"}
"""What each task takes for targets."""

SomeRows: TypeAlias = Rows | StreamedRows

ONE_STANDARD_INPUT = "standard input goes to one process alone"

FEW_STEPS = 200
"""Fewer steps than this leave most networks half-trained."""


@in_process_group
@with_training_options(l2=1e-4)
def train(
    *,
    context: typer.Context,
    data: Annotated[
        str,
        typer.Argument(
            help="digits, or a table: .csv/.tsv (.gz too), .parquet, .npz with X and y, .npy; - is standard input."
        ),
    ],
    target: Annotated[str | None, typer.Option(help="Column to predict.", show_default="the last one")] = None,
    task: Annotated[
        str, typer.Option(help="auto, classification or regression; auto takes text and few whole numbers for classes.")
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
    hidden: HiddenOption = "128,64",
    activation: ActivationOption = "relu",
    loss: LossOption = None,
    loss_options: LossOptionsOption = None,
    training: dict[str, Any],
    validation: Annotated[float, typer.Option(help="Fraction of the rows held out to validate on; 0 for none.")] = 0.1,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of the first weights, the split and the shuffle.")
    ] = 0,
    backend: BackendOption = "auto",
    device: DeviceOption = None,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    procs: ProcsOption = None,
    restarts: RestartsOption = None,
    timeout: TimeoutOption = None,
    save: Annotated[pathlib.Path | None, typer.Option(help="File for the model, such as model.safetensors.")] = None,
    checkpoint: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="DIR", help="Folder for the state of the run, written at the end of each epoch."),
    ] = None,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(metavar="N", help="Write the state after every N steps (batches) too, for long epochs."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest state in --checkpoint, if there is one.")
    ] = False,
    reproducible: Annotated[
        bool, typer.Option("--reproducible", help="Give the same bits on 1, 2, 4 or 8 processes; slower.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a network on a table; --save keeps it.

    The table may be as it is: numbers, texts, truth values, dates and gaps. What is done with each column is printed,
    and the model file remembers it. A large .parquet or .npy table of numbers stays in its file, and may be larger than
    memory. Example:
    portable-mlp train houses.csv --target price --save houses.safetensors
    """
    check_choice("--task", task, TARGET_KINDS)
    _check_checkpoint(checkpoint, checkpoint_every, resume)
    if procs is not None:
        if data == STREAM:
            raise ValueError(f"{ONE_STANDARD_INPUT}, and --procs starts several: name a file")
        raise typer.Exit(run_supervised(context, procs, restarts, timeout, checkpoint))
    check_alone(restarts, timeout)
    _check_input(data)
    described = NetworkOptions(hidden, activation, loss, loss_options)
    described.sizes()  # before the table is read
    if save is not None:
        check_writable("--save", save, sources=(data,), suffix=".safetensors")
    chosen = get_backend(backend, device)
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
    reading = _Reading(data, task, options)
    prepared = _prepared(context, reading, training["solver"], loss, validation, seed)
    _check_patience(training["patience"], prepared, validation)
    preparation = prepared.preparation
    classification = preparation.classes is not None
    net = described.network(len(preparation.input_mean), preparation.n_outputs, classification=classification)
    metadata = prepared.metadata()
    if save is not None:
        check_savable(net, metadata)
    start = time.perf_counter()
    params = described.first_parameters(net, seed, chosen, dtype)
    result = fit(
        net,
        params,
        *prepared.rows.moved(chosen, dtype),
        **training,
        random_state=seed,
        validation=None if prepared.held_out is None else prepared.held_out.moved(chosen, dtype),
        progress=True,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
    )
    _raise_if_interrupted(result, checkpoint)
    seconds = time.perf_counter() - start
    if save is not None:
        on_root(lambda: save_model(save, net, result.params, metadata))
    report = [] if preparation.encoder is None else preparation.encoder.report
    summary = {
        **_setting(prepared, net, chosen, dtype),
        **_figures(result, preparation, training["patience"] is not None),
        "seconds": round(seconds, 3),
        "saved": None if save is None else str(save),
    }
    with _saved_all_the_same(save):
        if not as_json:
            _show_table(prepared)
        _show(summary, {"columns": [one._asdict() for one in report], "history": result.history} if as_json else None)
    _hint(prepared.rows.n_samples, training["batch_size"], result)


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


def _check_patience(patience: int | None, prepared: _Prepared, validation: float) -> None:
    if patience is not None and prepared.held_out is None:
        raise ValueError(f"--patience needs rows to validate on, and --validation {validation} leaves none")


def _raise_if_interrupted(result: TrainResult, checkpoint: pathlib.Path | None) -> None:
    """Say what a run with checkpoints has left, and end the command as Ctrl-C does."""
    if checkpoint is not None and result.stopped_because == "interrupted":
        reached = "has what was reached; the same command with --resume goes on"
        written = CheckpointFolder(checkpoint).has_states()
        echo(f"portable-mlp: {checkpoint} {reached if written else 'could not be written to'}", err=True)
        raise KeyboardInterrupt


class _Reading(NamedTuple):
    """What table to read, and how."""

    data: str
    task: str
    options: ReadingOptions

    @property
    def is_of_numbers(self) -> bool:
        """Whether every cell must be a number, and nothing is said of single columns."""
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


class _Prepared(NamedTuple):
    """Rows to train on and to validate on, and how they were made of the table's."""

    preparation: Preparation
    rows: SomeRows
    held_out: SomeRows | None
    notes: tuple[str, ...] = ()
    baseline: Baseline | None = None

    def metadata(self) -> dict[str, Any]:
        """Return what a model file keeps of the table."""
        kept = {"preparation": self.preparation.to_metadata()}
        return kept if self.baseline is None else kept | {"baseline": self.baseline.to_metadata()}


def _prepared(
    context: typer.Context, reading: _Reading, solver: str, loss: str | None, fraction: float, seed: int
) -> _Prepared:
    """Read the table, or open it for as long as the command runs, and prepare its rows."""
    if not 0.0 <= fraction < 1.0:
        raise ValueError(f"--validation is a fraction of the rows, from 0 to below 1; got {fraction}")
    source = reading.open_if_large()
    if source is None:
        return _prepare(reading, loss, fraction, seed)
    context.with_resource(source)
    _check_streamable(source, solver, loss)
    return _Prepared(*prepare_streamed(source, reading.task, fraction, seed))


def _check_streamable(source: RowSource, solver: str, loss: str | None) -> None:
    if solver == "lbfgs":
        raise ValueError(
            f"{source.path}: --solver lbfgs takes all rows in every step, and the {source.n_rows} of this table are "
            "read batch by batch: choose adam or sgd"
        )
    if _counts(loss):
        raise ValueError(f"{source.path}: --loss {loss} is for tables that fit into memory")


def _counts(loss: str | None) -> bool:
    """Return whether a loss is of targets that are not to be scaled."""
    return loss in LOSSES and LOSSES[loss].targets is TargetRange.COUNTS


def _prepare(reading: _Reading, loss: str | None, fraction: float, seed: int) -> _Prepared:
    """Hold out the validation rows, learn the preparation from the others, and apply it to both."""
    table, task = reading.table(), reading.task
    X, y = table.X, table.y
    assert y is not None  # a training table has targets
    classification = is_classification(y) if task == "auto" else task == "classification"
    if classification and y.ndim > 1:
        raise ValueError(f"classification needs one target for each row, but y has shape {y.shape}")
    kept, held_out = split(y, fraction, classification=classification, seed=seed)
    named: dict[str, Any] = {"classification": classification, "target_name": table.target_name}
    if isinstance(table, RawTable):
        preparation, inputs = learn_encoded(table.X[kept], y[kept], table=reading.options, **named)
    else:
        preparation = learn(table.X[kept], y[kept], feature_names=table.feature_names, **named)
        inputs = preparation.inputs(table.X[kept])
    if _counts(loss) and not classification:
        n_outputs = preparation.n_outputs
        preparation = replace(preparation, target_mean=[0.0] * n_outputs, target_scale=[1.0] * n_outputs)
    rows = Rows(inputs, preparation.targets(y[kept]))
    others = Rows(preparation.inputs(X[held_out]), preparation.targets(y[held_out])) if len(held_out) else None
    notes = table.notes if isinstance(table, RawTable) else ()
    return _Prepared(preparation, rows, others, notes, Baseline.of(y, preparation.classes))


def _setting(prepared: _Prepared, net: Network, backend: Backend, dtype: str) -> dict[str, Any]:
    """Return what was trained, and on what."""
    preparation, rows, held_out = prepared[:3]
    return {
        "task": "regression" if preparation.classes is None else "classification",
        "target": preparation.target_name,
        "outputs": preparation.n_outputs,
        "rows": rows.n_samples + (0 if held_out is None else held_out.n_samples),
        "network": "-".join(map(str, net.sizes)),
        "backend": backend.name,
        "device": backend.device_name,
        "dtype": dtype,
    }


def _figures(result: TrainResult, preparation: Preparation, patient: bool) -> dict[str, Any]:
    """Return what the run came to: the losses of the epoch whose parameters were kept."""
    history = result.history
    # With patience the parameters are those of the best epoch, also where it did not run out.
    kept = result.best_epoch - 1 if patient and result.best_epoch is not None else -1
    figures: dict[str, Any] = {
        "epochs": result.n_epochs,
        "stopped_because": result.stopped_because,
        "loss": history["loss"][kept] if history["loss"] else None,
    }
    if history.get("validation_loss"):
        score = "validation_r2" if preparation.classes is None else "validation_accuracy"
        figures["best_epoch"] = result.best_epoch
        figures["validation_loss"] = history["validation_loss"][kept]
        figures[score] = history["validation_score"][kept]
    return figures


@contextlib.contextmanager
def _saved_all_the_same(save: pathlib.Path | None) -> Iterator[None]:
    """Add to the words of an error of printing that the model was saved."""
    try:
        yield
    except OSError as error:
        if save is not None:
            error.strerror = f"{error.strerror}; {save} has the model"
        raise


def _show_table(prepared: _Prepared) -> None:
    """Print what was noticed of the table, and what is done with each of its columns."""
    for note in prepared.notes:
        echo(f"  {note}")
    if prepared.preparation.encoder is not None:
        show_columns(prepared.preparation.encoder.report)


def _show(summary: dict[str, Any], details: dict[str, Any] | None) -> None:
    """Print the summary for people; with the details, as JSON for programs."""
    if details is not None:
        print_json({**summary, **details})
        return
    for name, value in summary.items():
        shown = f"{value:.6g}" if isinstance(value, float) else value
        if name == "saved" and value is None:
            shown = "no (--save model.safetensors keeps the model)"
        echo(f"{name.replace('_', ' '):<20}{shown}")


def _hint(n_rows: int, batch_size: int, result: TrainResult) -> None:
    """Say on stderr when so few steps were taken that the network can hardly have learnt."""
    n_steps = result.n_epochs * math.ceil(n_rows / batch_size)
    if result.stopped_because == "max_epochs" and n_steps < FEW_STEPS:
        echo(
            f"portable-mlp: only {n_steps} steps were taken; a smaller --batch-size or more --epochs may fit better",
            err=True,
        )

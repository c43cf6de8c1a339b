"""``portable-mlp train``: from a table to a model file."""

from __future__ import annotations

import contextlib
import math
import pathlib
import time
from collections.abc import Iterator
from typing import Annotated, Any, TypeAlias

import numpy as np
import typer

from ..backends import Backend, get_backend
from ..distributed.group import current_group, on_root
from ..kernels.activations import ACTIVATIONS
from ..kernels.network import Network
from ..kernels.options import check_choice
from ..storage.checkpoints import CheckpointFolder
from ..storage.models import check_savable, save_model
from ..tables.digits import digits, refuse_with_digits
from ..tables.preparation import Preparation, learn
from ..tables.reading import MixedTargetError, RowSource, Table, TargetKind, read_training_table
from ..tables.rows import Rows, split
from ..tables.streamed_rows import StreamedRows, open_if_large, prepare_streamed
from ..tables.targets import is_classification
from ..training.initialization import init_params
from ..training.result import History, TrainResult
from ..training.train import SOLVERS
from ..training.train import train as fit
from .files import STREAM, check_folder, check_writable
from .options import BackendOption, DelimiterOption, DeviceOption, JsonOption, MaxRowsOption, print_json
from .procs import ProcsOption, RestartsOption, TimeoutOption, check_alone, run_supervised
from .terminal import say
from .together import together

TARGET_KINDS: dict[str, TargetKind] = {"auto": "unmixed", "classification": "any", "regression": "numbers"}
"""What each task takes for targets."""

SomeRows: TypeAlias = Rows | StreamedRows

ONE_STANDARD_INPUT = "standard input goes to one process alone"

FEW_STEPS = 200
"""Fewer steps than this leave most networks half-trained."""


@together
def train(
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
    delimiter: DelimiterOption = None,
    max_rows: MaxRowsOption = None,
    hidden: Annotated[str, typer.Option(help="Units of the hidden layers, such as 128,64; empty for none.")] = "128,64",
    activation: Annotated[str, typer.Option(help=f"One of {', '.join(ACTIVATIONS)}.")] = "relu",
    solver: Annotated[str, typer.Option(help=f"One of {', '.join(SOLVERS)}.")] = "adam",
    learning_rate: Annotated[float, typer.Option(help="Step size that the schedule starts from.")] = 0.001,
    schedule: Annotated[str, typer.Option(help="constant, exponential, invscaling, adaptive or cosine.")] = "constant",
    decay: Annotated[float, typer.Option(help="Factor of the schedule exponential, per epoch.")] = 0.95,
    warmup_steps: Annotated[int, typer.Option(help="Steps over which the learning rate rises.")] = 0,
    momentum: Annotated[float, typer.Option(help="Of sgd.")] = 0.9,
    weight_decay: Annotated[float, typer.Option(help="Of adamw.")] = 0.01,
    clip_norm: Annotated[float | None, typer.Option(help="Largest norm of the gradient.")] = None,
    label_smoothing: Annotated[float, typer.Option(help="Share of each label spread evenly over all classes.")] = 0.0,
    batch_size: Annotated[int, typer.Option(help="Rows per step.")] = 200,
    epochs: Annotated[int, typer.Option(help="Passes over the data, at most.")] = 20,
    l2: Annotated[float, typer.Option(help="Penalty on squared weights.")] = 0.0001,
    validation: Annotated[float, typer.Option(help="Fraction of the rows held out to validate on; 0 for none.")] = 0.1,
    patience: Annotated[
        int | None,
        typer.Option(help="Stop after this many epochs without a better validation; keep the best."),
    ] = None,
    monitor: Annotated[str, typer.Option(help="What is better for --patience: loss or score.")] = "loss",
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of the first weights, the split and the shuffle.")
    ] = 0,
    backend: BackendOption = "auto",
    device: DeviceOption = None,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    precision: Annotated[
        str, typer.Option(help="Of products of float32 matrices: float32; on a GPU also tf32 or bfloat16.")
    ] = "float32",
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

    Columns are brought to zero mean and unit deviation; the model file remembers how. A large .parquet or .npy table
    stays in its file, and may be larger than memory. Example:
    portable-mlp train houses.csv --target price --save houses.safetensors
    """
    sizes = _hidden_sizes(hidden)
    check_choice("--task", task, TARGET_KINDS)
    if checkpoint is None and (resume or checkpoint_every is not None):
        raise ValueError("--resume and --checkpoint-every need a folder: --checkpoint DIR")
    if checkpoint is not None:
        check_folder("--checkpoint", checkpoint)
    if procs is not None:
        if data == STREAM:
            raise ValueError(f"{ONE_STANDARD_INPUT}, and --procs starts several: name a file")
        raise typer.Exit(run_supervised(context, procs, restarts, timeout, checkpoint))
    check_alone(restarts, timeout)
    if data == STREAM:
        group = current_group()
        if group is not None and group.size > 1:
            raise ValueError(f"{ONE_STANDARD_INPUT}, and {group.size} train together: name a file")
    if not 0.0 <= validation < 1.0:
        raise ValueError(f"--validation is a fraction of the rows, from 0 to below 1; got {validation}")
    if save is not None:
        check_writable("--save", save, sources=(data,), suffix=".safetensors")
    chosen = get_backend(backend, device)
    source = open_if_large(data, target, TARGET_KINDS[task], max_rows) if delimiter is None else None
    if source is None:
        preparation, rows, held_out = _prepare(_read(data, target, task, delimiter, max_rows), task, validation, seed)
    else:
        context.with_resource(source)
        _check_streamable(source, solver)
        preparation, rows, held_out = prepare_streamed(source, task, validation, seed)
    if patience is not None and held_out is None:
        raise ValueError(f"--patience needs rows to validate on, and --validation {validation} leaves none")
    net = Network(
        (len(preparation.input_mean), *sizes, preparation.n_outputs),
        activation=activation,
        output="identity" if preparation.classes is None else "softmax",
    )
    metadata = {"preparation": preparation.to_metadata()}
    if save is not None:
        check_savable(net, metadata)
    start = time.perf_counter()
    result = fit(
        net,
        init_params(net, scheme=_scheme(activation), random_state=seed, backend=chosen, dtype=dtype),
        *rows.moved(chosen, dtype),
        solver=solver,
        learning_rate=learning_rate,
        batch_size=batch_size,
        epochs=epochs,
        schedule=schedule,
        decay=decay,
        warmup_steps=warmup_steps,
        momentum=momentum,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        label_smoothing=label_smoothing,
        l2=l2,
        random_state=seed,
        validation=None if held_out is None else held_out.moved(chosen, dtype),
        patience=patience,
        monitor=monitor,
        progress=True,
        precision=precision,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
    )
    if checkpoint is not None and result.stopped_because == "interrupted":
        reached = "has what was reached; the same command with --resume goes on"
        written = CheckpointFolder(checkpoint).has_states()
        say(f"portable-mlp: {checkpoint} {reached if written else 'could not be written to'}", err=True)
        raise KeyboardInterrupt
    seconds = time.perf_counter() - start
    if save is not None:
        on_root(lambda: save_model(save, net, result.params, metadata))
    summary = {
        **_setting(rows, held_out, preparation, net, chosen, dtype),
        **_figures(result, preparation, patience is not None),
        "seconds": round(seconds, 3),
        "saved": None if save is None else str(save),
    }
    with _saved_all_the_same(save):
        _show(summary, result.history if as_json else None)
    _hint(rows.n_samples, batch_size, result)


def _hidden_sizes(hidden: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in hidden.split(",") if part.strip())
    except ValueError:
        raise ValueError(f"--hidden takes whole numbers separated by commas, such as 128,64; got {hidden!r}") from None
    if any(size < 1 for size in sizes):
        raise ValueError(f"--hidden needs at least one unit in every layer; got {hidden!r}")
    return sizes


def _read(data: str, target: str | None, task: str, delimiter: str | None, max_rows: int | None) -> Table:
    if data == "digits":
        refuse_with_digits(target=target, delimiter=delimiter, max_rows=max_rows)
        return digits()
    kind = TARGET_KINDS[task]
    try:
        return read_training_table(data, target, target_kind=kind, delimiter=delimiter, max_rows=max_rows)
    except MixedTargetError as error:
        raise MixedTargetError(f"{error}; --task classification takes it as a class") from None


def _check_streamable(source: RowSource, solver: str) -> None:
    if solver == "lbfgs":
        raise ValueError(
            f"{source.path}: --solver lbfgs takes all rows in every step, and the {source.n_rows} of this table are "
            "read batch by batch: choose adam or sgd"
        )


def _targets(table: Table) -> np.ndarray:
    assert table.y is not None  # a training table has them
    return table.y


def _prepare(table: Table, task: str, fraction: float, seed: int) -> tuple[Preparation, SomeRows, SomeRows | None]:
    """Hold out the validation rows, learn the preparation from the others, and apply it to both."""
    X, y = table.X, _targets(table)
    classification = is_classification(y) if task == "auto" else task == "classification"
    if classification and y.ndim > 1:
        raise ValueError(f"classification needs one target for each row, but y has shape {y.shape}")
    kept, held_out = split(y, fraction, classification=classification, seed=seed)
    preparation = learn(
        X[kept],
        y[kept],
        classification=classification,
        feature_names=table.feature_names,
        target_name=table.target_name,
    )
    rows, others = (Rows(preparation.inputs(X[i]), preparation.targets(y[i])) for i in (kept, held_out))
    return preparation, rows, others if len(held_out) else None


def _scheme(activation: str) -> str:
    """Return He's scheme for the activations that are half zero, Glorot's for the others."""
    return "he_uniform" if "relu" in activation else "glorot_uniform"


def _setting(
    rows: SomeRows,
    held_out: SomeRows | None,
    preparation: Preparation,
    net: Network,
    backend: Backend,
    dtype: str,
) -> dict[str, Any]:
    """Return what was trained, and on what."""
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


def _show(summary: dict[str, Any], history: History | None) -> None:
    """Print the summary for people; with the history, as JSON for programs."""
    if history is not None:
        print_json({**summary, "history": history})
        return
    for name, value in summary.items():
        shown = f"{value:.6g}" if isinstance(value, float) else value
        if name == "saved" and value is None:
            shown = "no (--save model.safetensors keeps the model)"
        say(f"{name.replace('_', ' '):<20}{shown}")


def _hint(n_rows: int, batch_size: int, result: TrainResult) -> None:
    """Say on stderr when so few steps were taken that the network can hardly have learnt."""
    n_steps = result.n_epochs * math.ceil(n_rows / batch_size)
    if result.stopped_because == "max_epochs" and n_steps < FEW_STEPS:
        say(
            f"portable-mlp: only {n_steps} steps were taken; a smaller --batch-size or more --epochs may fit better",
            err=True,
        )

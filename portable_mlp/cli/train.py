"""``portable-mlp train``: from a table to a model file."""

from __future__ import annotations

import pathlib
import time
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console

from ..backends import Backend, get_backend
from ..kernels.activations import ACTIVATIONS
from ..kernels.calls import check_choice
from ..kernels.network import Network
from ..storage.models import save_model
from ..storage.tables import Table, read_training_table
from ..training.initialization import init_params
from ..training.result import TrainResult
from ..training.train import train as fit
from .options import BackendOption, DeviceOption, JsonOption, print_json
from .preparation import Preparation, is_classification, learn

TASKS = ("auto", "classification", "regression")


class Rows(NamedTuple):
    """Prepared rows: inputs and targets."""

    X: np.ndarray
    y: np.ndarray


def train(
    data: Annotated[
        str, typer.Argument(help="digits, or a .csv/.tsv with a header line, a .npz with X and y, a .npy.")
    ],
    target: Annotated[str | None, typer.Option(help="Column to predict. [default: the last one]")] = None,
    task: Annotated[
        str, typer.Option(help="auto, classification or regression; auto takes text and few whole numbers for classes.")
    ] = "auto",
    hidden: Annotated[str, typer.Option(help="Units of the hidden layers, such as 128,64; empty for none.")] = "128,64",
    activation: Annotated[str, typer.Option(help=f"One of {', '.join(ACTIVATIONS)}.")] = "relu",
    solver: Annotated[str, typer.Option(help="adam, sgd or lbfgs.")] = "adam",
    learning_rate: Annotated[float, typer.Option(help="Step size that the schedule starts from.")] = 0.001,
    schedule: Annotated[str, typer.Option(help="constant, exponential, invscaling, adaptive or cosine.")] = "constant",
    batch_size: Annotated[int, typer.Option(help="Rows of a step.")] = 200,
    epochs: Annotated[int, typer.Option(help="Passes over the data, at most.")] = 20,
    l2: Annotated[float, typer.Option(help="Penalty on squared weights.")] = 0.0001,
    validation: Annotated[float, typer.Option(help="Fraction of the rows held out to validate on; 0 for none.")] = 0.1,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a better validation loss, and keep the best.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the first weights, the split and the shuffle.")] = 0,
    backend: BackendOption = "auto",
    device: DeviceOption = None,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    save: Annotated[pathlib.Path | None, typer.Option(help="File for the model, such as model.safetensors.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a network on a table and save it.

    Columns are brought to zero mean and unit deviation; the model file remembers how. Example:
    portable-mlp train houses.csv --target price --save houses.safetensors
    """
    sizes = _hidden_sizes(hidden)
    check_choice("--task", task, TASKS)
    if not 0.0 <= validation < 1.0:
        raise ValueError(f"--validation is a fraction of the rows, from 0 to below 1; got {validation}")
    _check_can_save(save)
    chosen = get_backend(backend, device)
    table = _read(data, target)
    classification = _classifies(task, table)
    shown = Console(stderr=True, highlight=False)
    start = time.perf_counter()
    preparation, rows, held_out = _prepare(table, classification, validation, seed)
    net = Network(
        (rows.X.shape[1], *sizes, len(preparation.classes or preparation.target_mean or ())),
        activation=activation,
        output="softmax" if classification else "identity",
    )
    shown.print(_headline(data, table, preparation, net, chosen, dtype), markup=False, soft_wrap=True)
    result = fit(
        net,
        init_params(net, scheme=_scheme(activation), random_state=seed, backend=chosen, dtype=dtype),
        *_moved(rows, chosen, dtype),
        solver=solver,
        learning_rate=learning_rate,
        batch_size=batch_size,
        epochs=epochs,
        schedule=schedule,
        l2=l2,
        random_state=seed,
        validation=None if held_out is None else _moved(held_out, chosen, dtype),
        patience=patience,
        progress=True,
    )
    if save is not None:
        save_model(save, net, result.params, {"preparation": preparation.to_metadata()})
    summary = _summary(result, classification, chosen, time.perf_counter() - start, save)
    if as_json:
        print_json({**summary, "history": result.history})
    else:
        for name, value in summary.items():
            typer.echo(
                f"{name.replace('_', ' ')}: {value:.6g}"
                if isinstance(value, float)
                else f"{name.replace('_', ' ')}: {value}"
            )


def _hidden_sizes(hidden: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in hidden.split(",") if part.strip())
    except ValueError:
        raise ValueError(f"--hidden takes whole numbers separated by commas, such as 128,64; got {hidden!r}") from None
    if any(size < 1 for size in sizes):
        raise ValueError(f"--hidden needs at least one unit in every layer; got {hidden!r}")
    return sizes


def _check_can_save(save: pathlib.Path | None) -> None:
    """Find out before the training, not after it."""
    if save is not None and not save.parent.is_dir():
        raise ValueError(f"--save {save}: the folder {save.parent} does not exist")
    if save is not None and save.is_dir():
        raise ValueError(f"--save {save}: this is a folder; name a file in it")


def _read(data: str, target: str | None) -> Table:
    if data != "digits":
        return read_training_table(data, target)
    if target is not None:
        raise ValueError("--target does not go with digits, whose target is the digit")
    return digits()


def digits() -> Table:
    """Return the handwritten digits that scikit-learn ships: 1,797 images of 8 x 8 pixels from 0 to 16."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError('the digits come with scikit-learn: pip install "portable-mlp[sklearn]"') from None
    bunch = load_digits()
    return Table(bunch.data, bunch.target, tuple(bunch.feature_names), "digit")


def _classifies(task: str, table: Table) -> bool:
    if task == "auto":
        return is_classification(np.asarray(table.y))
    return task == "classification"


def _prepare(table: Table, classification: bool, validation: float, seed: int) -> tuple[Preparation, Rows, Rows | None]:
    """Split off the validation rows, learn the preparation from the others, and apply it to both."""
    X, y = table.X, np.asarray(table.y)
    n_held_out = round(len(X) * validation) if validation else 0
    if validation and not 0 < n_held_out < len(X):
        raise ValueError(
            f"--validation {validation} of {len(X)} rows leaves nothing to train or to validate on; "
            "use another fraction, or 0"
        )
    order = np.random.RandomState(seed).permutation(len(X))
    held_out, kept = order[:n_held_out], np.sort(order[n_held_out:])
    preparation = learn(
        X[kept],
        y[kept],
        classification=classification,
        feature_names=table.feature_names,
        target_name=table.target_name,
    )
    if classification:
        _check_classes_known(preparation, y[held_out])
    rows = Rows(preparation.inputs(X[kept]), preparation.targets(y[kept]))
    if not n_held_out:
        return preparation, rows, None
    return preparation, rows, Rows(preparation.inputs(X[held_out]), preparation.targets(y[held_out]))


def _check_classes_known(preparation: Preparation, y: np.ndarray) -> None:
    unknown = sorted(set(y.tolist()) - set(preparation.classes or ()))
    if unknown:
        raise ValueError(
            f"class {unknown[0]!r} is so rare that all its rows were held out for validation; use another --seed, "
            "a smaller --validation, or 0"
        )


def _scheme(activation: str) -> str:
    """He's scheme for the activations that are half zero, Glorot's for the others."""
    return "he_uniform" if "relu" in activation else "glorot_uniform"


def _moved(rows: Rows, backend: Backend, dtype: str) -> tuple[Any, Any]:
    y = backend.asarray(rows.y) if rows.y.dtype.kind in "iu" else backend.asarray(rows.y, dtype=dtype)
    return backend.asarray(rows.X, dtype=dtype), y


def _headline(data: str, table: Table, preparation: Preparation, net: Network, backend: Backend, dtype: str) -> str:
    if preparation.classes is not None:
        task = f"classification of {table.target_name or 'y'}, {len(preparation.classes)} classes"
    else:
        task = f"regression of {table.target_name or 'y'}"
    sizes = "-".join(map(str, net.sizes))
    return f"{data}: {len(table.X)} rows; {task}; network {sizes}; {backend.name} on {backend.device_name}, {dtype}"


def _summary(
    result: TrainResult, classification: bool, backend: Backend, seconds: float, save: pathlib.Path | None
) -> dict[str, Any]:
    history = result.history
    summary: dict[str, Any] = {
        "task": "classification" if classification else "regression",
        "backend": backend.name,
        "epochs": result.n_epochs,
        "stopped_because": result.stopped_because,
        "loss": history["loss"][-1] if history["loss"] else None,
    }
    if history.get("validation_loss"):
        # With patience the best epoch's parameters are kept; without it the last one's.
        best = int(np.argmin(history["validation_loss"])) if result.stopped_because == "patience" else -1
        summary["validation_loss"] = history["validation_loss"][best]
        summary["validation_accuracy" if classification else "validation_r2"] = history["validation_score"][best]
    summary["seconds"] = round(seconds, 3)
    summary["saved"] = None if save is None else str(save)
    return summary

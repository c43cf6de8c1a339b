"""``portable-mlp demo``: a two-layer network learns real handwritten digits, on the backend chosen at run time."""

from __future__ import annotations

import pathlib
import statistics
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..backends import Backend, backends, first_line, get_backend
from ..backends.ambient import predict
from ..backends.extras import install
from ..kernels.network import Network
from ..storage.models import save_model
from ..tables.digits import BRIGHTEST, digits
from ..tables.preparation import Preparation
from ..tables.prepared_rows import Rows
from ..training.initialization import init_params
from ..training.result import TrainResult
from ..training.train import train
from .demo_picture import draw
from .options import BackendOption
from .output_files import check_folder, check_writable
from .pictures import load_matplotlib
from .terminal import echo

HIDDEN = 100
BATCH_SIZE = 32
EPOCHS = 40
LEARNING_RATE = 2e-3
L2 = 1e-4
N_TEST = 450

TIMED_EPOCHS = 20
TIMED_BATCH_SIZE = 200


class Split(NamedTuple):
    """The rows of the training set and of the test set."""

    train: Rows
    test: Rows


def demo(
    backend: BackendOption = "auto",
    output: Annotated[pathlib.Path, typer.Option(help="Folder for the model and the picture.")] = pathlib.Path(
        "demo-output"
    ),
) -> None:
    """Learn 1,347 handwritten digits, test on 450 others, and compare the backends."""
    chosen = get_backend(backend)
    try:
        load_matplotlib()
        table = digits()
    except ImportError:
        raise ImportError(f"the demo needs scikit-learn and matplotlib: {install('demo')}") from None
    check_folder("--output", output)
    output.mkdir(parents=True, exist_ok=True)
    model, picture = output / "digits.safetensors", output / "digits.png"
    for path in (model, picture):
        check_writable("--output", path)
    shown = Console(stderr=True, highlight=False)
    split = _split(Rows(table.X / BRIGHTEST, np.asarray(table.y)))
    net = Network((split.train.X.shape[1], HIDDEN, 10), activation="relu")
    shown.print(
        f"Learning {len(split.train.X)} handwritten digits with {net} on {chosen.name} ({chosen.device_name})",
        markup=False,
    )
    result = _learn(net, split, chosen)
    inputs = chosen.asarray(split.test.X, dtype="float32")
    proba = chosen.to_numpy(predict(net, result.params, inputs))
    accuracy = float(np.mean(np.argmax(proba, axis=1) == split.test.y))
    echo(f"test accuracy {accuracy:.4f} ({len(split.test.y)} digits that were never trained on)")
    preparation = Preparation(
        list(table.feature_names), table.target_name, [0.0] * net.sizes[0], [BRIGHTEST] * net.sizes[0], list(range(10))
    )
    save_model(model, net, result.params, preparation.in_metadata())
    draw(picture, result.history, split.test, proba)
    echo(f"model:   {model}   (try: portable-mlp inspect {model})")
    echo(f"picture: {picture}")
    _compare_backends(split, shown)


def _split(rows: Rows) -> Split:
    order = np.random.RandomState(0).permutation(len(rows.X))
    test, kept = order[:N_TEST], order[N_TEST:]
    return Split(Rows(rows.X[kept], rows.y[kept]), Rows(rows.X[test], rows.y[test]))


def _learn(net: Network, split: Split, backend: Backend) -> TrainResult:
    return train(
        net,
        init_params(net, scheme="he_uniform", random_state=0, backend=backend, dtype="float32"),
        *split.train.moved(backend, "float32"),
        learning_rate=LEARNING_RATE,
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
        schedule="cosine",
        l2=L2,
        validation=split.test.moved(backend, "float32"),
        progress=True,
    )


def _compare_backends(split: Split, shown: Console) -> None:
    """Print a table of each backend's speed, and of the difference of its loss from NumPy's in float64."""
    net = Network((split.train.X.shape[1], HIDDEN, 10))
    reference = _timed(net, split, get_backend("numpy"), "float64").history["loss"]
    table = Table(
        "backend", "device", "samples/s", "largest loss difference",
        title=f"{TIMED_EPOCHS} epochs of Adam, batches of {TIMED_BATCH_SIZE}, float32; loss against NumPy float64",
    )  # fmt: skip
    for info in backends():
        if info.available:
            with shown.status(f"timing {info.name}"):
                table.add_row(info.name, *_compared(info.name, net, split, reference))
        else:
            table.add_row(info.name, "-", Text("not available here"), "-")
    Console().print(table)
    echo("portable-mlp backends says what is missing, and how to install it")


def _compared(name: str, net: Network, split: Split, reference: Sequence[float]) -> tuple[str, Text, str]:
    """Return the device of a backend, its speed, and the largest difference of its losses from the reference."""
    device = "-"
    try:
        backend = get_backend(name)
        device = backend.device_name
        history = _timed(net, split, backend, "float32").history
    except Exception as error:  # whatever a broken library raises costs its row, not the table
        return device, Text(first_line(error)), "-"
    # The first epoch compiles; the median of the others is what a long training sees.
    speed = statistics.median(history["samples_per_second"][1:])
    difference = max(abs(a - b) for a, b in zip(history["loss"], reference, strict=True))
    return device, Text(f"{speed:,.0f}"), f"{difference:.1e}"


def _timed(net: Network, split: Split, backend: Backend, dtype: str) -> TrainResult:
    params = init_params(net, backend=backend, dtype=dtype)
    return train(net, params, *split.train.moved(backend, dtype), epochs=TIMED_EPOCHS, batch_size=TIMED_BATCH_SIZE)

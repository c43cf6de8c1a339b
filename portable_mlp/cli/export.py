"""``portable-mlp export``: a model file as an ONNX graph, with the scaling of its columns inside."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any

import typer

from ..kernels.optimizers import OPTIMIZERS
from ..onnx.inference import export_onnx
from ..onnx.training import export_onnx_training
from ..tables.model import TableModel
from ..tables.preparation import Preparation
from ..training.options import TRAINING_OPTIONS
from .output_files import check_writable
from .terminal import echo


def export(
    model: Annotated[pathlib.Path, typer.Argument(help="Model file that train wrote.")],
    file: Annotated[pathlib.Path, typer.Argument(help="ONNX file to write, such as model.onnx.")],
    training: Annotated[
        bool, typer.Option("--training", help="Write the training step, for a model that goes on learning.")
    ] = False,
    solver: Annotated[
        str | None,
        typer.Option(
            help=f"One of {', '.join(OPTIMIZERS)}, for --training.", show_default=TRAINING_OPTIONS["solver"].default
        ),
    ] = None,
) -> None:
    """Write a model as an ONNX file, for onnxruntime and other programs; needs the extra onnx.

    It takes raw rows, as predict does, and gives probabilities of classes, or quantities in their own units; its
    metadata name the classes and columns, as JSON. Example: portable-mlp export houses.safetensors houses.onnx
    """
    if solver is not None and not training:
        raise ValueError("--solver goes with --training: a model that only predicts has no solver")
    check_writable("FILE", file, sources=(model,), suffix=".onnx")
    preparation, net, params, _ = TableModel.load(model)
    if params[0].W.ndim == 3:
        raise ValueError(f"{model} is an ensemble of {params[0].W.shape[0]} networks, and an ONNX file holds one")
    around: dict[str, Any] = {"input_scaling": (preparation.input_mean, preparation.input_scale)}
    numbers = None if preparation.encoder is None else preparation.encoder.numbers
    if numbers is not None:
        around["input_scaling"] = [column.mean for column in numbers], [column.scale for column in numbers]
        around["input_edges"] = [column.edges for column in numbers]
    if preparation.classes is None:
        around["target_scaling"] = preparation.target_mean, preparation.target_scale
    described = _metadata(preparation)
    if training:
        chosen = solver or TRAINING_OPTIONS["solver"].default
        export_onnx_training(file, net, params, described, solver=chosen, **around)
    else:
        bounds = None if preparation.target_low is None else (preparation.target_low, preparation.target_high)
        export_onnx(file, net, params, described, target_range=bounds, **around)
    echo(f"{'training step' if training else 'model'} written to {file}", err=True)


def _metadata(preparation: Preparation) -> dict[str, Any]:
    """Return the metadata of the ONNX file: names of classes, columns and target, where they are known."""
    numbers = None if preparation.encoder is None else preparation.encoder.numbers
    named = {
        "classes": preparation.classes,
        "feature_names": preparation.feature_names if numbers is None else [column.name for column in numbers],
        "target_name": preparation.target_name,
    }
    return {name: value for name, value in named.items() if value}

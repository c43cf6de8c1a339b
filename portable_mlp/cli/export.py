"""``portable-mlp export``: a model file as an ONNX graph, with the scaling of its columns inside."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any

import typer

from ..kernels.optimizers import OPTIMIZERS
from ..onnx.inference import export_onnx
from ..onnx.training import export_onnx_training
from ..storage.models import load_model
from ..tables.preparation import Preparation, preparation_of
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
    net, params, metadata = load_model(model)
    preparation = preparation_of(model, net, metadata)
    scalings: dict[str, Any] = {"input_scaling": (preparation.input_mean, preparation.input_scale)}
    if preparation.classes is None:
        scalings["target_scaling"] = (preparation.target_mean, preparation.target_scale)
    if training:
        chosen = solver or TRAINING_OPTIONS["solver"].default
        export_onnx_training(file, net, params, _metadata(preparation), solver=chosen, **scalings)
    else:
        export_onnx(file, net, params, _metadata(preparation), **scalings)
    echo(f"{'training step' if training else 'model'} written to {file}", err=True)


def _metadata(preparation: Preparation) -> dict[str, Any]:
    """Return the metadata of the ONNX file: names of classes, columns and target, where they are known."""
    named = {
        "classes": preparation.classes,
        "feature_names": preparation.feature_names,
        "target_name": preparation.target_name,
    }
    return {name: value for name, value in named.items() if value}

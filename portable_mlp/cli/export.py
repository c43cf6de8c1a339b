"""``portable-mlp export``: a model file as an ONNX graph, with the scaling of its columns inside."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from ..kernels.optimizers import OPTIMIZERS
from ..onnx.table_models import export_table_model, export_table_training
from ..tables.model import TableModel
from ..training.options import TRAINING_OPTIONS
from .output_files import check_writable
from .terminal import echo


def export(
    model: Annotated[pathlib.Path, typer.Argument(help="Model file: of train, of save_model, or of an estimator.")],
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

    It takes raw rows, as predict does: a matrix X of numbers, or, where the table has texts, truth values, dates or
    gaps, an input for each column, of its name; dates are seconds since 1970, and texts have no blanks around them,
    which predict strips. Numbers are in float64 where float32 would be too coarse for a column. It gives
    probabilities of classes, or quantities in their own units; its metadata name the classes and columns, as JSON.
    With --training it takes the targets y beside the columns, and gives the loss and the next parameters.

    Example: portable-mlp export houses.safetensors houses.onnx
    """
    if solver is not None and not training:
        raise ValueError("--solver goes with --training: a model that only predicts has no solver")
    check_writable("FILE", file, sources=(model,), suffix=".onnx")
    described = TableModel.load(model)
    if training:
        export_table_training(file, described, solver or TRAINING_OPTIONS["solver"].default)
    else:
        export_table_model(file, described)
    echo(f"{'training step' if training else 'model'} written to {file}", err=True)

"""The options of a command that choose the model of a table, and its training."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..kernels.options import check_choice
from ..tables.recipe import PRESETS, TableOptions
from .network_options import (
    ActivationOption,
    HiddenOption,
    LossOption,
    LossOptionsOption,
    read_activation,
    read_constants,
    read_sizes,
)
from .option_groups import with_options_of
from .options import TRAINING
from .training_options import training_options


@with_options_of(training=training_options)
def model_options(
    *,
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
            show_default="depends on the table",
            rich_help_panel=TRAINING,
        ),
    ] = None,
) -> TableOptions:
    """Return what was chosen. A group of options."""
    check_choice("--preset", preset, PRESETS)
    if validation is not None and not 0.0 <= validation < 1.0:
        raise ValueError(f"--validation is a fraction of the rows, from 0 to below 1; got {validation}")
    return TableOptions(
        preset=preset,
        hidden=read_sizes(hidden),
        activation=read_activation(activation),
        loss=loss,
        loss_options=read_constants(loss_options),
        hold_out=validation,
        training=training,
    )

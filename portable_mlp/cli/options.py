"""Options that several commands share, with one help text each, and the panels of ``--help``."""

from __future__ import annotations

import json
import math
import pathlib
import sys
from typing import Annotated, Any, TypeAlias

import typer

from ..backends import BACKENDS

TABLE, NETWORK, TRAINING, OPTIMIZER = "Table", "Network", "Training", "Optimizer"
BACKEND, PROCESSES, FILES, SCORES = "Backend", "Processes", "Model and checkpoints", "Scores and report"
SEARCH = "Search"
"""The panels of ``--help``, in which long lists of options are grouped."""

BackendOption: TypeAlias = Annotated[
    str,
    typer.Option(
        help=f"Array library: auto (CuPy where a GPU answers, else NumPy), {', '.join(BACKENDS)}.",
        rich_help_panel=BACKEND,
    ),
]
DeviceOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Device of that library, such as cpu or cuda:0.",
        show_default="the library's own",
        rich_help_panel=BACKEND,
    ),
]
DelimiterOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Separator of the cells of a text table: , ; | or tab.",
        show_default="found in the first lines",
        callback=lambda text: "\t" if text == "tab" else text,
        rich_help_panel=TABLE,
    ),
]
MaxRowsOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Refuse a table of more rows.",
        show_default="what half of the memory holds",
        rich_help_panel=TABLE,
    ),
]
DtypeOption: TypeAlias = Annotated[str, typer.Option(help="float32 or float64.", rich_help_panel=BACKEND)]
SeedOption: TypeAlias = Annotated[
    int,
    typer.Option(
        min=0, max=2**32 - 1, help="Seed of the first weights, the split and the shuffle.", rich_help_panel=TRAINING
    ),
]
SaveOption: TypeAlias = Annotated[
    pathlib.Path | None, typer.Option(help="File for the model, such as model.safetensors.", rich_help_panel=FILES)
]
ResumeOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--resume", help="Resume from the newest state in --checkpoint, if there is one.", rich_help_panel=FILES
    ),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, alone on stdout.")]


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout; numbers that JSON does not have (NaN, infinity) become null."""
    sys.stdout.write(json.dumps(_without_nan(value), indent=2, allow_nan=False) + "\n")
    sys.stdout.flush()


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

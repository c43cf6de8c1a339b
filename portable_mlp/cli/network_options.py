"""The options of a command that say what network is trained, and how what is typed is read."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from ..kernels.activations import ACTIVATIONS
from ..kernels.losses import LOSSES
from .options import NETWORK

HiddenOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Units of the hidden layers, such as 128,64; empty for none.",
        show_default="depends on the table",
        rich_help_panel=NETWORK,
    ),
]
ActivationOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help=f"One of {', '.join(ACTIVATIONS)}; or one for each hidden layer, such as relu,tanh.",
        show_default="relu",
        rich_help_panel=NETWORK,
    ),
]
LossOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help=f"One of {', '.join(LOSSES)}.", show_default="the natural one of the task", rich_help_panel=NETWORK
    ),
]
LossOptionsOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=NUMBER", help="Constants of the loss, such as delta=2 of huber.", rich_help_panel=NETWORK
    ),
]


def read_sizes(hidden: str | None) -> tuple[int, ...] | None:
    """Return the units of each hidden layer that were typed; None if they were not.

    Raises
    ------
    ValueError
        If they cannot be read.
    """
    if hidden is None:
        return None
    try:
        sizes = tuple(int(part) for part in hidden.split(",") if part.strip())
    except ValueError:
        raise ValueError(f"--hidden takes whole numbers separated by commas, such as 128,64; got {hidden!r}") from None
    if any(size < 1 for size in sizes):
        raise ValueError(f"--hidden needs at least one unit in every layer; got {hidden!r}")
    return sizes


def read_activation(activation: str | None) -> str | tuple[str, ...] | None:
    """Return the activation of all hidden layers that was typed, or those of each; None if none was."""
    if activation is None:
        return None
    names = tuple(name.strip() for name in activation.split(","))
    return names[0] if len(names) == 1 else names


def read_constants(text: str | None) -> dict[str, float]:
    """Return the constants of the loss that were typed.

    Raises
    ------
    ValueError
        If they cannot be read.
    """
    try:
        pairs = [part.split("=") for part in (text or "").split(",") if part.strip()]
        return {name.strip(): float(number) for name, number in pairs}
    except ValueError:
        raise ValueError(f"--loss-options takes names and numbers, such as delta=2; got {text!r}") from None

"""The options of a training as options of a command, made from the table that `train` checks them by."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from ..kernels.options import Check, Choice, OrNone, Whole, flag
from ..tables.recipe import recipe
from ..training.options import OF_OPTIMIZERS, TRAINING_OPTIONS, class_weights
from .options import OPTIMIZER, TRAINING

_TYPES: dict[Check, Any] = {flag: bool, class_weights: str | None}
"""Types of the options that are not numbers, by their checks."""

FEW_ROWS, MANY_ROWS = 100, 1_000_000
"""Two tables, whose recipes differ in the options that follow the table."""

_OFF = "no_"
"""The prefix of an option that turns another off."""


def training_options(**typed: Any) -> dict[str, Any]:
    """Return those options that were typed, by name: what ``pm.train(**training)`` takes. A group of options."""
    training = {name: typed[name] for name in TRAINING_OPTIONS if name in typed}
    training |= {name: False for name in TRAINING_OPTIONS if typed.get(_OFF + name)}
    return {name: value for name, value in training.items() if value is not None}


def _usual(name: str) -> Any:
    """Return the default that help shows: that of the recipe, or of `train` where no recipe has the option."""
    default = TRAINING_OPTIONS[name].default
    few, many = (recipe(n_rows, 1).training.get(name, default) for n_rows in (FEW_ROWS, MANY_ROWS))
    if few != many:
        return "depends on the table"
    return many is not None and str(many)


def _parameter(name: str) -> inspect.Parameter:
    """Return the option as a parameter for Typer; an option that is on by default becomes ``--no-NAME``."""
    option = TRAINING_OPTIONS[name]
    is_flag = option.check is flag
    typed, help_of_option, shown = name, option.help, _usual(name)
    if option.default is True:
        typed, shown = _OFF + name, False
        help_of_option = f"Without this, {option.help[0].lower()}{option.help[1:]}"
    kind: Any = bool if is_flag else _type_of(option.check) | None
    described = typer.Option(
        f"--{typed.replace('_', '-')}",
        help=help_of_option,
        show_default=shown,
        rich_help_panel=OPTIMIZER if name in OF_OPTIMIZERS else TRAINING,
    )
    return inspect.Parameter(
        typed,
        inspect.Parameter.KEYWORD_ONLY,
        default=False if is_flag else None,
        annotation=Annotated[kind, described],
    )


def _type_of(check: Check) -> Any:
    """Return the type that Typer converts to; `train` checks the value."""
    match check:
        case OrNone():
            return _type_of(check.check) | None
        case Whole():
            return int
        case Choice():
            return str
    return _TYPES.get(check, float)


training_options.__signature__ = inspect.Signature([_parameter(name) for name in TRAINING_OPTIONS])  # type: ignore[attr-defined]

"""The options of a training as options of a command, made from the table that `train` checks them by."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ..kernels.options import Check, Choice, OrNone, Whole, flag
from ..training.options import OF_OPTIMIZERS, TRAINING_OPTIONS, class_weights
from .options import OPTIMIZER, TRAINING

_TYPES: dict[Check, Any] = {flag: bool, class_weights: str | None}
"""Types of the options that are not numbers, by their checks."""

_OFF = "no_"
"""The prefix of an option that turns another off."""


def with_training_options(**defaults: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command every training option, in place of its keyword ``training``.

    The command receives them, by name, in a dict of that name: what ``pm.train(**training)`` takes.

    Parameters
    ----------
    **defaults
        Defaults that differ on the command line.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(**given: Any) -> None:
            training = {name: given.pop(name) for name in TRAINING_OPTIONS if name in given}
            training |= {name: not given.pop(_OFF + name) for name in TRAINING_OPTIONS if _OFF + name in given}
            command(training=training, **given)

        signature = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            parameters += _made_from_the_table(defaults) if parameter.name == "training" else [parameter]
        # Typer reads both.
        called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        return called

    return decorate


def _made_from_the_table(defaults: dict[str, Any]) -> list[inspect.Parameter]:
    return [_parameter(name, defaults.get(name, option.default)) for name, option in TRAINING_OPTIONS.items()]


def _parameter(name: str, default: Any) -> inspect.Parameter:
    """Return the option as a parameter for Typer; an option that is on by default becomes ``--no-NAME``."""
    option = TRAINING_OPTIONS[name]
    typed, help_of_option = name, option.help
    if default is True:
        typed, default = _OFF + name, False
        help_of_option = f"Without this, {option.help[0].lower()}{option.help[1:]}"
    kind: Any = _type_of(option.check)
    flag_of_option = f"--{typed.replace('_', '-')}"
    panel = OPTIMIZER if name in OF_OPTIMIZERS else TRAINING
    annotation = Annotated[kind, typer.Option(flag_of_option, help=help_of_option, rich_help_panel=panel)]
    return inspect.Parameter(typed, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


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

"""Groups of options that several commands have: described once, and given to a command as one value."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any


def with_options_of(**groups: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator of commands, which replaces keywords by groups of options.

    Parameters
    ----------
    **groups : callable
        For each keyword of the command a function of keyword-only parameters, the options. They take the place of the
        keyword in the command's signature, and the command is given what the function returns for their values.

    Examples
    --------
    >>> def size(*, width: int = 2, height: int = 3) -> int:
    ...     return width * height
    >>> @with_options_of(area=size)
    ... def paint(*, colour: str, area: int) -> str:
    ...     return f"{area} {colour}"
    >>> paint(colour="red", height=4), list(inspect.signature(paint).parameters)
    ('8 red', ['colour', 'width', 'height'])
    """

    def with_groups(command: Callable[..., Any]) -> Callable[..., Any]:
        options = {keyword: inspect.signature(group, eval_str=True).parameters for keyword, group in groups.items()}

        @functools.wraps(command)
        def called(**given: Any) -> Any:
            values = {
                keyword: groups[keyword](**{name: given.pop(name) for name in names if name in given})
                for keyword, names in options.items()
            }
            return command(**values, **given)

        signature = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            parameters += options[parameter.name].values() if parameter.name in options else [parameter]
        # Typer reads both.
        called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        return called

    return with_groups

"""The commands by name: each is imported when it is asked for, so that none needs the dependencies of another."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from .misuse import no_command

COMMANDS: dict[str, dict[str, Any]] = {
    "demo": {},
    "backends": {},
    "train": {},
    "tune": {},
    "predict": {},
    "evaluate": {},
    "inspect": {},
    "export": {},
    "gradcheck": {},
    "bench": {},
    "doctor": {},
    # What stands after the script belongs to the script.
    "accelerate": {"allow_interspersed_args": False, "ignore_unknown_options": True},
}
"""The settings of each command, which is the function of its name in the file of its name."""

MAY_BE_EMPTY = ("hidden", "arguments")
"""The parameters that may be an empty text: no hidden layer, and an argument of a script."""


def paragraphs(docstring: str) -> str:
    r"""Return a docstring whose paragraphs are a line each, for terminals of any width.

    >>> paragraphs("Train.\n\nColumns may\nhold text.")
    'Train.\n\nColumns may hold text.'
    """
    return "\n\n".join(" ".join(one.split()) for one in docstring.split("\n\n"))


class Commands(TyperGroup):
    """The group of all commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command and return it."""
        if cmd_name not in COMMANDS:
            return None
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        function = getattr(importlib.import_module(f"{__package__}.{cmd_name}"), cmd_name)
        in_words = paragraphs(inspect.getdoc(function) or "")
        single.command(cmd_name, cls=Command, help=in_words, context_settings=COMMANDS[cmd_name])(function)
        return typer.main.get_command(single)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the named command with its arguments; raise ValueError with the nearest name for an unknown one."""
        if not args[0].startswith("-") and args[0] not in COMMANDS:
            raise ValueError(no_command(args[0], list(COMMANDS)))
        return super().resolve_command(ctx, args)


class Command(TyperCommand):
    """A command that refuses empty texts, as unset variables of a shell leave them: as a path it would be a folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line."""
        try:
            given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        except Exception as error:
            # A parser does not always report its context, in which the command and its help are found.
            if getattr(error, "ctx", ctx) is None:
                error.ctx = ctx  # type: ignore[attr-defined]
            raise
        for parameter in self.params:
            values = given.get(str(parameter.name))
            if parameter.name not in MAY_BE_EMPTY and "" in (values if isinstance(values, list | tuple) else [values]):
                name = parameter.opts[0] if parameter.param_type_name == "option" else str(parameter.name).upper()
                raise ValueError(f"{name} is empty: say what it should be; see {ctx.command_path} --help")
        return super().parse_args(ctx, args)

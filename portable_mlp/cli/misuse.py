"""Messages about misuse of the command line: what is unknown, what was probably meant, and where help is."""

from __future__ import annotations

from typing import Any

from ..kernels.suggestions import nearest

PROGRAM = "portable-mlp"


def no_command(name: str, known: list[str]) -> str:
    """Return the message about a command that does not exist."""
    near = nearest(name, known)
    meant = f"did you mean {near}?" if near else f"the commands are {', '.join(known)}."
    return f"No such command: {name}; {meant} See {PROGRAM} --help"


def no_option(name: str, command: Any, path: str) -> str:
    """Return the message about an option that a command does not have; ``path`` is the text before it."""
    options = [option for parameter in command.params for option in parameter.opts if option.startswith("-")]
    near = nearest(name, [*options, "--help"])
    meant = f"did you mean {near}? See" if near else "see"
    return f"No such option: {name}; {meant} {path} --help"


def in_words(error: Any) -> str:
    """Return the message about one of Typer's errors, which share no public base in all its versions."""
    context = error.ctx
    path = PROGRAM if context is None else context.command_path
    name = getattr(error, "option_name", None)
    if context is not None and name is not None and hasattr(error, "possibilities"):
        return no_option(name, context.command, path)
    return f"{error.format_message().rstrip('.') or 'no command was given'}; see {path} --help"

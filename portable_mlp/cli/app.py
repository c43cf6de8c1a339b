"""The command line as a whole; every mistake of a user ends as one paragraph on stderr and exit code 2."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .. import __version__
from ..backends import BackendUnavailable
from ..exit_codes import CLOSED_PIPE, INTERRUPTED, TERMINATED, USERS_MISTAKE
from ..training.result import NonFiniteError
from .commands import Commands
from .misuse import PROGRAM, in_words
from .terminal import command_streams, echo

app = typer.Typer(
    name=PROGRAM,
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def portable_mlp(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Train small multi-layer perceptrons on NumPy, CuPy, PyTorch or JAX.

    Start with: portable-mlp demo
    """


def run(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code.

    0 done, 1 a check failed, 2 the user's mistake, 130 interrupted, 141 the output was closed, 143 terminated.
    """
    with command_streams():
        code = _ended(arguments)
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            return code or CLOSED_PIPE
        except OSError as error:
            return code or _mistake(_in_words(error))
    return code


def _ended(arguments: list[str] | None) -> int:
    """Run one command; report its error; return the exit code."""
    try:
        code = app(args=arguments, prog_name=PROGRAM, standalone_mode=False)
    except SystemExit as end:
        # Typer ends so, too, where whoever read our output has seen enough and closed the pipe.
        return TERMINATED if end.code == TERMINATED else CLOSED_PIPE
    except NonFiniteError as error:
        return _mistake(
            f"training diverged in epoch {error.epoch}, at batch {error.batch}: the loss or a parameter became "
            "infinite or NaN; a smaller --learning-rate may help; nothing was saved"
        )
    except (ValueError, OSError, BackendUnavailable, ImportError) as error:
        return _mistake(_in_words(error))
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if hasattr(error, "format_message"):
            return _mistake(in_words(error))
        if not _ran_out_of_memory(error):
            raise
        reason = next(iter(str(error).splitlines()), "there is no room for what was asked")
        return _mistake(f"memory ran out: {reason}")
    if code == INTERRUPTED:
        echo(f"{PROGRAM}: interrupted", err=True)
    return code if isinstance(code, int) else 0


def _ran_out_of_memory(error: Exception) -> bool:
    """Return whether memory was exhausted, which PyTorch and JAX report as a RuntimeError."""
    if isinstance(error, RuntimeError):
        return any(words in str(error) for words in ("allocate memory", "out of memory", "RESOURCE_EXHAUSTED"))
    return isinstance(error, MemoryError)


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _mistake(message: str) -> int:
    echo(f"{PROGRAM}: {' '.join(message.split())}", err=True)
    return USERS_MISTAKE

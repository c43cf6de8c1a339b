"""The commands put together, and the end of every mistake: one paragraph on stderr and exit code 2."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .. import __version__
from ..backends import BackendUnavailable
from ..training.interruption import TERMINATED
from ..training.result import NonFiniteError
from .accelerate import PASSED_ON, accelerate
from .backends import backends
from .bench import bench
from .demo import demo
from .doctor import doctor
from .export import export
from .gradcheck import gradcheck
from .inspect import inspect
from .predict import predict
from .scaling import scaling
from .terminal import say
from .train import train

USERS_MISTAKE = 2
INTERRUPTED = 130
CLOSED_PIPE = 141

app = typer.Typer(
    name="portable-mlp",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (demo, backends, train, predict, inspect, export, gradcheck, bench, scaling, doctor):
    app.command()(_command)
app.command(context_settings=PASSED_ON)(accelerate)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"portable-mlp {__version__}")
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
    try:
        code = app(args=arguments, standalone_mode=False)
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
        # Typer's own errors (an unknown option, a value of the wrong kind) share no public base in all its versions.
        if not hasattr(error, "format_message"):
            raise
        return _mistake(error.format_message() or "no command was given; see portable-mlp --help")
    if code == INTERRUPTED:
        sys.stderr.write("portable-mlp: interrupted\n")
    return code if isinstance(code, int) else 0


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _mistake(message: str) -> int:
    say(f"portable-mlp: {' '.join(message.split())}", err=True)
    return USERS_MISTAKE

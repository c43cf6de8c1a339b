"""``portable-mlp accelerate``: an unchanged script for scikit-learn, run with our estimators in place of its MLPs."""

from __future__ import annotations

import pathlib
import runpy
import sys
import traceback
from types import TracebackType
from typing import Annotated

import typer

from ..backends import get_backend
from ..backends.extras import install
from .misuse import no_option
from .options import BackendOption, DeviceOption
from .terminal import echo, streams_as_started


def accelerate(
    context: typer.Context,
    script: Annotated[pathlib.Path, typer.Argument(help="Python script that uses scikit-learn's MLPs.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="Passed on to the script.")] = None,
    backend: BackendOption = "auto",
    device: DeviceOption = None,
) -> None:
    """Run a script with scikit-learn's MLPClassifier and MLPRegressor replaced by portable_mlp's.

    Its grid and random searches, cross_validate and cross_val_score fit these models side by side, on NumPy.

    Options for this command stand before the script. Processes that the script starts import scikit-learn's own; models
    that it sends to them stay ours.

    Example: portable-mlp accelerate --backend cupy train_model.py data.csv
    """
    if str(script).startswith("-"):
        raise ValueError(no_option(str(script), context.command, context.command_path))
    if not script.is_file():
        raise ValueError(f"there is no script {script}")
    try:
        from ..estimators.replacement import in_place_of_sklearn
    except ModuleNotFoundError as error:
        raise ImportError(f"accelerate needs scikit-learn: {install('sklearn')}") from error
    chosen = get_backend(backend, device)
    echo(
        "portable-mlp: MLPClassifier and MLPRegressor of scikit-learn are replaced by portable_mlp's, which compute "
        f"with {chosen.name} on {chosen.device_name}",
        err=True,
    )
    # On NumPy they follow their inputs, as without this command.
    where = (None, None) if chosen.name == "numpy" else (chosen.name, chosen.device_name)
    with in_place_of_sklearn(*where):
        code = _run(str(script), arguments or [])
    raise typer.Exit(code)


def _run(script: str, arguments: list[str]) -> int:
    """Run a script as ``python script arguments`` does; return its exit code."""
    argv, first = sys.argv, sys.path[0]
    sys.argv, sys.path[0] = [script, *arguments], str(pathlib.Path(script).resolve().parent)
    try:
        with streams_as_started():
            runpy.run_path(script, run_name="__main__")
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        sys.stderr.write(f"{error.code}\n")
        return 1
    except Exception as error:
        traceback.print_exception(type(error), error, _from_script(error, script))
        return 1
    finally:
        sys.argv, sys.path[0] = argv, first
    return 0


def _from_script(error: Exception, script: str) -> TracebackType | None:
    """Return the traceback below the first frame of the script; None if it never ran, as after a syntax error."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != script:
        frames = frames.tb_next
    return frames

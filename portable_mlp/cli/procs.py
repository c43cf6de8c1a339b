"""``train --procs``: the same command on several processes, under a supervisor."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

import typer

from ..distributed.supervision.mpi_launcher import n_cores
from ..distributed.supervision.rank import RANK
from ..distributed.supervision.supervisor import Rules, supervise

ProcsOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="Train on N processes of this machine, supervised; auto: one for each core.",
        show_default="this one alone",
    ),
]
RestartsOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="With --procs and --checkpoint: how often to go on after a crash.",
        show_default=str(Rules().restarts),
    ),
]
TimeoutOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="With --procs: end processes that have not met for so long.",
        show_default=f"{Rules().timeout:g}",
    ),
]
OWN = {"procs", "restarts", "timeout"}
"""The options that are the supervisor's, and not the training's."""


def check_alone(restarts: int | None, timeout: float | None) -> None:
    """Raise ValueError if an option of the supervisor was given without it."""
    if restarts is not None or timeout is not None:
        raise ValueError("--restarts and --timeout are for several processes: --procs N")


def run_supervised(
    context: typer.Context, procs: str, restarts: int | None, timeout: float | None, checkpoint: pathlib.Path | None
) -> int:
    """Run the command that the context is of on several processes; return the exit code.

    Raises
    ------
    ValueError
        If an option cannot be meant so.
    BackendUnavailable
        If MPI is missing or cannot be used here.
    """
    if any(name in os.environ for name in RANK):
        raise ValueError("--procs starts the processes itself: leave out mpiexec, or --procs")
    if procs != "auto" and not (procs.isdecimal() and int(procs) >= 1):
        raise ValueError(f"--procs takes a number of processes, at least 1, or auto; got {procs!r}")
    if restarts is not None and checkpoint is None:
        raise ValueError("--restarts needs a folder to go on from: --checkpoint DIR")
    if timeout is not None and not timeout > 0:
        raise ValueError(f"--timeout takes seconds, more than 0; got {timeout:g}")
    usual = Rules()
    rules = Rules(
        timeout=usual.timeout if timeout is None else timeout,
        restarts=usual.restarts if restarts is None else restarts,
        checkpoint=checkpoint,
    )
    program, again = _program(context, context.params), _program(context, {**context.params, "resume": True})
    return supervise(program, again, n_cores() if procs == "auto" else int(procs), rules)


def _program(context: typer.Context, values: Mapping[str, Any]) -> list[str]:
    """Return what runs the command as a rank, with what it was given but for the supervisor's options."""
    options: list[str] = []
    arguments: list[str] = []
    for parameter in context.command.params:
        value = values.get(str(parameter.name))
        if parameter.name in OWN or value is None:
            continue
        if parameter.param_type_name == "argument":
            arguments.append(str(value))
        elif isinstance(value, bool):
            options += (parameter.opts if value else parameter.secondary_opts)[:1]
        else:
            options.append(f"{parameter.opts[0]}={value}")
    command = [sys.executable, "-m", "mpi4py", "-m", "portable_mlp", str(context.info_name)]
    return [*command, *options, "--", *arguments]

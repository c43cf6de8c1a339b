"""A command on several processes: in the group that mpiexec or srun started, or under the supervisor of ``--procs``."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, TypeAlias

import typer

from ..distributed.agreement import check_same_options
from ..distributed.parallel import parallel
from ..distributed.supervision.cores import n_cores
from ..distributed.supervision.mpi_environment import rank_started, started_by_mpi
from ..distributed.supervision.rank import RANK_VARIABLES
from ..distributed.supervision.supervisor import Rules, supervise
from .options import PROCESSES

ProcsOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="Train on N processes of this machine, supervised; auto: one for each core.",
        show_default="this one alone",
        rich_help_panel=PROCESSES,
    ),
]
RestartsOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="With --procs and --checkpoint: number of restarts after crashes.",
        show_default=str(Rules().restarts),
        rich_help_panel=PROCESSES,
    ),
]
TimeoutOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="With --procs: end processes that have not communicated for so long.",
        show_default=f"{Rules().timeout:g}",
        rich_help_panel=PROCESSES,
    ),
]
SUPERVISOR_OPTIONS = {"procs", "restarts", "timeout"}
"""The options of the supervisor, which the ranks are not given."""

RANK_OPTIONS = {
    "context": "no option",
    "data": "each rank may read a copy of its own; the samples are compared",
    "device": "each rank may have one of its own",
    "as_json": "rank 0 alone prints",
}
"""Options that each rank may be given differently, and why."""


def in_process_group(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that runs in the group of the processes that MPI started, with the option ``reproducible``."""

    @functools.wraps(command)
    def done(*, reproducible: bool, **options: Any) -> None:
        # With --procs the command is not a process of the group: it starts them, or refuses to.
        if options.get("procs") is None and started_by_mpi():
            _over_mpi(functools.partial(command, reproducible=reproducible, **options), reproducible, options)
            return
        with parallel("serial", reproducible=True) if reproducible else contextlib.nullcontext():
            command(reproducible=reproducible, **options)

    return done


def _over_mpi(command: Callable[[], None], reproducible: bool, options: Mapping[str, Any]) -> None:
    with rank_0_speaking(), parallel("mpi", reproducible=reproducible):
        check_same_options("the command", options, but=RANK_OPTIONS)
        command()


@contextlib.contextmanager
def rank_0_speaking() -> Iterator[None]:
    """Let the first of the processes that MPI started print and end with an error; the others do neither.

    All ranks raise what leaves a group: an exit code of another one could end rank 0 before it has printed the error.
    """
    if not started_by_mpi() or rank_started() == 0:
        yield
        return
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 -- until the process ends
    with contextlib.suppress(BaseException):
        yield


def check_alone(restarts: int | None, timeout: float | None) -> None:
    """Raise ValueError if an option of the supervisor was given without it."""
    if restarts is not None or timeout is not None:
        raise ValueError("--restarts and --timeout are for several processes: --procs N")


def run_supervised(
    context: typer.Context, procs: str, restarts: int | None, timeout: float | None, checkpoint: pathlib.Path | None
) -> int:
    """Run the command of the context on several processes under the supervisor; return the exit code.

    Raises
    ------
    ValueError
        If an option of the supervisor is out of range, or does not go with the others.
    BackendUnavailable
        If MPI is missing or cannot be used here.
    """
    check_not_started()
    n = n_processes(procs)
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
    return supervise(program, again, n, rules)


def check_not_started() -> None:
    """Raise ValueError if MPI started this process, which is to start others."""
    if any(name in os.environ for name in RANK_VARIABLES):
        raise ValueError("--procs starts the processes itself: leave out mpiexec, or --procs")


def n_processes(procs: str) -> int:
    """Return the number of processes that was typed; "auto" is one for each core.

    Raises
    ------
    ValueError
        If it is not one.
    """
    if procs == "auto":
        return n_cores()
    if not (procs.isdecimal() and int(procs) >= 1):
        raise ValueError(f"--procs takes a number of processes, at least 1, or auto; got {procs!r}")
    return int(procs)


def _program(context: typer.Context, values: Mapping[str, Any]) -> list[str]:
    """Return the program that runs the command as a rank, with all its options but the supervisor's."""
    options: list[str] = []
    arguments: list[str] = []
    for parameter in context.command.params:
        value = values.get(str(parameter.name))
        if parameter.name in SUPERVISOR_OPTIONS or value is None:
            continue
        if parameter.param_type_name == "argument":
            arguments.append(str(value))
        elif isinstance(value, bool):
            options += (parameter.opts if value else parameter.secondary_opts)[:1]
        else:
            several = isinstance(value, tuple | list)  # an option that may be repeated
            options += (f"{parameter.opts[0]}={one}" for one in (value if several else [value]))
    command = [sys.executable, "-m", "mpi4py", "-m", "portable_mlp", str(context.info_name)]
    return [*command, *options, "--", *arguments]

"""A command that mpiexec or srun started several times over: its processes do it together, and one of them talks."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ..distributed.agreement import check_same_options
from ..distributed.parallel import parallel
from ..distributed.supervision.launch import rank_started, started_by_mpi

MAY_DIFFER = {
    "context": "no option",
    "data": "each rank may read a copy of its own; the samples are compared",
    "device": "each rank may have one of its own",
    "as_json": "rank 0 alone prints",
}
"""Options that the ranks do not compare, and why."""


def together(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that trains in the group of its processes, and takes the option ``reproducible``."""

    @functools.wraps(command)
    def done(*, reproducible: bool, **options: Any) -> None:
        # With --procs the command is not a process of the group: it starts them, or says that it should not.
        if options.get("procs") is None and started_by_mpi():
            _over_mpi(functools.partial(command, reproducible=reproducible, **options), reproducible, options)
            return
        with parallel("serial", reproducible=True) if reproducible else contextlib.nullcontext():
            command(reproducible=reproducible, **options)

    return done


def _over_mpi(command: Callable[[], None], reproducible: bool, options: Mapping[str, Any]) -> None:
    rank = rank_started()
    try:
        with parallel("mpi", reproducible=reproducible):
            if rank != 0:
                # Until the process ends: rank 0 says what there is to say.
                sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
            check_same_options("the command", options, but=MAY_DIFFER)
            command()
    except BaseException:
        # What leaves the group is raised on all ranks; an exit code here could end rank 0 before it has said so.
        if rank == 0:
            raise

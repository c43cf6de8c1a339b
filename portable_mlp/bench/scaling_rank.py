"""What one process of a scaling run does: ``python -m portable_mlp.bench.scaling_rank TASK``, also under mpiexec.

TASK is a `Task` as JSON. The process that leads prints its answer, one line of JSON. All processes of a task take the
same number of steps: each of them waits for the others in every step.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .candidates import Candidate, ours_on
from .cases import Case
from .measurement import steps_a_turn, timed
from .peers import TorchEager

DTYPE = "float32"

N_FLOATS = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
"""Sizes of the all-reduces that are timed."""

FLOATS_A_TURN = 2**22
"""How many are added up in a turn, about: the more, the smaller they are at a time."""


class Task(NamedTuple):
    """What a process is to do.

    Attributes
    ----------
    engine : {"alone", "mpi", "gloo"}
        What joins it with others: nothing, `portable_mlp.parallel`, or PyTorch's DistributedDataParallel.
    case : Case or None
        The step to take, whose batch is that of all processes together; None for all-reduces.
    n_steps : int or None
        How many; None, for a process alone, as many as fill a turn.
    meeting : str
        A file that does not exist yet, by which PyTorch's processes find each other.
    """

    engine: str
    case: Case | None
    n_steps: int | None = None
    meeting: str = ""

    @classmethod
    def from_json(cls, text: str) -> Task:
        """Return the task that ``json.dumps`` made a text of."""
        engine, case, *rest = json.loads(text)
        return cls(engine, None if case is None else Case(case[0], tuple(case[1]), *case[2:]), *rest)


class TorchDistributed(TorchEager):
    """PyTorch's DistributedDataParallel as its users write it: each process has its rows of every batch."""

    def __init__(self, case: Case, dtype: str) -> None:
        super().__init__(case, dtype)
        self._processes = self._torch.distributed
        rank, size = self._processes.get_rank(), self._processes.get_world_size()
        self._batches = [(X[rank::size], y[rank::size]) for X, y in self._batches]

    def _start(self) -> tuple[Any, Any]:
        model, optimizer = super()._start()
        return self._torch.nn.parallel.DistributedDataParallel(model), optimizer

    def first_losses(self) -> list[float]:
        """Take one step for each batch, from the start; return the losses, means over all processes."""
        losses = self._torch.tensor(super().first_losses())
        self._processes.all_reduce(losses)
        return (losses / self._processes.get_world_size()).tolist()


def answer(task: Task) -> dict[str, Any] | None:
    """Do the task; return what came of it, on the process that leads."""
    with {"alone": _alone, "mpi": _with_mpi, "gloo": _with_gloo}[task.engine](task.meeting) as (leads, reduce):
        make = TorchDistributed if task.engine == "gloo" else ours_on("numpy")
        found = _all_reduces(reduce) if task.case is None else _steps(make(task.case, DTYPE), task.n_steps)
    return found if leads else None


def _steps(candidate: Candidate, n_steps: int | None) -> dict[str, Any]:
    losses = candidate.first_losses()
    if n_steps is None:
        n_steps = steps_a_turn(candidate.run, 1)
    candidate.run(n_steps // 4 + 1)  # warm
    return {"losses": losses, "n_steps": n_steps, "seconds": {"step": timed(candidate.run, n_steps) / n_steps}}


def _all_reduces(reduce: Callable[[int], Callable[[], Any]]) -> dict[str, Any]:
    """Return the seconds of an all-reduce of each size."""
    seconds: dict[str, float] = {}
    for n_floats in N_FLOATS:
        once = reduce(n_floats)
        n_times = max(10, min(1000, FLOATS_A_TURN // n_floats))

        def many(n_times: int, once: Callable[[], Any] = once) -> None:
            for _ in range(n_times):
                once()

        many(n_times // 4 + 1)
        seconds[str(n_floats)] = timed(many, n_times) / n_times
    return {"seconds": seconds}


Joined = tuple[bool, Callable[[int], Callable[[], Any]]]
"""Whether this process leads, and what makes an all-reduce of so many floats.

They are zeros, whose sums stay zeros however often they are added up; adding takes no less time for it.
"""


@contextlib.contextmanager
def _alone(_: str) -> Iterator[Joined]:
    yield True, lambda n_floats: lambda: None


@contextlib.contextmanager
def _with_mpi(_: str) -> Iterator[Joined]:
    from ..distributed.parallel import parallel

    with parallel("mpi") as group:

        def reduce(n_floats: int) -> Callable[[], Any]:
            message = np.zeros(n_floats, dtype=DTYPE)
            return lambda: group.summed(message)

        yield group.rank == 0, reduce


@contextlib.contextmanager
def _with_gloo(meeting: str) -> Iterator[Joined]:
    import torch
    from mpi4py import MPI  # started the processes, and has no other part in it

    rank, size = MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()
    torch.distributed.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=size)

    def reduce(n_floats: int) -> Callable[[], Any]:
        message = torch.zeros(n_floats)
        return lambda: torch.distributed.all_reduce(message)

    yield rank == 0, reduce
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    found = answer(Task.from_json(sys.argv[1]))
    if found is not None:
        print(json.dumps(found), flush=True)  # noqa: T201

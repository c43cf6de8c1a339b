"""One process of a scaling study: ``python -m scaling_study.rank TASK``, also under mpiexec.

TASK is a `Task` as JSON. Rank 0 prints its answer, one line of JSON.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from portable_mlp.bench.candidates import ours_on
from portable_mlp.bench.cases import RATE, Case
from portable_mlp.bench.measurement import timed
from portable_mlp.bench.peers import TorchEager
from portable_mlp.distributed.parallel import parallel

DTYPE = "float32"

N_FLOATS = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
"""Sizes of the all-reduces that are timed."""

AllReduce: TypeAlias = Callable[[int], Callable[[], Any]]
"""Makes an all-reduce of so many zeros, whose sums stay zeros; adding numbers takes no longer."""

STEPS_TO_WARM_UP = 10


class Task(NamedTuple):
    """The task of a process.

    Attributes
    ----------
    engine : {"alone", "mpi", "gloo"}
        Connection with other processes: none, `portable_mlp.parallel`, or PyTorch's DistributedDataParallel.
    case : Case or None
        Step to take, whose batch is that of all processes together; None for all-reduces.
    seconds : float
        Time of the steps, or of the all-reduces of one size, about.
    meeting : str
        Path of a file that does not exist yet, by which PyTorch's processes find each other.
    """

    engine: str
    case: Case | None
    seconds: float
    meeting: str = ""

    @classmethod
    def from_json(cls, text: str) -> Task:
        """Return the task that ``json.dumps`` made a text of."""
        engine, case, *rest = json.loads(text)
        return cls(engine, None if case is None else Case(case[0], tuple(case[1]), *case[2:]), *rest)


class Joined(NamedTuple):
    """The connection of a process with the others.

    Attributes
    ----------
    is_root : bool
        Whether this process is rank 0.
    agreed : callable
        ``agreed(n)`` returns the ``n`` of rank 0.
    ways : dict
        Functions that make an all-reduce, by name.
    """

    is_root: bool
    agreed: Callable[[int], int]
    ways: dict[str, AllReduce]


class TorchDistributed(TorchEager):
    """PyTorch's DistributedDataParallel as its users write it: each process has its rows of every batch."""

    def __init__(self, case: Case, dtype: str) -> None:
        super().__init__(case, dtype)
        self._processes = self._torch.distributed
        rank, size = self._processes.get_rank(), self._processes.get_world_size()
        self._batches = [(X[rank::size], y[rank::size]) for X, y in self._batches]

    def _start(self, rate: float = RATE) -> tuple[Any, Any]:
        model, optimizer = super()._start(rate)
        return self._torch.nn.parallel.DistributedDataParallel(model), optimizer

    def first_losses(self) -> list[float]:
        """Take one step for each batch, from the start; return the losses, means over all processes."""
        losses = self._torch.tensor(super().first_losses())
        self._processes.all_reduce(losses)
        return (losses / self._processes.get_world_size()).tolist()


def answer(task: Task) -> dict[str, Any] | None:
    """Do the task; return the answer on rank 0, None on the others."""
    with {"alone": _alone, "mpi": _with_mpi, "gloo": _with_gloo}[task.engine](task.meeting) as joined:
        found = _all_reduces(task, joined) if task.case is None else _steps(task, task.case, joined)
    return found if joined.is_root else None


def _steps(task: Task, case: Case, joined: Joined) -> dict[str, Any]:
    """Return the first losses, and the seconds of a step."""
    candidate = (TorchDistributed if task.engine == "gloo" else ours_on("numpy"))(case, DTYPE)
    losses = candidate.first_losses()
    return {"losses": losses, "seconds": {"step": _seconds_each(candidate.run, task.seconds, joined.agreed)}}


def _all_reduces(task: Task, joined: Joined) -> dict[str, Any]:
    """Return the seconds of an all-reduce in each way, of each size."""
    seconds = {}
    for name, make in joined.ways.items():
        for n_floats in N_FLOATS:
            run = functools.partial(_repeat, make(n_floats))
            seconds[f"{name} {n_floats}"] = _seconds_each(run, task.seconds, joined.agreed)
    return {"seconds": seconds}


def _repeat(call: Callable[[], Any], n_times: int) -> None:
    for _ in range(n_times):
        call()


def _seconds_each(run: Callable[[int], None], seconds: float, agreed: Callable[[int], int]) -> float:
    """Return the mean over so many that they take about that long, and are as many on every process."""
    run(STEPS_TO_WARM_UP)
    n_steps = agreed(math.ceil(STEPS_TO_WARM_UP * seconds / timed(run, STEPS_TO_WARM_UP)))
    return timed(run, n_steps) / n_steps


@contextlib.contextmanager
def _alone(_: str) -> Iterator[Joined]:
    yield Joined(True, lambda n: n, {})


@contextlib.contextmanager
def _with_mpi(_: str) -> Iterator[Joined]:
    from mpi4py import MPI

    def mpis(n_floats: int) -> Callable[[], Any]:
        message = np.zeros(n_floats, dtype=DTYPE)
        return lambda: MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, message)

    with parallel("mpi") as group:

        def steps(n_floats: int) -> Callable[[], Any]:
            message = np.zeros(n_floats, dtype=DTYPE)
            return lambda: group.summed(message)

        yield Joined(group.rank == 0, lambda n: group.on_root(lambda: n), {"mpi": mpis, "step": steps})


@contextlib.contextmanager
def _with_gloo(meeting: str) -> Iterator[Joined]:
    import torch
    from mpi4py import MPI  # started the processes, and has no other part in it

    rank, size = MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()
    torch.distributed.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=size)

    def gloos(n_floats: int) -> Callable[[], Any]:
        message = torch.zeros(n_floats)
        return lambda: torch.distributed.all_reduce(message)

    def agreed(n: int) -> int:
        number = torch.tensor([n])
        torch.distributed.broadcast(number, 0)
        return int(number)

    yield Joined(rank == 0, agreed, {"gloo": gloos})
    torch.distributed.barrier()  # who leaves early may end the other
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    found = answer(Task.from_json(sys.argv[1]))
    if found is not None:
        print(json.dumps(found), flush=True)  # noqa: T201

"""A small program of several processes: steps that meet in an all-reduce, states, a heartbeat, and faults on demand.

``worker.py JSON [--resume]``, with the keys of `Plan`. Rank 0 prints the result, which depends on every step.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
from mpi4py import MPI


class Plan(NamedTuple):
    folder: str  # for states, and notes on what happened
    n_steps: int = 60
    state_every: int = 10
    seconds_per_step: float = 0.0
    faults: Any = ()  # [start, rank, step, what]: start counts from 0, None is every start; rank None is each
    heartbeat: bool = True
    grandchild: bool = False  # rank 1 leaves a process in a session of its own
    noise: bool = False  # rank 1 prints, too
    deaf: bool = False  # requests to stop are not heard
    seconds_to_write: float = 0.0  # a state


def main() -> None:
    plan = Plan(**json.loads(sys.argv[1]))
    folder = pathlib.Path(plan.folder)
    comm = MPI.COMM_WORLD
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN if plan.deaf else note)
    start = len(list(folder.glob("start-*")))
    comm.Barrier()  # whoever sees the files knows that all ranks hear requests to stop
    if comm.rank == 0:
        (folder / f"start-{start}").write_text(" ".join(sys.argv[2:]))
    (folder / f"pid-{start}-{comm.rank}").write_text(str(os.getpid()))
    (folder / f"segments-{start}-{comm.rank}").write_text("\n".join(segments()))
    if comm.rank == 1 and plan.grandchild:
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
    if comm.rank == 1 and plan.noise:
        sys.stdout.write("noise of rank 1\n")
        sys.stdout.flush()
    step, value = newest(folder) if "--resume" in sys.argv else (0, np.zeros(1000))
    while step < plan.n_steps:
        for when, rank, at, what in plan.faults:
            if when in (None, start) and rank in (None, comm.rank) and at == step:
                fail(what)
        value = advance(comm, value, step)
        step += 1
        flag = np.array([0 if not asked else asked[0]])
        comm.Bcast(flag)  # rank 0 decides
        if comm.rank == 0:
            if plan.heartbeat and "PORTABLE_MLP_HEARTBEAT" in os.environ:
                os.utime(os.environ["PORTABLE_MLP_HEARTBEAT"])
            if step % plan.state_every == 0 or flag[0]:
                time.sleep(plan.seconds_to_write)
                write(folder, step, value)
        comm.Barrier()
        if flag[0]:
            sys.exit(128 + int(flag[0]))
        time.sleep(plan.seconds_per_step)
    if comm.rank == 0:
        sys.stdout.write(json.dumps({"steps": step, "value": value.sum().hex()}) + "\n")


def advance(comm: MPI.Comm, value: np.ndarray, step: int) -> np.ndarray:
    total = np.sin(value + comm.rank + step)
    comm.Allreduce(MPI.IN_PLACE, total)
    return value + total


def fail(what: str) -> None:
    if what == "exception":
        raise RuntimeError("this rank fails")
    if what == "mistake":
        sys.stderr.write("portable-mlp: no such column\n")
        sys.exit(2)
    os.kill(os.getpid(), getattr(signal, what))


def write(folder: pathlib.Path, step: int, value: np.ndarray) -> None:
    part = folder / "part"
    part.write_bytes(value.tobytes())
    part.rename(folder / f"step-{step:012d}.safetensors")


def newest(folder: pathlib.Path) -> tuple[int, np.ndarray]:
    path = max(folder.glob("step-*"))
    return int(path.stem.split("-")[1]), np.frombuffer(path.read_bytes())


def segments() -> set[str]:
    """Return the files of /dev/shm that this process uses and that are still there."""
    lines = pathlib.Path("/proc/self/maps").read_text().splitlines()
    names = {line.split(maxsplit=5)[-1] for line in lines if "/dev/shm/" in line}
    return {name for name in names if not name.endswith("(deleted)")}


if __name__ == "__main__":
    main()

"""The jobs of a scaling study: a setup of processes and the step that it takes.

Every turn is a job of fresh processes, which `rank` describes: its losses are compared with the same steps in
float64, then it is timed. So nothing of one job, neither threads nor memory, is there in the next.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from portable_mlp.bench.cases import Case
from portable_mlp.bench.measurement import TOLERANCE, wrong_losses
from portable_mlp.distributed.supervision.cores import THREADS
from portable_mlp.distributed.supervision.mpi_launcher import Launcher, find_launcher

from .rank import DTYPE, Task

FEWER_SAMPLES = (4, 16)
"""Divisors of the batch, for one process and one rank: small batches show the fixed time of a step."""

SECONDS_A_JOB = 300.0
"""The longest time of a job; one that takes longer hangs."""


FOLDER = Path(__file__).parents[1]
"""The working directory of the processes, in which ``python -m`` finds this package."""

KINDS = {"mpi": ("MPI rank", "MPI ranks"), "gloo": ("DDP process", "DDP processes")}


class Setup(NamedTuple):
    """The processes that take a step together.

    Attributes
    ----------
    engine : {"alone", "mpi", "gloo"}
        Engine that connects them, as in `Task`.
    n_ranks : int
        Number of processes.
    n_threads : int
        Number of BLAS threads of each process.
    """

    engine: str
    n_ranks: int = 1
    n_threads: int = 1

    @property
    def name(self) -> str:
        """The name of the setup in tables."""
        if self.engine == "alone":
            return f"1 process, {_number(self.n_threads, 'thread', 'threads')}"
        return _number(self.n_ranks, *KINDS[self.engine])


ALONE, RANK = Setup("alone"), Setup("mpi")
"""One process with one thread: as it is, and as the only rank."""


class Job(NamedTuple):
    """A setup and the case whose steps it takes; without a case, all-reduces of every size."""

    setup: Setup
    case: Case | None


def jobs_of(case: Case, most_ranks: int) -> list[Job]:
    """Return the jobs that are timed on a network: strong scaling on its batch, weak scaling on larger ones."""
    ranks = powers_of_two(most_ranks)
    jobs = []
    for n_ranks in ranks:
        larger = with_batch(case, case.batch_size * n_ranks)
        several = [Setup("alone", 1, most_ranks)] if most_ranks > 1 else []
        joined = ranks if n_ranks == 1 else (n_ranks,)
        setups = [ALONE, *several, *(Setup(engine, n) for engine in ("mpi", "gloo") for n in joined)]
        jobs += [Job(setup, larger) for setup in setups]
    fewer = [with_batch(case, case.batch_size // divisor) for divisor in FEWER_SAMPLES]
    return jobs + [Job(setup, few) for few in fewer for setup in (ALONE, RANK)]


def powers_of_two(most: int) -> tuple[int, ...]:
    """Return 1, 2, 4, ..., up to a number.

    >>> powers_of_two(6)
    (1, 2, 4)
    """
    return tuple(1 << i for i in range(most.bit_length()))


def launch(job: Job, seconds: float) -> dict[str, Any]:
    """Run a job in processes of its own, for about so many seconds of steps; return its answer.

    Raises
    ------
    RuntimeError
        If it ends without an answer, or hangs; with its last line.
    """
    setup = job.setup
    threads = dict.fromkeys(THREADS, str(setup.n_threads))
    with tempfile.TemporaryDirectory() as folder:
        task = json.dumps(Task(setup.engine, job.case, seconds, str(Path(folder) / "meeting")))
        # Under mpi4py an error in one process ends all of them.
        under = [] if setup.engine == "alone" else ["-m", "mpi4py"]
        command = [sys.executable, *under, "-m", f"{__package__}.rank", task]
        if under:
            command = [*_launcher().command(setup.n_ranks), *command]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=SECONDS_A_JOB, env=os.environ | threads, cwd=FOLDER
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"it did not end within {SECONDS_A_JOB:.0f} seconds") from None
    # Once it has answered it may end as it likes: PyTorch's processes now and then abort when they exit, and mpiexec
    # says so in many lines.
    answers = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not answers:
        raise RuntimeError(last_error(done.stderr) or f"it ended with exit code {done.returncode}")
    answer: dict[str, Any] = json.loads(answers[0])
    return answer


def last_error(text: str) -> str:
    r"""Return the last line of a text that reads like an exception's, else the last line.

    >>> last_error("Traceback ...\nValueError: no\nBAD TERMINATION")
    'ValueError: no'
    """
    lines = text.strip().splitlines() or [""]
    return next(
        (line for line in reversed(lines) if re.match(r"[\w.]+(Error|Exception|Unavailable): ", line)), lines[-1]
    )


@functools.cache
def _launcher() -> Launcher:
    return find_launcher()


def seconds_of(job: Job, expected: dict[Case, list[float]], seconds: float) -> dict[str, float]:
    """Run a job, and return its seconds if it has computed the right losses.

    Raises
    ------
    RuntimeError
        As `launch`, or if the losses are wrong.
    """
    answer = launch(job, seconds)
    if job.case is not None:
        wrong = wrong_losses(answer["losses"], expected[job.case], TOLERANCE[DTYPE])
        if wrong is not None:
            raise RuntimeError(wrong)
    found: dict[str, float] = answer["seconds"]
    return found


def with_batch(case: Case, batch_size: int) -> Case:
    """Return the case with another batch."""
    return case._replace(batch_size=batch_size)


def _number(n: int, one: str, several: str) -> str:
    return f"{n} {one if n == 1 else several}"

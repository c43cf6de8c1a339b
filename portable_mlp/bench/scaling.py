"""Strong and weak scaling: one process, MPI's ranks and PyTorch's processes, on the same networks, in turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..kernels.parameters import n_parameters
from .candidates import ours_on
from .cases import Case
from .scaling_jobs import ALONE, Job, Setup, jobs_of, launch, seconds_of, with_batch
from .scaling_model import Link, Model, fit_compute, fit_link
from .scaling_rank import N_FLOATS

CASES = (Case("40-128-64-5", (40, 128, 64, 5), 256), Case("40-256-256-5", (40, 256, 256, 5), 1024))
"""The batch is that of one process; with weak scaling each rank has as much."""

QUICK = CASES[:1]

BYTES_A_FLOAT = 4


class StepRow(NamedTuple):
    """A line of the table of steps.

    Attributes
    ----------
    network : str
        Its sizes.
    batch_size : int
        Samples of a step, of all ranks together.
    who : str
        What people call the setup.
    engine : str
        Its engine.
    n_ranks : int
        Its processes.
    microseconds : float or None
        Of a step, the median over the rounds; None if it was not timed.
    speed_up : float or None
        Over one process with one thread, on the same batch: strong scaling.
    efficiency : float or None
        The time of one process with one thread on a rank's share of the batch, over this one: weak scaling. None of a
        process with several threads.
    modelled : float or None
        Microseconds that the model says, of one process with one thread and of MPI's ranks.
    """

    network: str
    batch_size: int
    who: str
    engine: str
    n_ranks: int
    microseconds: float | None = None
    speed_up: float | None = None
    efficiency: float | None = None
    modelled: float | None = None


class ReduceRow(NamedTuple):
    """A line of the table of all-reduces, by two ranks.

    Attributes
    ----------
    n_floats : int
        How many float32 each rank adds.
    mpi, gloo : float or None
        Microseconds, the median over the rounds; None if it was not timed.
    """

    n_floats: int
    mpi: float | None
    gloo: float | None


class Measured(NamedTuple):
    """What was found.

    Attributes
    ----------
    steps : list of StepRow
        Steps.
    reduces : list of ReduceRow
        All-reduces.
    models : dict
        The model of each network's training on this machine, by its sizes; empty where MPI could not be timed.
    problems : dict
        By what people call a setup, why some of its jobs were not timed.
    """

    steps: list[StepRow]
    reduces: list[ReduceRow]
    models: dict[str, Model]
    problems: dict[str, str]


def measure_scaling(
    cases: Sequence[Case], most_ranks: int, *, rounds: int, turns: int, tell: Callable[[str], None]
) -> Measured:
    """Time steps and all-reduces, and fit the model to them.

    Parameters
    ----------
    cases : sequence of Case
        Networks, and the batch that one process has.
    most_ranks : int
        Up to so many, in powers of two.
    rounds : int
        Jobs of each kind.
    turns : int
        How many times longer than a turn of `portable-mlp bench` the steps of a job take.
    tell : callable
        Told, in words, how far it is.

    Raises
    ------
    RuntimeError
        If not even a process alone takes a step.
    """
    steps = [job for case in cases for job in jobs_of(case, most_ranks)]
    reduces = [Job(Setup(engine, 2), None) for engine in ("mpi", "gloo")]
    all_cases = dict.fromkeys(job.case for job in steps if job.case is not None)
    expected = {case: ours_on("numpy")(case, "float64").first_losses() for case in all_cases}
    tell("how many steps fill a turn?")
    n_steps = {case: turns * launch(Job(ALONE, case), None)["n_steps"] for case in all_cases}
    seconds: dict[tuple[Job, str], list[float]] = {}
    problems: dict[Job, str] = {}
    for i in range(rounds):
        tell(f"round {i + 1} of {rounds}")
        for job in (job for job in (*steps, *reduces) if job not in problems):
            try:
                found = seconds_of(job, expected, n_steps)
            except RuntimeError as error:
                problems[job] = str(error)
                continue
            for what, time in found.items():
                seconds.setdefault((job, what), []).append(time)
    medians = {key: statistics.median(times) for key, times in seconds.items() if key[0] not in problems}
    return summary(steps, medians, {job.setup.name: problem for job, problem in problems.items()})


def summary(jobs: Sequence[Job], medians: dict[tuple[Job, str], float], problems: dict[str, str]) -> Measured:
    """Return the tables and the models.

    Parameters
    ----------
    jobs : sequence of Job
        Those of steps.
    medians : dict
        Seconds, by job and what it timed: "step", or the number of floats of an all-reduce.
    problems : dict
        As in `Measured`.
    """
    found = {(job.setup.engine, what): 1e6 * time for (job, what), time in medians.items() if job.case is None}
    reduces = [ReduceRow(n, found.get(("mpi", str(n))), found.get(("gloo", str(n)))) for n in N_FLOATS]
    times = {job: time for (job, _), time in medians.items() if job.case is not None}
    models = _models(times, [(row.n_floats, 1e-6 * row.mpi) for row in reduces if row.mpi is not None])
    return Measured([_step_row(job, times, models) for job in jobs], reduces, models, problems)


def _models(times: dict[Job, float], all_reduces: list[tuple[int, float]]) -> dict[str, Model]:
    """Return a model of each network, fitted to one process with one thread, and to MPI's all-reduces."""
    if not all_reduces:
        return {}
    link = fit_link([BYTES_A_FLOAT * n for n, _ in all_reduces], [time for _, time in all_reduces])
    models = {}
    for case in dict.fromkeys(job.case for job in times if job.case is not None):
        alone = [
            (job.case.batch_size, times[job]) for job in times if job.setup == ALONE and job.case.name == case.name
        ]
        # The loss travels with the gradients.
        n_bytes = BYTES_A_FLOAT * (n_parameters(case.sizes) + 1)
        models[case.name] = Model(fit_compute(*zip(*alone, strict=True)), link, n_bytes)
    return models


def _step_row(job: Job, times: dict[Job, float], models: dict[str, Model]) -> StepRow:
    setup, case = job
    assert case is not None
    row = StepRow(case.name, case.batch_size, setup.name, setup.engine, setup.n_ranks)
    time = times.get(job)
    if time is None:
        return row
    base, share = (times.get(Job(ALONE, with_batch(case, case.batch_size // n))) for n in (1, setup.n_ranks))
    is_modelled = case.name in models and setup.engine != "gloo" and setup.n_threads == 1
    return row._replace(
        microseconds=1e6 * time,
        speed_up=None if base is None else base / time,
        efficiency=None if share is None or setup.n_threads > 1 else share / time,
        modelled=1e6 * models[case.name].step(case.batch_size, setup.n_ranks) if is_modelled else None,
    )

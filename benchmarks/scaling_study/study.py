"""Strong and weak scaling: one process, MPI's ranks and PyTorch's processes, on the same networks, in turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from portable_mlp.bench.candidates import ours_on
from portable_mlp.bench.cases import Case
from portable_mlp.bench.trust import spread
from portable_mlp.kernels.parameters import n_parameters

from .jobs import ALONE, RANK, Job, Setup, jobs_of, seconds_of, with_batch
from .model import Model, fit_compute, fit_link
from .rank import N_FLOATS

CASES = (Case("40-128-64-5", (40, 128, 64, 5), 256), Case("40-256-256-5", (40, 256, 256, 5), 1024))
"""The batch is that of one process; with weak scaling each rank has as much."""

QUICK = CASES[:1]

BYTES_A_FLOAT = 4


class StepRow(NamedTuple):
    """A line of the table of steps.

    Attributes
    ----------
    network : str
        Sizes of its layers.
    batch_size : int
        Number of samples of a step, of all ranks together.
    who : str
        Name of the setup in tables.
    engine : {"alone", "mpi", "gloo"}
        Engine of the setup, as in `Task`.
    n_ranks : int
        Number of processes of the setup.
    microseconds : float or None
        Time of a step, the median over the rounds; None if it was not timed.
    speed_up : float or None
        Strong scaling: time of one process with one thread on the same batch, over this one.
    efficiency : float or None
        Weak scaling: time of one process with one thread on a rank's share of the batch, over this one.
    modelled : float or None
        Microseconds by the model, for one process with one thread and for MPI's ranks.
    spread : float or None
        Time of the slowest round over that of the fastest.
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
    spread: float | None = None


class ReduceRow(NamedTuple):
    """A line of the table of all-reduces, by two ranks.

    Attributes
    ----------
    n_floats : int
        Number of float32 that each rank adds.
    mpi, step, gloo : float or None
        Microseconds of MPI's own, of the one in a training step, and of PyTorch's gloo; the median over the rounds,
        None if it was not timed.
    spread : float or None
        Time of the slowest round over that of the fastest, the largest of the three.
    """

    n_floats: int
    mpi: float | None
    step: float | None
    gloo: float | None
    spread: float | None = None


class Measured(NamedTuple):
    """The results of a study.

    Attributes
    ----------
    steps : list of StepRow
        Lines of the table of steps.
    reduces : list of ReduceRow
        Lines of the table of all-reduces.
    models : dict
        Model of each network's training on this machine, by its sizes; none where MPI could not be timed.
    problems : dict
        By name of a setup: the reason why its job failed in a round; the medians are those of the other rounds.
    """

    steps: list[StepRow]
    reduces: list[ReduceRow]
    models: dict[str, Model]
    problems: dict[str, str]


def measure_scaling(
    cases: Sequence[Case], most_ranks: int, *, rounds: int, seconds: float, tell: Callable[[str], None]
) -> Measured:
    """Time steps and all-reduces, and fit the model to them.

    Parameters
    ----------
    cases : sequence of Case
        Networks, and the batch of one process.
    most_ranks : int
        Largest number of ranks; powers of two up to it are timed.
    rounds : int
        Number of times that each job runs.
    seconds : float
        Time of the steps of a job, about.
    tell : callable
        ``tell(text)`` reports the progress.
    """
    steps = [job for case in cases for job in jobs_of(case, most_ranks)]
    reduces = [Job(Setup(engine, 2), None) for engine in ("mpi", "gloo")]
    all_cases = dict.fromkeys(job.case for job in steps if job.case is not None)
    expected = {case: ours_on("numpy")(case, "float64").first_losses() for case in all_cases}
    times: dict[tuple[Job, str], list[float]] = {}
    problems: dict[str, str] = {}
    for i in range(1, rounds + 1):
        tell(f"round {i} of {rounds}")
        for job in (*steps, *reduces):
            try:
                found = seconds_of(job, expected, seconds)
            except RuntimeError as error:
                problems[job.setup.name] = f"not in round {i}: {error}"
                continue
            for what, time in found.items():
                times.setdefault((job, what), []).append(time)
    medians = {key: statistics.median(of_rounds) for key, of_rounds in times.items()}
    return summary(steps, medians, problems, {key: spread(of_rounds) for key, of_rounds in times.items()})


def summary(
    jobs: Sequence[Job],
    medians: dict[tuple[Job, str], float],
    problems: dict[str, str],
    spreads: Mapping[tuple[Job, str], float] = MappingProxyType({}),
) -> Measured:
    """Return the tables and the models.

    Parameters
    ----------
    jobs : sequence of Job
        Jobs of the table of steps.
    medians : dict
        Seconds, by job and what it timed: "step", or the way of an all-reduce and its floats, such as "mpi 1000".
    problems : dict
        Failures by setup, as in `Measured`.
    spreads : mapping
        By the keys of the medians: time of the slowest round over that of the fastest.
    """
    found = {what: 1e6 * time for (job, what), time in medians.items() if job.case is None}
    of_reduces = {what: one for (job, what), one in spreads.items() if job.case is None}
    reduces = [_reduce_row(n, found, of_reduces) for n in N_FLOATS]
    times = {(job.setup, job.case): time for (job, _), time in medians.items() if job.case is not None}
    models = _models(times, [(row.n_floats, 1e-6 * row.mpi) for row in reduces if row.mpi is not None])
    rows = [_step_row(job, times, models)._replace(spread=spreads.get((job, "step"))) for job in jobs]
    return Measured(rows, reduces, models, problems)


def _reduce_row(n_floats: int, found: Mapping[str, float], spreads: Mapping[str, float]) -> ReduceRow:
    ways = [f"{way} {n_floats}" for way in ("mpi", "step", "gloo")]
    mpi, step, gloo = map(found.get, ways)
    return ReduceRow(n_floats, mpi, step, gloo, max((spreads[way] for way in ways if way in spreads), default=None))


def _models(times: dict[tuple[Setup, Case], float], all_reduces: list[tuple[int, float]]) -> dict[str, Model]:
    """Return a model of each network of which both one process and one rank, and MPI's all-reduces, were timed."""
    models = {}
    for name, sizes in dict.fromkeys((case.name, case.sizes) for _, case in times):
        of_process, of_rank = (
            [(case.batch_size, time) for (setup, case), time in times.items() if (setup, case.name) == (wanted, name)]
            for wanted in (ALONE, RANK)
        )
        if of_process and of_rank and all_reduces:
            link = fit_link([(BYTES_A_FLOAT * n, time) for n, time in all_reduces])
            # The loss travels with the gradients.
            n_bytes = BYTES_A_FLOAT * (n_parameters(sizes) + 1)
            models[name] = Model(fit_compute(of_process), fit_compute(of_rank), link, n_bytes)
    return models


def _step_row(job: Job, times: dict[tuple[Setup, Case], float], models: dict[str, Model]) -> StepRow:
    setup, case = job
    assert case is not None
    row = StepRow(case.name, case.batch_size, setup.name, setup.engine, setup.n_ranks)
    time = times.get((setup, case))
    if time is None:
        return row
    base, share = (times.get((ALONE, with_batch(case, case.batch_size // n))) for n in (1, setup.n_ranks))
    modelled = None
    if case.name in models and setup == ALONE:
        modelled = 1e6 * models[case.name].alone.step(case.batch_size)
    elif case.name in models and setup.engine == "mpi":
        modelled = 1e6 * models[case.name].step(case.batch_size, setup.n_ranks)
    return row._replace(
        microseconds=1e6 * time,
        speed_up=None if base is None else base / time,
        efficiency=None if share is None or setup.n_ranks == 1 else share / time,
        modelled=modelled,
    )

"""The scaling benchmark: its jobs run for real, its ratios by hand, its tables and its picture."""

import io
import json
import pathlib
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scaling
from rich.console import Console
from scaling_study import jobs as jobs_module
from scaling_study import report, study
from scaling_study.jobs import ALONE, RANK, Job, Setup, jobs_of, launch, seconds_of
from scaling_study.model import ASSUMPTIONS, Compute, Forecast, Link, forecast
from scaling_study.rank import N_FLOATS, Task, answer
from scaling_study.study import Measured, summary

from portable_mlp.bench import machine
from portable_mlp.bench.candidates import ours_on
from portable_mlp.bench.cases import Case
from portable_mlp.bench.measurement import wrong_losses
from portable_mlp.distributed.supervision import mpi_launcher
from tests.selection import rarely

TINY = Case("6-9-5-4", (6, 9, 5, 4), 16)
N_PARAMETERS = 6 * 9 + 9 + 9 * 5 + 5 + 5 * 4 + 4


def test_the_jobs() -> None:
    jobs = [(job.setup.name, job.case.batch_size) for job in jobs_of(TINY, 2) if job.case is not None]
    same = [
        "1 process, 1 thread",
        "1 process, 2 threads",
        "1 MPI rank",
        "2 MPI ranks",
        "1 DDP process",
        "2 DDP processes",
    ]
    larger = ["1 process, 1 thread", "1 process, 2 threads", "2 MPI ranks", "2 DDP processes"]
    fewer = [(who, size) for size in (4, 1) for who in ("1 process, 1 thread", "1 MPI rank")]
    assert jobs == [*((who, 16) for who in same), *((who, 32) for who in larger), *fewer]
    assert {job.setup.n_ranks for job in jobs_of(TINY, 6)} == {1, 2, 4}


def made_up(rank: Compute, alone: Compute, link: Link) -> dict[tuple[Job, str], float]:
    """Return the times of a machine that obeys the model, and where all else takes a hundred times as long."""
    medians: dict[tuple[Job, str], float] = {}
    for job in jobs_of(TINY, 2):
        assert job.case is not None
        n_samples = job.case.batch_size // job.setup.n_ranks
        time = rank.step(n_samples) + link.all_reduce(4 * (N_PARAMETERS + 1), job.setup.n_ranks)
        known = {ALONE: alone.step(n_samples), RANK: time, Setup("mpi", 2): time}
        medians[job, "step"] = known.get(job.setup, 100 * time)
    for n in N_FLOATS:
        medians[Job(Setup("mpi", 2), None), f"mpi {n}"] = link.all_reduce(4 * n, 2)
        medians[Job(Setup("mpi", 2), None), f"step {n}"] = 2 * link.all_reduce(4 * n, 2)
        medians[Job(Setup("gloo", 2), None), f"gloo {n}"] = 3 * link.all_reduce(4 * n, 2)
    return medians


RANK_COMPUTES, ALONE_COMPUTES, LINK = Compute(30e-6, 2e-6), Compute(20e-6, 2e-6), Link(2e-6, 1e-9)


def measured() -> Measured:
    return summary(jobs_of(TINY, 2), made_up(RANK_COMPUTES, ALONE_COMPUTES, LINK), {})


def test_speed_up_is_over_one_process_and_efficiency_over_its_share() -> None:
    rows = {(row.who, row.batch_size): row for row in measured().steps}
    message = 2 + 1e-3 * 4 * (N_PARAMETERS + 1)
    alone, two = rows["1 process, 1 thread", 16], rows["2 MPI ranks", 16]
    assert (alone.microseconds, alone.speed_up) == pytest.approx((52, 1))
    assert two.microseconds == pytest.approx(46 + message)
    assert two.speed_up == pytest.approx(52 / (46 + message))
    assert two.efficiency is None  # 8 samples were not timed on one process
    weak = rows["2 MPI ranks", 32]
    assert weak.speed_up == pytest.approx(84 / (62 + message))
    assert weak.efficiency == pytest.approx(52 / (62 + message))
    assert alone.efficiency is rows["1 process, 2 threads", 32].efficiency is None
    assert rows["2 DDP processes", 32].efficiency == pytest.approx(52 / (6200 + 100 * message))


def test_the_model_is_fitted_to_one_process_one_rank_and_mpi() -> None:
    found = measured()
    (model,) = found.models.values()
    assert model.alone == pytest.approx(ALONE_COMPUTES)
    assert model.rank == pytest.approx(RANK_COMPUTES)
    assert model.link == pytest.approx(LINK)
    assert model.n_bytes == 4 * (N_PARAMETERS + 1)
    for row in found.steps:
        if row.engine == "mpi" or row.who == "1 process, 1 thread":
            assert row.modelled == pytest.approx(row.microseconds)
        else:
            assert row.modelled is None
    assert [(row.mpi, row.step, row.gloo) for row in found.reduces[:1]] == [pytest.approx((2.004, 4.008, 6.012))]


def without_mpi() -> Measured:
    medians = {
        (job, what): time
        for (job, what), time in made_up(RANK_COMPUTES, ALONE_COMPUTES, LINK).items()
        if job.setup.engine != "mpi"
    }
    return summary(jobs_of(TINY, 2), medians, {"2 MPI ranks": "not in round 1: it is missing"})


def with_a_gap() -> Measured:
    medians = made_up(RANK_COMPUTES, ALONE_COMPUTES, LINK)
    del medians[Job(Setup("mpi", 2), TINY), "step"]
    return summary(jobs_of(TINY, 2), medians, {})


def reported(found: Measured, link: Link | None = None) -> tuple[Measured, list[Forecast], str]:
    """Return what tables and picture are made of, with the network's own speed or a given one."""
    forecasts = [
        forecast(name, 16, model if link is None else model._replace(link=link)) for name, model in found.models.items()
    ]
    return found, forecasts, report.network_of(forecasts, given=link is not None)


def text_of(found: Measured, link: Link | None = None) -> str:
    console = Console(file=io.StringIO(), width=80)
    for table in report.tables(*reported(found, link)):
        console.print(table)
    return console.file.getvalue()


@pytest.mark.parametrize("found", [with_a_gap, *rarely(measured, without_mpi)])
def test_the_picture_is_drawn(found: Callable[[], Measured]) -> None:
    assert report.picture(*reported(found())).startswith(b"\x89PNG")


def test_the_tables_say_what_is_a_model_and_of_which_network() -> None:
    text = text_of(measured())
    assert "A model, not a measurement. Network: this machine's shared memory, 2 µs and 1" in " ".join(text.split())
    for assumption in ASSUMPTIONS:
        assert assumption in " ".join(text.split())
    assert "2 DDP processes" in text
    assert "1,024" in text
    assert "Network: as given, 50 µs and 1.25 GB/s" in " ".join(text_of(measured(), Link(50e-6, 0.8e-9)).split())


def test_without_mpi_there_is_no_model() -> None:
    found = without_mpi()
    assert found.models == {}
    text = text_of(found)
    assert text.count("not here") == 5 + 2 * len(N_FLOATS)
    assert "model, not" not in text


def test_rounds_take_turns_and_one_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Job] = []

    def seconds_of_a_round(job: Job, expected: dict[Case, list[float]], seconds: float) -> dict[str, float]:
        n_before = seen.count(job)
        seen.append(job)
        if job.setup.engine == "gloo" and n_before == 1:
            raise RuntimeError("killed")
        return {"step": (5.0, 1.0, 3.0)[n_before]} if job.case is not None else {"mpi 1": 1e-6}

    monkeypatch.setattr(study, "seconds_of", seconds_of_a_round)
    told: list[str] = []
    found = study.measure_scaling([TINY], 2, rounds=3, seconds=0.1, tell=told.append)
    assert told == ["round 1 of 3", "round 2 of 3", "round 3 of 3"]
    a_round = len(seen) // 3
    assert seen == 3 * seen[:a_round]
    assert {row.engine: row.microseconds for row in found.steps} == {"alone": 3e6, "mpi": 3e6, "gloo": 4e6}
    assert found.problems["2 DDP processes"] == "not in round 2: killed"
    assert found.reduces[0].mpi == pytest.approx(1.0)
    assert {row.engine: row.spread for row in found.steps} == {"alone": 5.0, "mpi": 5.0, "gloo": 5.0 / 3.0}
    assert found.reduces[0].spread == 1.0


def test_figures_whose_rounds_disagree_are_marked() -> None:
    jobs, medians = jobs_of(TINY, 2), made_up(RANK_COMPUTES, ALONE_COMPUTES, LINK)
    spreads = {
        **dict.fromkeys(medians, 1.2),
        (jobs[0], "step"): 1.6,
        (Job(Setup("gloo", 2), None), f"gloo {N_FLOATS[0]}"): 9.0,
    }
    assert text_of(summary(jobs, medians, {}, spreads)).count("~") == 2
    assert text_of(summary(jobs, medians, {})).count("~") == 0


def test_a_setup_that_could_not_be_timed_leaves_a_gap() -> None:
    assert text_of(with_a_gap()).count("not here") == 1


def test_a_process_alone_takes_the_steps_of_the_candidate() -> None:
    found = answer(Task.from_json(json.dumps(Task("alone", TINY, 0.001))))
    assert found is not None
    assert found["seconds"]["step"] > 0
    np.testing.assert_allclose(found["losses"], ours_on("numpy")(TINY, "float64").first_losses(), rtol=1e-5)


@pytest.mark.parametrize("losses", [[1.0, 2.1], [1.0, float("nan")], [float("nan"), 2.0]])
def test_wrong_losses_are_not_timed(losses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrong_losses([1.0, 2.0], [1.0, 2.0], 1e-4) is None
    monkeypatch.setattr(jobs_module, "launch", lambda job, seconds: {"losses": losses, "seconds": {"step": 1.0}})
    with pytest.raises(RuntimeError, match="away from float64: not timed"):
        seconds_of(Job(RANK, TINY), {TINY: [1.0, 2.0]}, 0.1)


@pytest.mark.parametrize("setup", [ALONE, Setup("mpi", 2)], ids=lambda setup: setup.name)
def test_a_job_that_fails_says_why(setup: Setup) -> None:
    with pytest.raises(RuntimeError, match="ValueError: sizes must"):
        launch(Job(setup, TINY._replace(sizes=(6,))), 0.001)


def test_a_job_may_abort_once_it_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    complaint = "\n====\n=   BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES\n"
    ended = subprocess.CompletedProcess([], 6, '{"seconds": {"step": 1.0}}\n' + complaint, "terminate called")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    assert launch(Job(Setup("gloo", 2), TINY), 0.001) == {"seconds": {"step": 1.0}}
    ended.stdout, ended.stderr = complaint, ""
    with pytest.raises(RuntimeError, match="it ended with exit code 6"):
        launch(Job(Setup("gloo", 2), TINY), 0.001)


def test_a_job_that_hangs_or_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "SECONDS_A_JOB", 0.01)
    with pytest.raises(RuntimeError, match="it did not end within 0 seconds"):
        launch(Job(ALONE, TINY), 0.001)
    jobs_module._launcher.cache_clear()
    monkeypatch.setattr(mpi_launcher, "mpiexec_path", lambda: None)
    with pytest.raises(RuntimeError, match=r"mpiexec, .* is neither beside .* pip install \"\.\[mpi\]\""):
        launch(Job(RANK, TINY), 0.001)


@pytest.mark.thorough
def test_the_command(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Everything for real: one process, MPI's ranks, PyTorch's processes, all-reduces."""
    monkeypatch.setattr(scaling, "QUICK", (TINY,))
    monkeypatch.setattr(scaling, "QUICK_ROUNDS", 1)
    monkeypatch.setattr(scaling, "QUICK_SECONDS", 0.001)
    monkeypatch.setattr(scaling, "MOST_RANKS", 2)
    figures_file, picture = tmp_path / "figures.json", tmp_path / "scaling.png"
    options = ["--json", str(figures_file), "--plot", str(picture), "--latency", "50", "--bandwidth", "1.25"]
    monkeypatch.setattr(machine, "busy_cores", lambda: 1.2)
    scaling.main(["--quick", *options])
    out, err = capfd.readouterr()
    assert err.count("other programs have kept 1.2 of ") == 2
    assert err.index("have kept") < err.index("round 1") < err.rindex("have kept")
    assert "2 DDP processes" in out
    assert "round 1 of 1" in err
    assert picture.read_bytes().startswith(b"\x89PNG")
    figures: dict[str, Any] = json.loads(figures_file.read_text())
    assert figures["problems"] == {}
    assert len(figures["steps"]) == len(jobs_of(TINY, 2))
    assert all(row["microseconds"] > 0 for row in figures["steps"])
    assert all(min(row.values()) > 0 for row in figures["all_reduces"])
    assert figures["machine"]["cores"] >= 1
    assert "have kept" in figures["reservations"][0]
    assert figures["model"]["network"] == "as given, 50 µs and 1.25 GB/s"
    (outlook,) = figures["model"]["forecasts"]
    assert outlook["model"]["link"] == pytest.approx({"microseconds_an_exchange": 50, "nanoseconds_a_byte": 0.8})
    assert len(outlook["efficiency"]) == 11


def test_mistakes(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    in_no_folder = str(tmp_path / "no" / "f.json")
    mistakes = [("--latency", "0"), ("--bandwidth", "-1"), ("--json", in_no_folder), ("--json", ""), ("--plot", "")]
    for option, value in [*mistakes, ("--json", "x.csv")]:
        with pytest.raises(SystemExit, match="2"):
            scaling.main([option, value])
        assert option in capfd.readouterr().err

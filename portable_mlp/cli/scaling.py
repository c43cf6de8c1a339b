"""``portable-mlp scaling``: data-parallel training on this machine, and a model of it on many."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from ..bench.cases import Case
from ..bench.machine import machine
from ..bench.scaling import CASES, QUICK, Measured, measure_scaling
from ..bench.scaling_model import ASSUMPTIONS, Forecast, Link, forecast
from ..bench.trust import busy, reservations
from . import scaling_report
from .bench import FileOption, check_reports, write
from .pictures import load_matplotlib
from .terminal import say

QUICK_ROUNDS, ROUNDS = 3, 5
QUICK_SECONDS, SECONDS = 0.05, 0.5
MOST_RANKS = 8
"""Here: with more of them a machine's memory is what is measured."""


def scaling(
    quick: Annotated[bool, typer.Option("--quick", help="The small network, short turns.")] = False,
    json_file: Annotated[FileOption, typer.Option("--json", help="File for all figures.", show_default="none")] = None,
    plot: Annotated[FileOption, typer.Option(help="File for a picture, .png.", show_default="none")] = None,
    latency: Annotated[
        float | None,
        typer.Option(help="Of your network, for the model: µs of an exchange.", show_default="this machine's"),
    ] = None,
    bandwidth: Annotated[
        float | None,
        typer.Option(help="Of your network, for the model: GB/s between two ranks.", show_default="this machine's"),
    ] = None,
) -> None:
    """Time data-parallel steps over MPI on this machine, and model them on up to 1,024 ranks.

    One process with one BLAS thread and with several, MPI's ranks and PyTorch's DistributedDataParallel take turns on
    the same steps, each compared with float64 before its time counts. Close other programs first: ranks that wait for
    each other keep their cores busy.
    """
    check_reports(json_file, plot)
    for option, number in {"--latency": latency, "--bandwidth": bandwidth}.items():
        if number is not None and not number > 0:
            raise ValueError(f"{option} must be greater than 0, got {number:g}")
    if plot:
        load_matplotlib()
    facts = machine()
    for sentence in busy(facts):
        say(f"portable-mlp: {sentence}", err=True)
    cases = QUICK if quick else CASES
    measured = measure_scaling(
        cases,
        min(MOST_RANKS, max(2, facts["cores"])),
        rounds=QUICK_ROUNDS if quick else ROUNDS,
        seconds=QUICK_SECONDS if quick else SECONDS,
        tell=lambda words: say(words, err=True),
    )
    for who, problem in measured.problems.items():
        say(f"{who}: {problem}", err=True)
    forecasts = _forecasts(measured, cases, latency, bandwidth)
    network = scaling_report.network_of(forecasts, given=latency is not None or bandwidth is not None)
    for table in scaling_report.tables(measured, forecasts, network):
        Console().print(table)
    doubts = reservations(facts, [*(row.spread for row in measured.steps), *(row.spread for row in measured.reduces)])
    for sentence in doubts:
        say(f"portable-mlp: {sentence}", err=True)
    figures = {
        "machine": facts,
        "reservations": doubts,
        "steps": [row._asdict() for row in measured.steps],
        "all_reduces": [row._asdict() for row in measured.reduces],
        "problems": measured.problems,
        "model": {"network": network, "assumptions": ASSUMPTIONS, "forecasts": list(map(_figures, forecasts))},
    }
    write(json_file, json.dumps(figures, indent=2) + "\n")
    write(plot, scaling_report.picture(measured, forecasts, network) if plot else b"")


def _forecasts(
    measured: Measured, cases: Sequence[Case], latency: float | None, bandwidth: float | None
) -> list[Forecast]:
    """Return what the models say, of the measured network or of one that is given (microseconds, GB/s)."""
    forecasts = []
    for case in cases:
        if case.name in measured.models:
            model = measured.models[case.name]
            link = Link(
                model.link.latency if latency is None else 1e-6 * latency,
                model.link.per_byte if bandwidth is None else 1e-9 / bandwidth,
            )
            forecasts.append(forecast(case.name, case.batch_size, model._replace(link=link)))
    return forecasts


def _figures(outlook: Forecast) -> dict[str, Any]:
    """Return a forecast as JSON says it, with what it is made of."""
    alone, rank, link, n_bytes = outlook.model
    return {
        **outlook._asdict(),
        "model": {
            "alone": {"microseconds_a_step": 1e6 * alone.fixed, "microseconds_a_sample": 1e6 * alone.per_sample},
            "rank": {"microseconds_a_step": 1e6 * rank.fixed, "microseconds_a_sample": 1e6 * rank.per_sample},
            "link": {"microseconds_an_exchange": 1e6 * link.latency, "nanoseconds_a_byte": 1e9 * link.per_byte},
            "bytes_a_step": n_bytes,
        },
    }

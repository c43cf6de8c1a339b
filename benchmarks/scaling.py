"""The scaling study: ``python benchmarks/scaling.py [--quick]`` times steps of several processes.

One process with one BLAS thread and with several, MPI's ranks and PyTorch's DistributedDataParallel take turns on the
same steps, each compared with float64 before its time counts. A model of a few constants, fitted to these times, says
what up to 1,024 ranks would take. Close other programs first: ranks that wait for each other keep their cores busy.
"""

import argparse
import functools
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from scaling_study import report
from scaling_study.model import ASSUMPTIONS, Forecast, Link, forecast
from scaling_study.study import CASES, QUICK, Measured, measure_scaling

from portable_mlp.bench.cases import Case
from portable_mlp.bench.machine import machine
from portable_mlp.bench.trust import busy, reservations
from portable_mlp.cli.output_files import check_reports, write_file
from portable_mlp.cli.pictures import load_matplotlib
from portable_mlp.cli.terminal import echo

QUICK_ROUNDS, ROUNDS = 3, 5
QUICK_SECONDS, SECONDS = 0.05, 0.5
MOST_RANKS = 8
"""Here: with more of them a machine's memory is what is measured."""


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = parsed(arguments)
    facts = machine()
    for sentence in busy(facts):
        echo(sentence, err=True)
    cases = QUICK if chosen.quick else CASES
    measured = measure_scaling(
        cases,
        min(MOST_RANKS, max(2, facts["cores"])),
        rounds=QUICK_ROUNDS if chosen.quick else ROUNDS,
        seconds=QUICK_SECONDS if chosen.quick else SECONDS,
        tell=functools.partial(echo, err=True),
    )
    for setup, problem in measured.problems.items():
        echo(f"{setup}: {problem}", err=True)
    forecasts = forecasts_of(measured, cases, chosen.latency, chosen.bandwidth)
    network = report.network_of(forecasts, given=chosen.latency is not None or chosen.bandwidth is not None)
    for table in report.tables(measured, forecasts, network):
        Console().print(table)
    doubts = reservations(facts, [*(row.spread for row in measured.steps), *(row.spread for row in measured.reduces)])
    for sentence in doubts:
        echo(sentence, err=True)
    figures = {
        "machine": facts,
        "reservations": doubts,
        "steps": [row._asdict() for row in measured.steps],
        "all_reduces": [row._asdict() for row in measured.reduces],
        "problems": measured.problems,
        "model": {"network": network, "assumptions": ASSUMPTIONS, "forecasts": list(map(figures_of, forecasts))},
    }
    write_file(chosen.json, json.dumps(figures, indent=2) + "\n")
    write_file(chosen.plot, report.picture(measured, forecasts, network) if chosen.plot else b"")


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small network, short turns")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="for all figures")
    parser.add_argument("--plot", type=pathlib.Path, metavar="FILE", help="for a picture, .png")
    here = "of your network, for the model; by default this machine's"
    parser.add_argument("--latency", type=float, metavar="µs", help=f"of an exchange {here}")
    parser.add_argument("--bandwidth", type=float, metavar="GB/s", help=f"between two ranks {here}")
    chosen = parser.parse_args(arguments)
    try:
        check_reports(chosen.json, chosen.plot)
        for option, number in {"--latency": chosen.latency, "--bandwidth": chosen.bandwidth}.items():
            if number is not None and not number > 0:
                raise ValueError(f"{option} must be greater than 0, got {number:g}")
        if chosen.plot:
            load_matplotlib()
    except (ValueError, ImportError) as error:
        parser.error(str(error))
    return chosen


def forecasts_of(
    measured: Measured, cases: Sequence[Case], latency: float | None, bandwidth: float | None
) -> list[Forecast]:
    """Return the forecasts of the models, for the measured network or for a given one (microseconds, GB/s)."""
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


def figures_of(outlook: Forecast) -> dict[str, Any]:
    """Return a forecast and its constants as JSON values."""
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


if __name__ == "__main__":
    main()

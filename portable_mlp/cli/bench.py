"""``portable-mlp bench``: the time of a training step on this machine, beside the peers and the GEMM floor."""

from __future__ import annotations

import json
import pathlib
from typing import Annotated, TypeAlias

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from .. import backends
from ..bench.candidates import TIMED_OPTIMIZERS, Make, ours_on
from ..bench.cases import CASES, QUICK, SWEEP
from ..bench.machine import advice, machine
from ..bench.measurement import Row, measure
from ..bench.peers import peers
from ..bench.trust import busy, reservations
from ..kernels.options import check_choice
from ..kernels.parameters import DTYPES
from . import bench_report
from .output_files import check_reports, write_file
from .pictures import load_matplotlib
from .terminal import echo

QUICK_ROUNDS, ROUNDS = 3, 7

FileOption: TypeAlias = pathlib.Path | None


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="The four smaller cases, fewer rounds.")] = False,
    json_file: Annotated[FileOption, typer.Option("--json", help="File for all figures.", show_default="none")] = None,
    plot: Annotated[FileOption, typer.Option(help="File for a picture, .png.", show_default="none")] = None,
    html: Annotated[FileOption, typer.Option(help="File for one page with everything.", show_default="none")] = None,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    solver: Annotated[str, typer.Option(help="adam or sgd.")] = "adam",
) -> None:
    """Time a training step on every array library here, in turns with PyTorch, JAX and scikit-learn.

    Every candidate is compared with the same steps in float64 before its time counts. "floor" is the time of the matrix
    products alone, with NumPy. Close other programs first: a busy core makes every figure worthless.
    """
    if dtype not in DTYPES:
        raise ValueError(f"--dtype must be float32 or float64, got {dtype}")
    check_choice("--solver", solver, tuple(TIMED_OPTIMIZERS))
    check_reports(json_file, plot, html)
    if plot or html:
        load_matplotlib()
    ours: dict[str, Make | str] = {
        info.name: ours_on(info.name) if info.available else str(info.reason) for info in backends()
    }
    facts = machine() | {"solver": solver}
    for sentence in (*advice(facts), *busy(facts)):
        echo(f"portable-mlp: {sentence}", err=True)
    rounds = QUICK_ROUNDS if quick else ROUNDS
    rows: list[Row] = []
    with Live(_table_of_results(rows), console=Console(), auto_refresh=False) as live:
        for case in QUICK if quick else CASES:
            for row in measure(case._replace(solver=solver), dtype, ours | peers(), rounds):
                rows.append(row)
                live.update(_table_of_results(rows), refresh=True)
    for name, reason in {row.candidate: row.problem for row in rows if row.problem}.items():
        echo(f"{name}: {reason}", err=True)
    sweep: list[Row] = []
    for sentence in reservations(facts, [row.spread for row in rows]):
        echo(f"portable-mlp: {sentence}", err=True)
    if plot or html:
        echo("now the batch sizes, for the picture ...", err=True)
        sweep = [
            row
            for case in SWEEP
            for row in measure(case._replace(solver=solver), dtype, ours, rounds)
            if row.problem is None
        ]
    doubts = reservations(facts, [row.spread for row in (*rows, *sweep)])
    figures = {"machine": facts, "reservations": doubts, "rows": [row._asdict() for row in (*rows, *sweep)]}
    write_file(json_file, json.dumps(figures, indent=2) + "\n")
    write_file(plot, bench_report.picture(rows, sweep) if plot else b"")
    write_file(html, bench_report.page(rows, sweep, facts, doubts) if html else "")


def _table_of_results(rows: list[Row]) -> Table:
    table = Table(*bench_report.HEADINGS)
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*bench_report.cells(rows, row))
    return table

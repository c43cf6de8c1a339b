"""``portable-mlp bench``: what a training step costs on this machine, beside the peers and the floor."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import platform
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from .. import __version__, backends
from ..bench.candidates import Make, ours_on
from ..bench.cases import CASES, QUICK
from ..bench.measurement import Row, measure
from ..bench.peers import PEERS, peers
from .files import check_writable

QUICK_ROUNDS, ROUNDS = 3, 7


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="The three smaller cases, fewer rounds.")] = False,
    json_file: Annotated[
        pathlib.Path | None, typer.Option("--json", help="File to write all figures to.", show_default="none")
    ] = None,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
) -> None:
    """Time a training step on every array library here, in turns with PyTorch, JAX and scikit-learn.

    Every candidate is compared with the same steps in float64 before its time counts. "floor" is the time of the matrix
    products alone, with NumPy. Close other programs first: a busy core makes every figure worthless.
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f"--dtype must be float32 or float64, got {dtype}")
    if json_file is not None:
        check_writable("--json", json_file, sources=())
    makes: dict[str, Make | str] = {
        info.name: ours_on(info.name) if info.available else str(info.reason) for info in backends()
    }
    rows: list[Row] = []
    with Live(
        _table(rows), console=Console(stderr=json_file is None and not _is_terminal()), auto_refresh=False
    ) as live:
        for case in QUICK if quick else CASES:
            for row in measure(case, dtype, makes | peers(), QUICK_ROUNDS if quick else ROUNDS):
                rows.append(row)
                live.update(_table(rows), refresh=True)
    for name, reason in {row.candidate: row.problem for row in rows if row.problem}.items():
        typer.echo(f"{name}: {reason}", err=True)
    if json_file is not None:
        json_file.write_text(
            json.dumps({"machine": machine(), "rows": [row._asdict() for row in rows]}, indent=2) + "\n"
        )
        typer.echo(f"figures written to {json_file}", err=True)


def machine() -> dict[str, Any]:
    """Return what the figures were taken on."""
    versions = {info.name: info.version for info in backends() if info.version}
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "portable_mlp": __version__,
        "python": platform.python_version(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": {name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")},
        "versions": versions,
    }


def _cpu() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _is_terminal() -> bool:
    return Console().is_terminal


def _table(rows: Iterable[Row]) -> Table:
    table = Table("case", "candidate", "µs a step", "samples/s", "of the floor", "of the best peer")
    for column in table.columns[2:]:
        column.justify = "right"
    rows = list(rows)
    for row in rows:
        if row.microseconds is None or row.of_floor is None:
            table.add_row(row.case, row.candidate, "not here" if row.problem else "-", "", "", "")
            continue
        best = min(
            (
                peer.microseconds
                for peer in rows
                if peer.case == row.case and peer.candidate in PEERS and peer.microseconds
            ),
            default=None,
        )
        ratio = f"{row.microseconds / best:.2f}" if best and row.candidate != "floor" else ""
        speed = f"{row.samples_per_second:,.0f}" if row.candidate != "floor" else ""
        table.add_row(row.case, row.candidate, f"{row.microseconds:,.1f}", speed, f"{row.of_floor:.2f}", ratio)
    return table

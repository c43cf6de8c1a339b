"""``portable-mlp doctor``: a report on what works on this machine, and why the rest does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..backends import BackendUnavailable, backends
from ..backends.gpu import gpu_info
from ..bench.agreement import Agreement, agreements
from ..bench.machine import advice, machine
from ..distributed.all_reduce_latency import measure_all_reduce
from ..distributed.supervision.cores import busy_cores, doubt, n_cores
from ..distributed.supervision.mpi_launcher import find_launcher
from ..exit_codes import CHECK_FAILED
from .options import JsonOption, print_json
from .terminal import echo


def doctor(as_json: JsonOption = False) -> None:
    """Look this machine over: MPI, GPUs, and whether every array library computes what NumPy does.

    Ends with exit code 1 if a library disagrees by more than rounding explains; what is not installed is no failure.
    """
    facts = machine()
    examined = {"machine": facts, "mpi": _or_problem(_mpi), "gpu": _or_problem(lambda: gpu_info()._asdict())}
    found = list(agreements())
    missing = {info.name: info.reason for info in backends() if not info.available}
    if as_json:
        results = [{**one._asdict(), "agrees": one.agrees} for one in found]
        print_json({**examined, "backends": results, "unavailable": missing, "advice": advice(facts)})
    else:
        console = Console()
        console.print(_table_of_facts(_lines(examined)))
        console.print(_agreement(found))
        # Below the tables, unwrapped: a command must stay whole to be copied.
        sentences = [*_problems(examined, found), *map(str, missing.values()), *advice(facts)]
        for sentence in dict.fromkeys(sentences):
            echo(sentence)
    if not all(one.agrees for one in found):
        raise typer.Exit(CHECK_FAILED)


def _mpi() -> dict[str, Any]:
    """Return facts about MPI on this machine, among them the time in which two processes add up an array."""
    launcher = find_launcher()
    return {
        "library": launcher.library,
        "mpiexec": launcher.path,
        "flags": launcher.flags(),
        "processes": n_cores(),
        "doubt": doubt(n_cores(), n_cores(), busy_cores()),
        "all_reduce": _or_problem(lambda: measure_all_reduce(launcher)._asdict()),
    }


def _or_problem(examine: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what ``examine`` returns, or the problem that it raises."""
    try:
        return examine()
    except (BackendUnavailable, OSError) as error:
        return {"problem": str(error)}


def _lines(examined: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the lines of the table: a name and a text."""
    facts, mpi, gpu = examined["machine"], examined["mpi"], examined["gpu"]
    yield "portable_mlp", f"{facts['portable_mlp']}, Python {facts['python']}"
    yield "processor", f"{facts['cpu']}, {facts['cores']} cores"
    if "blas" in facts:
        yield "BLAS", " ".join(str(value) for name, value in facts["blas"].items() if name != "num_threads")
    if "problem" in mpi:
        yield "MPI", "no"
    else:
        yield "MPI", mpi["library"]
        yield "mpiexec", " ".join([mpi["mpiexec"], *mpi["flags"]])
        yield "processes", f"up to {mpi['processes']} (--procs auto)"
        yield "all-reduce", _all_reduce(mpi["all_reduce"])
    if "problem" in gpu:
        yield "GPU", "no"
    else:
        yield "GPU", ", ".join(gpu["names"])
        yield "CUDA", f"{gpu['cuda']}, driver for {gpu['driver']}, NCCL {gpu['nccl'] or 'not found'}"


def _all_reduce(measured: dict[str, Any]) -> str:
    if "problem" in measured:
        return "failed"
    return f"{measured['microseconds']:g} µs for {measured['floats']:,} floats on {measured['ranks']} processes"


def _problems(examined: dict[str, Any], found: list[Agreement]) -> Iterator[str]:
    """Yield the problems found, each a sentence."""
    mpi = examined["mpi"]
    for part in (mpi, mpi.get("all_reduce", {}), examined["gpu"]):
        if "problem" in part:
            yield part["problem"]
    if mpi.get("doubt"):
        yield mpi["doubt"]
    for one in found:
        if one.problem is not None:
            yield f"{one.backend} on {one.device} in {one.dtype}: {one.problem}"


def _table_of_facts(lines: Iterator[tuple[str, str]]) -> Table:
    table = Table(show_header=False)
    for name, text in lines:
        table.add_row(name, Text(text))
    return table


def _agreement(found: list[Agreement]) -> Table:
    table = Table(
        *("backend", "device", "dtype", "gradient", "training", "agrees"),
        title="largest relative difference from NumPy in float64",
    )
    for one in found:
        verdict = Text("yes", style="green") if one.agrees else Text("NO", style="red")
        differences = ("-" if x is None else f"{x:.1e}" for x in (one.gradient, one.training))
        table.add_row(one.backend, one.device, one.dtype, *differences, verdict)
    return table

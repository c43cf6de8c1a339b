"""The figures of ``benchmarks/scaling.py`` as tables, and as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from portable_mlp.bench.trust import mark
from portable_mlp.cli.pictures import load_matplotlib, png

from .model import ASSUMPTIONS, Forecast
from .study import BYTES_A_FLOAT, Measured, StepRow

STEPS = ("who", "batch", "µs", "speed-up", "efficiency", "model, µs")
LEGEND = (
    "Threads are BLAS's; ranks and DDP (PyTorch's DistributedDataParallel over gloo) have one each. The batch is that "
    "of all together. Speed-up: over one process with one thread on the same batch. Efficiency: the time of that "
    "process on a rank's share of the batch, over this."
)
REDUCES = ("floats", "MPI, µs", "in a step, µs", "gloo, µs", "model, µs")


def network_of(forecasts: Sequence[Forecast], *, given: bool) -> str:
    """Return, in words, which network forecasts are of."""
    if not forecasts:
        return "none: MPI was not timed"
    link = forecasts[0].model.link
    source = "as given" if given else "this machine's shared memory"
    return f"{source}, {1e6 * link.latency:.3g} µs and {link.gigabytes_per_second:.3g} GB/s"


def tables(measured: Measured, forecasts: Sequence[Forecast], network: str) -> Iterator[Table]:
    """Yield the tables of what was measured, and of what the model says."""
    for name in dict.fromkeys(row.network for row in measured.steps):
        yield _step_table(name, [row for row in measured.steps if row.network == name])
    link = next((model.link for model in measured.models.values()), None)
    table = _table("An all-reduce of two ranks here", REDUCES)
    for row in measured.reduces:
        modelled = None if link is None else 1e6 * link.all_reduce(BYTES_A_FLOAT * row.n_floats, 2)
        times = (_said(time, ",.1f", "not here") for time in (row.mpi, row.step, row.gloo))
        table.add_row(f"{row.n_floats:,}{mark(row.spread)}", *times, _said(modelled, ",.1f"))
    yield table
    if forecasts:
        yield _forecast_table(forecasts, network)


def _step_table(network: str, rows: Sequence[StepRow]) -> Table:
    table = _table(f"A training step of {network} here", STEPS, n_words=1)
    table.caption = LEGEND
    table.columns[0].no_wrap = True
    for row in rows:
        ratios = (_said(row.speed_up, ".2f"), _said(row.efficiency, ".2f"))
        times = (_said(row.microseconds, ",.1f", "not here"), _said(row.modelled, ",.1f"))
        table.add_row(row.who, f"{row.batch_size:,}", times[0] + mark(row.spread), *ratios, times[1])
    return table


def _forecast_table(forecasts: Sequence[Forecast], network: str) -> Table:
    headings = [
        f"{outlook.network}, {what} {outlook.batch_size}"
        for outlook in forecasts
        for what in ("speed-up, batch", "efficiency, batch a rank")
    ]
    table = _table(f"A model, not a measurement. Network: {network}", ("ranks", *headings))
    table.caption = f"It assumes that {'; '.join(ASSUMPTIONS)}."
    for i, n_ranks in enumerate(forecasts[0].ranks):
        cells = []
        for outlook in forecasts:
            speed_up = outlook.speed_up[i] if i < len(outlook.speed_up) else None
            cells += [_said(speed_up, ".1f"), _said(outlook.efficiency[i], ".2f")]
        table.add_row(f"{n_ranks:,}", *cells)
    return table


def _table(title: str, headings: Sequence[str], n_words: int = 0) -> Table:
    table = Table(*headings, title=title)
    for column in table.columns[n_words:]:
        column.justify = "right"
    return table


def _said(number: float | None, form: str, otherwise: str = "") -> str:
    return otherwise if number is None else format(number, form)


def picture(measured: Measured, forecasts: Sequence[Forecast], network: str) -> bytes:
    """Return a PNG: all-reduces as measured, and what the model says of up to 1,024 ranks, with what was measured."""
    figure = load_matplotlib()(figsize=(15, 6), layout="constrained")
    reduces, strong, weak = figure.subplots(1, 3)
    _draw_reduces(reduces, measured)
    _draw_forecasts(strong, weak, measured, forecasts)
    figure.suptitle(
        f"Middle and right: lines are a MODEL, not a measurement; dots are measured here. Network: {network}"
    )
    figure.supxlabel(f"The model assumes that {'; '.join(ASSUMPTIONS)}.", fontsize=8, wrap=True)
    return png(figure)


def _draw_reduces(axes: Any, measured: Measured) -> None:
    for label, way in (("MPI", "mpi"), ("in a step", "step"), ("PyTorch gloo", "gloo")):
        rows = [row for row in measured.reduces if getattr(row, way) is not None]
        axes.loglog([row.n_floats for row in rows], [getattr(row, way) for row in rows], "o", label=label)
    sizes = [10 ** (i / 8) for i in range(8 * len(measured.reduces) - 7)]
    for model in list(measured.models.values())[:1]:
        times = [1e6 * model.link.all_reduce(int(BYTES_A_FLOAT * n), 2) for n in sizes]
        axes.loglog(sizes, times, label="model, fitted to MPI")
    axes.set(xlabel="float32 numbers", ylabel="µs", title="an all-reduce of two ranks, measured here")
    axes.legend(fontsize=8)
    axes.grid(which="both", alpha=0.3)


def _draw_forecasts(strong: Any, weak: Any, measured: Measured, forecasts: Sequence[Forecast]) -> None:
    for outlook in forecasts:
        n_points = len(outlook.speed_up)
        label = f"{outlook.network}, batch {outlook.batch_size}"
        (line,) = strong.loglog(outlook.ranks[:n_points], outlook.speed_up, label=label)
        weak.semilogx(outlook.ranks, outlook.efficiency, color=line.get_color(), label=f"{label} a rank")
        rows = [row for row in measured.steps if row.network == outlook.network and row.engine == "mpi"]
        dots = {"marker": "o", "linestyle": "none", "color": line.get_color()}
        same = [row for row in rows if row.batch_size == outlook.batch_size]
        strong.loglog([row.n_ranks for row in same], [row.speed_up for row in same], **dots)
        larger = [row for row in rows if row.n_ranks > 1 and row.batch_size == outlook.batch_size * row.n_ranks]
        weak.semilogx([row.n_ranks for row in larger], [row.efficiency for row in larger], **dots)
    for ideal in forecasts[:1]:
        strong.loglog(ideal.ranks, ideal.ranks, "k:", linewidth=1, label="ideal")
    strong.set(xlabel="ranks", ylabel="times as fast as one", title="strong scaling: the same batch, shared")
    weak.set(xlabel="ranks", ylabel="efficiency", title="weak scaling: a batch for each rank")
    weak.set_ylim(bottom=0)
    for axes in (strong, weak):
        if forecasts:
            axes.legend(fontsize=8)
        axes.grid(which="both", alpha=0.3)

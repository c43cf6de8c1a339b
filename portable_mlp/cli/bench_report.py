"""The figures of ``portable-mlp bench`` as a picture, and as one page that needs nothing but a browser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..bench.measurement import Row
from ..bench.peers import PEERS
from ..bench.trust import mark
from ..html_parts import escaped, html_cell, html_row, html_table
from .html_page import document, image
from .pictures import load_matplotlib, png

FLOOR = "floor"
HEADINGS = ("case", "candidate", "µs a step", "samples/s", "of the floor", "of the best peer")

# A click sorts by a column: numbers as numbers, a second click the other way round.
SORTING = """
document.querySelectorAll("th").forEach((heading, column) => heading.addEventListener("click", () => {
  const body = heading.closest("table").tBodies[0];
  const up = heading.dataset.up = heading.dataset.up === "1" ? "0" : "1";
  const key = row => { const cell = row.cells[column]; const n = parseFloat(cell.dataset.n);
                       return isNaN(n) ? cell.textContent : n; };
  [...body.rows].sort((a, b) => {
    const x = key(a), y = key(b);
    const order = typeof x === typeof y ? (x > y) - (x < y) : typeof x === "number" ? -1 : 1;
    return up === "1" ? order : -order;
  }).forEach(row => body.append(row));
}));
"""

STYLE = """
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
th { cursor: pointer; position: sticky; top: 0; }
tr.ours td { font-weight: 600; }
dt { font-weight: 600; float: left; clear: left; width: 9rem; }
dd { margin: 0 0 .2rem 9.5rem; }
"""


def best_peer(rows: Sequence[Row], case: str) -> float | None:
    """Return the microseconds of the fastest peer in a case, None where none was timed."""
    times = [row.microseconds for row in rows if row.case == case and row.candidate in PEERS]
    return min((time for time in times if time is not None), default=None)


def cells(rows: Sequence[Row], row: Row) -> list[str]:
    """Return a row as text, in the order of ``HEADINGS``."""
    if row.microseconds is None or row.of_floor is None or row.samples_per_second is None:
        return [row.case, row.candidate, "not here", "", "", ""]
    best = best_peer(rows, row.case)
    is_floor = row.candidate == FLOOR
    return [
        row.case,
        row.candidate,
        f"{row.microseconds:,.1f}{mark(row.spread)}",
        "" if is_floor else f"{row.samples_per_second:,.0f}",
        f"{row.of_floor:.2f}",
        "" if is_floor or best is None else f"{row.microseconds / best:.2f}",
    ]


def picture(rows: Sequence[Row], sweep: Sequence[Row]) -> bytes:
    """Return a PNG: the distance of each candidate to the floor, and throughput over batch size for each backend."""
    figure = load_matplotlib()(figsize=(13, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_distance(left, rows)
    _draw_throughput(right, sweep)
    return png(figure)


def _draw_distance(axes: Any, rows: Sequence[Row]) -> None:
    timed = [row for row in rows if row.of_floor is not None and row.candidate != FLOOR]
    cases = list(dict.fromkeys(row.case for row in timed))
    names = list(dict.fromkeys(row.candidate for row in timed))
    width = 0.8 / max(len(names), 1)
    for i, name in enumerate(names):
        mine = [row for row in timed if row.candidate == name]
        places = [cases.index(row.case) + (i - (len(names) - 1) / 2) * width for row in mine]
        axes.bar(places, [row.of_floor for row in mine], width, label=name, hatch="//" if name in PEERS else None)
    axes.axhline(1.0, color="black", linewidth=1)
    axes.set_xticks(range(len(cases)), cases)
    axes.set(yscale="log", ylabel="time of a step / time of its matrix products", title="distance to the floor")
    axes.legend(title="hatched: peers", fontsize=8)
    axes.grid(axis="y", which="both", alpha=0.3)


def _draw_throughput(axes: Any, sweep: Sequence[Row]) -> None:
    timed = [row for row in sweep if row.samples_per_second is not None and row.candidate != FLOOR]
    for name in dict.fromkeys(row.candidate for row in timed):
        mine = [row for row in timed if row.candidate == name]
        axes.loglog([row.batch_size for row in mine], [row.samples_per_second for row in mine], "o-", label=name)
    axes.set(xlabel="batch size", ylabel="samples/s", title="784-128-10")
    axes.legend(fontsize=8)
    axes.grid(which="both", alpha=0.3)


def page(rows: Sequence[Row], sweep: Sequence[Row], machine: dict[str, Any], reservations: Sequence[str] = ()) -> str:
    """Return a page of HTML: reservations, a picture, and tables that a click on a heading sorts."""
    drawn = image(
        picture(rows, sweep),
        "Distance to the floor for each case and candidate; throughput over batch size for each backend",
    )
    facts = "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(_fact(value))}</dd>" for name, value in machine.items())
    body = f"""<h1>A training step on this machine</h1>
<p>ReLU, softmax; the optimizer is named at the end. Every candidate was compared with the same steps in float64 before
its time counted; they ran in turns, and each figure is a median. "floor" is the time of the matrix products alone, with
NumPy. Click a heading to sort.</p>
{"".join(f"<p><strong>{escaped(sentence)}.</strong></p>" for sentence in reservations)}
{drawn}
{_html_table(rows)}
<h2>Throughput over batch size</h2>
{_html_table(sweep)}
<h2>Taken on</h2>
<dl>{facts}</dl>
"""
    return document("portable_mlp: a training step on this machine", STYLE, body, SORTING)


def _html_table(rows: Sequence[Row]) -> str:
    return html_table(HEADINGS, (_html_row(rows, row) for row in rows))


def _html_row(rows: Sequence[Row], row: Row) -> str:
    kind = "" if row.candidate in PEERS or row.candidate == FLOOR else "ours"
    columns = (html_cell(text, data_n=text.replace(",", ""), title=row.problem or "") for text in cells(rows, row))
    return html_row(columns, kind)


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items()) or "none set"
    return str(value)

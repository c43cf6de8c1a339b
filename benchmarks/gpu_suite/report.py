"""The figures of the GPU benchmark as Markdown for people, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from portable_mlp.bench.cases import Case

from .roofline import Rates, seconds_of_step
from .suite import Result

HEADINGS = (
    "precision",
    "candidate",
    "µs a step",
    "range",
    "samples/s",
    "of the products",
    "of the roofline",
    "a call waited for, µs",
    "on the host, µs a step",
    "kernels a step",
    "first step, s",
    "products' error",
    "losses' error",
)

EXPLANATION = """\
Steps of Adam: ReLU, softmax, cross-entropy. Every candidate has a process of its own, was compared with float64, and
ran in turns with the others; figures are medians over the rounds. **µs a step** is of many steps, enqueued one after
another, with one wait at the end; **a call waited for** is of one call at a time, of as many steps as the candidate
takes at once. **of the products** compares with the step's matrix products alone, by PyTorch's cuBLAS in one CUDA
graph; **of the roofline** with what no step undercuts at the rates below. **first step** is from the numbers on the
host to the first step done, compiling and capturing included. What multiplies in another precision than the one asked
for is not timed."""


def as_json(results: Iterable[Result], cases: Iterable[Case], machine: dict[str, Any], rates: Rates) -> str:
    """Return everything that is known."""
    figures = {
        "machine": machine,
        "rates": rates._asdict(),
        "cases": [case._asdict() for case in cases],
        "results": [result._asdict() for result in results],
    }
    return json.dumps(figures, indent=2) + "\n"


def as_markdown(results: Sequence[Result], cases: Iterable[Case], machine: dict[str, Any], rates: Rates) -> str:
    """Return a table for each case that has results."""
    tables = [_table([result for result in results if result.case == case.name], case, rates) for case in cases]
    facts = "\n".join(f"- {name}: {_text(value)}" for name, value in (machine | {"rates": _rates(rates)}).items())
    return "\n\n".join(["# A training step on a GPU", EXPLANATION, facts, *filter(None, tables)]) + "\n"


def _table(results: list[Result], case: Case, rates: Rates) -> str:
    if not results:
        return ""
    precisions = dict.fromkeys(result.precision for result in results)
    limits = ", ".join(
        f"{1e6 * seconds_of_step(case, precision, rates):,.1f} in {precision}" for precision in precisions
    )
    return "\n".join(
        [
            f"## {case.name}: {'-'.join(map(str, case.sizes))}, batches of {case.batch_size:,}",
            "",
            f"Roofline, µs a step: {limits}.",
            "",
            _row(HEADINGS),
            _row(["---", "---", *["---:"] * (len(HEADINGS) - 2)]),
            *(_row(_cells(result)) for result in results),
        ]
    )


def _cells(result: Result) -> list[str]:
    if result.problem is not None or result.step is None:
        return [result.precision, result.candidate, f"not timed: {result.problem}", *[""] * (len(HEADINGS) - 3)]
    call = "" if result.steps_a_call == 1 else f" ({result.steps_a_call} steps)"
    return [
        result.precision,
        result.candidate,
        f"{result.step:,.1f}",
        f"{result.step_lowest:,.1f} to {result.step_highest:,.1f}",
        f"{1e6 * result.batch_size / result.step:,.0f}",
        _or_nothing(result.of_products, ".2f"),
        _or_nothing(result.of_roofline, ".2f"),
        _or_nothing(result.latency, ",.1f") + call,
        _or_nothing(result.on_host, ",.1f"),
        _or_nothing(result.kernels, ".1f"),
        _or_nothing(result.first_step, ".1f"),
        _or_nothing(result.product_error, ".0e"),
        _or_nothing(result.loss_error, ".0e"),
    ]


def _or_nothing(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _rates(rates: Rates) -> str:
    *of_products, memory = rates
    names = zip(rates._fields, of_products, strict=False)
    return ", ".join(f"{rate / 1e12:g} TFLOP/s in {name}" for name, rate in names) + f" and {memory / 1e12:g} TB/s"


def _text(value: Any) -> str:
    return ", ".join(f"{name} {inner}" for name, inner in value.items()) if isinstance(value, dict) else str(value)

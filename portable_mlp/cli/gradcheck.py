"""``portable-mlp gradcheck``: compare the written-out gradients with differences, on every usable library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..backends import Backend, backends, get_backend, has_dtype
from ..exit_codes import CHECK_FAILED
from ..kernels.activations import ACTIVATIONS
from ..kernels.gradient_check import GradientCheck
from ..kernels.losses import LOSSES
from ..kernels.network import Network
from ..training.initialization import init_params
from ..training.network_gradient_check import check_gradient
from .terminal import echo

SIZES = (5, 6, 3)
N_SAMPLES = 8


def gradcheck(
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Backend to check; may be given several times.", show_default="all usable ones"),
    ] = None,
) -> None:
    """Compare every gradient with central differences, for each activation, output and loss on each backend."""
    names = backend or [info.name for info in backends() if info.available]
    opened = [get_backend(name) for name in names]
    table = Table("backend", "dtype", "networks", "largest relative error", "at", "gradients")
    all_passed, problems = True, []
    for one in opened:
        dtype = "float64" if has_dtype(one, "float64") else "float32"
        try:
            checks = list(_checks(one, dtype))
        except Exception as error:  # whatever a broken library raises costs its row, not the table
            all_passed = False
            problems.append(f"{one.name}: {type(error).__name__}: {error}")
            table.add_row(one.name, dtype, "-", "-", "-", Text("failed", style="red"))
            continue
        worst_net, worst = max(
            checks, key=lambda pair: (not pair[1].passed, pair[1].max_relative_error / pair[1].tolerance)
        )
        passed = all(check.passed for _, check in checks)
        all_passed = all_passed and passed
        verdict = Text("right", style="green") if passed else Text("WRONG", style="red")
        layer, part, index = worst.worst
        where = f"{worst_net.activation}, {worst_net.output}, {worst_net.loss}: {part}{layer + 1}{list(index)}"
        table.add_row(one.name, dtype, str(len(checks)), f"{worst.max_relative_error:.1e}", Text(where), verdict)
    Console().print(table)
    for problem in problems:
        echo(problem, err=True)
    if not all_passed:
        raise typer.Exit(CHECK_FAILED)


def _checks(backend: Backend, dtype: str) -> Iterator[tuple[Network, GradientCheck]]:
    rng = np.random.default_rng(0)
    X = backend.asarray(rng.normal(size=(N_SAMPLES, SIZES[0])), dtype=dtype)
    labels = backend.asarray(rng.integers(0, SIZES[-1], N_SAMPLES))
    values = backend.asarray(rng.random((N_SAMPLES, SIZES[-1])), dtype=dtype)
    nets = [Network(SIZES, activation=name) for name in ACTIVATIONS]
    pairs = [(output, name) for name, loss in LOSSES.items() for output in loss.outputs if output != "softmax"]
    nets += [Network(SIZES, activation="tanh", output=output, loss=name) for output, name in pairs]
    for net in nets:
        params = init_params(net, random_state=1, backend=backend, dtype=dtype)
        yield net, check_gradient(net, params, X, labels if net.output == "softmax" else values, l2=0.1)

"""The pictures of a training report; no name of the table is drawn, since the page has them as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..tables.calibration import Calibration
from ..training.result import History
from .pictures import BLUE, VERMILION, load_matplotlib, png

MOST_POINTS = 5000


def learning_curve(histories: Sequence[History]) -> bytes:
    """Return a PNG of the losses over the epochs, a line for each network."""
    figure, axes = _figure(7.0, 3.6)
    for number, history in enumerate(histories):
        for name, label, line, colour in (
            ("loss", "training", "-", BLUE),
            ("validation_loss", "validation", "--", VERMILION),
        ):
            losses = history.get(name, [])
            if losses:
                epochs = range(1, len(losses) + 1)
                axes.plot(epochs, losses, line, color=colour, linewidth=1.2, label=None if number else label)
    axes.set(xlabel="epoch", ylabel="loss")
    if all(loss > 0 for history in histories for loss in (*history["loss"], *history.get("validation_loss", []))):
        axes.set_yscale("log")
    axes.legend()
    return png(figure)


def predicted_and_true(y: np.ndarray, predictions: np.ndarray, groups: Calibration) -> bytes:
    """Return a PNG of true quantities over predicted ones, with the means of groups of similar predictions."""
    figure, axes = _figure(5.0, 5.0)
    chosen = np.arange(len(y))
    if len(y) > MOST_POINTS:
        chosen = np.random.default_rng(0).choice(len(y), MOST_POINTS, replace=False)
    axes.plot(predictions[chosen], y[chosen], ".", color=BLUE, markersize=4, alpha=0.4, label="a row")
    axes.plot(
        groups.predicted, groups.observed, "o-", color=VERMILION, markersize=4, label="mean of a tenth of the rows"
    )
    _draw_diagonal(axes, predictions, y)
    axes.set(xlabel="predicted", ylabel="true")
    axes.legend()
    return png(figure)


def reliability(groups: Calibration, xlabel: str) -> bytes:
    """Return a PNG of observed frequencies over predicted probabilities."""
    figure, axes = _figure(5.0, 5.0)
    axes.plot(groups.predicted, groups.observed, "o-", color=VERMILION, markersize=4)
    _draw_diagonal(axes, np.array([0.0, 1.0]))
    axes.set(xlabel=xlabel, ylabel="observed frequency", xlim=(0.0, 1.0), ylim=(0.0, 1.0))
    return png(figure)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    figure = load_matplotlib()(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


def _draw_diagonal(axes: Any, *numbers: np.ndarray) -> None:
    ends = [min(map(np.min, numbers)), max(map(np.max, numbers))]
    axes.plot(ends, ends, color="black", linewidth=1, label="as predicted")

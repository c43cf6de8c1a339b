"""The picture of the demo: curves of the loss, and some digits with their predictions."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

from ..storage.atomic import replace_file
from ..tables.prepared_rows import Rows
from ..training.result import History
from .pictures import BLUE, VERMILION, load_matplotlib, png

COLUMNS, ROWS = 8, 3
N_MISTAKES_SHOWN = 8


def draw(path: pathlib.Path, history: History, test: Rows, proba: np.ndarray) -> None:
    """Write a PNG with the curves of training and test, and digits of the test set, mistakes first.

    Parameters
    ----------
    path : path
        File to create or replace.
    history : dict of lists
        Curves by epoch: "loss", "validation_loss" and "validation_score".
    test : Rows
        Images (n_samples, 64) and digits (n_samples,).
    proba : ndarray of shape (n_samples, 10)
        Predicted probability of each digit.
    """
    figure = load_matplotlib()(figsize=(12, 4.6), layout="constrained")
    left, right = np.ravel(np.asarray(figure.subfigures(1, 2, width_ratios=(1, 1.25))))
    _draw_curves(left.subplots(), history)
    _draw_digits(right, test, proba)
    content = png(figure)
    with replace_file(path) as file:
        file.write(content)


def _draw_curves(axes: Any, history: History) -> None:
    epochs = range(1, len(history["loss"]) + 1)
    axes.semilogy(epochs, history["loss"], color=BLUE, label="training (mean over the epoch, with penalty)")
    axes.semilogy(epochs, history["validation_loss"], "--", color=VERMILION, label="test")
    axes.set(xlabel="epoch", ylabel="cross-entropy", title=f"test accuracy {history['validation_score'][-1]:.4f}")
    axes.legend()
    axes.grid(alpha=0.3)


def _draw_digits(figure: Any, test: Rows, proba: np.ndarray) -> None:
    predicted = np.argmax(proba, axis=1)
    wrong = np.flatnonzero(predicted != test.y)[:N_MISTAKES_SHOWN]
    right = np.flatnonzero(predicted == test.y)[: COLUMNS * ROWS - len(wrong)]
    figure.suptitle("mistakes first, with the truth, then right answers")
    grid = figure.subplots(ROWS, COLUMNS).ravel()
    for axes, i in zip(grid, (*wrong, *right), strict=False):
        axes.imshow(test.X[i].reshape(8, 8), cmap="gray_r")
        is_right = predicted[i] == test.y[i]
        label = f"{predicted[i]}" if is_right else f"{predicted[i]}, not {test.y[i]}"
        axes.set_title(label, color="black" if is_right else VERMILION, fontsize=10)
    for axes in grid:
        axes.set_axis_off()

"""The training options of a table where none are given: they follow the number of its rows.

The constants were chosen by measurement: ``benchmarks/tables.py``, and decision 26 of ``docs/decisions``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ..kernels.options import check_choice

PRESETS = ("default", "best")

HOLD_OUT = 0.1
FEWEST_ROWS_TO_STOP_ON = 200
"""Fewer rows held out choose parameters by chance, and are worth more in training, which the penalty keeps in check."""

FOLDS = 8
"""The networks of "best": each holds out another fold."""

FEWEST_ROWS_OF_A_FOLD = 10
"""Several networks by chance are still right in the mean: a fold may be smaller than a single hold-out."""

STEPS = 1000
"""The steps of a table of 1,000 rows or fewer; larger ones take more, as the root of their rows."""

BATCH_SIZES = (32, 256)
"""The smallest and the largest; between them a batch is about a 32nd of the rows, as a power of 2."""

PENALTY_OF_CLASSES, PENALTY_OF_QUANTITIES, PENALTY_BESIDE_STOPPING = 30.0, 10.0, 10.0
"""``l2`` times the rows: the penalty is a prior, which counts for less as rows are more."""

PENALTIES = (1e-4, 0.1)
"""The smallest and the largest ``l2``."""

N_PIECES = 8
"""Pieces, between quantiles, that the encoder gives each number beside the number itself."""


class Recipe(NamedTuple):
    """What to train on a table, and how.

    Attributes
    ----------
    hidden : tuple of int
        Units of the hidden layers.
    activation : str
        Of the hidden layers.
    n_networks : int
        Networks whose outputs (probabilities, or predictions) are averaged. Where there are several and rows are held
        out, each holds out another of as many folds.
    hold_out : float
        The fraction of the rows that a network holds out, 0 for none.
    training : mapping from str to object
        Options of `train`. "patience" is there where rows are held out, and as long as the schedule: training runs to
        the end, and its best parameters are kept.
    encoding : mapping from str to object
        Options of the encoder.
    """

    hidden: tuple[int, ...]
    activation: str
    n_networks: int
    hold_out: float
    training: Mapping[str, Any]
    encoding: Mapping[str, Any]


def recipe(n_rows: int, n_classes: int | None, preset: str = "default") -> Recipe:
    """Return what to train on a table.

    Parameters
    ----------
    n_rows : int
        Rows with a target, those that will be held out among them; at least 1.
    n_classes : int or None
        The number of classes; None where the target is a quantity, which is standardised for training.
    preset : {"default", "best"}
        One network, in seconds where there are a few thousand rows; or an ensemble, in about ten times as long.

    Returns
    -------
    Recipe

    Raises
    ------
    ValueError
        If the preset is neither.

    Examples
    --------
    >>> recipe(200, None).hold_out, recipe(2000, None).hold_out
    (0.0, 0.1)
    >>> recipe(1000, 3).training["l2"], recipe(1000, None).training["l2"]
    (0.03, 0.01)
    """
    check_choice("preset", preset, PRESETS)
    n_networks = FOLDS if preset == "best" else 1
    hold_out = _hold_out(n_rows, n_networks)
    n_trained = n_rows - round(n_rows * hold_out)
    batch_size = _batch_size(n_trained)
    epochs = max(1, round(_n_steps(n_trained) / math.ceil(n_trained / batch_size)))
    training: dict[str, Any] = {
        "solver": "adam",
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "batch_size": batch_size,
        "epochs": epochs,
        "l2": _penalty(n_rows, n_classes, bool(hold_out)),
    }
    if hold_out:
        training |= {"monitor": "loss", "patience": epochs}
    encoding = MappingProxyType({"n_pieces": N_PIECES})
    return Recipe((128, 64), "relu", n_networks, hold_out, MappingProxyType(training), encoding)


def _hold_out(n_rows: int, n_networks: int) -> float:
    if n_networks > 1:
        return 1.0 / n_networks if n_rows >= FEWEST_ROWS_OF_A_FOLD * n_networks else 0.0
    return HOLD_OUT if n_rows * HOLD_OUT >= FEWEST_ROWS_TO_STOP_ON else 0.0


def _n_steps(n_trained: int) -> float:
    return STEPS * math.sqrt(max(1.0, n_trained / 1000))


def _batch_size(n_trained: int) -> int:
    smallest, largest = BATCH_SIZES
    return min(max(2 ** round(math.log2(n_trained / 32)), smallest), largest)


def _penalty(n_rows: int, n_classes: int | None, may_stop: bool) -> float:
    to_the_end = PENALTY_OF_QUANTITIES if n_classes is None else PENALTY_OF_CLASSES
    smallest, largest = PENALTIES
    return min(max((PENALTY_BESIDE_STOPPING if may_stop else to_the_end) / n_rows, smallest), largest)

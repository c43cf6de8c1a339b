"""The training options of a table where none are given: they follow the number of its rows.

The constants were chosen by measurement: ``benchmarks/tables``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ..kernels.options import check_choice

PRESETS = ("default", "best")

FEWEST_ROWS_TO_STOP_ON = 30
"""A hold-out of fewer rows stops training by chance: then all rows are trained on, to the end of the schedule."""

HOLD_OUT = 0.1

STEPS = 1000
"""The steps of a table of 1,000 rows or fewer; larger ones take more, as the root of their rows."""

BATCH_SIZES = (32, 256)
"""The smallest and the largest; between them a batch is about a 32nd of the rows, as a power of 2."""

PENALTY = 10.0
"""``l2`` times the rows: the penalty is a prior, which counts for less as rows are more."""

PENALTIES = (1e-4, 0.05)
"""The smallest and the largest ``l2``."""

ENSEMBLE = 8


class Recipe(NamedTuple):
    """What to train on a table, and how.

    Attributes
    ----------
    hidden : tuple of int
        Units of the hidden layers.
    activation : str
        Of the hidden layers.
    members : int
        Networks whose outputs (probabilities, or predictions) are averaged. Where there are several, each holds out
        another of ``members`` folds.
    hold_out : float
        The fraction of the rows that a single network holds out, 0 for none.
    training : mapping from str to object
        Options of `train`; "patience" is there where rows are held out, and as long as the schedule: training runs to
        the end, and its best parameters are kept.
    encoding : mapping from str to object
        Options of the encoder.
    """

    hidden: tuple[int, ...]
    activation: str
    members: int
    hold_out: float
    training: Mapping[str, Any]
    encoding: Mapping[str, Any]


def recipe(n_rows: int, preset: str = "default") -> Recipe:
    """Return what to train on a table of ``n_rows`` rows, those that will be held out among them.

    Parameters
    ----------
    n_rows : int
        Rows with a target, at least 1.
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
    >>> recipe(200).hold_out, recipe(2000).hold_out
    (0.0, 0.1)
    >>> recipe(2000).training["batch_size"]
    64
    """
    check_choice("preset", preset, PRESETS)
    best = preset == "best"
    members = ENSEMBLE if best else 1
    hold_out = 1.0 / members if best else HOLD_OUT
    if n_rows * hold_out < FEWEST_ROWS_TO_STOP_ON:
        hold_out = 0.0
    n_trained = max(1, n_rows - round(n_rows * hold_out))
    batch_size = _batch_size(n_trained)
    epochs = max(1, round(_steps(n_trained) / math.ceil(n_trained / batch_size)))
    training = {
        "solver": "adam",
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "batch_size": batch_size,
        "epochs": epochs,
        "l2": min(max(PENALTY / n_rows, PENALTIES[0]), PENALTIES[1]),
        **({"monitor": "loss", "patience": epochs} if hold_out else {}),
    }
    return Recipe((128, 64), "relu", members, hold_out, MappingProxyType(training), MappingProxyType({}))


def _steps(n_trained: int) -> float:
    return STEPS * math.sqrt(max(1.0, n_trained / 1000))


def _batch_size(n_trained: int) -> int:
    smallest, largest = BATCH_SIZES
    return min(max(2 ** round(math.log2(n_trained / 32)), smallest), largest)

"""The training options of a table where none are given: they follow the number of its rows.

The constants were chosen by measurement: ``benchmarks/tables.py``, and decision 26 of ``docs/decisions``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.options import Whole, check_choice
from .noise import unexplained_share

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

PENALTY = 10.0
"""``l2`` times the rows: the penalty is a prior, which counts for less as rows are more."""

PENALTIES = (1e-4, 0.1)
"""The smallest and the largest ``l2``."""

FEWEST_ROWS_WITHOUT_NOISE = 1000
"""For quantities of fewer rows the penalty is less, the more of them a linear model explains."""

N_PIECES = 8
"""Pieces, between quantiles, that the encoder gives each number beside the number itself.

Where there are more columns than rows they cost several times as long and gain nothing."""

TWO_LAYERS = (128, 64)
"""The hidden layers of an ensemble, and of a network that can stop where validation is best."""

WIDE_LAYER = (256,)
"""Those of one network of few rows: one wide layer varies less from seed to seed than two."""


class Recipe(NamedTuple):
    """The networks to train on a table, and the options of their training.

    Attributes
    ----------
    hidden : tuple of int
        Units of the hidden layers.
    activation : str or sequence of str
        Activation of the hidden layers, one for all or one for each.
    n_networks : int
        Networks whose outputs (probabilities, or predictions) are averaged. Where there are several and rows are held
        out, each holds out another of as many folds.
    hold_out : float
        The fraction of the rows that a network holds out, 0 for none.
    training : mapping from str to object
        Options of `train`. "patience" is there where rows are held out, by default as long as the schedule:
        training runs to the end, and its best parameters are kept.
    encoding : mapping from str to object
        Options of the encoder.
    """

    hidden: tuple[int, ...]
    activation: str | Sequence[str]
    n_networks: int
    hold_out: float
    training: Mapping[str, Any]
    encoding: Mapping[str, Any]


class TableOptions(NamedTuple):
    """Choices for the model of a table; those that are None or missing depend on the table.

    Attributes
    ----------
    preset : {"default", "best"}
        One network, in seconds where there are a few thousand rows; or an ensemble, in about ten times as long.
    hidden : sequence of int, optional
        Units of the hidden layers.
    activation : str or sequence of str, optional
        Activation of the hidden layers.
    loss : str, optional
        The loss; by default the natural one of the task.
    loss_options : mapping from str to float
        Constants of the loss.
    n_networks : int, optional
        The same as in `Recipe`.
    hold_out : float, optional
        The same as in `Recipe`.
    training, encoding : mapping from str to object
        As in `Recipe`, those that are chosen.
    """

    preset: str = "default"
    hidden: Sequence[int] | None = None
    activation: str | Sequence[str] | None = None
    loss: str | None = None
    loss_options: Mapping[str, float] = MappingProxyType({})
    n_networks: int | None = None
    hold_out: float | None = None
    training: Mapping[str, Any] = MappingProxyType({})
    encoding: Mapping[str, Any] = MappingProxyType({})


NOTHING_CHOSEN = TableOptions()


def recipe(n_rows: int, n_columns: int, options: TableOptions = NOTHING_CHOSEN) -> Recipe:
    """Return what to train on a table.

    Parameters
    ----------
    n_rows : int
        Rows with a target, those that will be held out among them; at least 1.
    n_columns : int
        The number of columns that hold features.
    options : TableOptions
        What is chosen, which wins.

    Returns
    -------
    Recipe

    Raises
    ------
    ValueError
        If the preset is unknown, there is no network, or the hold-out is not a fraction.

    Examples
    --------
    >>> recipe(200, 5).hold_out, recipe(2000, 5).hold_out
    (0.0, 0.1)
    >>> recipe(1000, 5).training["l2"], recipe(5000, 5).training["l2"]
    (0.01, 0.002)
    >>> recipe(1000, 5, TableOptions(training={"l2": 0.0})).training["l2"]
    0.0
    """
    check_choice("preset", options.preset, PRESETS)
    of_preset = FOLDS if options.preset == "best" else 1
    n_networks = of_preset if options.n_networks is None else Whole(1)("n_networks", options.n_networks)
    hold_out = _hold_out(n_rows, n_networks, options)
    n_trained = max(1, n_rows - round(n_rows * hold_out))
    batch_size = Whole(1)("batch_size", options.training.get("batch_size", _batch_size(n_trained)))
    epochs = max(1, round(_n_steps(n_trained) / math.ceil(n_trained / batch_size)))
    training: dict[str, Any] = {
        "solver": "adam",
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "batch_size": batch_size,
        "epochs": epochs,
        "l2": _penalty(n_rows),
        **options.training,
    }
    if hold_out:
        training = {"monitor": "loss", "patience": training["epochs"], **training}
    return Recipe(
        _hidden(n_rows, n_networks) if options.hidden is None else tuple(options.hidden),
        "relu" if options.activation is None else options.activation,
        n_networks,
        hold_out,
        training,
        {"n_pieces": N_PIECES if n_columns <= n_rows else 0, **options.encoding},
    )


def with_noise(made: Recipe, inputs: NDArray[np.float64], targets: NDArray[np.float64]) -> Recipe:
    """Return the recipe for quantities whose columns leave a share of them unexplained: ``l2`` times this share.

    The penalty is a prior, and the less noise there is, the more the rows say against it.

    Parameters
    ----------
    made : Recipe
        The recipe, with its own ``l2``.
    inputs, targets : ndarray of shape (n_rows, n_inputs) and (n_rows, n_outputs)
        The encoded training rows and their standardised targets.
    """
    if not 1 < len(inputs) < FEWEST_ROWS_WITHOUT_NOISE:
        return made
    return made._replace(training={**made.training, "l2": made.training["l2"] * unexplained_share(inputs, targets)})


def _hold_out(n_rows: int, n_networks: int, options: TableOptions) -> float:
    if options.hold_out is not None:
        if not 0.0 <= options.hold_out < 1.0:
            raise ValueError(f"hold_out is a fraction of the rows, from 0 to below 1; got {options.hold_out}")
        return options.hold_out
    share, fewest = (1.0 / n_networks, FEWEST_ROWS_OF_A_FOLD) if n_networks > 1 else (HOLD_OUT, FEWEST_ROWS_TO_STOP_ON)
    # Who asks for patience, or says what it follows, asks for rows to validate on.
    is_asked = any(options.training.get(name) is not None for name in ("patience", "monitor"))
    return share if n_rows * share >= fewest or is_asked else 0.0


def _hidden(n_rows: int, n_networks: int) -> tuple[int, ...]:
    is_alone = n_networks == 1 and n_rows * HOLD_OUT < FEWEST_ROWS_TO_STOP_ON
    return WIDE_LAYER if is_alone else TWO_LAYERS


def _n_steps(n_trained: int) -> float:
    return STEPS * math.sqrt(max(1.0, n_trained / 1000))


def _batch_size(n_trained: int) -> int:
    smallest, largest = BATCH_SIZES
    return min(max(2 ** round(math.log2(n_trained / 32)), smallest), largest)


def _penalty(n_rows: int) -> float:
    smallest, largest = PENALTIES
    return min(max(PENALTY / n_rows, smallest), largest)

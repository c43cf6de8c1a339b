"""The space of a random search: what a trial draws in place of the choices of the recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..training.options import TRAINING_OPTIONS
from .encoder_options import EncoderOptions
from .recipe import TableOptions, recipe

__all__ = ["LogUniform", "OneOf", "SearchSpace", "search_space"]

NOT_OF_LBFGS = ("learning_rate", "schedule", "epochs", "dropout")
"""The parameters that are for training by batches."""


class OneOf(NamedTuple):
    """Values of which each is drawn equally often."""

    values: Sequence[Any]

    def draw(self, rng: np.random.RandomState) -> Any:
        """Return one of the values."""
        return self.values[rng.randint(len(self.values))]


class LogUniform(NamedTuple):
    """Numbers whose logarithm is uniform between two bounds, in three significant digits."""

    low: float
    high: float

    def draw(self, rng: np.random.RandomState) -> float:
        """Return a number."""
        exponent = rng.uniform(math.log(self.low), math.log(self.high))
        return float(f"{math.exp(exponent):.3g}")


Distribution: TypeAlias = OneOf | LogUniform


class SearchSpace(NamedTuple):
    """The parameters that the trials of a search vary.

    Attributes
    ----------
    options : TableOptions
        What all trials share.
    n_rows : int
        The number of rows of the table.
    n_columns : int
        The number of its columns.
    distributions : mapping from str to OneOf or LogUniform
        The distribution of each parameter by its name in `Recipe`: "hidden", "activation", an option of the training or
        of the encoding.
    penalty : float
        The ``l2`` of the table where none is drawn.
    """

    options: TableOptions
    n_rows: int
    n_columns: int
    distributions: Mapping[str, Distribution]
    penalty: float

    def drawn(self, seed: int, number: int) -> dict[str, Any]:
        """Return the parameters of a trial as JSON has them; trial 1 takes the recipe's, and draws nothing.

        Each trial has its own stream of random numbers, so that trials may be computed in any order and anywhere.
        """
        if number == 1:
            return {}
        rng = np.random.RandomState([seed, number])
        return {name: one.draw(rng) for name, one in self.distributions.items()}

    def with_parameters(self, parameters: Mapping[str, Any]) -> TableOptions:
        """Return the options with the parameters of a trial."""
        options, left = self.options, dict(parameters)
        hidden, activation = left.pop("hidden", options.hidden), left.pop("activation", options.activation)
        encoding = {name: left.pop(name) for name in EncoderOptions._fields if name in left}
        return options._replace(
            hidden=hidden,
            activation=activation,
            training={**options.training, **left},
            encoding={**options.encoding, **encoding},
        )

    def resolved(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of each varied parameter for the table, also of those that were not drawn."""
        usual = recipe(self.n_rows, self.n_columns, self.with_parameters(parameters))
        values: dict[str, Any] = {name: option.default for name, option in TRAINING_OPTIONS.items()}
        values |= {**usual.training, **usual.encoding, "hidden": list(usual.hidden), "activation": usual.activation}
        values["l2"] = parameters.get("l2", self.penalty)
        return {name: values[name] for name in self.distributions}


def search_space(
    n_rows: int, n_columns: int, options: TableOptions, *, is_encoded: bool, penalty: float | None = None
) -> SearchSpace:
    """Return the space around the recipe of a table; what the options choose is the same in all trials.

    Parameters
    ----------
    n_rows : int
        The number of rows to train on.
    n_columns : int
        The number of columns.
    options : TableOptions
        The options of all trials.
    is_encoded : bool
        Whether the columns are encoded: a table of numbers alone has no pieces.
    penalty : float, optional
        The ``l2`` of the table where none is drawn; by default that of the recipe.

    Raises
    ------
    ValueError
        If nothing is left to vary.

    Examples
    --------
    >>> space = search_space(150, 4, TableOptions(activation="tanh"), is_encoded=False)
    >>> list(space.distributions)
    ['hidden', 'learning_rate', 'schedule', 'epochs', 'l2', 'dropout']
    >>> space.drawn(seed=0, number=1), space.resolved({"epochs": 400})["epochs"], space.resolved({})["epochs"]
    ({}, 400, 200)
    """
    usual = recipe(n_rows, n_columns, options).training
    rate, l2, epochs = usual["learning_rate"], usual["l2"], usual["epochs"]
    every: dict[str, Distribution] = {
        "hidden": OneOf(([64], [128], [256], [128, 64], [256, 128], [128, 128, 64])),
        # What stands twice is drawn twice as often.
        "activation": OneOf(("relu", "relu", "silu", "tanh")),
        "n_pieces": OneOf((0, 8, 16)),
        "learning_rate": LogUniform(0.25 * rate, 5.0 * rate),
        "schedule": OneOf(("cosine", "cosine", "constant")),
        "epochs": OneOf((max(1, epochs // 2), epochs, 2 * epochs)),
        # Tables of categories alone want hardly any penalty.
        "l2": LogUniform(0.01 * l2, 10.0 * l2),
        "dropout": OneOf((0.0, 0.0, 0.1, 0.2, 0.4)),
    }
    fixed = {*options.training, *options.encoding}
    fixed |= {name for name in ("hidden", "activation") if getattr(options, name) is not None}
    fixed |= set() if is_encoded else {*EncoderOptions._fields}
    fixed |= set(NOT_OF_LBFGS) if usual["solver"] == "lbfgs" else set()
    varied = {name: one for name, one in every.items() if name not in fixed}
    if not varied:
        raise ValueError(f"nothing is left to search for: {', '.join(every)} are all chosen; leave some of them out")
    # Views of mappings neither travel to another process nor into JSON.
    plain: dict[str, Any] = {
        name: dict(value) for name, value in options._asdict().items() if isinstance(value, Mapping)
    }
    return SearchSpace(options._replace(**plain), n_rows, n_columns, varied, l2 if penalty is None else penalty)

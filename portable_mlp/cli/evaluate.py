"""``portable-mlp evaluate``: the scores of a saved model on a table with targets."""

from __future__ import annotations

import pathlib
from typing import Annotated

import numpy as np
import typer

from ..backends import get_backend
from ..tables.assessment import scores_of_outputs
from ..tables.baseline import Baseline
from ..tables.known_targets import rows_with_targets
from ..tables.model import TableModel
from ..tables.scores import Scores
from .options import BackendOption, DelimiterOption, JsonOption, MaxRowsOption, print_json
from .saved_model import AnswerOptions, SavedModel, read_rows
from .score_table import show_scores
from .table_options import EncodingOption


def evaluate(
    model: Annotated[pathlib.Path, typer.Argument(help="Model file: of train, of save_model, or of an estimator.")],
    data: Annotated[
        str,
        typer.Argument(help="digits, or a table with the columns of the model and its target; - is standard input."),
    ],
    target: Annotated[str | None, typer.Option(help="Column of the targets.", show_default="the model's")] = None,
    delimiter: DelimiterOption = None,
    encoding: EncodingOption = None,
    max_rows: MaxRowsOption = None,
    backend: BackendOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Score a saved model on a table with targets, beside a baseline that ignores the features.

    Example: portable-mlp evaluate houses.safetensors sold-last-year.csv
    """
    saved = SavedModel.load(model, get_backend(backend))
    rows = read_rows(saved, data, AnswerOptions(delimiter, encoding, max_rows, target, is_scored=True))
    if rows.y is None:
        raise ValueError(f"{data} has no targets to compare with")
    scores = scores_of(saved.model, rows.y, saved.model.outputs(rows.X))
    if scores is None:
        raise ValueError(f"{data}: no row has a target to compare with")
    if as_json:
        print_json({"model": str(model), "data": data, **scores.to_json()})
    else:
        show_scores(scores)


def scores_of(model: TableModel, y: np.ndarray, outputs: np.ndarray) -> Scores | None:
    """Return the scores of a model's outputs on the rows that have a target; None if there are none."""
    known = rows_with_targets(y)
    if not len(known):
        return None
    y, outputs, preparation = y[known], outputs[known], model.preparation
    baseline = model.baseline or Baseline.of(y, preparation.classes, "these rows")
    return scores_of_outputs(preparation, y, outputs, baseline)

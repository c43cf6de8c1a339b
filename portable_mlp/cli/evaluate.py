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
from ..tables.limits import row_limit
from ..tables.model import TableModel
from ..tables.scores import Scores
from .options import BackendOption, DelimiterOption, JsonOption, MaxRowsOption, print_json
from .saved_model import AnswerOptions, KnownRows, SavedModel, read_rows
from .score_table import show_scores
from .table_options import EncodingOption

SCORING_COPIES = 4
"""The number of arrays of the size of all outputs and targets that computing the scores takes, about."""


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
    answers = KnownAnswers(saved.model)
    for rows in read_rows(saved, data, AnswerOptions(delimiter, encoding, max_rows, target, is_scored=True)):
        answers.add(rows, saved.model.outputs(rows.X))
    if not answers.are_known:
        raise ValueError(answers.note or f"{data} has no targets to compare with")
    scores = answers.scores()
    if scores is None:
        raise ValueError(f"{data}: no row has a target to compare with")
    if as_json:
        print_json({"model": str(model), "data": data, **scores.to_json()})
    else:
        show_scores(scores)


class KnownAnswers:
    """The outputs of a model for the rows of a table, beside the targets, if the table has them.

    Parameters
    ----------
    model : TableModel
        The model that gave the outputs.

    Attributes
    ----------
    are_known : bool
        Whether all rows so far came with targets, a target of which may be missing.
    note : str or None
        The reason why they did not, if there is one to tell.
    n_rows : int
        Number of rows so far.
    """

    def __init__(self, model: TableModel) -> None:
        self._model = model
        self._y: list[np.ndarray] = []
        self._outputs: list[np.ndarray] = []
        self.are_known = True
        self.note: str | None = None
        self.n_rows = 0

    def add(self, rows: KnownRows, outputs: np.ndarray) -> None:
        """Add some rows, and the model's outputs for them, (n_rows, n_outputs)."""
        self.n_rows += len(outputs)
        limit = row_limit(SCORING_COPIES * 8 * (outputs.shape[1] + 1), None)
        if self.n_rows > limit.rows:
            self.note = self.note or f"not scored: there are {limit.reason}"
        else:
            self.note = self.note or rows.note
        if rows.y is None or self.note is not None:
            self.are_known = False
        if not self.are_known:
            self._y, self._outputs = [], []
            return
        assert rows.y is not None
        self._y.append(rows.y)
        self._outputs.append(outputs)

    def scores(self) -> Scores | None:
        """Return the scores of the rows that have a target; None if there are none, or targets are not known."""
        if not self.are_known:
            return None
        y, outputs = np.concatenate(self._y), np.concatenate(self._outputs)
        known = rows_with_targets(y)
        if not len(known):
            return None
        y, outputs, preparation = y[known], outputs[known], self._model.preparation
        baseline = self._model.baseline or Baseline.of(y, preparation.classes, "these rows")
        return scores_of_outputs(preparation, y, outputs, baseline)

"""Scores of the models of a table on rows that they were not trained on: a test part, or folds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .baseline import Baseline
from .columns import RawTable, Table
from .errors import counted
from .fitting import PreparedTable
from .importance import Importance, permutation_importance
from .model import TableModel
from .preparation import Preparation
from .prepared_rows import Rows
from .scores import Scores, averaged, class_scores, quantity_scores
from .targets import class_names

__all__ = [
    "Assessment",
    "ScoredModel",
    "TrainingSplit",
    "assess",
    "assess_test_part",
    "hold_out_scores",
    "scores_of_outputs",
]

TrainingSplit: TypeAlias = tuple[np.ndarray, np.ndarray]
"""The rows to train on, and the rows to score."""


def scores_of_outputs(preparation: Preparation, y: np.ndarray, outputs: np.ndarray, baseline: Baseline) -> Scores:
    """Return the scores of a model's outputs (n_rows, n_outputs) for rows with the targets ``y``."""
    if preparation.classes is not None:
        return class_scores(y, outputs, preparation.classes, baseline)
    return quantity_scores(y, preparation.predictions(outputs), baseline)


class ScoredModel(NamedTuple):
    """A model, scored on rows that it was not trained on.

    Attributes
    ----------
    model : TableModel
        The trained model that is scored.
    inputs : ndarray of shape (n_rows, n_features)
        The encoded rows that it has not seen.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        The targets of these rows.
    outputs : ndarray of shape (n_rows, n_outputs)
        The outputs of the model for these rows.
    scores : Scores
        The scores of these outputs.
    """

    model: TableModel
    inputs: np.ndarray
    y: np.ndarray
    outputs: np.ndarray
    scores: Scores

    @classmethod
    def of(cls, model: TableModel, scored: Table | RawTable) -> ScoredModel:
        """Return a model scored on rows with targets; a model without a baseline has that of these rows."""
        preparation, y = model.preparation, scored.y
        assert y is not None
        inputs = preparation.inputs(scored.X)
        outputs = model.outputs_of_inputs(inputs, scored.rows)
        baseline = model.baseline or Baseline.of(y, preparation.classes, "these rows")
        return cls(model, inputs, y, outputs, scores_of_outputs(preparation, y, outputs, baseline))

    def importances(self) -> list[Importance]:
        """Return how much the log loss, or the RMSE, rises when a column is shuffled."""
        preparation = self.model.preparation
        baseline = Baseline.of(self.y, preparation.classes)
        measure = "rmse" if preparation.classes is None else "log_loss"

        def loss(inputs: np.ndarray, rows: np.ndarray) -> float:
            outputs = self.model.outputs_of_inputs(inputs)
            return scores_of_outputs(preparation, self.y[rows], outputs, baseline).model[measure]

        return permutation_importance(loss, self.inputs, list(_widths(preparation)))

    def answers(self, classes: Sequence[Any] | None) -> np.ndarray:
        """Return the probabilities of these classes, 0 for one that the model does not know, or the quantities."""
        known = self.model.preparation.classes
        if classes is None or known is None:
            return self.model.preparation.predictions(self.outputs)
        answers = np.zeros((len(self.outputs), len(classes)))
        answers[:, [classes.index(name) for name in known]] = self.outputs
        return answers


class Assessment(NamedTuple):
    """The scores of the models of several splits of a table.

    Attributes
    ----------
    scored_on : str
        The rows that were scored, in words.
    models : list of ScoredModel
        One for the test part, or one for each fold.
    classes : list or None
        All classes of the table; None for quantities.
    """

    scored_on: str
    models: list[ScoredModel]
    classes: list[Any] | None

    @property
    def scores(self) -> Scores:
        """The scores of the test part, or their means over the folds."""
        return self.models[0].scores if len(self.models) == 1 else averaged([one.scores for one in self.models])

    @property
    def y(self) -> np.ndarray:
        """The targets of all rows that were scored."""
        return np.concatenate([one.y for one in self.models])

    @property
    def answers(self) -> np.ndarray:
        """The probabilities of `classes`, or the predicted quantities, of all these rows."""
        return np.concatenate([one.answers(self.classes) for one in self.models])

    def importances(self) -> list[Importance]:
        """Return the importance of the columns, on the mean over the folds; the most important first.

        A column that a fold drops has no importance there.
        """
        found: dict[str, list[Importance]] = {}
        for one in (one for model in self.models for one in model.importances()):
            found.setdefault(one.name, []).append(one)
        n = len(self.models)
        means = (
            Importance(name, sum(one.mean for one in each) / n, sum(one.spread for one in each) / n)
            for name, each in found.items()
        )
        return sorted(means, key=lambda one: -one.mean)


def assess(
    table: Table | RawTable,
    splits: Sequence[TrainingSplit],
    models: Sequence[TableModel],
    *,
    classification: bool,
) -> Assessment:
    """Score the models of splits of a table, each on the rows that it was not trained on.

    Parameters
    ----------
    table : Table or RawTable
        A table with targets.
    splits : sequence of (ndarray, ndarray)
        The rows to train on, and the rows to score, of each model.
    models : sequence of TableModel
        The model of each split, trained on the first part of it.
    classification : bool
        Whether the targets are classes.

    Raises
    ------
    DataError
        If a number to score is too large for the dtype of the networks.
    """
    assert table.y is not None
    each = [ScoredModel.of(model, table.take(scored)) for model, (_, scored) in zip(models, splits, strict=True)]
    n_scored = counted(sum(len(scored) for _, scored in splits), "row")
    seen = (
        f"each predicted by the model of the other {len(splits) - 1} folds"
        if len(splits) > 1
        else "held out from training"
    )
    return Assessment(f"{n_scored}, {seen}", each, class_names(table.y) if classification else None)


def assess_test_part(model: TableModel, scored: Table | RawTable) -> Assessment:
    """Return the scores of a model on rows that it was not trained on; raise DataError as `assess`."""
    y, classes = scored.y, model.preparation.classes
    assert y is not None
    known = None if classes is None else class_names(np.concatenate([np.asarray(classes), y]))
    return Assessment(f"{counted(len(y), 'row')}, held out from training", [ScoredModel.of(model, scored)], known)


def _widths(preparation: Preparation) -> Iterator[tuple[str, int]]:
    """Yield the name of each column, and how many inputs it becomes."""
    if preparation.encoder is None:
        names = preparation.feature_names or [f"x{i}" for i in range(len(preparation.input_mean))]
        yield from ((name, 1) for name in names)
        return
    yield from ((one.name, one.n_features) for one in preparation.encoder.report)


def hold_out_scores(prepared: PreparedTable, model: TableModel) -> Scores | None:
    """Return the scores of a single network on its hold-out; None for an ensemble, and without a hold-out in memory.

    The hold-out chose the epoch, so that these scores are slightly optimistic.
    """
    held_out = prepared.part(0)[1]
    if prepared.recipe.n_networks > 1 or prepared.baseline is None or not isinstance(held_out, Rows):
        return None
    outputs = model.outputs_of_inputs(held_out.X)
    preparation = prepared.preparation
    return scores_of_outputs(preparation, preparation.restored(held_out.y), outputs, prepared.baseline)

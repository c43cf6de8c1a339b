"""A random search for the model of a table: trials are scored by cross-validation, on folds that all of them share."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..backends import get_backend
from ..training.result import NonFiniteError
from .assessment import ScoredModel, TrainingSplit
from .baseline import Baseline
from .columns import RawTable, Table
from .fitting import prepare
from .measures import MEASURES
from .raw import ReadingOptions
from .recipe import TableOptions
from .scores import baseline_scores, over_folds
from .search_space import SearchSpace
from .targets import class_names

__all__ = ["TableSearch", "TrialScores"]

USUAL_SCORES = {"classification": ("accuracy", "log_loss"), "regression": ("r2", "rmse")}
"""For each task the score by which a trial is the best unless another is asked for, and the one that decides between
trials of equal scores: on few rows many have the same accuracy."""


class TrialScores(NamedTuple):
    """A finished trial.

    Attributes
    ----------
    number : int
        The number of the trial, from 1.
    parameters : dict
        The parameters that it drew, as JSON has them; none in trial 1.
    folds : sequence of mapping from str to float
        The scores of each fold by their names in `MEASURES`; all NaN where training diverged.
    """

    number: int
    parameters: dict[str, Any]
    folds: Sequence[Mapping[str, float]]

    @property
    def diverged(self) -> bool:
        """Whether no score is defined, since training diverged."""
        return all(math.isnan(score) for fold in self.folds for score in fold.values())

    def mean(self, measure: str) -> float:
        """Return the mean of a score over the folds for which it is defined; NaN if there are none."""
        return over_folds(self.folds, np.mean)[measure]

    def spread(self, measure: str) -> float:
        """Return the standard deviation of a score over the folds."""
        return over_folds(self.folds, np.std)[measure]


@dataclass(frozen=True)
class TableSearch:
    """A search for the best parameters of the model of a table.

    Attributes
    ----------
    table : Table or RawTable
        The rows to search on, with targets.
    splits : sequence of (ndarray, ndarray)
        The rows to train on, and the rows to score, of each fold.
    space : SearchSpace
        What the trials draw.
    task : {"classification", "regression"}
        What the targets are for.
    reading : ReadingOptions
        How the table was read.
    backend, device : str
        The names of the library and the device.
    dtype : {"float32", "float64"}
        Of parameters and rows.
    seed : int
        Seed of the draws, the hold-outs, the first weights and the shuffles.
    score : str, optional
        The score by which a trial is the best, one of `MEASURES` of the task; None is the usual one.
    """

    table: Table | RawTable
    splits: Sequence[TrainingSplit]
    space: SearchSpace
    task: str
    reading: ReadingOptions
    backend: str
    device: str
    dtype: str
    seed: int
    score: str | None = None

    @property
    def measure(self) -> str:
        """The score by which a trial is the best."""
        return self.score or USUAL_SCORES[self.task][0]

    def is_better(self, score: float, other: float) -> bool:
        """Return whether a score is better than another, which NaN is not."""
        sign = MEASURES[self.measure].sign
        return sign * score > sign * other

    @functools.cached_property
    def baseline(self) -> TrialScores:
        """The scores of the baseline on the folds, as those of a trial 0."""
        y = self.table.y
        assert y is not None  # a table to train on has targets
        folds = []
        for kept, scored in self.splits:
            classes = class_names(y[kept]) if self.task == "classification" else None
            folds.append(baseline_scores(y[scored], classes, Baseline.of(y[kept], classes)))
        return TrialScores(0, {}, folds)

    def evaluate(self, number: int) -> TrialScores:
        """Train and score the models of a trial, one for each fold.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C.
        """
        parameters = self.space.drawn(self.seed, number)
        options = self.space.with_parameters(parameters)
        try:
            folds = [self._scores(options, kept, scored) for kept, scored in self.splits]
        except NonFiniteError:
            undefined = dict.fromkeys(self.baseline.folds[0], math.nan)
            folds = [undefined] * len(self.splits)
        return TrialScores(number, parameters, folds)

    def ranked(self, trials: Sequence[TrialScores]) -> list[TrialScores]:
        """Return trials from the best to the worst, equally good ones by their numbers."""
        return sorted(trials, key=lambda trial: (*(-one for one in self._objectives(trial)), trial.number))

    def _objectives(self, trial: TrialScores) -> list[float]:
        """Return the scores that decide, more is better; -inf where one is not defined."""
        names = dict.fromkeys((self.measure, *reversed(USUAL_SCORES[self.task])))
        scores = (MEASURES[name].sign * trial.mean(name) for name in names)
        return [-math.inf if math.isnan(score) else score for score in scores]

    def _scores(self, options: TableOptions, kept: np.ndarray, scored: np.ndarray) -> Mapping[str, float]:
        """Return the scores of a model of some rows on others."""
        rows = self.table.take(kept)
        prepared = prepare(rows, options, task=self.task, seed=self.seed, reading=self.reading)
        fitted = prepared.fit(get_backend(self.backend, self.device), self.dtype, self.seed)
        if fitted.was_interrupted:
            raise KeyboardInterrupt
        return ScoredModel.of(fitted.model, self.table.take(scored)).scores.model

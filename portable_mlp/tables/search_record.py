"""How a model was found: the entry that a search leaves in the metadata of a model file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .measures import MEASURES
from .search import TableSearch, TrialScores

__all__ = ["SEARCH_ENTRY", "SearchRecord"]

SEARCH_ENTRY = "search"
"""The entry of a model file's metadata."""


class SearchRecord(NamedTuple):
    """The search that a model comes from.

    Attributes
    ----------
    trials : int
        The number of finished trials.
    folds : int
        The number of folds by which each was scored.
    seed : int
        The seed of the search.
    measure : str
        The score by which the search chose, one of `MEASURES`.
    trial : int
        The number of the best trial.
    score, spread : float or None
        Its score, mean and standard deviation over the folds; optimistic, since it is the best of many. None where a
        score is not defined, as after a training that diverged.
    default : float or None
        The score of trial 1, which had the default parameters; None, too, if Ctrl-C came before it was finished.
    baseline : float or None
        The score of the baseline.
    parameters : dict
        The values of all parameters that were varied, as JSON has them.
    """

    trials: int
    folds: int
    seed: int
    measure: str
    trial: int
    score: float | None
    spread: float | None
    default: float | None
    baseline: float | None
    parameters: dict[str, Any]

    @classmethod
    def of(cls, search: TableSearch, trials: Sequence[TrialScores]) -> SearchRecord:
        """Return the record of a search that has some trials."""
        measure, best = search.measure, search.ranked(trials)[0]
        defaults = [_defined(trial.mean(measure)) for trial in trials if trial.number == 1]
        return cls(
            trials=len(trials),
            folds=len(search.splits),
            seed=search.seed,
            measure=measure,
            trial=best.number,
            score=_defined(best.mean(measure)),
            spread=_defined(best.spread(measure)),
            default=next(iter(defaults), None),
            baseline=_defined(search.baseline.mean(measure)),
            parameters=search.space.resolved(best.parameters),
        )

    def to_metadata(self) -> dict[str, Any]:
        """Return the entry of the metadata."""
        return self._asdict()

    @classmethod
    def from_metadata(cls, described: Any) -> SearchRecord | None:
        """Return the record of an entry; None if it is not one, as an entry of a user's own."""
        if not isinstance(described, dict) or described.keys() != set(cls._fields):
            return None
        record = cls(**described)
        counts = (record.trials, record.folds, record.seed, record.trial)
        scores = (record.score, record.spread, record.default, record.baseline)
        is_sound = (
            all(type(one) is int for one in counts)
            and all(isinstance(one, float | None) for one in scores)
            and isinstance(record.measure, str)
            and record.measure in MEASURES
            and isinstance(record.parameters, dict)
        )
        return record if is_sound else None


def _defined(score: float) -> float | None:
    """Return a score as JSON has it: None where it is NaN."""
    return None if math.isnan(score) else score

"""The best trials of a search as a table of text: a column for each, for the default, and for the baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from ..tables.measures import MEASURES, score_text
from ..tables.search import TableSearch, TrialScores
from ..tables.search_record import SearchRecord

MOST_TRIALS_SHOWN = 3
"""The number of trials in the table; the default is there as well."""


def table_of_trials(search: TableSearch, trials: Sequence[TrialScores]) -> list[tuple[str, ...]]:
    """Return the rows of the table: headings, scores, and a row for each parameter."""
    ranked = search.ranked(trials)
    shown = ranked[:MOST_TRIALS_SHOWN] + [trial for trial in ranked[MOST_TRIALS_SHOWN:] if trial.number == 1]
    values = [search.space.resolved(trial.parameters) for trial in shown]
    baseline = score_text(search.baseline.mean(search.measure))
    return [
        ("trial", *map(trial_name, shown), "baseline"),
        (MEASURES[search.measure].words, *(trial_score(search, trial) for trial in shown), baseline),
        *(
            (name.replace("_", " "), *(parameter_text(each[name]) for each in values), "")
            for name in search.space.distributions
        ),
    ]


def found_by(record: SearchRecord) -> Iterator[str]:
    """Yield the lines about the search that a model comes from."""
    scores = [
        math.nan if one is None else one for one in (record.score, record.spread, record.default, record.baseline)
    ]
    score, default, baseline = score_text(scores[0]), score_text(scores[2]), score_text(scores[3])
    yield (
        f"found by   {record.trials} trials: {MEASURES[record.measure].words} {score} ± {score_text(scores[1], 2)} on "
        f"{record.folds} folds in trial {record.trial} (the default {default}, the baseline {baseline})"
    )
    yield f"with       {', '.join(f'{name} {parameter_text(value)}' for name, value in record.parameters.items())}"


def trial_name(trial: TrialScores) -> str:
    """Return the number of a trial; the first one has the default parameters."""
    return "1, the default" if trial.number == 1 else str(trial.number)


def trial_score(search: TableSearch, trial: TrialScores) -> str:
    """Return the score of a trial, with its spread over the folds."""
    mean, spread = trial.mean(search.measure), trial.spread(search.measure)
    return "diverged" if trial.diverged else f"{score_text(mean)} ± {score_text(spread, 2)}"


def parameter_text(value: Any) -> str:
    """Return a parameter as text: units of hidden layers as 128-64, numbers in three digits.

    >>> parameter_text([128, 64]), parameter_text(0.0123456), parameter_text("relu"), parameter_text(200)
    ('128-64', '0.0123', 'relu', '200')
    """
    if isinstance(value, list | tuple):
        return "-".join(map(str, value)) or "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)

"""The output of ``portable-mlp tune`` about its trials, for people and for programs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..tables.errors import counted
from ..tables.measures import MEASURES, score_text
from ..tables.search import TableSearch
from ..tables.search_loop import Searched
from ..tables.search_record import SearchRecord
from .misuse import PROGRAM
from .score_table import aligned
from .terminal import echo
from .tune_table import table_of_trials

ENDS = {
    "max_trials": "all of them are finished",
    "time": "the time was over",
    "interrupted": "it was interrupted",
}
"""The reasons why a search ended, in words."""

OPTIMISM = "the best of many scores is optimistic: --test 0.2 scores the model on rows that the search has not seen"


def show_trials(search: TableSearch, searched: Searched, *, is_tested: bool) -> None:
    """Print the best trials; ``is_tested`` says whether the model is scored on rows that the search has not seen."""
    for line in aligned(table_of_trials(search, searched.trials)):
        echo(line.rstrip())
    words, n_folds = MEASURES[search.measure].words, len(search.splits)
    n_trials = counted(len(searched.trials), "trial")
    echo(f"{n_trials}, by {words} on {n_folds} folds; {ENDS[searched.stopped_because]}")
    if not is_tested:
        echo(OPTIMISM)


@contextlib.contextmanager
def trials_all_the_same(search: TableSearch, searched: Searched, *, as_json: bool) -> Iterator[None]:
    """Print the best trials for people if the model cannot be trained, saved or scored."""
    try:
        yield
    except (Exception, KeyboardInterrupt):
        if not as_json:
            show_trials(search, searched, is_tested=False)
        raise


def trials_as_json(search: TableSearch, searched: Searched) -> dict[str, Any]:
    """Return what is for programs alone: how the model was found, and all trials."""
    record = SearchRecord.of(search, searched.trials)
    return {
        "search": {**record.to_metadata(), "stopped_because": searched.stopped_because},
        "trials": [
            {**trial._asdict(), "parameters": search.space.resolved(trial.parameters)} for trial in searched.trials
        ],
    }


def warn_of_baseline(search: TableSearch, searched: Searched) -> None:
    """Say on stderr if no trial is better than the baseline."""
    best, baseline = (one.mean(search.measure) for one in (search.ranked(searched.trials)[0], search.baseline))
    if not search.is_better(best, baseline):
        words = MEASURES[search.measure].words
        echo(
            f"{PROGRAM}: no trial is better than the baseline: {words} {score_text(best)} against "
            f"{score_text(baseline)}",
            err=True,
        )

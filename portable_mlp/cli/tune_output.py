"""The output of ``portable-mlp tune``: the best trials, what was trained in the end, and how good it is."""

from __future__ import annotations

from typing import Any

from ..tables.scores import MEASURES
from ..tables.search import TableSearch
from ..tables.search_loop import Searched
from ..tables.search_record import SearchRecord
from .score_table import aligned
from .terminal import echo
from .train_output import details, show_assessment, show_summary, show_table
from .trainer import Trained
from .tune_table import table_of_trials

ENDS = {
    "max_trials": "all of them are finished",
    "time": "the time was over",
    "interrupted": "it was interrupted",
}
"""The reasons why a search ended, in words."""

OPTIMISM = "the best of many scores is optimistic: --test 0.2 scores the model on rows that the search has not seen"


def show_search(
    search: TableSearch,
    searched: Searched,
    record: SearchRecord,
    trained: Trained,
    notes: tuple[str, ...],
    summary: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """Print the outcome of a search for people, or as JSON for programs."""
    if as_json:
        found: dict[str, Any] = {"search": {**record.to_metadata(), "stopped_because": searched.stopped_because}}
        found["trials"] = [
            {**trial._asdict(), "parameters": search.space.resolved(trial.parameters)} for trial in searched.trials
        ]
        show_summary(summary, {**found, **details(trained)})
    else:
        show_table(trained.prepared.preparation, notes)
        for line in aligned(table_of_trials(search, searched.trials)):
            echo(line.rstrip())
        words = MEASURES[search.measure].words
        echo(
            f"{len(searched.trials)} trials, by {words} on {len(search.splits)} folds; {ENDS[searched.stopped_because]}"
        )
        if trained.assessment is None:
            echo(OPTIMISM)
        show_summary(summary, None)
    show_assessment(trained, as_json=as_json)

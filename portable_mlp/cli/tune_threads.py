"""The trials of a search side by side in threads, which no process has to be started for."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from ..distributed.supervision.cores import n_cores
from ..tables.search import TableSearch, TrialScores
from ..tables.search_loop import Ended, evaluate_one_by_one
from ..training.side_by_side import TaskOutcome, side_by_side


def evaluate_in_threads(search: TableSearch, numbers: Iterator[int], ended: Ended) -> None:
    """Evaluate trials, on NumPy one on each core, on other libraries one after the other.

    Parameters
    ----------
    search : TableSearch
        The search, which evaluates a trial by its number.
    numbers : iterator of int
        The numbers of the trials.
    ended : callable
        Called in this thread with each trial as it ends.
    """
    if search.backend != "numpy":
        evaluate_one_by_one(search, numbers, ended)
        return

    def received(outcome: TaskOutcome[TrialScores]) -> None:
        if outcome.error is not None:
            raise outcome.error
        assert outcome.value is not None  # there was no error
        ended(outcome.value)

    tasks = (functools.partial(search.evaluate, number) for number in numbers)
    side_by_side(tasks, n_cores(), ended=received)

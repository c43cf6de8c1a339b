"""The trials of a search side by side in threads, where scikit-learn is installed, which the threads of fits share."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator

from ..tables.search import TableSearch, TrialScores
from ..tables.search_loop import Ended, evaluate_one_by_one


def evaluate_in_threads(search: TableSearch, numbers: Iterator[int], ended: Ended) -> None:
    """Evaluate trials, on NumPy one on each core; on other libraries, or without scikit-learn, one after the other.

    Parameters
    ----------
    search : TableSearch
        The search, which evaluates a trial by its number.
    numbers : iterator of int
        The numbers of the trials.
    ended : callable
        Called in this thread with each trial as it ends.
    """
    if search.backend != "numpy" or importlib.util.find_spec("sklearn") is None:
        evaluate_one_by_one(search, numbers, ended)
        return
    from ..estimators.side_by_side import TaskOutcome, side_by_side

    def received(outcome: TaskOutcome[TrialScores]) -> None:
        if outcome.error is not None:
            raise outcome.error
        assert outcome.value is not None  # there was no error
        ended(outcome.value)

    side_by_side((functools.partial(search.evaluate, number) for number in numbers), ended=received)

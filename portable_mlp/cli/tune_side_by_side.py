"""The trials of a search side by side: in threads, and on the ranks that MPI started."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator

from ..distributed.group import Group, on_root
from ..distributed.supervision.cores import n_cores
from ..tables.search import TableSearch, TrialScores
from ..tables.search_loop import Ended
from ..training.side_by_side import TaskOutcome, side_by_side

TRIALS_OF_A_RANK = 4
"""The number of trials after which the ranks meet: few are lost with a killed one, and none waits for long."""


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
    side_by_side(_tasks(search, numbers), n_cores() if search.backend == "numpy" else 1, ended=_received(ended))


def evaluate_on_ranks(search: TableSearch, numbers: Iterator[int], ended: Ended, group: Group) -> None:
    """Evaluate trials on all ranks of the current group; each of them receives all, some at a time.

    Parameters
    ----------
    search, numbers, ended
        The same as for `evaluate_in_threads`; the numbers are those of rank 0, whose clock decides.
    group : Group
        The current group, of which each rank evaluates one trial at a time.
    """
    while some := on_root(lambda: list(itertools.islice(numbers, TRIALS_OF_A_RANK * group.size))):
        side_by_side(_tasks(search, some), ended=_received(ended))


def _tasks(search: TableSearch, numbers: Iterable[int]) -> Iterator[Callable[[], TrialScores]]:
    return (functools.partial(search.evaluate, number) for number in numbers)


def _received(ended: Ended) -> Callable[[TaskOutcome[TrialScores]], None]:
    """Return a function that calls ``ended`` with a trial, or raises its error."""

    def receive(outcome: TaskOutcome[TrialScores]) -> None:
        if outcome.error is not None:
            raise outcome.error
        assert outcome.value is not None  # there was no error
        ended(outcome.value)

    return receive

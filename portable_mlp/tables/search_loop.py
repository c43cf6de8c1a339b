"""The trials of a search: until all are finished, the time is over, or Ctrl-C."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from ..distributed.group import current_group, on_root
from .search import TableSearch, TrialScores
from .search_states import SearchStates

__all__ = ["Ended", "Searched", "run_trials"]


Ended: TypeAlias = Callable[[TrialScores], None]
"""A function that is called with each trial as it ends."""


class Searched(NamedTuple):
    """The outcome of a search.

    Attributes
    ----------
    trials : list of TrialScores
        The finished trials, by their numbers.
    stopped_because : {"max_trials", "time", "interrupted"}
        The reason why the search ended.
    """

    trials: list[TrialScores]
    stopped_because: str


def run_trials(
    search: TableSearch,
    n_trials: int,
    seconds: float | None,
    states: SearchStates,
    show: Callable[[Sequence[TrialScores]], None],
    evaluate: Callable[[TableSearch, Iterator[int], Ended], None],
) -> Searched:
    """Run the trials that are not finished yet.

    Ctrl-C ends the search; trials that are not finished then are lost. In a group all ranks run it, and receive all
    trials; rank 0 reads and writes the states.

    Parameters
    ----------
    search : TableSearch
        The search, which evaluates a trial by its number.
    n_trials : int
        The largest number of trials, at least 1.
    seconds : float or None
        The time after which no trial begins but the first.
    states : SearchStates
        The trials that are finished; each further one is written there.
    show : callable
        Called with all finished trials at the start, and whenever there is another one.
    evaluate : callable
        ``evaluate(search, numbers, ended)`` evaluates the trials of these numbers, several at a time or not, and calls
        ``ended`` with each.
    """
    finished = {trial.number: trial for trial in _finished(states)}
    before = frozenset(finished)
    left = (number for number in range(1, n_trials + 1) if number not in before)  # there may be a billion of them
    end = math.inf if seconds is None else time.monotonic() + seconds
    numbers = itertools.takewhile(lambda number: number == 1 or time.monotonic() < end, left)

    def asked_for() -> list[TrialScores]:
        return [finished[number] for number in sorted(finished) if number <= n_trials]

    def ended(trial: TrialScores) -> None:
        finished[trial.number] = trial
        # Those of an earlier call that asked for more trials, too.
        states.write([finished[number] for number in sorted(finished)])
        show(asked_for())

    show(asked_for())
    try:
        evaluate(search, numbers, ended)
    except KeyboardInterrupt:
        if current_group() is not None:
            raise  # one rank may be alone with it
        return Searched(asked_for(), "interrupted")
    trials = asked_for()
    return Searched(trials, "max_trials" if len(trials) == n_trials else "time")


def _finished(states: SearchStates) -> list[TrialScores]:
    """Return on all ranks the trials that rank 0 finds finished."""
    return [TrialScores._make(trial) for trial in on_root(states.finished)]  # tuples are lists in JSON

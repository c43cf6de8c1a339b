"""The progress of a search on stderr: a live table of the best trials on a terminal, lines in a log file."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO, TypeAlias, cast

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..tables.search import TableSearch, TrialScores
from ..training.best_effort_stream import BestEffortStream
from ..training.progress_of_models import done_and_left
from .terminal import echo
from .tune_table import table_of_trials, trial_name, trial_score

Show: TypeAlias = Callable[[Sequence[TrialScores]], None]


@contextlib.contextmanager
def shown_trials(search: TableSearch, n_trials: int) -> Iterator[Show]:
    """Yield the function to call with all finished trials: at the start, and whenever there is another one."""
    console = Console(file=cast(TextIO, BestEffortStream(sys.stderr)))
    if not console.is_terminal:
        yield TrialLines(search, n_trials)
        return
    table = LiveTrials(search, n_trials)
    # The table leaves the screen at the end: the results are printed then.
    with Live(table, console=console, refresh_per_second=4, transient=True):
        yield table


class TrialLines:
    """Writes a line for each trial.

    Parameters
    ----------
    search : TableSearch
        The search whose trials these are.
    n_trials : int
        The largest number of trials.
    """

    def __init__(self, search: TableSearch, n_trials: int) -> None:
        self._search, self._n_trials = search, n_trials
        self._known: set[int] | None = None

    def __call__(self, trials: Sequence[TrialScores]) -> None:
        """Write a line for each new trial; at the start, of a search that resumes, how many there are."""
        if self._known is None:
            if trials:
                echo(f"resumes after {len(trials)} of {self._n_trials} trials", err=True)
            self._known = {trial.number for trial in trials}
        for trial in trials:
            if trial.number not in self._known:
                self._known.add(trial.number)
                echo(self._line(trial, trials), err=True)

    def _line(self, trial: TrialScores, trials: Sequence[TrialScores]) -> str:
        best = self._search.ranked(trials)[0]
        behind = "the best so far" if best is trial else f"best {trial_score(self._search, best)} (trial {best.number})"
        name = f"trial {trial_name(trial)}"
        return f"{len(trials)}/{self._n_trials}  {name}: {trial_score(self._search, trial)}, {behind}"


class LiveTrials:
    """A table of the best trials, which rich draws anew several times a second.

    Parameters
    ----------
    search : TableSearch
        The search whose trials these are.
    n_trials : int
        The largest number of trials.
    """

    def __init__(self, search: TableSearch, n_trials: int) -> None:
        self._search, self._n_trials = search, n_trials
        self._trials: Sequence[TrialScores] = ()
        self._n_resumed: int | None = None
        self._start = time.monotonic()

    def __call__(self, trials: Sequence[TrialScores]) -> None:
        """Take the finished trials."""
        self._trials = trials
        if self._n_resumed is None:
            self._n_resumed = len(trials)

    def __rich__(self) -> Group:
        """Return the table as it is now."""
        headings, *rows = table_of_trials(self._search, self._trials)
        table = Table(*headings)
        for row in rows:
            table.add_row(*map(Text, row))
        return Group(Text(self._heading()), table)

    def _heading(self) -> str:
        seconds = time.monotonic() - self._start
        done = done_and_left(len(self._trials), self._n_trials, "trials", seconds, n_before=self._n_resumed or 0)
        return f"{done}; Ctrl-C takes the best so far"

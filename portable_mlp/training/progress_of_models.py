"""The progress of many fits on stderr, a bar or lines in a log file: how many models are done, and the time left."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import Any, Self, TextIO, cast

from ..backends.extras import load
from .best_effort_stream import BestEffortStream
from .progress import SECONDS_BETWEEN_LINES


class NotShown(contextlib.AbstractContextManager["NotShown"]):
    """Shows nothing."""

    def __exit__(self, *exc: object) -> None:
        """Nothing to close."""

    def one_more(self) -> None:
        """Count a model that is done, in any thread."""


def shown_models(n: int) -> NotShown:
    """Return a bar where stderr is a terminal or a notebook, and lines where it is a file or a pipe.

    Parameters
    ----------
    n : int
        The number of models.

    Raises
    ------
    ImportError
        If rich is missing; names the command that installs it.
    """
    stream = cast(TextIO, BestEffortStream(sys.stderr))
    terminal = load("rich.console", "verbose=True draws with rich, which is missing", "cli").Console(file=stream)
    return BarOfModels(n, terminal) if terminal.is_terminal or terminal.is_jupyter else LinesOfModels(n, stream)


class LinesOfModels(NotShown):
    """Lines for a log file: one every few seconds, and one at the end.

    Parameters
    ----------
    n : int
        The number of models.
    stream : text file
        The log, a file or a pipe.
    """

    def __init__(self, n: int, stream: TextIO) -> None:
        self._n, self._stream = n, stream
        self._done, self._lock = 0, threading.Lock()
        self._start = self._written = time.perf_counter()

    def __exit__(self, *exc: object) -> None:
        """Write the last line."""
        self._write(time.perf_counter())

    def one_more(self) -> None:
        """Count a model; write a line where the last one is some seconds old."""
        with self._lock:
            self._done += 1
            now = time.perf_counter()
            if now - self._written > SECONDS_BETWEEN_LINES and self._done < self._n:
                self._write(now)

    def _write(self, now: float) -> None:
        self._stream.write(f"{done_and_left(self._done, self._n, 'models', now - self._start)}\n")
        self._stream.flush()
        self._written = now


class BarOfModels(NotShown):
    """A progress bar, drawn with rich.

    Parameters
    ----------
    n : int
        The number of models.
    console : rich.console.Console
        The terminal or the notebook.
    """

    def __init__(self, n: int, console: Any) -> None:
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn("{task.completed:.0f} of {task.total:.0f} models"),
            progress.BarColumn(),
            progress.TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task("", total=n)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

    def one_more(self) -> None:
        """Count a model; rich draws ten times a second."""
        self._bar.advance(self._task)


def done_and_left(n_done: int, n: int, noun: str, seconds: float, n_before: int = 0) -> str:
    """Return how many are done, and about how long the others take.

    Parameters
    ----------
    n_done, n : int
        The number of those that are done, and of all.
    noun : str
        What they are, in the plural.
    seconds : float
        The time since the start.
    n_before : int
        The number of those that were done at the start.

    Examples
    --------
    >>> done_and_left(8, 10, "models", 60.0), done_and_left(4, 10, "trials", 0.4, n_before=4)
    ('8 of 10 models, 1:00, about 0:15 left', '4 of 10 trials, 0:00')
    """
    n_new, n_left = n_done - n_before, n - n_done
    left = f", about {_clock(seconds / n_new * n_left)} left" if n_new and n_left else ""
    return f"{n_done} of {n} {noun}, {_clock(seconds)}{left}"


def _clock(seconds: float) -> str:
    """Return a duration as minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"

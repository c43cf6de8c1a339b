"""The progress of a training run on stderr: a bar on a terminal, lines in a log file."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any, Self, TextIO, cast

from ..backends.extras import load
from .best_effort_stream import BestEffortStream

SECONDS_BETWEEN_UPDATES = 0.1
SECONDS_BETWEEN_LINES = 5.0


class Silent(contextlib.AbstractContextManager["Silent"]):
    """Shows nothing."""

    def __exit__(self, *exc: object) -> None:
        """Nothing to close."""

    def resumed(self, epoch: int, batch: int) -> None:
        """Report that the run resumes after ``epoch`` epochs, and ``batch`` batches of the next one."""

    def advance(self, n_samples: int) -> None:
        """Count ``n_samples`` more samples."""

    def epoch_end(self, epoch: int, loss: float | list[float], samples_per_second: float) -> None:
        """Record the end of an epoch, counted from 0."""


def shown_progress(epochs: int, n_samples: int) -> Silent:
    """Return a bar where stderr is a terminal or a notebook, and lines where it is a file or a pipe.

    Parameters
    ----------
    epochs : int
        The largest number of epochs.
    n_samples : int
        The number of samples of one epoch.

    Raises
    ------
    ImportError
        If rich is missing; names the command that installs it.
    """
    stream = cast(TextIO, BestEffortStream(sys.stderr))
    console = load("rich.console", "progress=True draws with rich, which is missing", "cli")
    terminal = console.Console(file=stream)
    if terminal.is_terminal or terminal.is_jupyter:
        return Bar(epochs, n_samples, terminal)
    return LogLines(epochs, n_samples, stream)


class LogLines(Silent):
    """Lines of progress for a log file: one every few seconds, and one at the end.

    Parameters
    ----------
    epochs, n_samples
        The same as for `shown_progress`.
    stream : text file
        The log, a file or a pipe.
    """

    def __init__(self, epochs: int, n_samples: int, stream: TextIO) -> None:
        self._epochs, self._total, self._stream = epochs, epochs * n_samples, stream
        self._epoch, self._done, self._figures = 0, 0, ""
        self._written = time.perf_counter()

    def __exit__(self, *exc: object) -> None:
        """Write the last line."""
        self._write()

    def resumed(self, epoch: int, batch: int) -> None:
        """Write where the run resumes."""
        self._stream.write(f"{_resumed(epoch, batch, self._epochs)}\n")

    def advance(self, n_samples: int) -> None:
        """Count the samples; write a line where the last one is some seconds old."""
        self._done += n_samples
        if time.perf_counter() - self._written > SECONDS_BETWEEN_LINES:
            self._write()

    def epoch_end(self, epoch: int, loss: float | list[float], samples_per_second: float) -> None:
        """Keep the epoch's figures for the next line."""
        self._epoch = epoch + 1
        self._figures = f", loss {_mean_loss(loss):.4f}, {samples_per_second:,.0f} samples/s"

    def _write(self) -> None:
        share = self._done / self._total
        self._stream.write(f"epoch {self._epoch}/{self._epochs}, {share:.0%} done{self._figures}\n")
        self._stream.flush()
        self._written = time.perf_counter()


class Bar(Silent):
    """A progress bar, drawn with rich.

    Parameters
    ----------
    epochs, n_samples
        The same as for `shown_progress`.
    console : rich.console.Console
        The terminal or the notebook.
    """

    def __init__(self, epochs: int, n_samples: int, console: Any) -> None:
        from rich import progress

        self._epochs = epochs
        self._pending = 0
        self._shown = time.perf_counter()
        self._bar = progress.Progress(
            progress.TextColumn("epoch {task.fields[epoch]}/" + str(epochs)),
            progress.BarColumn(),
            progress.TextColumn("loss {task.fields[loss]}  {task.fields[speed]} samples/s"),
            progress.TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task("", total=epochs * n_samples, epoch=0, loss="-", speed="-")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._flush()
        self._bar.stop()

    def resumed(self, epoch: int, batch: int) -> None:
        """Print above the bar where the run resumes."""
        self._bar.console.print(_resumed(epoch, batch, self._epochs), highlight=False)

    def advance(self, n_samples: int) -> None:
        """Count the samples; redraw ten times a second at most, since a small step is quicker than a drawing."""
        self._pending += n_samples
        if time.perf_counter() - self._shown > SECONDS_BETWEEN_UPDATES:
            self._flush()

    def epoch_end(self, epoch: int, loss: float | list[float], samples_per_second: float) -> None:
        """Show the epoch's figures."""
        self._flush(epoch=epoch + 1, loss=f"{_mean_loss(loss):.4f}", speed=f"{samples_per_second:,.0f}")

    def _flush(self, **fields: Any) -> None:
        self._bar.update(self._task, advance=self._pending, **fields)
        self._pending = 0
        self._shown = time.perf_counter()


def _mean_loss(loss: float | list[float]) -> float:
    """Return the loss; with an axis of models the mean over them."""
    return loss if isinstance(loss, float) else sum(loss) / len(loss)


def _resumed(epoch: int, batch: int, epochs: int) -> str:
    """Return where a run resumes, in words."""
    within = f" and {batch} batches of the next one" if batch else ""
    return f"resumes after epoch {epoch} of {epochs}{within}"

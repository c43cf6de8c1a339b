"""The progress bar: the epoch, the loss, samples per second and the time left, on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any, Self, TextIO, cast

from ..backends.extras import install
from .best_effort_stream import BestEffortStream

SECONDS_BETWEEN_UPDATES = 0.1


class Silent(contextlib.AbstractContextManager["Silent"]):
    """Shows nothing."""

    def __exit__(self, *exc: object) -> None:
        """Nothing to close."""

    def advance(self, n_samples: int) -> None:
        """Count ``n_samples`` more samples."""

    def epoch_end(self, epoch: int, loss: float | list[float], samples_per_second: float) -> None:
        """Record the end of an epoch, counted from 0."""


class Bar(Silent):
    """A progress bar, drawn with rich.

    Parameters
    ----------
    epochs : int
        The largest number of epochs.
    n_samples : int
        The number of samples of one epoch.
    """

    def __init__(self, epochs: int, n_samples: int) -> None:
        try:
            from rich import progress
            from rich.console import Console
        except ImportError:
            raise ImportError(f"progress=True draws with rich, which is missing: {install('cli')}") from None
        self._epochs = epochs
        self._pending = 0
        self._shown = time.perf_counter()
        self._bar = progress.Progress(
            progress.TextColumn("epoch {task.fields[epoch]}/" + str(epochs)),
            progress.BarColumn(),
            progress.TextColumn("loss {task.fields[loss]}  {task.fields[speed]} samples/s"),
            progress.TimeRemainingColumn(),
            console=Console(file=cast(TextIO, BestEffortStream(sys.stderr))),
        )
        self._task = self._bar.add_task("", total=epochs * n_samples, epoch=0, loss="-", speed="-")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._flush()
        self._bar.stop()

    def advance(self, n_samples: int) -> None:
        """Count the samples; redraw ten times a second at most, since a small step is quicker than a drawing."""
        self._pending += n_samples
        if time.perf_counter() - self._shown > SECONDS_BETWEEN_UPDATES:
            self._flush()

    def epoch_end(self, epoch: int, loss: float | list[float], samples_per_second: float) -> None:
        """Show the epoch's figures."""
        shown = loss if isinstance(loss, float) else sum(loss) / len(loss)
        self._flush(epoch=epoch + 1, loss=f"{shown:.4f}", speed=f"{samples_per_second:,.0f}")

    def _flush(self, **fields: Any) -> None:
        self._bar.update(self._task, advance=self._pending, **fields)
        self._pending = 0
        self._shown = time.perf_counter()

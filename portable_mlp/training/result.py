"""The results of training: after each epoch, at its end, and where it diverged."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from ..html_parts import notebook_heading
from ..kernels.parameters import Params
from ..kernels.summaries import fields
from .history_html import history_html

History: TypeAlias = dict[str, list[Any]]
"""One float for each epoch, by name; with an axis of models a list of floats for each epoch."""


class TrainResult(NamedTuple):
    """The result of `train`.

    Attributes
    ----------
    params : tuple of Layer
        The trained parameters; with ``patience`` those of the best validation.
    history : dict of lists
        For each epoch its "loss" (the mean over the samples, with the penalty, while the parameters moved),
        "learning_rate" and "samples_per_second"; with validation data also "validation_loss" (without the penalty) and
        "validation_score". With an axis of models a loss is a list with one number for each.
    n_epochs : int
        The number of epochs completed.
    stopped_because : str
        "max_epochs", "patience", "learning_rate" (the adaptive schedule reached its end), "converged" or
        "no_progress" (L-BFGS: the line search found nothing better), "callback" or "interrupted".
    best_epoch : int or None
        The epoch, counted from 1, of the best validation loss, or score if that is monitored; with ``patience`` that of
        ``params``. None without validation data, and with an axis of models.
    """

    params: Params
    history: History
    n_epochs: int
    stopped_because: str
    best_epoch: int | None = None

    def __repr__(self) -> str:
        return fields(self)

    def _repr_html_(self) -> str:
        """Return the result for a notebook: why training ended, the losses as a picture, the history as a table."""
        ending = {name: getattr(self, name) for name in ("n_epochs", "stopped_because", "best_epoch")}
        return f"<div>{notebook_heading(self, ending)}{history_html(self.history, self.best_epoch)}</div>"


class EpochEnd(NamedTuple):
    """The argument of callbacks after each epoch.

    Attributes
    ----------
    epoch : int
        The number of the epoch, from 0.
    epochs : int
        The largest number of epochs.
    params : tuple of Layer
        The parameters after the epoch.
    history : dict of lists
        A copy of the history so far, this epoch included. Numbers, or lists of numbers, that a callback adds under
        names of its own are kept: as floats in the next epoch's history, in the result and in checkpoints.
    """

    epoch: int
    epochs: int
    params: Params
    history: History

    def __repr__(self) -> str:
        return fields(self)


class NonFiniteError(ValueError):
    """Training diverged: the loss or a parameter became infinite or NaN.

    Attributes
    ----------
    params : tuple of Layer
        The last good parameters: those at the end of the epoch before.
    history : dict of lists
        The history of the epochs completed.
    epoch : int
        The number of the epoch that failed, from 1.
    batch : int
        The number, from 1, of the first bad batch of that epoch.
    """

    def __init__(self, message: str, params: Params, history: History, epoch: int, batch: int) -> None:
        # All arguments go to Exception too: pickle rebuilds the error from them.
        super().__init__(message, params, history, epoch, batch)
        self.params = params
        self.history = history
        self.epoch = epoch
        self.batch = batch

    def __str__(self) -> str:
        return str(self.args[0])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    @classmethod
    def diverged(cls, good: Params, history: History, *, epoch: int, batch: int, n_batches: int) -> NonFiniteError:
        """Return the error of a divergence; ``good`` is the parameters at the end of the previous epoch."""
        message = (
            f"training diverged in epoch {epoch}, at batch {batch} of {n_batches}: the loss or a parameter became "
            "infinite or NaN; a smaller learning rate or scaled inputs may help (the error's params holds the "
            "parameters of the epoch before)"
        )
        return cls(message, good, history, epoch, batch)

"""What training gives back, during and at its end, well or not."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from ..kernels.arrays import Array
from ..kernels.network import Network
from ..kernels.parameters import Params, unpack
from ..kernels.summaries import fields

History: TypeAlias = dict[str, list[Any]]
"""One float for each epoch, by name; with an axis of models a list of floats for each epoch."""


class TrainResult(NamedTuple):
    """What `train` returns.

    Attributes
    ----------
    params : tuple of Layer
        The trained parameters; with ``patience`` those of the best validation.
    history : dict of lists
        For each epoch its "loss" (the mean over the samples, with the penalty, while the parameters moved),
        "learning_rate" and "samples_per_second"; with validation data also "validation_loss" (without the penalty) and
        "validation_score". With an axis of models a loss is a list with one number for each.
    n_epochs : int
        Epochs completed.
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


class EpochEnd(NamedTuple):
    """What a callback is given after each epoch.

    Attributes
    ----------
    epoch : int
        Which one, from 0.
    epochs : int
        How many there will be at most.
    params : tuple of Layer
        As they are now.
    history : dict of lists
        A copy of what there is so far, this epoch included. Numbers, or lists of numbers, that a callback puts there
        under names of its own come back at the next epoch, and stand in the result and in checkpoints, as floats.
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
        Of the epochs completed.
    epoch : int
        Which epoch failed, counted from 1.
    batch : int
        After how many batches of that epoch.
    """

    def __init__(self, message: str, params: Params, history: History, epoch: int, batch: int) -> None:
        # All arguments go to Exception too: pickle makes the error anew from them.
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
    def diverged(
        cls, net: Network, good: Array, history: History, *, epoch: int, batch: int, n_batches: int
    ) -> NonFiniteError:
        """Say where training diverged; ``good`` is the flat vector at the end of the epoch before."""
        message = (
            f"training diverged in epoch {epoch}, at batch {batch} of {n_batches}: the loss or a parameter became "
            "infinite or NaN; a smaller learning rate or scaled inputs may help (the error's params holds the "
            "parameters of the epoch before)"
        )
        return cls(message, unpack(net, good), history, epoch, batch)

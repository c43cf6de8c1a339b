"""Epochs whose steps are taken in one call of the runner, and which are recorded afterwards.

The steps of an epoch of a small network take less time than the Python around them. Epochs are joined where nothing
happens between them, so that the numbers are those of one epoch at a time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from ..backends.runner import COMPILED_STEPS_A_CALL
from ..distributed.group import current_group
from ..kernels.arrays import Array
from ..kernels.batch import Span
from .batches import Data
from .loop import Loop
from .order import Order
from .schedules import Progress
from .stream import Samples

if TYPE_CHECKING:
    from .run import Rates, Record


class JoinedDone(NamedTuple):
    """The figures of some epochs after the last step of all of them.

    Attributes
    ----------
    mean_losses : array of shape (n_epochs,)
        The mean loss of each over its samples, on the device.
    learning_rates : list of float
        The learning rate of the first step of each.
    samples_per_second : float
        The speed of all of them together.
    """

    mean_losses: Array
    learning_rates: list[float]
    samples_per_second: float


def can_be_joined(samples: Samples, loop: Loop) -> TypeGuard[Data]:
    """Return whether several epochs can be one call: of one model in one process, whose samples are in memory."""
    return isinstance(samples, Data) and loop.total.ndim == 0 and current_group() is None


class JoinedEpochs:
    """Takes and records as many epochs as one call of the runner does, and as are certain.

    Parameters
    ----------
    loop : Loop
        The loop, which has the parameters of one model.
    data : Data
        All training samples, in memory.
    order, rates, record
        The order of each epoch, its learning rate, and its record.
    epochs : int
        The largest number of epochs.
    """

    def __init__(self, loop: Loop, data: Data, order: Order, rates: Rates, record: Record, *, epochs: int) -> None:
        self._loop, self._data, self._order, self._rates, self._record = loop, data, order, rates, record
        self._epochs, self._diverged = epochs, False

    def take(self, epoch: int) -> tuple[int, str | None]:
        """Take epochs after the first ``epoch`` ones; return their number, and the reason to stop or None.

        The number is 0 if the next epoch is to be taken alone. Epochs that diverge are undone, to be taken one by one:
        the first bad one is reported as always.
        """
        loop, batches = self._loop, self._order.each_batches or ()
        n_now = self._number(epoch, batches)
        if n_now <= 1:
            return 0, None
        batches = list(batches)  # few, which each epoch repeats
        self._record.epoch_begins(resumed=False)
        rates = self._rates_of(range(epoch, epoch + n_now), len(batches))
        orders = [self._order.epoch(e, 0).rows for e in range(epoch, epoch + n_now)]
        before, start = loop.kept(), time.perf_counter()
        try:
            losses = loop.joined_epochs(self._data, orders, batches, rates)
            sound = self._record.accepts(losses)
        except KeyboardInterrupt:
            loop.restore(*before)  # the parameters of the epochs that are recorded
            raise
        if not sound:
            loop.restore(*before)
            self._diverged = True
            return 0, None
        n_samples = n_now * self._order.n_samples
        self._record.bar.advance(n_samples)
        speed = n_samples / (time.perf_counter() - start)
        return n_now, self._record.joined_epochs_end(JoinedDone(losses, rates[:: len(batches)], speed))

    def _number(self, epoch: int, batches: Sequence[Span]) -> int:
        """Return how many epochs to take now."""
        if not batches or self._diverged:
            return 0
        n_now = int(min(self._record.n_certain, self._epochs - epoch, COMPILED_STEPS_A_CALL // len(batches)))
        return self._loop.n_joined(batches, n_now) if n_now > 1 else 0

    def _rates_of(self, epochs: range, n_batches: int) -> list[float]:
        """Return the learning rate of each step of some epochs."""
        rates, n_samples = [], self._order.n_samples
        for i, epoch in enumerate(epochs):
            first = self._loop.n_steps + 1 + i * n_batches
            progress = Progress(epoch, epoch * n_samples, self._epochs, first, n_batches)
            if self._rates.by_step:
                rates += [self._rates.at(progress._replace(step=first + j)) for j in range(n_batches)]
            else:
                rates += [self._rates.at(progress)] * n_batches
        return rates

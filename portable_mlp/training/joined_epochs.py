"""Epochs of a single step, as where a batch is all samples: many in one call of the runner, recorded afterwards.

The step of a small network takes less time than the Python around an epoch. Epochs are joined where nothing happens
between them, so that the numbers are those of one epoch at a time.
"""

from __future__ import annotations

import time
from typing import TypeGuard

from ..backends.runner import STEPS_A_CALL
from ..distributed.group import current_group
from .batches import Data
from .loop import Loop, all_finite
from .monitor import Monitor
from .order import KeyedOrder
from .schedules import LossDrivenRates, Progress
from .stream import Samples


def nothing_between_epochs(
    samples: Samples, order: KeyedOrder, rates: LossDrivenRates, monitor: Monitor
) -> TypeGuard[Data]:
    """Return whether epochs are single steps on samples in memory, after which nothing is evaluated or decided."""
    in_memory = isinstance(samples, Data) and samples.X.ndim == 2 and current_group() is None
    return in_memory and order.is_one_batch and monitor.only_records and not rates.by_loss


class JoinedEpochs:
    """Takes and records epochs of a single step, as many as one call of the runner does.

    Parameters
    ----------
    loop : Loop
        The loop, which has the parameters of one model.
    data : Data
        All training samples, in memory.
    order, rates, monitor
        The order of each epoch, its learning rate, and its record; see `nothing_between_epochs`.
    epochs : int
        The largest number of epochs.
    """

    def __init__(
        self, loop: Loop, data: Data, order: KeyedOrder, rates: LossDrivenRates, monitor: Monitor, *, epochs: int
    ) -> None:
        self._loop, self._data, self._order, self._rates, self._monitor = loop, data, order, rates, monitor
        self._epochs, self._diverged = epochs, False

    def take(self, epoch: int) -> int:
        """Take epochs after the first ``epoch`` ones; return their number, 0 if the next one is to be taken alone.

        Epochs that diverge are undone, to be taken one by one: the first bad one is reported as always.
        """
        loop, n_samples = self._loop, self._order.n_samples
        n_now = 1 if self._diverged else loop.n_joined(n_samples, min(STEPS_A_CALL, self._epochs - epoch))
        if n_now == 1:
            return 0
        steps = range(loop.n_steps + 1, loop.n_steps + n_now + 1)
        rates = {
            step: self._rates.at(Progress(e, e * n_samples, self._epochs, step, 1))
            for e, step in enumerate(steps, start=epoch)
        }
        orders = [self._order.epoch(e, 0).rows for e in range(epoch, epoch + n_now)]
        before, start = loop.kept(), time.perf_counter()
        try:
            means = loop.joined_epochs(self._data, orders, rates.__getitem__)
            losses = loop.backend.to_numpy(means + loop.differences())
        except KeyboardInterrupt:
            loop.restore(*before)  # the parameters of the epochs that are recorded
            raise
        if not all_finite(losses):
            loop.restore(*before)
            self._diverged = True
            return 0
        speed = n_now * n_samples / (time.perf_counter() - start)
        self._monitor.bar.advance(n_now * n_samples)
        for loss, rate in zip(losses.tolist(), rates.values(), strict=True):
            self._monitor.epoch_end(loop.flat, loss=loss, learning_rate=rate, samples_per_second=speed)
        return n_now

"""The training loop: epochs of shuffled mini-batches, each one step on the device, read once at its end."""

from __future__ import annotations

import math
import time
from typing import Any

from ..backends import Backend
from ..kernels.arrays import Array, snapshot
from ..kernels.network import Network
from ..kernels.optimizers import Optimizer
from .batches import Data, Shuffle, batches
from .monitor import Monitor
from .result import NonFiniteError, TrainResult
from .schedules import Schedule
from .step import make_step


class Loop:
    """The moving parts: the flat parameters, the optimizer's state and the step count."""

    def __init__(
        self, backend: Backend, net: Network, flat: Array, data: Data, optimizer: Optimizer, l2: float
    ) -> None:
        self.backend, self.net, self.data = backend, net, data
        self.flat = flat
        self._state = optimizer.init(backend.xp, flat)
        self._scalars = optimizer.scalars
        self._step = backend.compile(make_step(backend.xp, net, optimizer, l2))
        self._n_steps = 0

    def epoch(self, epoch: int, rate: float, batch_size: int, shuffle: Shuffle | None, monitor: Monitor) -> Any:
        """Train on every batch once; return the mean loss, a float or one float for each model.

        Raises
        ------
        NonFiniteError
            If the loss or a parameter is not finite at the end.
        """
        losses = []
        good = snapshot(self.backend.xp, self.flat)
        total = self.backend.xp.zeros_like(good[..., 0])
        for batch in batches(self.backend, self.data, batch_size, epoch, shuffle):
            self._n_steps += 1
            scalars = self._scalars(self._n_steps, rate)
            self.flat, self._state, total, loss = self._step(self.flat, self._state, total, batch, scalars)
            losses.append(loss)
            monitor.bar.advance(batch.n_samples)
        mean, finite = self._read(total)
        if not finite:
            batch_number = self._first_bad_batch(losses)
            raise NonFiniteError.diverged(
                self.net, good, monitor.history, epoch=epoch + 1, batch=batch_number, n_batches=len(losses)
            )
        return mean

    def _read(self, total: Array) -> tuple[Any, bool]:
        """Read the device, once an epoch: the mean loss, and whether it and every parameter are finite."""
        # x - x is 0 for a finite x and NaN for any other.
        not_finite = self.backend.xp.sum(self.flat - self.flat, axis=-1)
        numbers = self.backend.to_numpy(self.backend.xp.stack([total / float(self.data.n_samples), not_finite]))
        return numbers[0].tolist(), _all_finite(numbers)

    def _first_bad_batch(self, losses: list[Array]) -> int:
        for number, loss in enumerate(losses, start=1):
            if not _all_finite(self.backend.to_numpy(loss)):
                return number
        return len(losses)


def _all_finite(numbers: Any) -> bool:
    """Look at a few numbers that are on the host already."""
    return all(map(math.isfinite, numbers.reshape(-1).tolist()))


def run(
    loop: Loop, monitor: Monitor, schedule: Schedule, *, epochs: int, batch_size: int, shuffle: Shuffle | None
) -> TrainResult:
    """Run the epochs until they are over, or until something asks to stop; Ctrl-C returns what was reached."""
    stopped_because = "max_epochs"
    try:
        for epoch in range(epochs):
            rate = schedule.rate(epoch)
            start = time.perf_counter()
            loss = loop.epoch(epoch, rate, batch_size, shuffle, monitor)
            speed = loop.data.n_samples / (time.perf_counter() - start)
            reason = monitor.epoch_end(loop.flat, loss=loss, learning_rate=rate, samples_per_second=speed)
            if reason is None and not schedule.goes_on_after(loss):
                reason = "learning_rate"
            if reason is not None:
                stopped_because = reason
                break
    except KeyboardInterrupt:
        stopped_because = "interrupted"
    return monitor.result(loop.flat, stopped_because)

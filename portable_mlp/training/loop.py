"""The training loop: epochs of shuffled mini-batches, each one step on the device, read once at its end."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

from ..backends import Backend
from ..kernels.arrays import Array, snapshot
from ..kernels.optimizers import Optimizer, State
from ..kernels.propagation import Room
from .batches import Data, Shuffle, batches
from .monitor import Monitor
from .progress import Silent
from .result import NonFiniteError, TrainResult
from .schedules import Schedule
from .step import Objective, make_room, make_step


class Loop:
    """The moving parts: the flat parameters, the optimizer's state and the step count.

    Parameters
    ----------
    backend : Backend
        Where everything lives.
    objective : Objective
        What is minimised.
    optimizer : Optimizer
        How.
    flat : array of shape (n_parameters,) or (n_models, n_parameters)
        Where to start; left as it is.
    state : tuple of array, optional
        The optimizer's, to go on from; by default its first.
    n_steps : int
        Steps that ``state`` has behind it.

    Attributes
    ----------
    flat, state, n_steps
        As they are now.
    losses : list of array
        The loss of each batch of the last epoch, on the device.
    """

    def __init__(
        self,
        backend: Backend,
        objective: Objective,
        optimizer: Optimizer,
        flat: Array,
        state: State | None = None,
        n_steps: int = 0,
    ) -> None:
        self.backend = backend
        # Copies: a step may write into them.
        self.flat = snapshot(backend.xp, flat)
        self.state = optimizer.init(backend.xp, flat)
        if state is not None:
            self.state = tuple(snapshot(backend.xp, moment) for moment in state)
        self.n_steps = n_steps
        self.losses: list[Array] = []
        self._scalars = optimizer.scalars
        self._net, self._ops = objective.net, backend.primitives
        self._step = backend.compile(make_step(self._ops, objective, optimizer))
        self._rooms: dict[int, Room | None] = {}

    def epoch(self, all_batches: Iterable[Data], rate: float, bar: Silent) -> Array:
        """Take one step for every batch; return the mean loss over their samples, on the device."""
        self.losses = []
        n_samples = 0
        total = self.backend.xp.zeros_like(self.flat[..., 0])
        for batch in all_batches:
            self.n_steps += 1
            scalars = self._scalars(self.n_steps, rate)
            room = self._room(batch.n_samples)
            self.flat, self.state, total, loss = self._step(self.flat, self.state, total, batch, scalars, room)
            self.losses.append(loss)
            n_samples += batch.n_samples
            bar.advance(batch.n_samples)
        return total / float(n_samples)

    def _room(self, n_samples: int) -> Room | None:
        """Return the memory for batches of that size, of which an epoch has two at most."""
        if n_samples not in self._rooms:
            self._rooms[n_samples] = make_room(self._ops, self._net, self.flat, n_samples)
        return self._rooms[n_samples]


def run(
    loop: Loop,
    data: Data,
    monitor: Monitor,
    schedule: Schedule,
    *,
    epochs: int,
    batch_size: int,
    shuffle: Shuffle | None,
) -> TrainResult:
    """Run the epochs until they are over, or until something asks to stop; Ctrl-C returns what was reached.

    Raises
    ------
    NonFiniteError
        If the loss or a parameter is not finite at the end of an epoch.
    """
    stopped_because = "max_epochs"
    try:
        for epoch in range(epochs):
            rate = schedule.rate(epoch)
            start = time.perf_counter()
            good = snapshot(loop.backend.xp, loop.flat)
            order = None if shuffle is None else shuffle.order(epoch, data.n_samples)
            mean = loop.epoch(batches(loop.backend, data, batch_size, order), rate, monitor.bar)
            loss = _finite_loss(loop, mean, good, monitor)
            speed = data.n_samples / (time.perf_counter() - start)
            reason = monitor.epoch_end(loop.flat, loss=loss, learning_rate=rate, samples_per_second=speed)
            if reason is None and not schedule.goes_on_after(loss):
                reason = "learning_rate"
            if reason is not None:
                stopped_because = reason
                break
    except KeyboardInterrupt:
        stopped_because = "interrupted"
    return monitor.result(loop.flat, stopped_because)


def _finite_loss(loop: Loop, mean: Array, good: Array, monitor: Monitor) -> Any:
    """Read the device, once an epoch: the mean loss; raise if it or a parameter is not finite."""
    # x - x is 0 for a finite x and NaN for any other.
    not_finite = loop.backend.xp.sum(loop.flat - loop.flat, axis=-1)
    numbers = loop.backend.to_numpy(loop.backend.xp.stack([mean, not_finite]))
    if not _all_finite(numbers):
        epoch, batch = len(monitor.history["loss"]) + 1, _first_bad_batch(loop)
        raise NonFiniteError.diverged(
            monitor.net, good, monitor.history, epoch=epoch, batch=batch, n_batches=len(loop.losses)
        )
    return numbers[0].tolist()


def _first_bad_batch(loop: Loop) -> int:
    for number, loss in enumerate(loop.losses, start=1):
        if not _all_finite(loop.backend.to_numpy(loss)):
            return number
    return len(loop.losses)


def _all_finite(numbers: Any) -> bool:
    """Look at a few numbers that are on the host already."""
    return all(map(math.isfinite, numbers.reshape(-1).tolist()))

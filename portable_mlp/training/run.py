"""A run: epochs of the loop, what is known at the end of each, and where it goes on after an interruption."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ..backends import Backend
from ..distributed.group import current_group, on_root
from ..kernels.arrays import Array, snapshot
from .agreed_stop import AgreedRequests
from .batches import Shuffle, Span, counting, spans
from .checkpointing import Checkpoints, NoCheckpoints, Position, Standing
from .dropout import Dropout
from .interruption import Requests, StopAsked
from .loop import Loop, all_finite
from .monitor import Monitor
from .result import NonFiniteError, TrainResult
from .schedules import Schedule
from .stream import Samples, Stream


def run(
    loop: Loop,
    data: Samples,
    monitor: Monitor,
    schedule: Schedule,
    *,
    n_samples: int,
    epochs: int,
    batch_size: int,
    shuffle: Shuffle | None,
    dropout: Dropout | None = None,
    checkpoints: Checkpoints | NoCheckpoints | None = None,
) -> TrainResult:
    """Run the epochs until they are over, or until something asks to stop; Ctrl-C returns what was reached.

    ``n_samples`` are all samples, of which ``data`` may be a part where a group trains. With ``checkpoints`` the run
    goes on where its newest state stands; SIGTERM then ends it with SystemExit.

    Raises
    ------
    NonFiniteError
        If the loss or a parameter is not finite at the end of an epoch.
    """
    the_run = _Run(loop, data, monitor, schedule, epochs, n_samples, spans(n_samples, batch_size), shuffle, dropout)
    if checkpoints is None:
        stopped_because = the_run.until_the_end()
    else:
        group = current_group()
        with Requests() if group is None else AgreedRequests(group) as requests:
            stopped_because = the_run.with_checkpoints(checkpoints, requests)
        requests.end_if_terminated()
    return monitor.result(loop.flat, stopped_because)


class _Run:
    """The epochs of one call of `run`."""

    def __init__(
        self,
        loop: Loop,
        data: Samples,
        monitor: Monitor,
        schedule: Schedule,
        epochs: int,
        n_samples: int,
        batches: Sequence[Span],
        shuffle: Shuffle | None,
        dropout: Dropout | None,
    ) -> None:
        self.loop, self.data, self.monitor, self.schedule = loop, data, monitor, schedule
        self.epochs, self.n_samples, self.shuffle, self.dropout = epochs, n_samples, shuffle, dropout
        self.spans = self.batches = batches  # of every epoch, and of the present one those that count
        self.weights = _weights_to_skip_by(loop.backend, data)
        self.standing = Standing(Position())

    def until_the_end(self) -> str:
        """Run all epochs; return why it stopped."""
        try:
            for epoch in range(self.epochs):
                reason = self._epoch(epoch)
                if reason is not None:
                    return reason
        except KeyboardInterrupt:
            return "interrupted"
        return "max_epochs"

    def with_checkpoints(self, checkpoints: Checkpoints | NoCheckpoints, requests: Requests) -> str:
        """Go on where the newest state stands, and write further ones; return why it stopped."""
        self.standing = checkpoints.resume()
        ended = self._ended_before()
        if ended is not None:
            return ended
        self.monitor.bar.advance(self._n_samples_done())

        def between(n_batches: int) -> None:
            position = Position(self.standing.position.epoch, n_batches)
            self.standing = self.standing._replace(position=position)
            if n_batches < len(self.batches):
                if checkpoints.due():
                    checkpoints.save(self.standing)
                requests.check()

        try:
            for epoch in range(self.standing.position.epoch, self.epochs):
                reason = self._epoch(epoch, checkpoints.every, between)
                self.standing = Standing(Position(epoch + 1), stopped_because=reason)
                checkpoints.save(self.standing)
                if reason is not None:
                    return reason
                if epoch + 1 < self.epochs:
                    requests.check()
        except StopAsked:
            checkpoints.save(self.standing)
            return "interrupted"
        except KeyboardInterrupt:
            # A callback's own; the second Ctrl-C, while the first is being answered, is not for us.
            if requests.received is not None:
                raise
            return "interrupted"
        return "max_epochs"

    def _ended_before(self) -> str | None:
        """Return why the run had come to its end; where a callback had ended it, the callbacks of now decide."""
        reason = self.standing.stopped_because
        if reason != "callback" or self.monitor.stop_asked(self.loop.flat):
            return reason
        return None if self.schedule.goes_on_after(self.monitor.history["loss"][-1]) else "learning_rate"

    def _epoch(self, epoch: int, every: int | None = None, between: Callable[[int], None] | None = None) -> str | None:
        """Run one epoch from where it stands; return why to stop, or None."""
        loop, monitor, done = self.loop, self.monitor, self.standing.position.batch
        rate = on_root(lambda: self.schedule.rate(epoch))
        start = time.perf_counter()
        if not done:
            self.standing = Standing(Position(epoch), snapshot(loop.backend.xp, loop.flat))
        order = self.data.order(self.shuffle, epoch, self.n_samples)
        self.batches = counting(self.spans, self.weights, order)
        mean = loop.epoch(
            self.data,
            self.batches,
            rate,
            order=order,
            masks=None if self.dropout is None else self.dropout.masks(epoch, self.batches, done),
            bar=monitor.bar,
            done=done,
            every=every,
            between=between,
        )
        loss = _finite_loss(loop, mean, self.standing.epoch_start, monitor)
        n_samples = sum(stop - start for start, stop in self.batches[done:])
        speed = n_samples / (time.perf_counter() - start)
        reason = monitor.epoch_end(loop.flat, loss=loss, learning_rate=rate, samples_per_second=speed)
        if reason is None and not self.schedule.goes_on_after(loss):
            return "learning_rate"
        return reason

    def _n_samples_done(self) -> int:
        epoch, n_batches = self.standing.position
        return epoch * self.n_samples + sum(stop - start for start, stop in self.batches[:n_batches])


def _weights_to_skip_by(backend: Backend, data: Samples) -> Any:
    """Return weights on the host where some are 0, which may be all of a batch; else None."""
    if isinstance(data, Stream) or data.weights is None:
        return None
    weights = backend.to_numpy(data.weights)
    return None if (weights > 0).all() else weights


def _finite_loss(loop: Loop, mean: Array, good: Array, monitor: Monitor) -> Any:
    """Read the device, once an epoch: the mean loss; raise if it or a parameter is not finite."""

    def read() -> tuple[bool, Any]:
        numbers = loop.backend.to_numpy(loop.backend.xp.stack([mean, loop.differences()]))
        return all_finite(numbers), numbers[0].tolist()

    is_finite, loss = on_root(read)
    if not is_finite:
        epoch, batch = monitor.n_epochs + 1, loop.first_bad_batch()
        raise NonFiniteError.diverged(
            monitor.net, good, monitor.history, epoch=epoch, batch=batch, n_batches=loop.n_batches
        )
    return loss

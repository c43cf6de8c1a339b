"""The loop over epochs: the order and the rate of each, its steps, and its record.

`portable_mlp.train` and the estimators run the same loop. They differ in three policies: the order of the samples
(`order`), the learning rates (`schedules`, `portable_mlp.estimators.optimizer_state`), and the record, which evaluates
each complete epoch and decides whether to stop (`loop_record`, `portable_mlp.estimators.epoch_record`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from ..distributed.group import current_group, on_root
from ..kernels.arrays import Array
from .agreed_stop import AgreedRequests
from .batches import n_samples_of
from .checkpointing import Checkpoints, Position
from .joined_epochs import JoinedDone, JoinedEpochs, can_be_joined
from .loop import Loop
from .order import Order
from .progress import Silent
from .schedules import Progress
from .stop_requests import Requests, StopAsked, pass_on_interruption, shared_request
from .stream import Samples


class Rates(Protocol):
    """The learning rates of a training run."""

    @property
    def by_step(self) -> bool:
        """Whether the rate changes within an epoch."""

    def at(self, progress: Progress) -> float:
        """Return the learning rate."""

    def memory(self) -> list[float]:
        """Return the state that later rates depend on."""

    def restore(self, memory: list[float]) -> None:
        """Continue from a result of `memory`."""


class EpochDone(NamedTuple):
    """The figures of an epoch after its last step.

    Attributes
    ----------
    mean_loss : array of shape () or (n_models,)
        The mean loss over its samples, on the device.
    learning_rate : float
        The learning rate of its first step.
    n_samples : int
        The number of samples of these steps.
    start : float
        The time of the first step, on the clock ``time.perf_counter``.
    """

    mean_loss: Array
    learning_rate: float
    n_samples: int
    start: float

    def samples_per_second(self) -> float:
        """Return the speed until now: a device may still be at work until ``mean_loss`` was read."""
        return self.n_samples / (time.perf_counter() - self.start)


class Record(Protocol):
    """The record of a training run, extended at the end of each epoch.

    Attributes
    ----------
    bar : Silent
        The progress bar of the run.
    """

    bar: Silent

    @property
    def n_certain(self) -> float:
        """The number of coming epochs that are taken and recorded, and no more, whatever their losses."""

    def epoch_begins(self, *, resumed: bool) -> None:
        """Keep the parameters before a step overwrites them; ``resumed`` is True within an epoch."""

    def epoch_ends(self, done: EpochDone) -> str | None:
        """Record an epoch; return the reason to stop, or None."""

    def accepts(self, mean_losses: Array) -> bool:
        """Return whether the coming epochs, whose steps are taken, can be recorded together: none of them diverged."""

    def joined_epochs_end(self, done: JoinedDone) -> str | None:
        """Record these epochs; return the reason to stop after the last one, or None."""

    def ended_before(self, reason: str) -> str | None:
        """Return why a resumed run remains stopped, or None if it continues."""

    def memory(self, *, within_epoch: bool) -> dict[str, Any]:
        """Return the record of the epochs so far: arrays on the host, and lists of floats."""

    def restore(self, memory: dict[str, Any], *, within_epoch: bool) -> None:
        """Continue from a result of `memory`."""


class Run:
    """The epochs of one training run.

    Parameters
    ----------
    loop : Loop
        The loop, which holds the parameters and takes the steps.
    samples : Data or Stream
        All samples, or those of this process where a group trains.
    order : Order
        The order of the samples in each epoch.
    rates : Rates
        The policy for the learning rates.
    record : Record
        The record of each epoch, which decides whether to stop.
    epochs : int
        The largest number of epochs.
    checkpoints : Checkpoints, optional
        The states of the run: training resumes from the newest one.
    """

    def __init__(
        self,
        loop: Loop,
        samples: Samples,
        order: Order,
        rates: Rates,
        record: Record,
        *,
        epochs: int,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self._loop, self._samples, self._order, self._rates, self._record = loop, samples, order, rates, record
        self._epochs, self._checkpoints = epochs, checkpoints
        self._joined: JoinedEpochs | None = None
        if checkpoints is None and can_be_joined(samples, loop):
            self._joined = JoinedEpochs(loop, samples, order, rates, record, epochs=epochs)
        self._position = Position()
        group = current_group()
        # Alone and without checkpoints Ctrl-C may interrupt a step anywhere: no file and no other rank depends on it.
        self._requests: Requests | None = None
        if group is not None:
            self._requests = AgreedRequests(group)
        elif shared_request() is not None:
            self._requests = shared_request()
        elif checkpoints is not None:
            self._requests = Requests()

    def until_stopped(self) -> str:
        """Run the epochs until the last one, or until a request to stop; return the reason.

        "max_epochs", "interrupted" (Ctrl-C; SIGTERM where it is received), or the record's reason.
        """
        with self._requests or contextlib.nullcontext():
            try:
                return self._all_epochs()
            except StopAsked:
                self._save()
                return "interrupted"
            except KeyboardInterrupt:
                # Ctrl-C raised by a callback ends training cleanly; the second one, after a first, must take effect.
                if self._requests is not None and self._requests.received is not None:
                    raise
                return "interrupted"

    def pass_on_requests(self, stopped_because: str) -> None:
        """Raise what ends more than this training, which has stopped.

        SystemExit after SIGTERM, even where the training stopped for another reason; KeyboardInterrupt if it was
        interrupted and is one of many.
        """
        if self._requests is not None:
            self._requests.end_if_terminated()
        if stopped_because == "interrupted":
            pass_on_interruption()

    def _all_epochs(self) -> str:
        ended = self._resumed()
        if ended is not None:
            return ended
        while (epoch := self._position.epoch) < self._epochs:
            n_now, reason = (0, None) if self._joined is None else self._joined.take(epoch)
            if n_now == 0:
                n_now, reason = 1, self._epoch(epoch)
            self._position = Position(epoch + n_now)
            self._save(reason)
            if reason is not None:
                return reason
            if self._requests is not None and self._position.epoch < self._epochs:
                self._requests.check()
        return "max_epochs"

    def _resumed(self) -> str | None:
        """Restore the newest state; return why training had stopped there, if it had."""
        if self._checkpoints is None:
            return None
        self._position, ended = self._checkpoints.resume()
        if self._position != Position():
            self._record.bar.resumed(*self._position)
        if ended is not None:
            ended = self._record.ended_before(ended)
        if ended is None and self._position != Position():
            epoch, done = self._position
            behind = self._order.epoch(epoch, done).batches[:done] if done else ()
            self._record.bar.advance(epoch * self._order.n_samples + n_samples_of(behind))
        return ended

    def _epoch(self, epoch: int) -> str | None:
        """Run one epoch from its current position; return the reason to stop, or None."""
        loop, done = self._loop, self._position.batch
        self._record.epoch_begins(resumed=done > 0)
        order = self._order.epoch(epoch, done)
        n_seen, n_steps = epoch * self._order.n_samples, len(order.batches)
        progress = Progress(epoch, n_seen, self._epochs, loop.n_steps - done + 1, n_steps)
        first_rate = on_root(lambda: self._rates.at(progress))
        start = time.perf_counter()
        mean_loss = loop.epoch(
            self._samples,
            order.batches,
            self._rate_of_steps(progress) if self._rates.by_step else lambda step: first_rate,
            order=order.rows,
            masks=order.masks,
            bar=self._record.bar,
            done=done,
            every=None if self._checkpoints is None else self._checkpoints.every,
            between=None if self._requests is None else self._between(epoch, n_steps),
        )
        n_samples = n_samples_of(order.batches[done:])
        return self._record.epoch_ends(EpochDone(mean_loss, first_rate, n_samples, start))

    def _rate_of_steps(self, progress: Progress) -> Callable[[int], float]:
        """Return the function from a step to its rate. Each process computes it: a message in every step would cost."""
        return lambda step: self._rates.at(progress._replace(step=step))

    def _between(self, epoch: int, n_batches: int) -> Any:
        """Return the function to call between two steps, which writes due states and acts on requests to stop."""

        def between(done: int) -> None:
            self._position = Position(epoch, done)
            if done < n_batches:
                assert self._requests is not None  # there would be nothing to call
                if self._checkpoints is not None and self._checkpoints.due():
                    self._save()
                self._requests.check()

        return between

    def _save(self, stopped_because: str | None = None) -> None:
        if self._checkpoints is not None:
            self._checkpoints.save(self._position, stopped_because)

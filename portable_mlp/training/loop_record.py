"""The record of a training by mini-batches: a monitor, and the check that all numbers are finite."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..distributed.group import on_root
from ..kernels.arrays import Array, snapshot
from .loop import Loop, all_finite
from .monitor import Monitor
from .result import NonFiniteError
from .schedules import LossDrivenRates

if TYPE_CHECKING:
    from .joined_epochs import JoinedDone
    from .run import EpochDone


class LoopRecord:
    """The record of a training by mini-batches: a `Monitor`, and the check that the numbers are finite.

    Parameters
    ----------
    loop : Loop
        The loop, which holds the parameters.
    monitor : Monitor
        The monitor that keeps the history.
    rates : LossDrivenRates
        The learning rates, which may react to the loss.

    Attributes
    ----------
    bar : Silent
        The progress bar of the run.
    """

    def __init__(self, loop: Loop, monitor: Monitor, rates: LossDrivenRates) -> None:
        self.bar = monitor.bar
        self._loop, self._monitor, self._rates = loop, monitor, rates
        self._epoch_start = loop.flat

    @property
    def n_certain(self) -> float:
        """The number of coming epochs of which nothing is evaluated and nothing decides."""
        return math.inf if self._monitor.only_records and not self._rates.by_loss else 1

    def epoch_begins(self, *, resumed: bool) -> None:
        """Keep the parameters: they are the last good ones if the epoch diverges."""
        if not resumed:
            self._epoch_start = snapshot(self._loop.backend.xp, self._loop.flat)

    def epoch_ends(self, done: EpochDone) -> str | None:
        """Record an epoch; return the reason to stop, or None.

        Raises
        ------
        NonFiniteError
            If the loss or a parameter is not finite.
        """
        loss = self._finite_loss(done.mean_loss)
        speed = done.samples_per_second()
        reason = self._monitor.epoch_end(
            self._loop.flat, loss=loss, learning_rate=done.learning_rate, samples_per_second=speed
        )
        if reason is None and not self._rates.continues_after(loss):
            return "learning_rate"
        return reason

    def accepts(self, mean_losses: Array) -> bool:
        """Return whether these losses and all parameters are finite."""
        return all_finite(self._loop.backend.to_numpy(mean_losses + self._loop.differences()))

    def joined_epochs_end(self, done: JoinedDone) -> None:
        """Record epochs of which nothing but the figures is kept."""
        losses = self._loop.backend.to_numpy(done.mean_losses).tolist()
        for loss, rate in zip(losses, done.learning_rates, strict=True):
            self._monitor.epoch_end(
                self._loop.flat, loss=loss, learning_rate=rate, samples_per_second=done.samples_per_second
            )

    def ended_before(self, reason: str) -> str | None:
        """Return why a resumed run remains stopped; where a callback had stopped it, the current callbacks decide."""
        if reason != "callback" or self._monitor.stop_asked(self._loop.flat):
            return reason
        return None if self._rates.continues_after(self._monitor.history["loss"][-1]) else "learning_rate"

    def memory(self, *, within_epoch: bool) -> dict[str, Any]:
        """Return the record of the epochs so far, and within an epoch the parameters at its start."""
        start = {"epoch_start": self._loop.backend.to_numpy(self._epoch_start)} if within_epoch else {}
        return self._monitor.memory() | start

    def restore(self, memory: dict[str, Any], *, within_epoch: bool) -> None:
        """Continue from a result of `memory`."""
        self._monitor.restore(memory)
        if within_epoch:
            start = memory["epoch_start"]
            self._epoch_start = self._loop.backend.asarray(start, dtype=start.dtype.name)

    def _finite_loss(self, mean_loss: Array) -> Any:
        """Return the mean loss; check that it and all parameters are finite. Reads the device, once an epoch."""
        loop, backend = self._loop, self._loop.backend

        def read() -> tuple[bool, Any]:
            loss = backend.to_numpy(mean_loss + loop.differences())
            return all_finite(loss), loss.tolist()

        is_finite, loss = on_root(read)
        if not is_finite:
            epoch, batch = self._monitor.n_epochs + 1, loop.first_bad_batch()
            raise NonFiniteError.diverged(
                self._monitor.params_of(self._epoch_start),
                self._monitor.history,
                epoch=epoch,
                batch=batch,
                n_batches=loop.n_batches,
            )
        return loss

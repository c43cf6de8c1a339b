"""The end of each epoch: validate, write the history, keep the best, ask the callbacks, decide whether to go on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ..backends import Backend
from ..kernels.arrays import Array, snapshot
from ..kernels.network import Network
from ..kernels.parameters import unpack
from .batches import Data
from .evaluation import Evaluation
from .group import decided
from .progress import Silent
from .result import EpochEnd, History, TrainResult

Callback: TypeAlias = Callable[[EpochEnd], Any]


class Monitor:
    """Keeps what is known about a run.

    Parameters
    ----------
    backend : Backend
        Where the parameters live.
    net : Network
        What is trained.
    epochs : int
        How many there will be at most.
    validation : Data or None
        What to validate on.
    patience : int or None
        Epochs without a better validation loss before training stops.
    callbacks : sequence of callable
        Each is given an `EpochEnd`; one that returns True ends training.
    bar : Silent
        Where progress is shown.
    """

    def __init__(
        self,
        backend: Backend,
        net: Network,
        *,
        epochs: int,
        validation: Data | None,
        patience: int | None,
        callbacks: Sequence[Callback],
        bar: Silent,
    ) -> None:
        self.bar = bar
        self.history: History = {"loss": [], "learning_rate": [], "samples_per_second": []}
        if validation is not None:
            self.history |= {"validation_loss": [], "validation_score": []}
        self.net = net
        self._backend, self._epochs = backend, epochs
        self._patience, self._callbacks = patience, callbacks
        self._validation = None if validation is None else Evaluation(backend, net, validation)
        self._best_loss, self._epochs_since_best = math.inf, 0
        self._best_flat: Array | None = None

    def epoch_end(self, flat: Array, *, loss: Any, learning_rate: float, samples_per_second: float) -> str | None:
        """Record an epoch; return why training should stop, or None."""
        epoch = len(self.history["loss"])

        def measure() -> dict[str, Any]:
            now = {"loss": loss, "learning_rate": learning_rate, "samples_per_second": samples_per_second}
            if self._validation is not None:
                numbers = self._validation.loss_and_score(flat)
                now |= zip(("validation_loss", "validation_score"), numbers, strict=True)
            return now

        now = decided(measure)
        for name, number in now.items():
            self.history[name].append(number)
        self.bar.epoch_end(epoch, loss, samples_per_second)
        out_of_patience = self._patience is not None and self._out_of_patience(flat, now["validation_loss"])
        stop_asked = decided(lambda: bool(self._callbacks) and self._stop_asked(epoch, flat))
        if out_of_patience:
            return "patience"
        return "callback" if stop_asked else None

    def result(self, flat: Array, stopped_because: str) -> TrainResult:
        """Return the run's result: the best parameters where ``patience`` looked for them, else ``flat``."""
        chosen = flat if self._best_flat is None else self._best_flat
        return TrainResult(unpack(self.net, chosen), self.history, len(self.history["loss"]), stopped_because)

    def memory(self) -> dict[str, Any]:
        """Return what the epochs so far have left behind: arrays of the host, and lists of floats."""
        left: dict[str, Any] = {f"history_{name}": numbers for name, numbers in self.history.items()}
        left["patience"] = [self._best_loss, float(self._epochs_since_best)]
        if self._best_flat is not None:
            left["best"] = self._backend.to_numpy(self._best_flat)
        return left

    def restore(self, memory: dict[str, Any]) -> None:
        """Go on from what `memory` returned."""
        self.history = {name: memory[f"history_{name}"].tolist() for name in self.history}
        self._best_loss, since = memory["patience"].tolist()
        self._epochs_since_best = int(since)
        if "best" in memory:
            self._best_flat = self._backend.asarray(memory["best"], dtype=memory["best"].dtype.name)

    def _stop_asked(self, epoch: int, flat: Array) -> bool:
        params = unpack(self.net, snapshot(self._backend.xp, flat))
        event = EpochEnd(epoch, self._epochs, params, self.history)
        # Every callback is asked, also after one has said stop. NumPy's True counts; a number that is not 0 does not.
        answers = [callback(event) for callback in self._callbacks]
        return any(type(answer).__name__.startswith("bool") and bool(answer) for answer in answers)

    def _out_of_patience(self, flat: Array, validation_loss: float) -> bool:
        self._epochs_since_best += 1
        if validation_loss < self._best_loss:
            self._best_loss, self._epochs_since_best = validation_loss, 0
            self._best_flat = snapshot(self._backend.xp, flat)
        return self._epochs_since_best >= (self._patience or 0)

"""The end of each epoch: validate, write the history, keep the best, ask the callbacks, decide whether to go on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ..backends import Backend
from ..distributed.group import on_root
from ..kernels.arrays import Array, snapshot
from ..kernels.network import Network
from ..kernels.parameters import unpack
from .evaluation import Evaluation
from .kept_numbers import copied, kept_number
from .progress import Silent
from .result import EpochEnd, History, TrainResult
from .stream import Samples

Callback: TypeAlias = Callable[[EpochEnd], Any]

MONITORED = {"loss": ("validation_loss", 1.0), "score": ("validation_score", -1.0)}
"""What `patience` may follow: its name in the history, and the sign with which it is minimised."""

_OF_CALLBACKS = "callback_"
"""Begins the names of their numbers in a state."""


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
    validation : Data or Stream or None
        What to validate on.
    patience : int or None
        Epochs without a better validation before training stops.
    monitored : {"loss", "score"}
        The number by which a validation is better.
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
        validation: Samples | None,
        patience: int | None,
        monitored: str = "loss",
        callbacks: Sequence[Callback],
        bar: Silent,
    ) -> None:
        self.bar = bar
        names = ("loss", "learning_rate", "samples_per_second")
        validation_names = () if validation is None else ("validation_loss", "validation_score")
        self._history: History = {name: [] for name in names + validation_names}
        self._of_callbacks: dict[str, Any] = {}
        self.net = net
        self._backend, self._epochs = backend, epochs
        self._patience, self._callbacks = patience, callbacks
        self._validation = None if validation is None else Evaluation(backend, net, validation)
        self._monitored, self._sign = MONITORED[monitored]
        self._least, self._epochs_since_best = math.inf, 0
        self._best_flat: Array | None = None

    @property
    def n_epochs(self) -> int:
        """How many epochs have been recorded; where Ctrl-C fell between the numbers of the last, it does not count."""
        return min(map(len, self._history.values()))

    @property
    def history(self) -> History:
        """A copy of what has been recorded, and of what callbacks keep."""
        n_epochs = self.n_epochs
        recorded = {name: copied(numbers[:n_epochs]) for name, numbers in self._history.items()}
        return recorded | {name: copied(numbers) for name, numbers in self._of_callbacks.items()}

    def epoch_end(self, flat: Array, *, loss: Any, learning_rate: float, samples_per_second: float) -> str | None:
        """Record an epoch; return why training should stop, or None."""

        def measure() -> dict[str, Any]:
            now = {"loss": loss, "learning_rate": learning_rate, "samples_per_second": samples_per_second}
            if self._validation is not None:
                numbers = self._validation.loss_and_score(flat)
                now |= zip(("validation_loss", "validation_score"), numbers, strict=True)
            return now

        now = on_root(measure)
        for name, number in now.items():
            self._history[name].append(number)
        self.bar.epoch_end(self.n_epochs - 1, loss, samples_per_second)
        out_of_patience = self._patience is not None and self._out_of_patience(flat, now[self._monitored])
        stop_asked = self.stop_asked(flat)
        if out_of_patience:
            return "patience"
        return "callback" if stop_asked else None

    def stop_asked(self, flat: Array) -> bool:
        """Ask the callbacks about the last epoch, at whose end the parameters were ``flat``."""
        stop, self._of_callbacks = on_root(lambda: self._asked(flat))
        return stop

    def _asked(self, flat: Array) -> tuple[bool, dict[str, Any]]:
        """Return whether a callback asks to stop, and what they keep in the history."""
        if not self._callbacks:
            return False, self._of_callbacks
        params = unpack(self.net, snapshot(self._backend.xp, flat))
        event = EpochEnd(self.n_epochs - 1, self._epochs, params, self.history)
        # Every callback is asked, also after one has said stop. NumPy's True counts; a number that is not 0 does not.
        answers = [callback(event) for callback in self._callbacks]
        stop = any(type(answer).__name__.startswith("bool") and bool(answer) for answer in answers)
        return stop, {name: kept_number(name, x) for name, x in event.history.items() if name not in self._history}

    def result(self, flat: Array, stopped_because: str) -> TrainResult:
        """Return the run's result: the best parameters where ``patience`` looked for them, else ``flat``."""
        chosen = flat if self._best_flat is None else self._best_flat
        return TrainResult(unpack(self.net, chosen), self.history, self.n_epochs, stopped_because, self._best_epoch())

    def _best_epoch(self) -> int | None:
        """Return the epoch of the best validation, the first of equals, from 1; None without one, or of many models."""
        numbers = self.history.get(self._monitored, [])
        objectives = [math.nan if isinstance(x, list) else self._sign * x for x in numbers]
        known = [(objective, epoch) for epoch, objective in enumerate(objectives, start=1) if not math.isnan(objective)]
        return min(known)[1] if known else None

    def memory(self) -> dict[str, Any]:
        """Return what the epochs so far have left behind: arrays of the host, and lists of floats."""
        history = self.history
        left: dict[str, Any] = {f"history_{name}": history[name] for name in self._history}
        left |= {f"{_OF_CALLBACKS}{name}": numbers for name, numbers in self._of_callbacks.items()}
        left["patience"] = [self._least, float(self._epochs_since_best)]
        if self._best_flat is not None:
            left["best"] = self._backend.to_numpy(self._best_flat)
        return left

    def restore(self, memory: dict[str, Any]) -> None:
        """Go on from what `memory` returned."""
        self._history = {name: memory[f"history_{name}"].tolist() for name in self._history}
        kept = {name: x.tolist() for name, x in memory.items() if name.startswith(_OF_CALLBACKS)}
        self._of_callbacks = {name.removeprefix(_OF_CALLBACKS): numbers for name, numbers in kept.items()}
        self._least, since = memory["patience"].tolist()
        self._epochs_since_best = int(since)
        if "best" in memory:
            self._best_flat = self._backend.asarray(memory["best"], dtype=memory["best"].dtype.name)

    def _out_of_patience(self, flat: Array, number: float) -> bool:
        self._epochs_since_best += 1
        objective = self._sign * number
        if objective < self._least:
            self._best_flat = snapshot(self._backend.xp, flat)
            self._least, self._epochs_since_best = objective, 0
        return self._epochs_since_best >= (self._patience or 0)

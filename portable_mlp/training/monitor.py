"""The end of each epoch: validate, write the history, keep the best, call the callbacks, decide whether to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ..backends import Backend
from ..distributed.group import on_root
from ..kernels.arrays import Array, snapshot
from ..kernels.network import Network
from ..kernels.parameters import Params, unpack
from .evaluation import Evaluation
from .history_numbers import copied, kept_number
from .progress import Silent
from .result import EpochEnd, History, TrainResult
from .stopping import MONITORED, Rule, best_epoch
from .stream import Samples

Callback: TypeAlias = Callable[[EpochEnd], Any]

_OF_CALLBACKS = "callback_"
"""The prefix of the names of callbacks' numbers in a state."""


class Monitor:
    """The record of a training run: history, best parameters, numbers of callbacks.

    Parameters
    ----------
    backend : Backend
        The library and device of the parameters.
    net : Network
        The network that is trained.
    epochs : int
        The largest number of epochs.
    validation : Data or Stream or None
        The samples to validate on.
    rules : dict of Rule
        The rules for stopping, by name.
    monitored : {"loss", "score"}
        The number by which a validation is better.
    callbacks : sequence of callable
        Each receives an `EpochEnd`; one that returns True ends training.
    bar : Silent
        The progress bar of the run.
    """

    def __init__(
        self,
        backend: Backend,
        net: Network,
        *,
        epochs: int,
        validation: Samples | None,
        rules: Mapping[str, Rule],
        monitored: str,
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
        self._rules, self._callbacks = rules, callbacks
        self._validation = None if validation is None else Evaluation(backend, net, validation)
        self._monitored, self._sign = MONITORED[monitored]
        self._best_flat: Array | None = None

    @property
    def n_epochs(self) -> int:
        """The number of epochs recorded; one whose record Ctrl-C interrupted does not count."""
        return min(map(len, self._history.values()))

    @property
    def only_records(self) -> bool:
        """Whether an epoch's figures are recorded and no more: nothing is evaluated, and nothing may stop the run."""
        return self._validation is None and not self._rules and not self._callbacks

    @property
    def history(self) -> History:
        """A copy of the recorded numbers, and of those that callbacks keep."""
        n_epochs = self.n_epochs
        recorded = {name: copied(numbers[:n_epochs]) for name, numbers in self._history.items()}
        return recorded | {name: copied(numbers) for name, numbers in self._of_callbacks.items()}

    def epoch_end(self, flat: Array, *, loss: Any, learning_rate: float, samples_per_second: float) -> str | None:
        """Record an epoch; return the reason to stop, or None."""

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
        reasons = [name for name, rule in self._rules.items() if rule.epoch_ends(now)]
        if any(rule.is_best for rule in self._rules.values()):
            self._best_flat = snapshot(self._backend.xp, flat)
        if self.stop_asked(flat):
            reasons.append("callback")
        return reasons[0] if reasons else None

    def stop_asked(self, flat: Array) -> bool:
        """Call the callbacks for the last epoch, which ended with the parameters ``flat``; return whether to stop."""
        stop, self._of_callbacks = on_root(lambda: self._asked(flat))
        return stop

    def _asked(self, flat: Array) -> tuple[bool, dict[str, Any]]:
        """Return whether a callback requests to stop, and the numbers that callbacks keep in the history."""
        if not self._callbacks:
            return False, self._of_callbacks
        params = self.params_of(snapshot(self._backend.xp, flat))
        event = EpochEnd(self.n_epochs - 1, self._epochs, params, self.history)
        # Every callback is called, also after a request to stop. NumPy's True counts; a number other than 0 does not.
        answers = [callback(event) for callback in self._callbacks]
        stop = any(type(answer).__name__.startswith("bool") and bool(answer) for answer in answers)
        return stop, {name: kept_number(name, x) for name, x in event.history.items() if name not in self._history}

    def params_of(self, flat: Array) -> Params:
        """Return the layers of flat parameters, of which nothing is left to compute: another thread may read them."""
        return self._backend.evaluated(unpack(self.net, flat))

    def result(self, flat: Array, stopped_because: str) -> TrainResult:
        """Return the run's result: with ``patience`` the best parameters, else ``flat``."""
        chosen = flat if self._best_flat is None else self._best_flat
        history = self.history
        # With many models each number is a list.
        objectives = [self._sign * x for x in history.get(self._monitored, []) if not isinstance(x, list)]
        return TrainResult(self.params_of(chosen), history, self.n_epochs, stopped_because, best_epoch(objectives))

    def memory(self) -> dict[str, Any]:
        """Return the record of the epochs so far: arrays on the host, and lists of floats."""
        history = self.history
        left: dict[str, Any] = {f"history_{name}": history[name] for name in self._history}
        left |= {f"{_OF_CALLBACKS}{name}": numbers for name, numbers in self._of_callbacks.items()}
        left |= {name: rule.memory() for name, rule in self._rules.items()}
        if self._best_flat is not None:
            left["best"] = self._backend.to_numpy(self._best_flat)
        return left

    def restore(self, memory: dict[str, Any]) -> None:
        """Continue from a result of `memory`."""
        self._history = {name: memory[f"history_{name}"].tolist() for name in self._history}
        kept = {name: x.tolist() for name, x in memory.items() if name.startswith(_OF_CALLBACKS)}
        self._of_callbacks = {name.removeprefix(_OF_CALLBACKS): numbers for name, numbers in kept.items()}
        for name, rule in self._rules.items():
            rule.restore(memory[name].tolist())
        if "best" in memory:
            self._best_flat = self._backend.asarray(memory["best"], dtype=memory["best"].dtype.name)

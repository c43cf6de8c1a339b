"""The training loop: epochs of shuffled mini-batches, each one step on the device."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Iterable
from typing import Any

from ..backends import Backend, backend_of
from ..kernels.arrays import Array
from ..kernels.initializers import RandomState
from ..kernels.network import Network
from ..kernels.optimizers import Optimizer, adam, sgd
from ..kernels.options import check_choice, checked_l2
from ..kernels.parameters import Params, pack, unpack
from . import lbfgs
from .batches import Data, Shuffle, batches
from .data import checked_data
from .monitor import Callback, Monitor
from .progress import Bar, Silent
from .result import NonFiniteError, TrainResult
from .schedules import Formula, Schedule, make_schedule
from .step import make_step

SOLVERS = ("sgd", "adam", "lbfgs")


def train(
    net: Network,
    params: Params,
    X: Array,
    y: Array,
    *,
    solver: str = "adam",
    learning_rate: float = 1e-3,
    batch_size: int = 200,
    epochs: int = 20,
    momentum: float = 0.9,
    nesterov: bool = True,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-8,
    schedule: str | Formula = "constant",
    decay: float = 0.95,
    l2: float = 0.0,
    shuffle: bool = True,
    random_state: RandomState = 0,
    validation: tuple[Array, Array] | None = None,
    patience: int | None = None,
    callbacks: Iterable[Callback] = (),
    progress: bool = False,
) -> TrainResult:
    """Train a network, starting from ``params``, on the library and device where they live.

    Parameters
    ----------
    net : Network
        What is trained.
    params : tuple of Layer
        Where to start, as from `init_params`; left as they are. With a leading axis of models all of them are trained
        at once, each as if alone.
    X : array of shape (n_samples, n_features)
        Inputs, all finite, of the same library and device.
    y : array
        Targets, as for `loss_and_grad`; all finite, labels in range.
    solver : {"adam", "sgd", "lbfgs"}
        "lbfgs" (SciPy) takes all samples in every step and ignores the options of the other two.
    learning_rate : float
        Positive; the schedule starts from it.
    batch_size : int
        Samples of a step; the last batch of an epoch may be short.
    epochs : int
        Passes over the data, at most; iterations of "lbfgs".
    momentum : float
        Of "sgd", in [0, 1).
    nesterov : bool
        Whether the momentum of "sgd" looks ahead.
    beta_1, beta_2, epsilon : float
        Of "adam".
    schedule : {"constant", "exponential", "invscaling", "adaptive", "cosine"} or callable
        The learning rate of each epoch, counted from 0: "exponential" is ``learning_rate * decay**epoch``,
        "invscaling" divides by the root of the samples seen, "adaptive" divides by 5 where the loss stalls, "cosine"
        falls to 0. A function of the epoch returns the rate itself.
    decay : float
        Of the schedule "exponential", positive.
    l2 : float
        Penalty ``l2 / 2`` times the sum of squared weights, added to each batch's mean loss.
    shuffle : bool
        Whether each epoch has an order of its own, drawn on the host, the same on every backend.
    random_state : None, int, numpy.random.RandomState or numpy.random.Generator
        For the shuffle.
    validation : tuple of two arrays, optional
        ``(X_val, y_val)``, evaluated after each epoch.
    patience : int, optional
        Stop after so many epochs without a better validation loss, and return the best parameters.
    callbacks : iterable of callable
        Each is called with an `EpochEnd` after each epoch; returning True ends training.
    progress : bool
        Whether to draw a progress bar on stderr (needs rich).

    Returns
    -------
    TrainResult
        ``params``, ``history``, ``n_epochs`` and ``stopped_because``. Ctrl-C ends training cleanly and returns what
        was reached.

    Raises
    ------
    ValueError
        If an option or the data are not as described; with the offending numbers.
    TypeError
        If something is not an array.
    NonFiniteError
        If the loss or a parameter becomes infinite or NaN; it carries the last good parameters.
    ImportError
        If rich or SciPy is needed and missing.

    Examples
    --------
    >>> import numpy as np, portable_mlp as pm
    >>> X, y = np.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.asarray([0, 1, 1, 0])
    >>> net = pm.Network((2, 8, 2), activation="tanh")
    >>> result = pm.train(net, pm.init_params(net), X, y, learning_rate=0.05, epochs=200)
    >>> np.argmax(pm.predict(net, result.params, X), axis=1)
    array([0, 1, 1, 0])
    """
    check_choice("solver", solver, SOLVERS)
    epochs, batch_size = _whole("epochs", epochs), _whole("batch_size", batch_size)
    _check_numbers(learning_rate, momentum, beta_1, beta_2, epsilon, decay)
    l2 = checked_l2(l2)
    data = checked_data(net, params, X, y)
    plan = make_schedule(
        schedule, learning_rate=float(learning_rate), decay=float(decay), epochs=epochs, n_samples=data.n_samples
    )
    held_out = _checked_validation(net, params, validation)
    patience = _checked_patience(patience, validation)
    _check_one_model(params, patience is not None, schedule == "adaptive", solver == "lbfgs")
    backend = backend_of(params[0][0])
    with backend.running(), Bar(epochs, data.n_samples) if progress else Silent() as bar:
        monitor = Monitor(
            backend, net, epochs=epochs, validation=held_out, patience=patience, callbacks=_called(callbacks), bar=bar
        )
        flat = pack(params)
        if solver == "lbfgs":
            return lbfgs.minimize(backend, net, flat, data, monitor, epochs=epochs, l2=l2)
        optimizer = sgd(momentum, nesterov) if solver == "sgd" else adam(beta_1, beta_2, epsilon)
        loop = _Loop(backend, net, flat, data, optimizer, l2)
        order = Shuffle(random_state) if shuffle else None
        return _run(loop, monitor, plan, epochs=epochs, batch_size=batch_size, shuffle=order)


class _Loop:
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
        self._last_rate = 0.0

    def epoch(self, epoch: int, rate: float, batch_size: int, shuffle: Shuffle | None, monitor: Monitor) -> Any:
        """Train on every batch once; return the mean loss, a float or one float for each model."""
        losses = []
        good = self.flat
        total = self.backend.xp.zeros_like(good[..., 0])
        for batch in batches(self.backend, self.data, batch_size, epoch, shuffle):
            self._n_steps += 1
            scalars = self._scalars(self._n_steps, rate, self._last_rate)
            self.flat, self._state, total, loss = self._step(self.flat, self._state, total, batch, scalars)
            self._last_rate = rate or self._last_rate
            losses.append(loss)
            monitor.bar.advance(batch.n_samples)
        mean, finite = self._read(total)
        if not finite:
            raise self._non_finite(epoch, losses, good, monitor)
        return mean

    def _read(self, total: Array) -> tuple[Any, bool]:
        """Read the device, once an epoch: the mean loss, and whether it and every parameter are finite."""
        # x - x is 0 for a finite x and NaN for any other.
        wrecked = self.backend.xp.sum(self.flat - self.flat, axis=-1)
        numbers = self.backend.to_numpy(self.backend.xp.stack([total / float(self.data.n_samples), wrecked]))
        return numbers[0].tolist(), all(map(math.isfinite, numbers.reshape(-1).tolist()))

    def _non_finite(self, epoch: int, losses: list[Array], good: Array, monitor: Monitor) -> NonFiniteError:
        def is_finite(loss: Array) -> bool:
            return all(map(math.isfinite, self.backend.to_numpy(loss).reshape(-1).tolist()))

        batch = next((i for i, loss in enumerate(losses, start=1) if not is_finite(loss)), len(losses))
        return NonFiniteError(
            f"training diverged in epoch {epoch + 1}, at batch {batch} of {len(losses)}: the loss or a parameter "
            "became infinite or NaN; a smaller learning_rate or scaled inputs may help (the error's params "
            "holds those of the epoch before)",
            params=unpack(self.net, good),
            history=monitor.history,
            epoch=epoch + 1,
            batch=batch,
        )


def _run(
    loop: _Loop, monitor: Monitor, schedule: Schedule, *, epochs: int, batch_size: int, shuffle: Shuffle | None
) -> TrainResult:
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


def _whole(name: str, value: int) -> int:
    try:
        whole = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if whole < 1:
        raise ValueError(f"{name} must be at least 1, got {whole}")
    return whole


def _check_numbers(
    learning_rate: float, momentum: float, beta_1: float, beta_2: float, epsilon: float, decay: float
) -> None:
    for name, value in (("learning_rate", learning_rate), ("epsilon", epsilon), ("decay", decay)):
        if not 0.0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {value!r}")
    for name, value in (("momentum", momentum), ("beta_1", beta_1), ("beta_2", beta_2)):
        if not 0.0 <= value < 1.0:
            raise ValueError(f"{name} must lie in [0, 1), got {value!r}")


def _checked_validation(net: Network, params: Params, validation: tuple[Array, Array] | None) -> Data | None:
    if validation is None:
        return None
    try:
        X, y = validation
    except (TypeError, ValueError):
        raise ValueError("validation must be a pair (X_val, y_val)") from None
    return checked_data(net, params, X, y, names=("X_val", "y_val"))


def _checked_patience(patience: int | None, validation: object) -> int | None:
    if patience is not None and validation is None:
        raise ValueError("patience looks at the validation loss: give validation=(X_val, y_val) with it")
    return None if patience is None else _whole("patience", patience)


def _check_one_model(params: Params, patience: bool, adaptive: bool, with_lbfgs: bool) -> None:
    if params[0][0].ndim == 2:
        return
    for asked, what in ((patience, "patience"), (adaptive, 'schedule "adaptive"'), (with_lbfgs, 'solver "lbfgs"')):
        if asked:
            raise ValueError(f"{what} follows the loss of one model, but params have a leading axis of models")


def _called(callbacks: Iterable[Callback]) -> tuple[Callback, ...]:
    checked = tuple(callbacks)
    for callback in checked:
        if not callable(callback):
            raise TypeError(f"callbacks must be functions of an EpochEnd, got {callback!r}")
    return checked

"""L-BFGS through SciPy: the whole data set in every step, the line search on the host, the gradient on the device."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from ..backends import Backend
from ..backends.deferred_interrupts import whole_imports
from ..backends.extras import load
from ..kernels.arrays import Array
from ..kernels.step import Objective, make_objective
from .batches import Data
from .monitor import Monitor
from .result import NonFiniteError, TrainResult
from .stop_requests import pass_on_interruption, shared_request


def load_scipy() -> Any:
    """Return ``scipy.optimize``.

    Raises
    ------
    ImportError
        If SciPy is missing; names the command that installs it.
    """
    with whole_imports():
        return load("scipy.optimize", 'solver "lbfgs" needs SciPy', "lbfgs")


class HostObjective:
    """An objective as SciPy calls it: from a float64 vector on the host to the loss and its gradient.

    Parameters
    ----------
    backend : Backend
        The library and device of the computation.
    objective : Objective
        The function to minimise.
    data : Data
        All training samples, on the device.
    dtype : dtype
        The dtype of the data, and so of the arithmetic.
    """

    def __init__(self, backend: Backend, objective: Objective, data: Data, dtype: Any) -> None:
        self._backend, self._data, self._dtype = backend, data, dtype
        self._evaluate = backend.compile(make_objective(backend.primitives, objective))

    def __call__(self, x: Any) -> tuple[float, Any]:
        """Return the loss and the gradient at ``x``, both float64 on the host."""
        loss, gradient = self._evaluate(self.moved(x), self._data)
        return float(self._backend.to_numpy(loss)), self._backend.to_numpy(gradient).astype("float64")

    def moved(self, x: Any) -> Array:
        """Return a copy of ``x`` on the device: SciPy keeps writing into its own array."""
        return self._backend.asarray(x.copy(), dtype=self._dtype)


def minimize(
    evaluate: Callable[[Any], tuple[float, Any]],
    start: Any,
    iteration_ends: Callable[[Any, float], bool],
    *,
    arrangement: tuple[Any, Any] | None = None,
    **options: Any,
) -> Any:
    """Minimise a function with SciPy's L-BFGS-B (Byrd et al. 1995).

    Parameters
    ----------
    evaluate : callable
        ``evaluate(x) -> (loss, gradient)``, x and the gradient of shape (n,), float64.
    start : ndarray of shape (n,), float64
        The starting point of the search.
    iteration_ends : callable
        ``iteration_ends(x, loss)`` is called after each iteration; True ends the search.
    arrangement : tuple of two ndarrays of shape (n,), int64, optional
        A permutation and its inverse: SciPy receives ``x[arrangement[0]]``, since its sums depend on the order of the
        numbers.
    **options
        The options of ``scipy.optimize.minimize(method="L-BFGS-B")``.

    Returns
    -------
    OptimizeResult
        The result of SciPy, with ``x`` in our order.
    """
    theirs, ours = (slice(None), slice(None)) if arrangement is None else arrangement

    def loss_and_gradient(x: Any) -> tuple[float, Any]:
        loss, gradient = evaluate(x[ours])
        return loss, gradient[theirs]

    # SciPy passes the loss too only to a callback with a parameter of this name.
    def iteration_end(intermediate_result: Any) -> None:
        try:
            ends = iteration_ends(intermediate_result.x[ours], intermediate_result.fun)
        except StopIteration as error:
            # SciPy would mistake it for ours, which ends the search.
            raise RuntimeError("a callback raised StopIteration") from error
        request = shared_request()
        if request is not None:
            request.pass_on()
        if ends:
            raise StopIteration

    found = load_scipy().minimize(
        loss_and_gradient, start[theirs], method="L-BFGS-B", jac=True, callback=iteration_end, options=options
    )
    found.x = found.x[ours]
    return found


def train_by_lbfgs(
    backend: Backend, objective: Objective, flat: Array, data: Data, monitor: Monitor, *, epochs: int
) -> TrainResult:
    """Minimise the loss of all samples; an epoch is an iteration.

    The vector travels to the host and back at every evaluation, where SciPy works in float64. The learning rate in the
    history is NaN: the line search chooses its own steps.

    Raises
    ------
    NonFiniteError
        If an iteration ends with a loss that is not finite.
    """
    search = _Search(HostObjective(backend, objective, data, flat.dtype), flat, data.n_samples, monitor)
    start = backend.to_numpy(flat).astype("float64")
    try:
        found = minimize(search.evaluate, start, search.iteration_ends, maxiter=epochs, maxfun=20 * epochs + 100)
    except KeyboardInterrupt:
        pass_on_interruption()
        return monitor.result(search.good, "interrupted")
    search.check_finite(found.fun)
    return monitor.result(search.good, search.stopped_because or _reason(found, epochs))


def _reason(found: Any, epochs: int) -> str:
    if found.status == 0:
        return "converged"
    return "max_epochs" if found.nit >= epochs else "no_progress"


class _Search:
    """The record of one minimisation by `train_by_lbfgs`."""

    def __init__(self, objective: HostObjective, flat: Array, n_samples: int, monitor: Monitor) -> None:
        self.good = flat
        self.stopped_because: str | None = None
        self._objective, self._n_samples, self._monitor = objective, n_samples, monitor
        self._n_evaluations = 0
        self._start = time.perf_counter()

    def evaluate(self, x: Any) -> tuple[float, Any]:
        """Evaluate the objective, and count."""
        self._n_evaluations += 1
        self._monitor.bar.advance(0)
        return self._objective(x)

    def iteration_ends(self, x: Any, loss: float) -> bool:
        """Record an iteration; return whether to stop."""
        loss = float(loss)
        self.check_finite(loss)
        self.good = self._objective.moved(x)
        speed = self._n_samples * self._n_evaluations / (time.perf_counter() - self._start)
        self._monitor.bar.advance(self._n_samples)
        self.stopped_because = self._monitor.epoch_end(
            self.good, loss=loss, learning_rate=math.nan, samples_per_second=speed
        )
        self._start, self._n_evaluations = time.perf_counter(), 0
        return self.stopped_because is not None

    def check_finite(self, loss: float) -> None:
        """Raise NonFiniteError unless the loss is finite."""
        if not math.isfinite(loss):
            epoch = self._monitor.n_epochs + 1
            raise NonFiniteError.diverged(
                self._monitor.params_of(self.good), self._monitor.history, epoch=epoch, batch=1, n_batches=1
            )

"""L-BFGS through SciPy: the whole data set in every step, the line search on the host, the gradient on the device."""

from __future__ import annotations

import math
import time
from typing import Any

from ..backends import Backend
from ..kernels.arrays import Array
from ..kernels.network import Network
from ..kernels.parameters import unpack
from .batches import Data
from .monitor import Monitor
from .result import NonFiniteError, TrainResult
from .step import make_objective


def minimize(
    backend: Backend, net: Network, flat: Array, data: Data, monitor: Monitor, *, epochs: int, l2: float
) -> TrainResult:
    """Minimise the loss of all samples with L-BFGS-B (Byrd et al. 1995); an epoch is one of its iterations.

    The vector travels to the host and back at every evaluation, where SciPy works in float64. The learning rate in the
    history is NaN: the line search chooses its own steps.

    Raises
    ------
    ImportError
        If SciPy is missing.
    NonFiniteError
        If an iteration ends with a loss that is not finite.
    """
    try:
        from scipy import optimize
    except ImportError:
        raise ImportError('solver "lbfgs" needs SciPy: pip install "portable-mlp[lbfgs]"') from None
    dtype = flat.dtype
    objective = backend.compile(make_objective(backend.xp, net, l2))
    evaluations = 0

    def on_host(x: Any) -> tuple[float, Any]:
        nonlocal evaluations
        evaluations += 1
        monitor.bar.advance(0)
        loss, gradient = objective(backend.asarray(x, dtype=dtype), data)
        return float(backend.to_numpy(loss)), backend.to_numpy(gradient).astype("float64")

    stopped_because = "converged"
    good = flat
    epoch_start, evaluations_before = time.perf_counter(), 0

    def after_iteration(intermediate_result: Any) -> None:
        nonlocal stopped_because, good, epoch_start, evaluations_before
        now = backend.asarray(intermediate_result.x, dtype=dtype)
        loss = float(intermediate_result.fun)
        if not math.isfinite(loss):
            _raise_non_finite(net, good, monitor)
        good = now
        seconds = time.perf_counter() - epoch_start
        speed = data.n_samples * (evaluations - evaluations_before) / seconds
        monitor.bar.advance(data.n_samples)
        reason = monitor.epoch_end(now, loss=loss, learning_rate=math.nan, samples_per_second=speed)
        epoch_start, evaluations_before = time.perf_counter(), evaluations
        if reason is not None:
            stopped_because = reason
            raise StopIteration

    try:
        found = optimize.minimize(
            on_host,
            backend.to_numpy(flat).astype("float64"),
            jac=True,
            method="L-BFGS-B",
            callback=after_iteration,
            options={"maxiter": epochs, "maxfun": 20 * epochs + 100},
        )
    except KeyboardInterrupt:
        return monitor.result(good, "interrupted")
    if not math.isfinite(float(found.fun)):
        _raise_non_finite(net, good, monitor)
    if stopped_because == "converged" and found.status != 0:
        stopped_because = "max_epochs" if found.nit >= epochs else "no_progress"
    return monitor.result(good, stopped_because)


def _raise_non_finite(net: Network, good: Array, monitor: Monitor) -> None:
    epoch = len(monitor.history["loss"]) + 1
    raise NonFiniteError(
        f"the loss became infinite or NaN in epoch {epoch} of L-BFGS, batch 1 of 1; look at the scale of X and y",
        params=unpack(net, good),
        history=monitor.history,
        epoch=epoch,
        batch=1,
    )

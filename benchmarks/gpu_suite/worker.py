"""The functions that run in the process of a candidate: they make it and time it."""

from __future__ import annotations

import importlib
import time
from typing import NamedTuple

from portable_mlp.bench.cases import Case, problem

from .on_device import Entry, OnDevice, set_precision
from .precisions import check_losses, check_product_error, product_error

STEPS_A_TURN, TURNS_AT_MOST = 200, 6
"""The fewest steps before the one wait at the end, unless they take this many times the seconds of a turn."""

CALLS_WAITED_FOR = 50
"""Number of calls for the latency, waited for one by one."""

CALLS_ENQUEUED = 10
"""Number of calls for the time on the host: the GPU's queue, of about a thousand kernels, must not fill."""

CALLS_TRACED = 4
"""Number of calls while kernels are counted."""


STEPS_OF_EVERY_CALL, CALLS_UNTIL_RECORDED = 127, 3
"""Our runners divide 127 steps into calls of 64, 32, 16, ... 1, and record each as a graph by its third call."""


class Made(NamedTuple):
    """A candidate that is ready.

    Attributes
    ----------
    steps_a_call : int
        Number of steps of one call.
    first_step : float
        Seconds until the first call was done: moving the data, compiling, choosing, capturing.
    product_error, loss_error : float
        Relative differences from float64, of a product and of the losses.
    """

    steps_a_call: int
    first_step: float
    product_error: float
    loss_error: float


class Turn(NamedTuple):
    """The times of one turn, in seconds.

    Attributes
    ----------
    step : float
        Time of a step, where many are enqueued.
    latency : float
        Time of a call that is waited for.
    on_host : float
        Time to enqueue a step.
    """

    step: float
    latency: float
    on_host: float


class _Ready(NamedTuple):
    """The candidate of this process, and about how many seconds a call of it takes."""

    candidate: OnDevice
    seconds_a_call: float


_ready: list[_Ready] = []


def prepare(entry: Entry, case: Case, precision: str, device: str) -> None:
    """Import the library, set its options, and draw the numbers."""
    importlib.import_module(entry.library)
    set_precision(entry.library, precision, device)
    problem(case)


def make(
    entry: Entry, case: Case, precision: str, device: str, expected: list[float], seconds_of_warm_up: float
) -> Made:
    """Make a candidate, verify its products and losses, and warm it up: a GPU that did nothing runs at a low clock.

    Raises
    ------
    Exception
        Whatever its library raises; `ArithmeticError` if it computes something else, or in another precision.
    """
    start = time.perf_counter()
    candidate = entry.make(case, precision, device)
    _take(candidate, 1)
    first_step = time.perf_counter() - start
    error = product_error(candidate.multiply)
    check_product_error(precision, error)
    losses = candidate.first_losses()
    loss_error = check_losses(precision, losses, expected) if losses else 0.0
    _ready.append(_Ready(candidate, _warm_up(candidate, seconds_of_warm_up)))
    _settle(candidate)
    return Made(candidate.steps_a_call, first_step, error, loss_error)


def take_turn(seconds: float) -> Turn:
    """Time the candidate that is ready; steps are enqueued for so many seconds."""
    [(candidate, seconds_a_call)] = _ready
    calls = seconds / seconds_a_call
    n_calls = _calls_a_turn(candidate.steps_a_call, calls)
    n_enqueued, n_waits = _few(CALLS_ENQUEUED, calls), _few(CALLS_WAITED_FOR, calls)
    _take(candidate, 1)
    step = _take(candidate, n_calls)[1] / (n_calls * candidate.steps_a_call)
    on_host = _take(candidate, n_enqueued)[0] / (n_enqueued * candidate.steps_a_call)
    start = time.perf_counter()
    for _ in range(n_waits):
        _take(candidate, 1)
    return Turn(step, (time.perf_counter() - start) / n_waits, on_host)


def count_kernels() -> float:
    """Return how many kernels a step launches, or its graph holds, as NVIDIA's tracing counts them.

    Copies and fills of memory are not counted. The tracing is PyTorch's, whichever library's kernels they are.
    """
    import torch
    from torch.profiler import ProfilerActivity, profile

    [(candidate, _)] = _ready
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        _take(candidate, CALLS_TRACED)
    on_gpu = [event.name for event in found.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    n_kernels = sum(not event.startswith(("Memcpy", "Memset")) for event in on_gpu)
    return n_kernels / (CALLS_TRACED * candidate.steps_a_call)


def _calls_a_turn(steps_a_call: int, calls: float) -> int:
    return max(1, round(min(max(calls, STEPS_A_TURN / steps_a_call), TURNS_AT_MOST * calls)))


def _few(wanted: int, calls: float) -> int:
    """Return the number of calls: ``wanted``, or as many as fill a turn, but at least three."""
    return max(3, min(wanted, round(calls)))


def _warm_up(candidate: OnDevice, seconds: float) -> float:
    """Take calls for so many seconds; return how long one takes then."""
    start, n_calls = time.perf_counter(), 1
    while True:
        taken = _take(candidate, n_calls)[1]
        if time.perf_counter() - start >= seconds:
            return taken / n_calls
        if taken < seconds / 8:
            n_calls *= 2


def _settle(candidate: OnDevice) -> None:
    """Take calls of every power of two of steps, until all that a candidate records is recorded."""
    for _ in range(CALLS_UNTIL_RECORDED):
        _take(candidate, max(1, STEPS_OF_EVERY_CALL // candidate.steps_a_call))


def _take(candidate: OnDevice, n_calls: int) -> tuple[float, float]:
    """Return the seconds until calls were enqueued, and until they were done."""
    start = time.perf_counter()
    candidate.enqueue(n_calls * candidate.steps_a_call)
    enqueued = time.perf_counter() - start
    candidate.wait()
    return enqueued, time.perf_counter() - start

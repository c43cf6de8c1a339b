"""The compiled function that replays a tape: a list of operations on fixed memory, without Python in between.

An operation is a row of integers: its code, then addresses and lengths (`_tape.Tape` writes them). There are two kinds:
a call of the inner loop of one of NumPy's own functions (the product of matrices, the exponential, ...), found in the
public C struct of every ufunc, and a call of a loop of `_numba_loops`. So every number equals that of the same
function called from Python. Addresses are arguments: the compiled code, which is cached on disk, contains none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import from_dtype, types

from ..kernels.arrays import Array
from ._addresses import address_of, call_inner_loop, matrix_at, number_at, vector_at
from ._compiled_files import CompiledFiles
from ._numba_compiling import compiled_on_call, failures, kept_on_disk
from ._numba_loops import (
    adam_loop,
    bias_loop,
    bias_relu_loop,
    cross_entropy_sums_loop,
    d_relu_loop,
    d_tanh_loop,
    log_of_labels_loop,
    momentum_loop,
    nesterov_loop,
    nesterov_velocity_loop,
    normalise_loop,
    one_hot_loop,
    penalise_loop,
    sgd_loop,
    sum_rows_loop,
    velocity_loop,
    weighted_log_loop,
    without_maximum_loop,
)
from ._step_clock import StepClock
from ._tape_codes import (
    ADAM,
    BIAS,
    BIAS_RELU,
    CALL,
    COPY,
    CROSS_ENTROPY_SUMS,
    D_RELU,
    D_TANH,
    LOG_OF_LABELS,
    MASK,
    MOMENTUM,
    N_LENGTHS,
    N_OPERANDS,
    NESTEROV,
    NESTEROV_VELOCITY,
    NORMALISE,
    ONE_HOT,
    PENALISE,
    SGD,
    SUM_ROWS,
    TAKE,
    TAKE_LABELS,
    VELOCITY,
    WEIGHTED_LOG,
    WHERE,
    WITHOUT_MAXIMUM,
)

LOOPS: dict[Any, tuple[int, str]] = {
    bias_loop: (BIAS, "nk k"),
    bias_relu_loop: (BIAS_RELU, "nk k 1"),
    d_relu_loop: (D_RELU, "nk nk 1"),
    d_tanh_loop: (D_TANH, "nk nk 1"),
    penalise_loop: (PENALISE, "nk nk 1 1"),
    sum_rows_loop: (SUM_ROWS, "nk k"),
    without_maximum_loop: (WITHOUT_MAXIMUM, "nk nk"),
    normalise_loop: (NORMALISE, "nk"),
    cross_entropy_sums_loop: (CROSS_ENTROPY_SUMS, "nk nk nk 3n 1 1"),
    one_hot_loop: (ONE_HOT, "n 1 1 nk"),
    log_of_labels_loop: (LOG_OF_LABELS, "nk n 1 1 1 k"),
    weighted_log_loop: (WEIGHTED_LOG, "nk nk 1 1 nk"),
    sgd_loop: (SGD, "nk nk 1 1"),
    momentum_loop: (MOMENTUM, "nk nk nk 1 1 1"),
    nesterov_loop: (NESTEROV, "nk nk nk 1 1 1"),
    velocity_loop: (VELOCITY, "nk nk nk 1 1 1"),
    nesterov_velocity_loop: (NESTEROV_VELOCITY, "nk nk nk 1 1 1"),
    adam_loop: (ADAM, "nk nk nk nk 1 1 1 1 1 1 1"),
}
"""The loops that a tape may call: their codes, and how many numbers each argument has, for n rows and k columns."""


@compiled_on_call
def _repeat(operation: Array, operands: Array) -> None:
    """Call an inner loop, with the operation's number of repetitions."""
    place, lengths = address_of(operands), address_of(operation) + 8 * (4 + 2 * N_OPERANDS)
    for i in range(operation[3]):
        for k in range(N_OPERANDS):
            operands[k] = operation[4 + k] + i * operation[4 + N_OPERANDS + k]
        call_inner_loop(operation[1], place, lengths, lengths + 8 * N_LENGTHS, operation[2])


@compiled_on_call
def _choose(operation: Array, zero: float, true: Any) -> None:
    """Write ``x`` where the condition is true, else ``y``; each has a stride of 1 or, for a single number, 0."""
    _, n, c, c_stride, x, x_stride, y, y_stride, out = operation[:9]
    condition, out_values = vector_at(c, n, true), vector_at(out, n, zero)
    x_values, y_values = vector_at(x, n, zero), vector_at(y, n, zero)
    for i in range(n):
        out_values[i] = x_values[i * x_stride] if condition[i * c_stride] else y_values[i * y_stride]


@compiled_on_call
def _gather(n_columns: int, x: int, rows: Array, out: int, like: float) -> None:
    taken = matrix_at(out, rows.size, n_columns, like)
    for i in range(rows.size):
        row = vector_at(x + rows[i] * n_columns * taken.itemsize, n_columns, like)
        for j in range(n_columns):
            taken[i, j] = row[j]


@compiled_on_call
def _update(code: int, o: Array, zero: float) -> None:
    """Call the loop of an optimizer: parameters, gradient, moments, divisor, then the numbers of its formula."""
    n = o[2]
    p, g = vector_at(o[3], n, zero), vector_at(o[4], n, zero)
    if code == SGD:
        sgd_loop(p, g, number_at(o[5], zero), (number_at(o[6], zero),))
        return
    v = vector_at(o[5], n, zero)
    if code == ADAM:
        numbers = (
            number_at(o[8], zero),
            number_at(o[9], zero),
            number_at(o[10], zero),
            number_at(o[11], zero),
            number_at(o[12], zero),
            number_at(o[13], zero),
        )
        adam_loop(p, g, v, vector_at(o[6], n, zero), number_at(o[7], zero), numbers)
        return
    divisor, rate_and_momentum = number_at(o[6], zero), (number_at(o[7], zero), number_at(o[8], zero))
    if code == MOMENTUM:
        momentum_loop(p, g, v, divisor, rate_and_momentum)
    elif code == NESTEROV:
        nesterov_loop(p, g, v, divisor, rate_and_momentum)
    elif code == VELOCITY:
        velocity_loop(p, g, v, divisor, rate_and_momentum)
    else:
        nesterov_velocity_loop(p, g, v, divisor, rate_and_momentum)


@compiled_on_call
def _one_loop(code: int, o: Array, zero: float, label: int) -> None:
    """Call a loop over matrices."""
    n, k = o[1], o[2]
    if code == ONE_HOT:
        one_hot_loop(matrix_at(o[3], n, 1, label), zero, zero + 1, matrix_at(o[6], n, k, zero))
        return
    x = matrix_at(o[3], n, k, zero)
    if code == BIAS:
        bias_loop(x, vector_at(o[4], k, zero))
    elif code == BIAS_RELU:
        bias_relu_loop(x, vector_at(o[4], k, zero), zero)
    elif code == D_RELU:
        d_relu_loop(x, matrix_at(o[4], n, k, zero), zero)
    elif code == D_TANH:
        d_tanh_loop(x, matrix_at(o[4], n, k, zero), number_at(o[5], zero))
    elif code == PENALISE:
        penalise_loop(x, matrix_at(o[4], n, k, zero), number_at(o[5], zero), number_at(o[6], zero))
    elif code == SUM_ROWS:
        sum_rows_loop(x, vector_at(o[4], k, zero))
    elif code == WITHOUT_MAXIMUM:
        without_maximum_loop(x, matrix_at(o[4], n, k, zero))
    elif code == NORMALISE:
        normalise_loop(x)
    elif code == CROSS_ENTROPY_SUMS:
        e, Y, sums = matrix_at(o[4], n, k, zero), matrix_at(o[5], n, k, zero), matrix_at(o[6], 3, n, zero)
        cross_entropy_sums_loop(x, e, Y, sums, zero, number_at(o[8], zero))
    elif code == LOG_OF_LABELS:
        numbers = (number_at(o[5], zero), number_at(o[6], zero), number_at(o[7], zero))
        log_of_labels_loop(x, matrix_at(o[4], n, 1, label), *numbers, vector_at(o[8], k, zero))
    elif code == WEIGHTED_LOG:
        p, out = matrix_at(o[4], n, k, zero), matrix_at(o[7], n, k, zero)
        weighted_log_loop(x, p, number_at(o[5], zero), number_at(o[6], zero), out)


@compiled_on_call
def _copy(n: int, source: int, target: int, stride: int, like: float) -> None:
    numbers = vector_at(target, n, like)
    for i in range(n):
        numbers[i] = number_at(source + i * stride * numbers.itemsize, like)


@compiled_on_call
def _mask(n: int, masks: Array, start: int, target: int, like: float) -> None:
    numbers = vector_at(target, n, like)
    for i in range(n):
        numbers[i] = masks[start + i]


def _take_steps(
    tapes: Array,
    steps: Array,
    order: Array,
    masks: Array,
    each_scalars: Array,
    scalars: Array,
    loss: Array,
    losses: Array,
    zero: float,
    true: Any,
) -> None:
    """Replay a tape for each step.

    Parameters
    ----------
    tapes : array of shape (n_operations, WIDTH), int64
        The operations of one or more tapes, one after the other.
    steps : array of shape (n_steps, 5), int64
        For each step the start and the stop of its tape in ``tapes``, of its batch in ``order``, and the start of its
        numbers in ``masks``.
    order : array of shape (n_rows,), int64
        Row numbers of samples.
    masks : array of shape (n_numbers,)
        The dropout masks of all steps; empty where there are none.
    each_scalars : array of shape (n_steps, n_scalars)
        The optimizer's scalars, one row per step.
    scalars : array of shape (n_scalars,)
        Buffer from which the tapes read the scalars of a step.
    loss : array of shape (1,)
        Buffer to which the tapes write the loss.
    losses : array of shape (n_steps,)
        Result: the loss of each step.
    zero : float
        0 in the dtype of all numbers, from which types are inferred.
    true : bool
        True, from which the type of conditions is inferred.
    """
    operands = np.empty(N_OPERANDS, np.int64)
    for s in range(losses.size):
        rows = order[steps[s, 2] : steps[s, 3]]
        scalars[:] = each_scalars[s]
        for t in range(steps[s, 0], steps[s, 1]):
            operation = tapes[t]
            code = operation[0]
            if code == CALL:
                _repeat(operation, operands)
            elif code == TAKE:
                _gather(operation[1], operation[2], rows, operation[3], zero)
            elif code == TAKE_LABELS:
                _gather(operation[1], operation[2], rows, operation[3], code)
            elif code == WHERE:
                _choose(operation, zero, true)
            elif code == COPY:
                _copy(operation[1], operation[2], operation[3], operation[4], zero)
            elif code == MASK:
                _mask(operation[1], masks, steps[s, 4] + operation[2], operation[3], zero)
            elif code >= SGD:
                _update(code, operation, zero)
            else:
                _one_loop(code, operation, zero, code)
        losses[s] = loss[0]


take_steps = kept_on_disk(_take_steps, nogil=True)

STEPS_BEFORE_READING = 64
SECONDS_BEFORE_COMPILING = 10.0
"""Thresholds of a process: reading the code from disk takes some tenths of a second, compiling it about ten seconds."""


class CompiledSteps(StepClock):
    """The compiled function for each dtype, loaded once it pays off: steps are counted that are taken without it.

    Parameters
    ----------
    clock : callable
        Returns the time in seconds, from any origin.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(clock)
        self._there: set[Any] = set()
        self._looked_for: set[Any] = set()

    @property
    def may_pay(self) -> bool:
        """Whether the steps counted so far justify loading it."""
        return bool(self._there) or self._steps >= STEPS_BEFORE_READING

    def is_there(self, dtype: Any) -> bool:
        """Tell whether the function for a dtype is loaded."""
        return dtype in self._there

    def get(self, dtype: Any) -> bool:
        """Load the function for a dtype from disk, or compile it once that pays off; tell whether it is loaded."""
        if dtype not in self._there and not failures:
            on_disk = dtype not in self._looked_for and _is_on_disk(dtype)
            self._looked_for.add(dtype)
            if on_disk or self._seconds >= SECONDS_BEFORE_COMPILING:
                self.compile(dtype)
        return dtype in self._there

    def compile(self, dtype: Any) -> None:
        """Compile the function for a dtype, or load it from disk."""
        take_steps.compile(_signature(dtype))
        if not failures:
            self._there.add(dtype)


def _is_on_disk(dtype: Any) -> bool:
    cache = take_steps._cache
    return isinstance(cache, CompiledFiles) and cache.has(_signature(dtype), take_steps.targetctx)


def _signature(dtype: Any) -> tuple[Any, ...]:
    real, i64 = from_dtype(dtype), types.int64
    vector, numbers = real[::1], i64[:, ::1]
    return (numbers, numbers, i64[::1], vector, real[:, ::1], vector, vector, vector, real, types.boolean)


compiled_steps = CompiledSteps()

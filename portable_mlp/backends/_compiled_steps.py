"""The compiled function that replays a tape: a list of operations on fixed memory, without Python in between.

An operation is a row of integers: its code, then addresses and lengths (`_tape.Tape` writes them). There are two kinds:
a call of the inner loop of one of NumPy's own functions (the product of matrices, the exponential, ...), found in the
public C struct of every ufunc, and a call of a loop of `_numba_primitives`. So every number equals that of the same
function called from Python. Addresses are arguments: the compiled code, which is cached on disk, contains none.
"""

from __future__ import annotations

import ctypes
import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import carray, from_dtype, types
from numba.core import cgutils
from numba.extending import intrinsic

from ..kernels.arrays import Array
from ._compiled_files import CompiledFiles
from ._numba_primitives import (
    _adam_loop,
    _bias,
    _bias_relu,
    _compiled,
    _cross_entropy_sums,
    _d_relu,
    _d_tanh,
    _failures,
    _kept,
    _log_of_labels,
    _momentum_loop,
    _nesterov_loop,
    _nesterov_velocity_loop,
    _normalise,
    _one_hot,
    _penalise,
    _sgd_loop,
    _sum_rows,
    _velocity_loop,
    _weighted_log,
    _without_maximum,
)
from ._step_clock import StepClock

(
    BIAS,
    BIAS_RELU,
    D_RELU,
    D_TANH,
    PENALISE,
    SUM_ROWS,
    WITHOUT_MAXIMUM,
    NORMALISE,
    CROSS_ENTROPY_SUMS,
    ONE_HOT,
    LOG_OF_LABELS,
    WEIGHTED_LOG,
    SGD,
    MOMENTUM,
    NESTEROV,
    VELOCITY,
    NESTEROV_VELOCITY,
    ADAM,
    CALL,
    TAKE,
    TAKE_LABELS,
    WHERE,
    COPY,
    MASK,
) = range(24)

LOOPS: dict[Any, tuple[int, str]] = {
    _bias: (BIAS, "nk k"),
    _bias_relu: (BIAS_RELU, "nk k 1"),
    _d_relu: (D_RELU, "nk nk 1"),
    _d_tanh: (D_TANH, "nk nk 1"),
    _penalise: (PENALISE, "nk nk 1 1"),
    _sum_rows: (SUM_ROWS, "nk k"),
    _without_maximum: (WITHOUT_MAXIMUM, "nk nk"),
    _normalise: (NORMALISE, "nk"),
    _cross_entropy_sums: (CROSS_ENTROPY_SUMS, "nk nk nk 3n 1 1"),
    _one_hot: (ONE_HOT, "n 1 1 nk"),
    _log_of_labels: (LOG_OF_LABELS, "nk n 1 1 1 k"),
    _weighted_log: (WEIGHTED_LOG, "nk nk 1 1 nk"),
    _sgd_loop: (SGD, "nk nk 1 1"),
    _momentum_loop: (MOMENTUM, "nk nk nk 1 1 1"),
    _nesterov_loop: (NESTEROV, "nk nk nk 1 1 1"),
    _velocity_loop: (VELOCITY, "nk nk nk 1 1 1"),
    _nesterov_velocity_loop: (NESTEROV_VELOCITY, "nk nk nk 1 1 1"),
    _adam_loop: (ADAM, "nk nk nk nk 1 1 1 1 1 1 1"),
}
"""The loops that a tape may call: their codes, and how many numbers each argument has, for n rows and k columns."""

N_OPERANDS, N_LENGTHS, N_STRIDES = 3, 4, 9
WIDTH = 4 + 2 * N_OPERANDS + N_LENGTHS + N_STRIDES
"""Numbers of a call on the tape: code, function, its data, repetitions; operands and their steps from one repetition to
the next; lengths and strides for the inner loop. Other operations have fewer."""


class _Ufunc(ctypes.Structure):
    """The first fields of ``PyUFuncObject`` (numpy/ufuncobject.h), after the header of all objects."""

    _fields_ = [
        ("nin", ctypes.c_int),
        ("nout", ctypes.c_int),
        ("nargs", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
    ]


@functools.cache
def inner_loop(ufunc: np.ufunc, signature: str) -> tuple[int, int]:
    """Return the addresses of a ufunc's inner loop for types such as "ff->f", and of the loop's data.

    Raises
    ------
    LookupError
        If it has none.
    """
    struct = _Ufunc.from_address(id(ufunc) + object.__basicsize__)
    if (struct.nin, struct.nout, struct.ntypes) != (ufunc.nin, ufunc.nout, ufunc.ntypes):
        raise LookupError(f"the struct of {ufunc} is not as this NumPy's header says")
    if signature not in ufunc.types:
        raise LookupError(f"{ufunc} has no loop {signature}")
    i = ufunc.types.index(signature)
    function = struct.functions[i]
    if not function:
        raise LookupError(f"{ufunc} has no inner loop for {signature}")
    return function, (struct.data[i] or 0) if struct.data else 0


@intrinsic  # type: ignore[untyped-decorator]
def _call(typing_context: Any, function: Any, operands: Any, lengths: Any, strides: Any, data: Any) -> Any:
    """Call an inner loop, ``void f(char **, npy_intp *, npy_intp *, void *)``, by its address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = cgutils.voidptr_t
        kind = cgutils.ir.FunctionType(cgutils.ir.VoidType(), [pointer] * 4)
        function, *others = arguments
        builder.call(
            builder.inttoptr(function, kind.as_pointer()), [builder.inttoptr(other, pointer) for other in others]
        )
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(typing_context: Any, address: Any, like: Any) -> Any:
    """Return an address as a pointer to numbers of the type of ``like``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(like)(types.int64, like), generate


@intrinsic  # type: ignore[untyped-decorator]
def _address(typing_context: Any, array: Any) -> Any:
    """Return the address of an array's first element."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, context.get_value_type(types.int64))

    return types.int64(array), generate


@_compiled
def _matrix(address: int, n_rows: int, n_columns: int, like: float) -> Array:
    return carray(_pointer(address, like), (n_rows, n_columns))


@_compiled
def _vector(address: int, n: int, like: float) -> Array:
    return carray(_pointer(address, like), (n,))


@_compiled
def _number_at(address: int, like: float) -> float:
    return carray(_pointer(address, like), (1,))[0]


@_compiled
def _repeat(operation: Array, operands: Array) -> None:
    """Call an inner loop, with the operation's number of repetitions."""
    place, lengths = _address(operands), _address(operation) + 8 * (4 + 2 * N_OPERANDS)
    for i in range(operation[3]):
        for k in range(N_OPERANDS):
            operands[k] = operation[4 + k] + i * operation[4 + N_OPERANDS + k]
        _call(operation[1], place, lengths, lengths + 8 * N_LENGTHS, operation[2])


@_compiled
def _choose(operation: Array, zero: float, true: Any) -> None:
    """Write ``x`` where the condition is true, else ``y``; each has a stride of 1 or, for a single number, 0."""
    _, n, c, c_stride, x, x_stride, y, y_stride, out = operation[:9]
    condition, out_values = _vector(c, n, true), _vector(out, n, zero)
    x_values, y_values = _vector(x, n, zero), _vector(y, n, zero)
    for i in range(n):
        out_values[i] = x_values[i * x_stride] if condition[i * c_stride] else y_values[i * y_stride]


@_compiled
def _gather(n_columns: int, x: int, rows: Array, out: int, like: float) -> None:
    taken = _matrix(out, rows.size, n_columns, like)
    for i in range(rows.size):
        row = _vector(x + rows[i] * n_columns * taken.itemsize, n_columns, like)
        for j in range(n_columns):
            taken[i, j] = row[j]


@_compiled
def _update(code: int, o: Array, zero: float) -> None:
    """Call the loop of an optimizer: parameters, gradient, moments, divisor, then the numbers of its formula."""
    n = o[2]
    p, g = _vector(o[3], n, zero), _vector(o[4], n, zero)
    if code == SGD:
        _sgd_loop(p, g, _number_at(o[5], zero), (_number_at(o[6], zero),))
        return
    v = _vector(o[5], n, zero)
    if code == ADAM:
        numbers = (
            _number_at(o[8], zero),
            _number_at(o[9], zero),
            _number_at(o[10], zero),
            _number_at(o[11], zero),
            _number_at(o[12], zero),
            _number_at(o[13], zero),
        )
        _adam_loop(p, g, v, _vector(o[6], n, zero), _number_at(o[7], zero), numbers)
        return
    divisor, rate_and_momentum = _number_at(o[6], zero), (_number_at(o[7], zero), _number_at(o[8], zero))
    if code == MOMENTUM:
        _momentum_loop(p, g, v, divisor, rate_and_momentum)
    elif code == NESTEROV:
        _nesterov_loop(p, g, v, divisor, rate_and_momentum)
    elif code == VELOCITY:
        _velocity_loop(p, g, v, divisor, rate_and_momentum)
    else:
        _nesterov_velocity_loop(p, g, v, divisor, rate_and_momentum)


@_compiled
def _one_loop(code: int, o: Array, zero: float, label: int) -> None:
    """Call a loop over matrices."""
    n, k = o[1], o[2]
    if code == ONE_HOT:
        _one_hot(_matrix(o[3], n, 1, label), zero, zero + 1, _matrix(o[6], n, k, zero))
        return
    x = _matrix(o[3], n, k, zero)
    if code == BIAS:
        _bias(x, _vector(o[4], k, zero))
    elif code == BIAS_RELU:
        _bias_relu(x, _vector(o[4], k, zero), zero)
    elif code == D_RELU:
        _d_relu(x, _matrix(o[4], n, k, zero), zero)
    elif code == D_TANH:
        _d_tanh(x, _matrix(o[4], n, k, zero), _number_at(o[5], zero))
    elif code == PENALISE:
        _penalise(x, _matrix(o[4], n, k, zero), _number_at(o[5], zero), _number_at(o[6], zero))
    elif code == SUM_ROWS:
        _sum_rows(x, _vector(o[4], k, zero))
    elif code == WITHOUT_MAXIMUM:
        _without_maximum(x, _matrix(o[4], n, k, zero))
    elif code == NORMALISE:
        _normalise(x)
    elif code == CROSS_ENTROPY_SUMS:
        e, Y, sums = _matrix(o[4], n, k, zero), _matrix(o[5], n, k, zero), _matrix(o[6], 3, n, zero)
        _cross_entropy_sums(x, e, Y, sums, zero, _number_at(o[8], zero))
    elif code == LOG_OF_LABELS:
        numbers = (_number_at(o[5], zero), _number_at(o[6], zero), _number_at(o[7], zero))
        _log_of_labels(x, _matrix(o[4], n, 1, label), *numbers, _vector(o[8], k, zero))
    elif code == WEIGHTED_LOG:
        p, out = _matrix(o[4], n, k, zero), _matrix(o[7], n, k, zero)
        _weighted_log(x, p, _number_at(o[5], zero), _number_at(o[6], zero), out)


@_compiled
def _copy(n: int, source: int, target: int, stride: int, like: float) -> None:
    numbers = _vector(target, n, like)
    for i in range(n):
        numbers[i] = _number_at(source + i * stride * numbers.itemsize, like)


@_compiled
def _mask(n: int, masks: Array, start: int, target: int, like: float) -> None:
    numbers = _vector(target, n, like)
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


take_steps = _kept(_take_steps, nogil=True)

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
        if dtype not in self._there and not _failures:
            on_disk = dtype not in self._looked_for and _is_on_disk(dtype)
            self._looked_for.add(dtype)
            if on_disk or self._seconds >= SECONDS_BEFORE_COMPILING:
                self.compile(dtype)
        return dtype in self._there

    def compile(self, dtype: Any) -> None:
        """Compile the function for a dtype, or load it from disk."""
        take_steps.compile(_signature(dtype))
        if not _failures:
            self._there.add(dtype)


def _is_on_disk(dtype: Any) -> bool:
    cache = take_steps._cache
    return isinstance(cache, CompiledFiles) and cache.has(_signature(dtype), take_steps.targetctx)


def _signature(dtype: Any) -> tuple[Any, ...]:
    real, i64 = from_dtype(dtype), types.int64
    vector, numbers = real[::1], i64[:, ::1]
    return (numbers, numbers, i64[::1], vector, real[:, ::1], vector, vector, vector, real, types.boolean)


compiled_steps = CompiledSteps()

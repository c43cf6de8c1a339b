"""The operations of a tape: their codes, and the lengths of their rows."""

from __future__ import annotations

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

N_OPERANDS, N_LENGTHS, N_STRIDES = 3, 4, 9
WIDTH = 4 + 2 * N_OPERANDS + N_LENGTHS + N_STRIDES
"""Numbers of a call on the tape: code, function, its data, repetitions; operands and their steps from one repetition to
the next; lengths and strides for the inner loop. Other operations have fewer."""

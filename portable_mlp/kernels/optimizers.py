"""Optimizers: pairs of an init and an update over the flat vector of all parameters.

``init(xp, p) -> state`` and ``update(xp, p, g, state, scalars) -> (p, state)``, element by element: p the parameters,
g the gradient. The same options give the same pair. ``scalars(t, rate, last_rate)`` gives the Python floats of step t
= 1, 2, ..., computed on the host, so that an update is a closed formula of its arguments and a backend may compile it
once for all steps.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from .arrays import Array, Namespace

State: TypeAlias = Any
Scalars: TypeAlias = tuple[float, ...]


class Optimizer(NamedTuple):
    """One way to follow the gradient.

    Attributes
    ----------
    init : callable
        ``init(xp, p) -> state``, a tuple of arrays like ``p``.
    scalars : callable
        ``scalars(t, rate, last_rate) -> tuple of float``, for step t with learning rate ``rate``; ``last_rate`` is the
        rate of the last step before it that was not 0, and 0 if there was none.
    update : callable
        ``update(xp, p, g, state, scalars) -> (p, state)``, new arrays.
    """

    init: Callable[[Namespace, Array], State]
    scalars: Callable[[int, float, float], Scalars]
    update: Callable[[Namespace, Array, Array, State, Scalars], tuple[Array, State]]


def sgd_update(p: Array, g: Array, rate: float) -> Array:
    """Return ``p - rate g``."""
    return p - rate * g


def momentum_update(p: Array, g: Array, v: Array, rate: float, carry: float) -> tuple[Array, Array]:
    """Return ``p + v'`` and the velocity ``v' = carry v - rate g`` (Polyak's heavy ball)."""
    v = carry * v - rate * g
    return p + v, v


def nesterov_update(p: Array, g: Array, v: Array, rate: float, carry: float, momentum: float) -> tuple[Array, Array]:
    """Return ``p + momentum v' - rate g`` and ``v' = carry v - rate g`` (Nesterov; Sutskever et al. 2013)."""
    step = rate * g
    v = carry * v - step
    return p + (momentum * v - step), v


def adam_update(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    sqrt: Callable[[Array], Array],
    step: float,
    epsilon: float,
    beta_1: float,
    beta_2: float,
) -> tuple[Array, Array, Array]:
    """Return ``p - step m' / (sqrt(v') + epsilon)``, ``m' = b1 m + (1 - b1) g`` and ``v' = b2 v + (1 - b2) g^2``."""
    m = beta_1 * m + (1.0 - beta_1) * g
    v = beta_2 * v + (1.0 - beta_2) * (g * g)
    return p - step * m / (sqrt(v) + epsilon), m, v


def sgd(momentum: float = 0.9, nesterov: bool = True) -> Optimizer:
    """Return stochastic gradient descent, with momentum unless that is 0.

    ``v`` holds minus the rate times PyTorch's momentum buffer. When the learning rate changes, the velocity is rescaled
    with it (``carry = momentum rate / last_rate``), so that the buffer does not depend on rates gone by.

    Parameters
    ----------
    momentum : float
        In [0, 1); 0 keeps no state.
    nesterov : bool
        Whether the step looks ahead along the new velocity.
    """
    return _sgd(float(momentum), bool(nesterov))


# Plain floats before the cache: a NumPy scalar would equal them there, and widen float32 arrays later.
@functools.cache
def _sgd(momentum: float, nesterov: bool) -> Optimizer:
    if momentum == 0.0:
        return Optimizer(
            init=lambda xp, p: (),
            scalars=lambda t, rate, last_rate: (rate,),
            update=lambda xp, p, g, state, scalars: (sgd_update(p, g, *scalars), ()),
        )
    formula = nesterov_update if nesterov else momentum_update
    ends = (momentum,) if nesterov else ()

    def scalars(t: int, rate: float, last_rate: float) -> Scalars:
        # A step of rate 0 leaves p alone, but the velocity goes on, in units of the rate before it (or of 1).
        last_unit = last_rate if last_rate > 0.0 else 1.0
        unit = rate if rate > 0.0 else last_unit
        moving = (unit, momentum * (unit / last_unit), *ends)
        return moving if rate > 0.0 else (*moving, rate)

    def update(xp: Namespace, p: Array, g: Array, state: State, scalars: Scalars) -> tuple[Array, State]:
        n_moving = 2 + len(ends)
        moved, v = formula(p, g, *state, *scalars[:n_moving])
        return (moved if len(scalars) == n_moving else p), (v,)

    return Optimizer(lambda xp, p: (xp.zeros_like(p),), scalars, update)


def adam(beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8) -> Optimizer:
    """Return Adam (Kingma and Ba, arXiv:1412.6980), as in algorithm 1 of the paper and in PyTorch.

    ``p - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)``, with both corrections moved out of the vectors:
    multiplied by c = sqrt(1 - b2^t) above and below, it is ``p - step m / (sqrt(v) + epsilon c)`` with
    ``step = rate c / (1 - b1^t)``.

    Parameters
    ----------
    beta_1, beta_2 : float
        Decay of the mean and of the mean square of the gradient, in [0, 1).
    epsilon : float
        Added to the root, positive.
    """
    return _adam(float(beta_1), float(beta_2), float(epsilon))


@functools.cache
def _adam(beta_1: float, beta_2: float, epsilon: float) -> Optimizer:
    def scalars(t: int, rate: float, last_rate: float) -> Scalars:
        correction = math.sqrt(1.0 - beta_2**t)
        return rate * correction / (1.0 - beta_1**t), epsilon * correction

    def update(xp: Namespace, p: Array, g: Array, state: State, scalars: Scalars) -> tuple[Array, State]:
        m, v = state
        step, epsilon_now = scalars
        p, m, v = adam_update(p, g, m, v, xp.sqrt, step, epsilon_now, beta_1, beta_2)
        return p, (m, v)

    return Optimizer(lambda xp, p: (xp.zeros_like(p), xp.zeros_like(p)), scalars, update)

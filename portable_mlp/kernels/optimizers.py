"""Optimizers: a formula over the flat vector of all parameters, element by element, and its scalars at each step.

``init(xp, p) -> state`` and ``update(xp, p, g, state, scalars) -> (p, state)``: p the parameters, g the gradient. The
same options give the same optimizer. ``scalars(t, rate)`` gives the Python floats of step t = 1, 2, ..., computed on
the host, so that an update is a closed formula of its arguments and a backend may compile it once for all steps.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from .arrays import Array, Namespace
from .options import Names

State: TypeAlias = Any
Scalars: TypeAlias = tuple[float, ...]


class Optimizer(NamedTuple):
    """An update rule for the parameters, given their gradient.

    Attributes
    ----------
    formula : callable
        ``formula(p, g, *moments, *scalars, *constants) -> (p, *moments)``, element by element; where ``with_root``, the
        library's square root comes before the scalars. A backend may compile it.
    scalars : callable
        ``scalars(t, rate, sqrt=math.sqrt) -> tuple of float``, for step t with learning rate ``rate``; for numbers of
        another type, such as a tracer's, the caller passes their square root.
    constants : tuple of float
        The numbers of the formula that are the same at every step.
    moments : tuple of str
        The names of the vectors, in the shape of the parameters, that it keeps between steps.
    with_root : bool
        Whether the formula takes a square root.
    weight_decay : float
        Before a step, ``rate * weight_decay`` of each weight is subtracted; biases are exempt. 0.0 for none.
    """

    formula: Callable[..., tuple[Array, ...]]
    scalars: Callable[..., Scalars]
    constants: Scalars = ()
    moments: tuple[str, ...] = ()
    with_root: bool = False
    weight_decay: float = 0.0

    def init(self, xp: Namespace, p: Array) -> State:
        """Return the moments before the first step."""
        return tuple(xp.zeros_like(p) for _ in self.moments)

    def update(self, xp: Namespace, p: Array, g: Array, state: State, scalars: Scalars) -> tuple[Array, State]:
        """Return the parameters and the moments after a step, new arrays."""
        root = (xp.sqrt,) if self.with_root else ()
        p, *moments = self.formula(p, g, *state, *root, *scalars, *self.constants)
        return p, tuple(moments)


def sgd_update(p: Array, g: Array, rate: float) -> tuple[Array]:
    """Return ``p - rate g``."""
    return (p - rate * g,)


def momentum_update(p: Array, g: Array, v: Array, rate: float, momentum: float) -> tuple[Array, Array]:
    """Return ``p - rate v'`` and ``v' = momentum v + g`` (Polyak's heavy ball, as PyTorch keeps it)."""
    v = momentum * v + g
    return p - rate * v, v


def nesterov_update(p: Array, g: Array, v: Array, rate: float, momentum: float) -> tuple[Array, Array]:
    """Return ``p - rate (g + momentum v')`` and ``v' = momentum v + g`` (Nesterov; Sutskever et al. 2013)."""
    v = momentum * v + g
    return p - rate * (g + momentum * v), v


def velocity_update(p: Array, g: Array, v: Array, rate: float, momentum: float) -> tuple[Array, Array]:
    """Return ``p + v'`` and ``v' = momentum v - rate g``: as `momentum_update` while the rate stays the same."""
    v = momentum * v - rate * g
    return p + v, v


def nesterov_velocity_update(p: Array, g: Array, v: Array, rate: float, momentum: float) -> tuple[Array, Array]:
    """Return ``p + (momentum v' - rate g)`` and ``v' = momentum v - rate g``."""
    v = momentum * v - rate * g
    return p + (momentum * v - rate * g), v


def adam_update(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    sqrt: Callable[[Array], Array],
    step: float,
    epsilon: float,
    beta_1: float,
    rest_1: float,
    beta_2: float,
    rest_2: float,
) -> tuple[Array, Array, Array]:
    """Return ``p - step m' / (sqrt(v') + epsilon)``, ``m' = b1 m + (1 - b1) g`` and ``v' = b2 v + (1 - b2) g^2``.

    ``rest_1`` is ``1 - b1``, ``rest_2`` is ``1 - b2``: a literal 1.0 in the formula would be a float64 to a compiler.
    """
    m = beta_1 * m + rest_1 * g
    v = beta_2 * v + rest_2 * (g * g)
    return p - step * m / (sqrt(v) + epsilon), m, v


def sgd(momentum: float = 0.9, nesterov: bool = True, *, rate_in_velocity: bool = False) -> Optimizer:
    """Return stochastic gradient descent, with momentum unless that is 0.

    Parameters
    ----------
    momentum : float
        In [0, 1); 0 keeps no state.
    nesterov : bool
        Whether the step looks ahead along the new velocity.
    rate_in_velocity : bool
        Whether the velocity is a sum of steps, as in scikit-learn, rather than of gradients, as in PyTorch: the two
        differ where the rate changes, since steps at the old rate then keep their size in the velocity.
    """
    return _sgd(float(momentum), bool(nesterov), bool(rate_in_velocity))


# Plain floats before the cache: a NumPy scalar would equal them there, and widen float32 arrays later.
@functools.cache
def _sgd(momentum: float, nesterov: bool, rate_in_velocity: bool) -> Optimizer:
    def scalars(t: int, rate: float, sqrt: Callable[[float], float] = math.sqrt) -> Scalars:
        return (rate,)

    if momentum == 0.0:
        return Optimizer(sgd_update, scalars)
    if rate_in_velocity:
        formula = nesterov_velocity_update if nesterov else velocity_update
    else:
        formula = nesterov_update if nesterov else momentum_update
    return Optimizer(formula, scalars, (momentum,), moments=("v",))


def adam(
    beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8, *, correct_epsilon: bool = True
) -> Optimizer:
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
    correct_epsilon : bool
        Whether epsilon is multiplied by c. Without, it is the paper's short form (end of its section 2), as in
        scikit-learn.
    """
    return _adam(float(beta_1), float(beta_2), float(epsilon), bool(correct_epsilon))


def adamw(beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8, weight_decay: float = 0.01) -> Optimizer:
    """Return Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101), as in PyTorch.

    ``p - rate weight_decay p - (Adam's step)`` for weights; biases take Adam's step alone.

    Parameters
    ----------
    beta_1, beta_2, epsilon : float
        The constants of Adam, as for `adam`.
    weight_decay : float
        The decay of weights in units of the learning rate, not negative.
    """
    return _adam(float(beta_1), float(beta_2), float(epsilon), True)._replace(weight_decay=float(weight_decay))


@dataclass(frozen=True)
class AdamScalars:
    """The scalars of Adam, a function of the step; the attributes are as for `adam`."""

    beta_1: float
    beta_2: float
    epsilon: float
    correct_epsilon: bool

    def __call__(self, t: int, rate: float, sqrt: Callable[[float], float] = math.sqrt) -> Scalars:
        """Return the step size and epsilon of step t = 1, 2, ..."""
        correction = sqrt(1.0 - self.beta_2**t)
        epsilon = self.epsilon * correction if self.correct_epsilon else self.epsilon
        return rate * correction / (1.0 - self.beta_1**t), epsilon


@functools.cache
def _adam(beta_1: float, beta_2: float, epsilon: float, correct_epsilon: bool) -> Optimizer:
    constants = (beta_1, 1.0 - beta_1, beta_2, 1.0 - beta_2)
    scalars = AdamScalars(beta_1, beta_2, epsilon, correct_epsilon)
    return Optimizer(adam_update, scalars, constants, moments=("m", "v"), with_root=True)


class OptimizerEntry(NamedTuple):
    """An entry of the table of optimizers.

    Attributes
    ----------
    make : callable
        ``make(**options)`` returns the `Optimizer`.
    options : tuple of str
        The keyword arguments of ``make`` that users may give.
    """

    make: Callable[..., Optimizer]
    options: tuple[str, ...]


OPTIMIZERS = {
    "adam": OptimizerEntry(adam, ("beta_1", "beta_2", "epsilon")),
    "adamw": OptimizerEntry(adamw, ("beta_1", "beta_2", "epsilon", "weight_decay")),
    "sgd": OptimizerEntry(sgd, ("momentum", "nesterov")),
}
"""The optimizers that take a batch at a time, by name."""

SOLVERS = Names(lambda: (*OPTIMIZERS, "lbfgs"))
"""The values of ``solver``: the optimizers, and SciPy's L-BFGS, which uses all samples in every step."""

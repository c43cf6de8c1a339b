"""PyTorch's fused optimizers for the formulas of `portable_mlp.kernels.optimizers`, and forms in place for the rest.

A fused optimizer reads and writes each number once, and divides the gradient on its way. `torch._fused_adam_` and
`torch._fused_sgd_` are what `torch.optim` calls for ``fused=True``. Where a PyTorch or a device lacks them, or they
would read a number in too few digits, a formula is a few operations in place.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import array_api_compat.torch
import torch

from ..kernels import optimizers
from ..kernels.arrays import Array
from ..kernels.optimizers import AdamScalars, Optimizer, Scalars, State
from ..kernels.step import Program

_LATE = 2.0**62
"""A step number so late that ``1 - beta^t`` is 1: it leaves out the corrections of a fused Adam."""

_WHOLE_IN_FLOAT32 = 2.0**24
"""Whole numbers below it are exact in float32, in which fused optimizers take the divisor."""


@dataclass(frozen=True)
class ScalarsOfRecordedAdam:
    """The scalars of Adam, and behind them the learning rate and the step number of a fused Adam.

    A recorded step reads these two on the device, but its epsilon is the recording's: where that changes from step to
    step, the fused Adam must do so itself, from the step number.

    Attributes
    ----------
    adam : AdamScalars
        The scalars of the formula.
    """

    adam: AdamScalars

    def __call__(self, t: int, rate: float, sqrt: Callable[[float], float] = math.sqrt) -> Scalars:
        """Return the scalars of step t = 1, 2, ..."""
        step, epsilon = self.adam(t, rate, sqrt)
        return (step, epsilon, rate, float(t)) if self.adam.correct_epsilon else (step, epsilon, step, _LATE)


def recordable(program: Program) -> Program:
    """Return a program for steps that are recorded: its scalars have all that a fused optimizer reads on the device."""
    optimizer = program.optimizer
    if not isinstance(optimizer.scalars, AdamScalars):
        return program
    return program._replace(optimizer=optimizer._replace(scalars=ScalarsOfRecordedAdam(optimizer.scalars)))


def update_in_place(optimizer: Optimizer, p: Array, g: Array, state: State, scalars: Any, divisor: float) -> State:
    """Take a step along ``g / divisor``: overwrite the parameters and use up ``g``; return the moments.

    Parameters
    ----------
    optimizer : Optimizer
        The formula and its constants.
    p, g : array of shape (n_parameters,) or (n_models, n_parameters)
        The parameters and the gradient.
    state : tuple of array
        The moments, which are overwritten.
    scalars : tuple of float, or array of shape (n_scalars,)
        The numbers of the step; an array on the device where steps are recorded.
    divisor : float
        The divisor of the gradient.
    """
    fused = _FUSED.get(optimizer.formula)
    if fused is not None and _can_be_fused(p, g, scalars, divisor):
        scale = None if divisor == 1.0 else number_on(divisor, torch.float32, p.device)
        fused(optimizer, p, g, *state, scalars, grad_scale=scale)
        return state
    if divisor != 1.0:
        g.div_(divisor)
    in_place = _IN_PLACE.get(optimizer.formula)
    if in_place is None:
        moved, state = optimizer.update(array_api_compat.torch, p, g, state, scalars)
        p.copy_(moved)
    else:
        in_place(optimizer, p, g, *state, *scalars)
    return state


@functools.cache
def number_on(value: float, dtype: torch.dtype, device: torch.device) -> Array:
    """Return a 0-d array, the same each time; it is on the device before any stream can read it."""
    return torch.tensor(value, dtype=dtype, device=device)


def _can_be_fused(p: Array, g: Array, scalars: Any, divisor: float) -> bool:
    has_kernels = p.device.type in ("cpu", "cuda") and hasattr(torch, "_fused_adam_") and hasattr(torch, "_fused_sgd_")
    exact = divisor < _WHOLE_IN_FLOAT32 and divisor.is_integer()
    # From the device the learning rate is read in float32.
    rate_fits = isinstance(scalars, tuple) or p.dtype == torch.float32
    return has_kernels and exact and rate_fits and p.is_contiguous() and g.is_contiguous()


def _fused_adam(
    optimizer: Optimizer, p: Array, g: Array, m: Array, v: Array, scalars: Any, grad_scale: Array | None
) -> None:
    if isinstance(scalars, tuple):
        rate, epsilon = scalars[:2]
        n_steps = number_on(_LATE, torch.float32, p.device)
    else:
        _, _, rate, n_steps = scalars
        epsilon = optimizer.scalars.adam.epsilon  # type: ignore[attr-defined]
    beta_1, _, beta_2, _ = optimizer.constants
    numbers = {"lr": rate, "beta1": beta_1, "beta2": beta_2, "eps": epsilon, "weight_decay": 0.0}
    torch._fused_adam_(
        [p], [g], [m], [v], [], [n_steps], **numbers, amsgrad=False, maximize=False, grad_scale=grad_scale
    )


def _fused_sgd(optimizer: Optimizer, p: Array, g: Array, *rest: Any, grad_scale: Array | None) -> None:
    *velocity, (rate,) = rest
    torch._fused_sgd_(
        [p],
        [g],
        velocity,
        lr=rate,
        momentum=optimizer.constants[0] if velocity else 0.0,
        nesterov=optimizer.formula is optimizers.nesterov_update,
        weight_decay=0.0,
        dampening=0.0,
        maximize=False,
        is_first_step=False,
        grad_scale=grad_scale,
    )


# Scalars are Python numbers, or arrays on the device where steps are recorded; only numbers can be an ``alpha``.


def _less(p: Array, g: Array, rate: Any) -> None:
    if isinstance(rate, float):
        p.sub_(g, alpha=rate)
    else:
        p.sub_(g * rate)


def _sgd(optimizer: Optimizer, p: Array, g: Array, rate: Any) -> None:
    _less(p, g, rate)


def _momentum(optimizer: Optimizer, p: Array, g: Array, v: Array, rate: Any) -> None:
    (momentum,) = optimizer.constants
    v.mul_(momentum).add_(g)
    _less(p, v, rate)


def _nesterov(optimizer: Optimizer, p: Array, g: Array, v: Array, rate: Any) -> None:
    (momentum,) = optimizer.constants
    v.mul_(momentum).add_(g)
    _less(p, g.add_(v, alpha=momentum), rate)


def _velocity(optimizer: Optimizer, p: Array, g: Array, v: Array, rate: Any) -> None:
    (momentum,) = optimizer.constants
    _less(v.mul_(momentum), g, rate)
    p.add_(v)


def _nesterov_velocity(optimizer: Optimizer, p: Array, g: Array, v: Array, rate: Any) -> None:
    (momentum,) = optimizer.constants
    step = g.mul_(rate)
    v.mul_(momentum).sub_(step)
    p.add_(v, alpha=momentum).sub_(step)


def _adam(
    optimizer: Optimizer, p: Array, g: Array, m: Array, v: Array, step: Any, epsilon: Any, *for_fused: Any
) -> None:
    beta_1, rest_1, beta_2, rest_2 = optimizer.constants
    m.mul_(beta_1).add_(g, alpha=rest_1)
    v.mul_(beta_2).addcmul_(g, g, value=rest_2)
    root = torch.sqrt(v, out=g).add_(epsilon)
    if isinstance(step, float):
        p.addcdiv_(m, root, value=-step)
    else:
        p.sub_(torch.div(m, root, out=root).mul_(step))


_FUSED: dict[Callable[..., Any], Callable[..., None]] = {
    optimizers.sgd_update: _fused_sgd,
    optimizers.momentum_update: _fused_sgd,
    optimizers.nesterov_update: _fused_sgd,
    optimizers.adam_update: _fused_adam,
}
"""The fused form of each formula that has one."""

_IN_PLACE: dict[Callable[..., Any], Callable[..., None]] = {
    optimizers.sgd_update: _sgd,
    optimizers.momentum_update: _momentum,
    optimizers.nesterov_update: _nesterov,
    optimizers.velocity_update: _velocity,
    optimizers.nesterov_velocity_update: _nesterov_velocity,
    optimizers.adam_update: _adam,
}
"""Each formula without a temporary; the gradient is used up."""

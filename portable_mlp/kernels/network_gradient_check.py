"""Is the gradient of a network right? Every entry against differences of the loss, or one random direction.

The parameters are moved many at a time: each moved copy is one model on the leading axis of models, so that a check
costs a few wide forward passes instead of two narrow ones for every parameter.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence

import array_api_compat

from .activations import ACTIVATIONS, ELEMENTWISE_OUTPUTS
from .arrays import Array, widest_float
from .calls import Call, check_call
from .gradient_check import GradientCheck, check_options, compare, precision_of, tolerance_of
from .initializers import RandomState, draw_direction
from .losses import LOSSES
from .network import Network, forward_pass, loss_and_grad, penalty
from .parameters import Params, pack, unpack

_ELEMENTS_AT_ONCE = 2**22
"""How many numbers the moved models of one pass may take together; bounds the memory."""


def check_gradient(
    net: Network,
    params: Params,
    X: Array,
    y: Array,
    *,
    method: str = "central",
    step: float | None = None,
    l2: float = 0.0,
    reduction: str = "mean",
) -> GradientCheck:
    """Compare every entry of a network's gradient with a difference of losses.

    The differences are taken in float64 where the library offers it. Where a step would carry a ReLU over its kink,
    where the loss has no derivative, the difference on the other side, or a smaller step, takes its place.

    Parameters
    ----------
    net : Network
        What is computed and minimised.
    params : tuple of Layer
        As for `loss_and_grad`, without an axis of models.
    X : array of shape (n_samples, n_features)
        As for `loss_and_grad`.
    y : array
        As for `loss_and_grad`.
    method : {"central", "forward", "backward"}
        Which difference.
    step : float, optional
        Width h for parameters up to 1 in size, in proportion for larger ones. By default the width that balances
        truncation against rounding.
    l2 : float
        As for `loss_and_grad`.
    reduction : {"mean", "sum"}
        As for `loss_and_grad`.

    Returns
    -------
    GradientCheck
        Whether it passed, and the worst entry.

    Raises
    ------
    ValueError
        As for `loss_and_grad`; also for an unknown method or a step that is not positive.

    Examples
    --------
    >>> import numpy as np, portable_mlp as pm
    >>> net = pm.Network((3, 4, 2), activation="tanh")
    >>> pm.check_gradient(net, pm.init_params(net), np.eye(3), np.asarray([0, 1, 1])).passed
    True
    """
    check_options(method, step)
    loss, grads = loss_and_grad(net, params, X, y, l2=l2, reduction=reduction)
    if loss.ndim:
        raise ValueError("check_gradient takes one model at a time, but params have a leading axis of models")
    gradient = pack(grads)
    objective = _Objective(net, check_call(net, params, X, y), l2, reduction)
    numerical = _differences(objective, method, step)
    precision = precision_of(objective.flat)
    check = compare(
        [float(gradient[i]) for i in range(gradient.shape[0])],
        numerical,
        value=float(loss),
        precision=precision,
        tolerance=tolerance_of(method, gradient, objective.flat),
    )
    return check._replace(worst=_locate(net, check.worst[0]))


def check_direction(
    net: Network,
    params: Params,
    X: Array,
    y: Array,
    *,
    random_state: RandomState = 0,
    l2: float = 0.0,
    reduction: str = "mean",
) -> float:
    """Return the relative error of the gradient along one random direction: two losses instead of two per parameter.

    Parameters
    ----------
    net, params, X, y, l2, reduction
        As for `check_gradient`.
    random_state : None, int, RandomState or Generator
        Draws the direction, uniform on the sphere.

    Returns
    -------
    float
        ``|g . v - (f(p + h v) - f(p - h v)) / (2 h)|`` over the length of g.
    """
    _, grads = loss_and_grad(net, params, X, y, l2=l2, reduction=reduction)
    objective = _Objective(net, check_call(net, params, X, y), l2, reduction)
    xp, flat = objective.xp, objective.flat
    draw = draw_direction(flat.shape[0], random_state)
    v = xp.asarray(draw, dtype=flat.dtype, device=array_api_compat.device(flat))
    h = precision_of(flat).step("central")
    plus, minus = (float(objective.loss(flat + s * h * v)) for s in (1.0, -1.0))
    gradient = xp.astype(pack(grads), flat.dtype)
    along = float(xp.sum(gradient * v))
    length = math.sqrt(float(xp.sum(gradient * gradient)))
    return abs(along - (plus - minus) / (2.0 * h)) / max(length, sys.float_info.min)


class _Objective:
    """The loss of a network as a function of the flat vector, in the widest float dtype."""

    def __init__(self, net: Network, call: Call, l2: float, reduction: str) -> None:
        self.xp, self.net, self.l2 = call.xp, net, l2
        flat = pack(call.params)
        dtype = widest_float(call.xp, flat)
        self.flat, self.X, self.Y = (call.xp.astype(x, dtype) for x in (flat, call.X, call.Y))
        self.divisor = float(call.X.shape[0]) if reduction == "mean" else 1.0
        self.sides = self.loss_and_sides(self.flat)[1]

    def loss(self, flat: Array) -> Array:
        """Return the objective at (n_parameters,) or (n_models, n_parameters): shape () or (n_models,)."""
        return self.loss_and_sides(flat)[0]

    def loss_and_sides(self, flat: Array) -> tuple[Array, list[Array]]:
        """Return the objective, and for each layer with kinks on which side of them its units are."""
        params = unpack(self.net, flat)
        trace = forward_pass(self.xp, self.net, params, self.X)
        losses, _ = LOSSES[str(self.net.loss)](self.xp, trace.logits, self.Y, self.net.output)
        loss = self.xp.sum(losses, axis=-1) / self.divisor
        if self.l2 > 0.0:
            loss = loss + penalty(self.xp, params, self.l2)
        sides = [h > 0 for h, f in zip(trace.inputs[1:], self.net.activations, strict=True) if ACTIVATIONS[f].has_kink]
        if self.net.output in ELEMENTWISE_OUTPUTS and ELEMENTWISE_OUTPUTS[self.net.output].has_kink:
            sides.append(trace.logits > 0)
        return loss, sides

    def moved(self, indices: Sequence[int], widths: Sequence[float]) -> tuple[list[float], list[bool]]:
        """Return the loss with entry ``indices[k]`` moved by ``widths[k]``, and whether a unit changed sides then."""
        xp, device = self.xp, array_api_compat.device(self.flat)
        rows = (
            xp.asarray(list(indices), device=device)[:, None] == xp.arange(self.flat.shape[0], device=device)[None, :]
        )
        step = xp.asarray(list(widths), dtype=self.flat.dtype, device=device)[:, None]
        losses, sides = self.loss_and_sides(self.flat + xp.astype(rows, self.flat.dtype) * step)
        crossed = [False] * len(indices)
        for now, before in zip(sides, self.sides, strict=True):
            changed = xp.any(now != before, axis=(-2, -1))
            crossed = [c or bool(changed[k]) for k, c in enumerate(crossed)]
        return [float(losses[k]) for k in range(len(indices))], crossed


def _differences(objective: _Objective, method: str, step: float | None) -> list[float | None]:
    """Return the numerical derivative of every entry, None where no step stays clear of a kink."""
    n = objective.flat.shape[0]
    units = max(objective.net.sizes) * objective.X.shape[0]
    at_once = max(1, _ELEMENTS_AT_ONCE // (n + units))
    h = step or precision_of(objective.flat).step(method)
    h_small = min(h, precision_of(objective.flat).step("forward"))
    numerical: list[float | None] = []
    for start in range(0, n, at_once):
        indices = range(start, min(start + at_once, n))
        here = _chunk_differences(objective, indices, method, h)
        over_kink = [i for i, d in zip(indices, here, strict=True) if d is None]
        if over_kink:
            again = dict(zip(over_kink, _chunk_differences(objective, over_kink, "either", h_small), strict=True))
            here = [again[i] if d is None else d for i, d in zip(indices, here, strict=True)]
        numerical += here
    return numerical


def _chunk_differences(objective: _Objective, indices: Sequence[int], method: str, h: float) -> list[float | None]:
    """Return some derivatives; None where the method's step crosses a kink ("either" takes a side that is free)."""
    base = float(objective.loss(objective.flat))
    widths = [h * max(1.0, abs(float(objective.flat[i]))) for i in indices]
    stay = (base, False)
    pluses = list(zip(*objective.moved(indices, widths), strict=True)) if method != "backward" else [stay] * len(widths)
    minuses = (
        list(zip(*objective.moved(indices, [-w for w in widths]), strict=True))
        if method != "forward"
        else [stay] * len(widths)
    )
    differences: list[float | None] = []
    for w, (plus, crossed_plus), (minus, crossed_minus) in zip(widths, pluses, minuses, strict=True):
        if not (crossed_plus or crossed_minus):
            differences.append((plus - minus) / (w if method in ("forward", "backward") else 2.0 * w))
        elif method == "either" and not crossed_plus:
            differences.append((plus - base) / w)
        elif method == "either" and not crossed_minus:
            differences.append((base - minus) / w)
        else:
            differences.append(None)
    return differences


def _locate(net: Network, flat_index: int) -> tuple[int, str, tuple[int, ...]]:
    """Return the layer, the part and the index within it of an entry of the flat vector."""
    layer = 0
    for fan_in, fan_out in itertools.pairwise(net.sizes):
        if flat_index < fan_in * fan_out:
            return layer, "W", divmod(flat_index, fan_out)
        flat_index -= fan_in * fan_out
        if flat_index < fan_out:
            break
        flat_index -= fan_out
        layer += 1
    return layer, "b", (flat_index,)

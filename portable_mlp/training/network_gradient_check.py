"""A check of a network's gradient against differences of the loss.

The gradient is that of the parameters' own library, device and dtype; the losses it is compared with are NumPy's, in
float64, so that a difference is as exact on every library. The parameters are moved many at a time: each moved copy is
one model on the leading axis of models, and a check costs a few wide forward passes, not two narrow ones a parameter.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..backends import get_backend
from ..backends.ambient import flat_on_host, loss_and_grad
from ..kernels.activations import ACTIVATIONS, ELEMENTWISE_OUTPUTS
from ..kernels.arrays import Array
from ..kernels.batch import encode_targets
from ..kernels.gradient_check import Difference, GradientCheck, check_options, compare, precision_of, tolerance_of
from ..kernels.network import Network
from ..kernels.parameters import Layer, Params, pack, unpack
from ..kernels.primitives import GradientSums, portable
from ..kernels.propagation import forward_pass
from ..kernels.step import Objective, data_loss
from ..kernels.suggestions import suggesting
from .data import checked_data

_ELEMENTS_AT_ONCE = 2**22
"""The most numbers of all moved models of one pass, which bounds the memory."""


@suggesting
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

    The losses are computed with NumPy in float64, whatever the library and dtype of the gradient. Where a step would
    carry a ReLU over its kink, where the loss has no derivative, the difference on the other side, or a smaller step,
    takes its place. To check a derivation of your own, see `check_gradient_of`.

    Parameters
    ----------
    net : Network
        The network, with the loss that is minimised.
    params : tuple of Layer
        Weights W (fan_in, fan_out) and biases b (fan_out,), without an axis of models.
    X : array of shape (n_samples, n_features)
        Inputs, from the library and device of ``params``.
    y : array
        Targets, in any form that `loss_and_grad` accepts.
    method : {"central", "forward", "backward"}
        The kind of finite difference.
    step : float, optional
        Width h for parameters up to 1 in size, in proportion for larger ones. By default the width that balances
        truncation against rounding.
    l2 : float
        The penalty ``l2 / 2`` times the sum of squared weights, added after the reduction; not negative.
    reduction : {"mean", "sum"}
        The reduction over samples.

    Returns
    -------
    GradientCheck
        Whether it passed, and the worst entry.

    Raises
    ------
    ValueError
        As for `loss_and_grad`; also for values that `train` refuses, an unknown method, or a step that is not positive.

    Examples
    --------
    >>> import numpy as np, portable_mlp as pm
    >>> net = pm.Network((3, 4, 2), activation="tanh")
    >>> pm.check_gradient(net, pm.init_params(net), np.eye(3), np.asarray([0, 1, 1])).passed
    True
    """
    check_options(method, step)
    grads = _gradient(net, params, X, y, l2, reduction)
    objective = _OnHost(net, params, X, y, l2, reduction)
    check = compare(
        flat_on_host(grads).tolist(),
        _differences(objective, method, step),
        precision=precision_of(objective.flat),
        tolerance=tolerance_of(method, grads[0].W, objective.flat),
    )
    return check._replace(worst=_locate(net, check.worst[0]))


def _gradient(net: Network, params: Params, X: Array, y: Array, l2: float, reduction: str) -> Params:
    loss, grads = loss_and_grad(net, params, X, y, l2=l2, reduction=reduction)
    if loss.ndim:
        raise ValueError("a gradient check takes one model at a time, but params have a leading axis of models")
    return grads


class _OnHost:
    """The loss of a network as a function of the flat vector, with NumPy in float64."""

    def __init__(self, net: Network, params: Params, X: Array, y: Array, l2: float, reduction: str) -> None:
        host = get_backend("numpy")
        on_host = [Layer(*(host.asarray(x, dtype="float64") for x in layer)) for layer in params]
        self.xp, self.net, self._objective = host.xp, net, Objective(net, l2)
        data = checked_data(net, tuple(on_host), host.asarray(X), host.asarray(y))
        self.batch = encode_targets(portable(host.xp), net, data)
        self.flat = pack(on_host)
        self.divisor = float(self.batch.n_samples) if reduction == "mean" else 1.0
        base, self.sides = self.loss_and_sides(self.flat)
        self.base = float(base)

    def loss(self, flat: Array) -> Array:
        """Return the objective at (n_parameters,) or (n_models, n_parameters): shape () or (n_models,)."""
        return self.loss_and_sides(flat)[0]

    def loss_and_sides(self, flat: Array) -> tuple[Array, list[Array]]:
        """Return the objective, and for each layer with kinks the side of the kink that each unit is on."""
        params = unpack(self.net, flat)
        ops, objective = portable(self.xp), self._objective
        trace = forward_pass(ops, self.net, params, self.batch.X)
        loss, _, logits = data_loss(ops, objective, trace.product, trace.bias, self.batch, self.divisor)
        sums = GradientSums(params, (), objective.strength(self.divisor), self.divisor)
        sides = [h > 0 for h, f in zip(trace.hidden, self.net.activations, strict=True) if ACTIVATIONS[f].has_kink]
        if self.net.output in ELEMENTWISE_OUTPUTS and ELEMENTWISE_OUTPUTS[self.net.output].has_kink:
            sides.append(logits > 0)
        return ops.mean_loss(loss, sums), sides

    def moved(self, indices: Sequence[int], widths: Sequence[float]) -> list[tuple[float, bool]]:
        """Return the loss with entry ``indices[k]`` moved by ``widths[k]``, and whether a unit crossed its kink."""
        xp = self.xp
        here = xp.asarray(list(indices))[:, None] == xp.arange(self.flat.shape[0])[None, :]
        step = xp.asarray(list(widths))[:, None]
        losses, sides = self.loss_and_sides(self.flat + xp.astype(here, self.flat.dtype) * step)
        crossed = xp.zeros(len(indices), dtype=xp.bool)
        for now, before in zip(sides, self.sides, strict=True):
            crossed = crossed | xp.any(now != before, axis=(-2, -1))
        return list(zip(losses.tolist(), crossed.tolist(), strict=True))


def _differences(objective: _OnHost, method: str, step: float | None) -> list[Difference | None]:
    """Return the numerical derivative of every entry, None where no step stays clear of a kink."""
    n = objective.flat.shape[0]
    units = max(objective.net.sizes) * objective.batch.n_samples
    at_once = max(1, _ELEMENTS_AT_ONCE // (n + units))
    precision = precision_of(objective.flat)
    h = float(step or precision.step(method))
    h_small = min(h, precision.step("forward"))
    numerical: list[Difference | None] = []
    for start in range(0, n, at_once):
        indices = range(start, min(start + at_once, n))
        here = dict(zip(indices, _chunk_differences(objective, indices, method, h), strict=True))
        over_kink = [i for i, difference in here.items() if difference is None]
        if over_kink:
            here |= zip(over_kink, _chunk_differences(objective, over_kink, "either", h_small), strict=True)
        numerical += here.values()
    return numerical


def _chunk_differences(objective: _OnHost, indices: Sequence[int], method: str, h: float) -> list[Difference | None]:
    """Return some derivatives; None where the method's step crosses a kink ("either" takes a side that is free)."""
    base = objective.base
    precision = precision_of(objective.flat)
    widths = [h * max(1.0, abs(p)) for p in objective.flat[list(indices)].tolist()]
    stay = [(base, False)] * len(widths)
    pluses = stay if method == "backward" else objective.moved(indices, widths)
    minuses = stay if method == "forward" else objective.moved(indices, [-w for w in widths])
    differences: list[Difference | None] = []
    for w, (plus, crossed_plus), (minus, crossed_minus) in zip(widths, pluses, minuses, strict=True):
        if not (crossed_plus or crossed_minus):
            width = w if method in ("forward", "backward") else 2.0 * w
            differences.append(precision.difference(plus, minus, width))
        elif method == "either" and not crossed_plus:
            differences.append(precision.difference(plus, base, w))
        elif method == "either" and not crossed_minus:
            differences.append(precision.difference(base, minus, w))
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

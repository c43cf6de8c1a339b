"""The check of the data: made once, before training, so that kernels may trust shapes and values afterwards."""

from __future__ import annotations

import math

from ..backends.ambient import undisturbed
from ..kernels.arguments import check_call
from ..kernels.arrays import Array, Namespace, device_for_new
from ..kernels.losses import LOSSES, TargetRange
from ..kernels.network import Network
from ..kernels.parameters import Params, check_dtype
from ..kernels.targets import are_labels
from .batches import Data, blocks


@undisturbed
def checked_data(net: Network, params: Params, X: Array, y: Array, sample_weight: Array | None = None) -> Data:
    """Return the data in the dtype of ``params``, with encoded targets, after a check of shapes and values.

    Raises
    ------
    ValueError
        If a value is not finite, a weight negative, a label out of range, or a target one that the loss is not made
        for; with the offending numbers.
    """
    call = check_call(net, params, X, y, sample_weight)
    check_dtype(call.params)
    xp = call.xp
    for name, x, cast in (("X", X, call.X), ("y", y, call.Y)):
        _check_finite(xp, name, x)
        if cast.dtype != x.dtype:
            _check_finite(xp, f"in {cast.dtype}, {name}", cast)
    _check_targets(xp, net, y, call.Y)
    if call.weights is not None:
        _check_weights(xp, call.weights)
    return Data(call.X, call.Y, call.weights)


def _check_weights(xp: Namespace, weights: Array) -> None:
    if weights.ndim > 1:
        raise ValueError(
            f"sample_weight must have shape ({weights.shape[-1]},), the same for all models; got {tuple(weights.shape)}"
        )
    _check_finite(xp, "sample_weight", weights)
    least = float(xp.min(weights))
    if least < 0.0:
        raise ValueError(f"sample_weight must not be negative; got {least:g}")


def _check_finite(xp: Namespace, name: str, x: Array) -> None:
    if not xp.isdtype(x.dtype, "real floating") or _all_finite(xp, x):
        return
    finite = xp.reshape(xp.isfinite(x), (-1,))
    flat_index = int(xp.argmin(xp.astype(finite, xp.int8)))
    value = float(xp.reshape(x, (-1,))[flat_index])
    index = []
    for size in reversed(x.shape):
        flat_index, i = divmod(flat_index, size)
        index.append(str(i))
    raise ValueError(f"{name}[{', '.join(reversed(index))}] is {value}; every value must be finite")


def _all_finite(xp: Namespace, x: Array) -> bool:
    """Check some samples at a time: flags for all values would need another quarter of their memory."""
    n_samples = x.shape[0] if x.ndim == 1 else x.shape[-2]
    finite = xp.asarray(True, device=device_for_new(x))
    for start, stop in blocks(n_samples, math.prod(x.shape) // n_samples):
        some = x[start:stop] if x.ndim == 1 else x[..., start:stop, :]
        finite = xp.logical_and(finite, xp.all(xp.isfinite(some)))
    return bool(finite)


def _check_targets(xp: Namespace, net: Network, y: Array, Y: Array) -> None:
    """Check values that are finite: ``y`` as given, ``Y`` as encoded."""
    if are_labels(xp, Y):
        low, high = _range(xp, Y)
        if low < 0 or high >= net.sizes[-1]:
            advice = '; two classes are two outputs, or one with output="logistic"' if net.sizes[-1] == 1 else ""
            raise ValueError(
                f"y must hold labels from 0 to {net.sizes[-1] - 1}, for {net.sizes[-1]} outputs; got labels from "
                f"{low:.0f} to {high:.0f}{advice}"
            )
        return
    targets = LOSSES[str(net.loss)].targets
    if targets is TargetRange.DISTRIBUTIONS:
        sums = xp.sum(Y, axis=-1)
        if not (bool(xp.all(Y >= 0)) and bool(xp.all(xp.abs(sums - 1.0) < 1e-3))):
            (low, high), (least, most) = _range(xp, Y), _range(xp, sums)
            raise ValueError(
                f"each row of y must hold probabilities that sum to 1, such as one-hot rows; got values from "
                f"{low:g} to {high:g} and row sums from {least:g} to {most:g}"
            )
        return
    low, high = _range(xp, Y)
    if targets is TargetRange.PROBABILITIES and not (low >= 0 and high <= 1):
        raise ValueError(f"y must lie in 0 to 1 for the loss {net.loss}; got values from {low:g} to {high:g}")
    if targets is TargetRange.COUNTS and low < 0:
        raise ValueError(f"y must not be negative for the loss {net.loss}; got {low:g}")


def _range(xp: Namespace, x: Array) -> tuple[float, float]:
    return float(xp.min(x)), float(xp.max(x))

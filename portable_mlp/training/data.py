"""The data's passport: looked at once, before training, with the values that kernels may trust afterwards."""

from __future__ import annotations

from ..kernels.arrays import Array, Namespace
from ..kernels.calls import check_call
from ..kernels.network import Network
from ..kernels.parameters import Params
from .batches import Data


def checked_data(net: Network, params: Params, X: Array, y: Array, *, names: tuple[str, str] = ("X", "y")) -> Data:
    """Return the data encoded for the network, in the dtype of ``params``, once shapes and values were found good.

    Raises
    ------
    ValueError
        If a value is not finite, a label is out of range, or a target is one that the loss is not made for; with the
        offending numbers.
    """
    call = check_call(net, params, X, y)
    xp = call.xp
    named = dict(zip(names, (X, y), strict=True))
    for name, x in named.items():
        _check_finite(xp, name, x)
    _check_targets(xp, net, y, names[1])
    assert call.Y is not None  # y was given
    return Data(call.X, call.Y)


def _check_finite(xp: Namespace, name: str, x: Array) -> None:
    if not xp.isdtype(x.dtype, "real floating") or bool(xp.all(xp.isfinite(x))):
        return
    finite = xp.reshape(xp.isfinite(x), (-1,))
    flat_index = int(xp.argmin(xp.astype(finite, xp.int8)))
    value = float(xp.reshape(x, (-1,))[flat_index])
    index = []
    for size in reversed(x.shape):
        flat_index, i = divmod(flat_index, size)
        index.append(str(i))
    raise ValueError(f"{name}[{', '.join(reversed(index))}] is {value}; every value must be finite")


def _check_targets(xp: Namespace, net: Network, y: Array, name: str) -> None:
    n_outputs = net.sizes[-1]
    if xp.isdtype(y.dtype, "bool"):
        return
    low, high = float(xp.min(y)), float(xp.max(y))
    is_labels = net.output == "softmax" and not _is_one_hot_shape(y, n_outputs)
    if is_labels and not (low >= 0 and high < n_outputs):
        raise ValueError(
            f"{name} must hold labels from 0 to {n_outputs - 1}, for {n_outputs} outputs; got labels from {low:.0f} to "
            f"{high:.0f}"
        )
    if net.loss == "cross_entropy" and not is_labels:
        sums = xp.sum(xp.astype(y, xp.float32), axis=-1)
        if low < 0 or float(xp.max(xp.abs(sums - 1.0))) > 1e-3:
            raise ValueError(
                f"each row of {name} must hold probabilities that sum to 1, such as one-hot rows; got values from "
                f"{low:g} to {high:g} and row sums from {float(xp.min(sums)):g} to {float(xp.max(sums)):g}"
            )
    if net.loss == "binary_cross_entropy" and not (low >= 0 and high <= 1):
        raise ValueError(
            f"{name} must lie in 0 to 1 for the loss binary_cross_entropy; got values from {low:g} to {high:g}"
        )
    if net.loss == "poisson" and low < 0:
        raise ValueError(f"{name} must not be negative for the loss poisson; got {low:g}")


def _is_one_hot_shape(y: Array, n_outputs: int) -> bool:
    return y.ndim > 1 and y.shape[-1] == n_outputs

"""A batch: the samples of a step, gathered from all samples, with labels turned into rows."""

from __future__ import annotations

from typing import NamedTuple, Self, TypeAlias

from .arrays import Array
from .network import Network
from .primitives import Primitives
from .propagation import Masks
from .targets import are_labels
from .workspace import Workspace

Span: TypeAlias = tuple[int, int]
"""Start and stop of a batch in the order of an epoch."""


class Batch(NamedTuple):
    """Samples and their targets on one device.

    Attributes
    ----------
    X : array of shape (n_samples, n_features), or (n_models, n_samples, n_features)
        Inputs, in the dtype of the parameters.
    Y : array of shape (n_samples, n_outputs), or (n_models, n_samples, n_outputs)
        Targets in the dtype of the inputs; or integer labels, a single column.
    weights : array of shape (n_samples,), optional
        The weight of each sample.
    masks : sequence of array, optional
        The factors of each hidden layer's units, (n_samples, n_units).
    """

    X: Array
    Y: Array
    weights: Array | None = None
    masks: Masks = None

    @property
    def n_samples(self) -> int:
        """The number of samples."""
        n_samples: int = self.X.shape[-2]
        return n_samples

    def part(self, start: int, stop: int) -> Self:
        """Return some samples, views where the library has them; masks are left as they are."""
        X, Y, weights, masks = self
        some = None if weights is None else weights[start:stop]
        return type(self)(X[..., start:stop, :], Y[..., start:stop, :], some, masks)


def gather(ops: Primitives, net: Network, data: Batch, rows: Array, workspace: Workspace | None) -> Batch:
    """Gather the samples of a batch, into the workspace where models share them; labels may become rows."""
    X, Y, weights, masks = data
    X_out = workspace.X if workspace is not None and X.ndim == 2 else None
    Y_out = workspace.Y if workspace is not None and Y.ndim == 2 else None
    some = None if weights is None else ops.take(weights, rows, 0)
    return Batch(*ops.gathered(X, Y, rows, net.sizes[-1], X_out, Y_out), some, masks)


def encode_targets(ops: Primitives, net: Network, data: Batch, workspace: Workspace | None = None) -> Batch:
    """Turn labels into one-hot rows, in the workspace where models share them; leave rows as they are."""
    if not are_labels(ops.xp, data.Y):
        return data
    out = workspace.Y if workspace is not None and data.Y.ndim == 2 else None
    return Batch(data.X, ops.one_hot(data.Y, net.sizes[-1], data.X.dtype, out), data.weights, data.masks)

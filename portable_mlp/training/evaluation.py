"""Evaluation on other data: the loss without the penalty, and a score, accuracy or R²."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from ..backends import Backend
from ..kernels.activations import OUTPUTS
from ..kernels.arrays import Array, Namespace, constant
from ..kernels.batch import encode_targets
from ..kernels.network import Network
from ..kernels.parameters import unpack
from ..kernels.primitives import Primitives, portable
from ..kernels.propagation import logits_of
from ..kernels.step import FUNCTIONS_KEPT, Objective, data_loss, weight_of
from .batches import Data, blocks
from .stream import Samples, Stream

ACTIVATIONS_AT_ONCE = 2**20
"""The most activations of the widest layer that are in memory at a time."""

Totals: TypeAlias = tuple[Array, Array]
"""Sums over samples: the loss, and the quantity that the score derives from."""


class Evaluation:
    """Evaluates flat parameters on samples, a block at a time: the activations of all would grow with their number.

    Parameters
    ----------
    backend : Backend
        The library and device of the samples.
    net : Network
        The network to evaluate. The score is the accuracy for softmax (the most probable class is right) and logistic
        (every output is on the right side of 1/2), and R² for the others, averaged over outputs.
    data : Data or Stream
        The samples to evaluate on.
    """

    def __init__(self, backend: Backend, net: Network, data: Samples) -> None:
        self._backend, self._weight = backend, _weight(backend, data)
        self._data, self._widest = data, max(net.sizes)
        self._blocks: list[Data] = []
        self._totals = backend.compile(make_totals(backend.xp, net))
        self._variation = None if net.output in ("softmax", "logistic") else _variation_of_targets(backend, data)

    def loss_and_score(self, flat: Array) -> list[float] | list[list[float]]:
        """Return the mean loss and the score; with an axis of models, lists with one number for each model."""
        xp = self._backend.xp
        totals: Totals | None = None
        with contextlib.closing(self._in_blocks(flat)) as some:
            for block in some:
                loss, measure = self._totals(flat, block)
                totals = (loss, measure) if totals is None else (totals[0] + loss, totals[1] + measure)
        assert totals is not None  # there are samples
        loss, measure = totals
        score = measure / self._weight if self._variation is None else r2(xp, measure, self._variation)
        numbers: list[float] = self._backend.to_numpy(xp.stack([loss / self._weight, score])).tolist()
        return numbers

    def _in_blocks(self, flat: Array) -> Generator[Data]:
        """Yield the samples in blocks whose size depends on the number of models; data in memory are cut once."""
        if self._blocks:
            yield from self._blocks
            return
        n_models = flat.shape[0] if flat.ndim > 1 else 1
        parts = blocks(self._data.n_samples, self._widest * n_models, ACTIVATIONS_AT_ONCE)
        in_order: Any = self._data.order(None, epoch=0)
        with contextlib.closing(self._data.pieces(in_order, parts)) as pieces:
            for data, _, spans in pieces:
                # All in one block are not cut out of themselves, which would be a copy on some libraries.
                cut = [data] if len(spans) == 1 else [data.part(*span) for span in spans]
                if data is self._data:
                    self._blocks = cut
                yield from cut


@functools.lru_cache(FUNCTIONS_KEPT)
def make_totals(xp: Namespace, net: Network) -> Callable[[Array, Data], Totals]:
    """Return ``totals(flat, data)``, the same function for the same network: `Totals` over the samples of ``data``.

    The score derives from the number of right answers, or from the squared error of each output; both are weighted as
    the loss is.
    """
    measure = {"softmax": _right_classes, "logistic": _right_sides}.get(net.output, _squared_errors)

    def totals(flat: Array, data: Data) -> Totals:
        rows = encode_targets(portable(xp), net, data)
        logits = logits_of(portable(xp), net, unpack(net, flat), rows.X)
        loss, *_ = data_loss(portable(xp), Objective(net), logits, None, rows, divisor=1.0)
        return portable(xp).averaged(loss, 1.0), measure(xp, OUTPUTS[net.output](xp, logits), rows.Y, rows.weights)

    return totals


def _right_classes(xp: Namespace, proba: Array, Y: Array, weights: Array | None) -> Array:
    right = xp.argmax(proba, axis=-1) == xp.argmax(Y, axis=-1)
    return _total(xp, xp.astype(right, proba.dtype), weights)


def _right_sides(xp: Namespace, proba: Array, Y: Array, weights: Array | None) -> Array:
    right = xp.all((proba > 0.5) == (Y > 0.5), axis=-1)
    return _total(xp, xp.astype(right, proba.dtype), weights)


def _total(xp: Namespace, right: Array, weights: Array | None) -> Array:
    return xp.sum(right if weights is None else right * weights, axis=-1)


def _squared_errors(xp: Namespace, y_hat: Array, Y: Array, weights: Array | None) -> Array:
    squares = (y_hat - Y) ** 2
    return xp.sum(squares if weights is None else squares * xp.expand_dims(weights, axis=-1), axis=-2)


def _variation_of_targets(backend: Backend, data: Samples) -> Array:
    if isinstance(data, Stream):
        return backend.asarray(data.variation)
    xp, Y, weights = backend.xp, data.Y, data.weights
    if weights is None:
        mean = xp.mean(Y, axis=-2, keepdims=True)
    else:
        mean = xp.sum(Y * xp.expand_dims(weights, axis=-1), axis=-2, keepdims=True) / xp.sum(weights)
    return _squared_errors(xp, mean, Y, weights)


def _weight(backend: Backend, data: Samples) -> float:
    """Return the total weight of all samples: their number where they have no weights."""
    if isinstance(data, Stream) or data.weights is None:
        return float(data.n_samples)
    return float(backend.xp.sum(data.weights))


def r2(xp: Namespace, residual: Array, variation: Array) -> Array:
    """Return 1 - residual / variation, averaged over outputs; a constant target scores 1 where it is met, else 0.

    Both have the shape (..., n_outputs): the sums of squares of the errors, and of the targets around their mean.
    """
    one = constant(xp, residual, 1.0)
    varies = variation > 0
    met = xp.astype(residual == 0, residual.dtype)
    return xp.mean(xp.where(varies, 1.0 - residual / xp.where(varies, variation, one), met), axis=-1)


@functools.lru_cache(FUNCTIONS_KEPT)
def make_logits(ops: Primitives, objective: Objective) -> Callable[[Array, Data], tuple[Array, Array]]:
    """Return ``logits(flat, data) -> (logits, loss)``: the last pre-activations, and the weighted mean loss."""

    def logits_and_loss(flat: Array, data: Data) -> tuple[Array, Array]:
        net = objective.net
        logits = logits_of(ops, net, unpack(net, flat), data.X)
        batch = encode_targets(ops, net, data)
        divisor = weight_of(ops, batch)
        loss, *_ = data_loss(ops, objective, logits, None, batch, divisor)
        return logits, ops.averaged(loss, divisor)

    return logits_and_loss

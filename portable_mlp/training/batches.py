"""Mini-batches: the order of the samples, drawn on the host, and the samples of each batch, taken on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..backends import Backend
from ..kernels.arrays import Array
from ..kernels.initializers import RandomState, as_sampler
from ..kernels.propagation import Masks


class Data(NamedTuple):
    """Samples and their targets on one device.

    Attributes
    ----------
    X : array of shape (n_samples, n_features), or (n_models, n_samples, n_features)
        Inputs.
    Y : array of shape (n_samples, n_outputs), or (n_models, n_samples, n_outputs)
        Encoded targets.
    weights : array of shape (n_samples,), optional
        What each sample counts.
    masks : sequence of array, optional
        For each hidden layer what its units are multiplied with, (n_samples, n_units).
    """

    X: Array
    Y: Array
    weights: Array | None = None
    masks: Masks = None

    @property
    def n_samples(self) -> int:
        """How many samples there are."""
        n_samples: int = self.X.shape[-2]
        return n_samples


class Shuffle:
    """A new order of the samples for every epoch.

    One integer is drawn from ``random_state``; with the epoch it keys a counter-based generator (Philox). So the order
    of epoch 7 needs none of the epochs before it.
    """

    def __init__(self, random_state: RandomState) -> None:
        sampler = as_sampler(random_state)
        draw = sampler.integers if isinstance(sampler, np.random.Generator) else sampler.randint
        self._key = int(draw(0, 2**63 - 1, dtype=np.int64))

    def order(self, epoch: int, n_samples: int) -> np.ndarray:
        """Return the permutation (n_samples,) of an epoch, int64."""
        key = np.asarray([self._key, epoch], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key)).permutation(n_samples)


def bounds(n_samples: int, batch_size: int) -> list[tuple[int, int]]:
    """Return where each batch starts and stops.

    The standard leaves a slice past the end undefined, so the last batch is cut here.

    >>> bounds(5, 2)
    [(0, 2), (2, 4), (4, 5)]
    """
    return [(start, min(start + batch_size, n_samples)) for start in range(0, n_samples, batch_size)]


def batches(backend: Backend, data: Data, batch_size: int, order: np.ndarray | None) -> Iterator[Data]:
    """Yield an epoch's batches; the last one is short where the size does not divide the samples.

    Parameters
    ----------
    backend : Backend
        Where the data live.
    data : Data
        All samples, without masks.
    batch_size : int
        Samples of a batch, at most.
    order : ndarray of shape (n_samples,), int64, or None
        A permutation of the samples; None keeps the order.
    """
    X, Y, weights, _ = data
    if order is None:
        for start, stop in bounds(data.n_samples, batch_size):
            yield Data(X[..., start:stop, :], Y[..., start:stop, :], None if weights is None else weights[start:stop])
        return
    take = backend.xp.take
    moved = backend.asarray(order)
    for start, stop in bounds(data.n_samples, batch_size):
        rows = moved[start:stop]
        some_weights = None if weights is None else take(weights, rows, axis=0)
        yield Data(take(X, rows, axis=-2), take(Y, rows, axis=-2), some_weights)

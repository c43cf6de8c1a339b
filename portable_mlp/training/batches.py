"""Mini-batches: the order of the samples, drawn on the host, and the samples of each batch, taken on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..backends import Backend
from ..kernels.arrays import Array
from ..kernels.initializers import RandomState, as_sampler


class Data(NamedTuple):
    """Samples and their targets on one device.

    Attributes
    ----------
    X : array of shape (n_samples, n_features), or (n_models, n_samples, n_features)
        Inputs.
    Y : array of shape (n_samples, n_outputs), or (n_models, n_samples, n_outputs)
        Encoded targets.
    """

    X: Array
    Y: Array

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


def batches(backend: Backend, data: Data, batch_size: int, epoch: int, shuffle: Shuffle | None) -> Iterator[Data]:
    """Yield an epoch's batches; the last one is short where the size does not divide the samples.

    Parameters
    ----------
    backend : Backend
        Where the data live.
    data : Data
        All samples.
    batch_size : int
        Samples of a batch, at most.
    epoch : int
        From 0.
    shuffle : Shuffle or None
        None keeps the order.
    """
    n_samples = data.n_samples
    # The standard leaves a slice past the end undefined, so the last one is cut here.
    bounds = [(start, min(start + batch_size, n_samples)) for start in range(0, n_samples, batch_size)]
    if shuffle is None:
        for start, stop in bounds:
            yield Data(data.X[..., start:stop, :], data.Y[..., start:stop, :])
        return
    order = backend.asarray(shuffle.order(epoch, n_samples))
    for start, stop in bounds:
        rows = order[start:stop]
        yield Data(backend.xp.take(data.X, rows, axis=-2), backend.xp.take(data.Y, rows, axis=-2))

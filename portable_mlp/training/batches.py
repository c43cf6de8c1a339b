"""Mini-batches: the samples on their device, and the order in which an epoch takes them, drawn on the host."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from ..kernels.arrays import Array
from ..kernels.initializers import RandomState, as_sampler
from ..kernels.propagation import Masks
from .group import decided

NUMBERS_AT_ONCE = 2**22
"""Of the data, that are looked at in one go."""


class Data(NamedTuple):
    """Samples and their targets on one device.

    Attributes
    ----------
    X : array of shape (n_samples, n_features), or (n_models, n_samples, n_features)
        Inputs.
    Y : array of shape (n_samples, n_outputs), or (n_models, n_samples, n_outputs)
        Targets in the dtype of the inputs; or integer labels, a single column.
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

    def part(self, start: int, stop: int) -> Data:
        """Return some samples, views where the library has them; masks are left as they are."""
        X, Y, weights, masks = self
        some = None if weights is None else weights[start:stop]
        return Data(X[..., start:stop, :], Y[..., start:stop, :], some, masks)


class Shuffle:
    """A new order of the samples for every epoch.

    One integer is drawn from ``random_state``; with the epoch it keys a counter-based generator (Philox). So the order
    of epoch 7 needs none of the epochs before it.

    Attributes
    ----------
    key : int
        What was drawn.
    """

    def __init__(self, random_state: RandomState) -> None:
        sampler = as_sampler(random_state)
        draw = sampler.integers if isinstance(sampler, np.random.Generator) else sampler.randint
        self.key = decided(lambda: int(draw(0, 2**63 - 1, dtype=np.int64)))

    def order(self, epoch: int, n_samples: int) -> np.ndarray:
        """Return the permutation (n_samples,) of an epoch, int64."""
        key = np.asarray([self.key, epoch], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key)).permutation(n_samples)


Span: TypeAlias = tuple[int, int]
"""Where a batch starts and stops in the order of an epoch."""


def spans(n_samples: int, batch_size: int) -> list[Span]:
    """Return an epoch's batches; the last one is short where the size does not divide the samples.

    >>> spans(5, 2)
    [(0, 2), (2, 4), (4, 5)]
    """
    return [(start, min(start + batch_size, n_samples)) for start in range(0, n_samples, batch_size)]


def blocks(n_samples: int, numbers_a_sample: int, numbers_at_once: int = NUMBERS_AT_ONCE) -> list[Span]:
    """Return the samples in blocks of so many numbers at most, or of one sample.

    >>> blocks(5, 100, 250)
    [(0, 2), (2, 4), (4, 5)]
    """
    return spans(n_samples, max(1, numbers_at_once // numbers_a_sample))

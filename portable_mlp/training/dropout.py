"""Which hidden units a step drops: drawn on the host, so that every library drops the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..backends import Backend
from ..kernels.arrays import Array
from ..kernels.batch import Span
from ..kernels.network import Network
from .batches import Shuffle


class Dropout:
    """The masks of a run; those of a batch need none of the batches before it.

    Parameters
    ----------
    backend : Backend
        Where the masks are needed.
    net : Network
        Its hidden units are dropped.
    fraction : float
        The probability, in [0, 1), with which each unit is dropped.
    draws : Shuffle
        What they are drawn from, with the epoch and the batch.
    dtype : dtype
        Of the parameters.
    """

    def __init__(self, backend: Backend, net: Network, fraction: float, draws: Shuffle, dtype: Any) -> None:
        self._backend, self._fraction, self._draws, self._dtype = backend, fraction, draws, dtype
        self._n_units = net.sizes[1:-1]

    def masks(self, epoch: int, batches: Sequence[Span], done: int) -> Iterator[tuple[Array, ...]]:
        """Yield the masks of an epoch's batches after those that are done."""
        for batch, (start, stop) in enumerate(batches[done:], start=done):
            generator = self._draws.generator_of_batch(epoch, batch)
            uniform = [generator.random((stop - start, n_units)) for n_units in self._n_units]
            yield masks_of(self._backend, uniform, self._fraction, self._dtype)


def masks_of(backend: Backend, uniform: Iterable[Any], fraction: float, dtype: Any) -> tuple[Array, ...]:
    """Return for each hidden layer 0 or ``1 / (1 - fraction)``, so that the expected sum stays.

    ``uniform`` are numbers in [0, 1) of the host, (n_samples, n_units) for each layer.
    """
    return tuple(backend.asarray((numbers >= fraction) / (1.0 - fraction), dtype=dtype) for numbers in uniform)

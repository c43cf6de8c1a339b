"""Dropout masks: drawn on the host, so that every library drops the same units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..backends import Backend
from ..kernels.arrays import Array
from ..kernels.batch import Span
from ..kernels.network import Network
from .shuffle import Shuffle


class Dropout:
    """The dropout masks of a run; those of a batch do not depend on the batches before it.

    Parameters
    ----------
    backend : Backend
        The library and device of the masks.
    net : Network
        The network whose hidden units are dropped.
    fraction : float
        The probability, in [0, 1), with which each unit is dropped.
    draws : Shuffle
        The source of random numbers, keyed by epoch and batch.
    dtype : dtype
        The dtype of the masks, that of the parameters.
    """

    def __init__(self, backend: Backend, net: Network, fraction: float, draws: Shuffle, dtype: Any) -> None:
        self._backend, self._fraction, self._draws = backend, fraction, draws
        self._factor = factor_of(backend, fraction, dtype)
        self._n_units = net.sizes[1:-1]

    def masks(self, epoch: int, batches: Sequence[Span], done: int) -> Iterator[tuple[Array, ...]]:
        """Yield the masks of an epoch's batches after those that are done."""
        for batch, (start, stop) in enumerate(batches[done:], start=done):
            generator = self._draws.generator_of_batch(epoch, batch)
            uniform = [generator.random((stop - start, n_units)) for n_units in self._n_units]
            yield masks_of(self._backend, uniform, self._fraction, self._factor)


def factor_of(backend: Backend, fraction: float, dtype: Any) -> Any:
    """Return the factor of units that are kept, ``1 / (1 - fraction)``, in a dtype, on the host."""
    return backend.to_numpy(backend.asarray(1.0 / (1.0 - fraction), dtype=dtype))


def masks_of(backend: Backend, uniform: Iterable[Any], fraction: float, factor: Any) -> tuple[Array, ...]:
    """Return masks of 0 and ``factor`` for each hidden layer, so that the expected sum is unchanged.

    ``uniform`` are numbers in [0, 1) of the host, (n_samples, n_units) for each layer; see `factor_of`.
    """
    return tuple(backend.asarray((numbers >= fraction) * factor) for numbers in uniform)

"""The order in which the epochs of a training take its samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from ..kernels.batch import Span
from ..kernels.propagation import Masks
from .batches import Shuffle, counting, spans
from .dropout import Dropout
from .stream import Samples


class EpochOrder(NamedTuple):
    """What an epoch takes.

    Attributes
    ----------
    rows : ndarray of shape (n_samples,), int64, or None; of a stream GroupOrder
        A permutation of the samples, on the host; None keeps their order.
    batches : sequence of Span
        Where each batch starts and stops in it.
    masks : iterable of masks or None
        The dropout of each batch.
    """

    rows: Any
    batches: Sequence[Span]
    masks: Iterable[Masks] | None = None


class Order(Protocol):
    """An order of samples for each epoch; epochs are asked for one after another.

    Attributes
    ----------
    n_samples : int
        The samples of an epoch.
    """

    n_samples: int

    def epoch(self, epoch: int, done: int) -> EpochOrder:
        """Return what an epoch takes, of which ``done`` batches lie behind already."""

    def memory(self) -> tuple[dict[str, Any], int | None]:
        """Return what orders to come depend on: arrays by name, and a key."""

    def restore(self, arrays: dict[str, Any], key: int | None) -> None:
        """Go on from what `memory` returned."""


class KeyedOrder:
    """An order that the number of the epoch alone decides.

    Parameters
    ----------
    samples : Data or Stream
        The samples of this process.
    n_samples : int
        All samples, of which ``samples`` may be a part where a group trains.
    batch_size : int
        Samples of a batch.
    draws : Shuffle or None
        What permutations and dropout are drawn from.
    shuffles : bool
        Whether epochs are permutations; otherwise the samples keep their order.
    weights : ndarray of shape (n_samples,), optional
        The weights of the samples, on the host: batches whose weights sum to zero are left out.
    dropout : Dropout, optional
        The masks of the batches.
    """

    def __init__(
        self,
        samples: Samples,
        n_samples: int,
        batch_size: int,
        draws: Shuffle | None,
        *,
        shuffles: bool,
        weights: Any = None,
        dropout: Dropout | None = None,
    ) -> None:
        self.n_samples = n_samples
        self._samples, self._draws, self._weights, self._dropout = samples, draws, weights, dropout
        self._shuffle = draws if shuffles else None
        self._batches = spans(n_samples, batch_size)

    def epoch(self, epoch: int, done: int) -> EpochOrder:
        """Return what an epoch takes."""
        rows = self._samples.order(self._shuffle, epoch, self.n_samples)
        batches = counting(self._batches, self._weights, rows)
        return EpochOrder(rows, batches, None if self._dropout is None else self._dropout.masks(epoch, batches, done))

    def memory(self) -> tuple[dict[str, Any], int | None]:
        """Return the key of all that is drawn."""
        return {}, None if self._draws is None else self._draws.key

    def restore(self, arrays: dict[str, Any], key: int | None) -> None:
        """Go on from what `memory` returned."""
        if self._draws is not None and key is not None:
            self._draws.key = key

"""The order in which the epochs of a training take its samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from ..kernels.arrays import Array
from ..kernels.batch import Span
from .batches import counting, spans
from .dropout import Dropout
from .shuffle import Shuffle
from .stream import Samples


class EpochOrder(NamedTuple):
    """The samples of one epoch, in batches.

    Attributes
    ----------
    rows : ndarray of shape (n_samples,), int64, or None; of a stream GroupOrder
        A permutation of the samples, on the host; None keeps their order.
    batches : sequence of Span
        The start and the stop of each batch in that order.
    masks : iterable of masks or None
        The dropout masks of each batch.
    """

    rows: Any
    batches: Sequence[Span]
    masks: Iterable[Sequence[Array]] | None = None


class Order(Protocol):
    """An order of samples for each epoch; epochs are requested one after another.

    Attributes
    ----------
    n_samples : int
        The number of samples of an epoch.
    """

    n_samples: int

    @property
    def each_batches(self) -> Sequence[Span] | None:
        """The batches of each epoch; None if they may differ from epoch to epoch, or have masks."""

    def epoch(self, epoch: int, done: int) -> EpochOrder:
        """Return the order of an epoch, of which ``done`` batches are done already."""

    def memory(self) -> tuple[dict[str, Any], int | None]:
        """Return the state that later orders depend on: arrays by name, and a key."""

    def restore(self, arrays: dict[str, Any], key: int | None) -> None:
        """Continue from a result of `memory`."""


class KeyedOrder:
    """An order that depends on the number of the epoch alone.

    Parameters
    ----------
    samples : Data or Stream
        The samples of this process.
    n_samples : int
        The number of all samples, of which ``samples`` may be a part where a group trains.
    batch_size : int
        The number of samples of a batch.
    draws : Shuffle or None
        The source of permutations and dropout.
    shuffles : bool
        Whether epochs are permutations; otherwise the samples keep their order.
    weights : ndarray of shape (n_samples,), optional
        The weights of the samples, on the host: batches whose weights sum to zero are left out.
    dropout : Dropout, optional
        The dropout masks of the batches.
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

    @property
    def each_batches(self) -> Sequence[Span] | None:
        """The batches of each epoch; None if they may differ from epoch to epoch, or have masks."""
        return self._batches if self._weights is None and self._dropout is None else None

    def epoch(self, epoch: int, done: int) -> EpochOrder:
        """Return the order of an epoch."""
        rows = self._samples.order(self._shuffle, epoch, self.n_samples)
        batches = counting(self._batches, self._weights, rows)
        return EpochOrder(rows, batches, None if self._dropout is None else self._dropout.masks(epoch, batches, done))

    def memory(self) -> tuple[dict[str, Any], int | None]:
        """Return the key of all random draws."""
        return {}, None if self._draws is None else self._draws.key

    def restore(self, arrays: dict[str, Any], key: int | None) -> None:
        """Continue from a result of `memory`."""
        if self._draws is not None and key is not None:
            self._draws.key = key

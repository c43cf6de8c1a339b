"""Samples that stay in their file: an epoch goes through them a piece at a time, read while the one before is used."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..backends import Backend
from ..backends.runner import STEPS_A_CALL
from ..kernels.batch import Span
from .batches import Data, Piece, Shuffle
from .group_order import GroupOrder, Selection
from .read_ahead import read_ahead

NUMBERS_A_PIECE = 2**20
"""At most, unless a single batch has more; each sample counts for two more than its inputs."""

BATCHES_A_PIECE = STEPS_A_CALL
"""At most."""


@dataclass(frozen=True)
class Stream:
    """Samples of a file, in the place of `Data` that hold them all.

    Attributes
    ----------
    backend : Backend
        Where the samples are used.
    selection : Selection
        Which rows of the file they are.
    groups_in_memory : int
        From so many groups of the file rows can be taken in any order.
    read : callable
        ``read(rows) -> (X, Y)``: samples by the numbers of their rows, checked, as `Data` has them, on the host.
    n_features : int
        Numbers of an input.
    digest : str
        The same for the same samples in the same groups.
    variation : ndarray of shape (n_outputs,), in the dtype of the inputs, or None
        Of each output, the sum of squared deviations from its mean, where a score needs it.
    """

    backend: Backend
    selection: Selection
    groups_in_memory: int
    read: Callable[[Any], tuple[Any, Any]]
    n_features: int
    digest: str
    variation: Any = None

    @property
    def n_samples(self) -> int:
        """How many samples there are."""
        return sum(self.selection.counts)

    def order(self, shuffle: Shuffle | None, epoch: int, n_samples: int | None = None) -> GroupOrder:
        """Return the order in which an epoch takes the samples, which are all that there are in a group too."""
        return GroupOrder(self.selection, self.groups_in_memory, shuffle, epoch)

    def pieces(self, order: GroupOrder, batches: Sequence[Span], done: int = 0) -> Generator[Piece]:
        """Yield samples in the order, as they are read, with the batches that are made of them.

        The pieces are the same ones whatever has been done, so that a compiled step rounds as if it had not stopped.
        """
        with read_ahead(self._pieces_on_host(order, batches, done)) as pieces:
            for X, Y, spans in pieces:
                yield Piece(Data(self.backend.asarray(X), self.backend.asarray(Y)), None, spans)

    def _pieces_on_host(
        self, order: GroupOrder, batches: Sequence[Span], done: int
    ) -> Iterator[tuple[Any, Any, list[Span]]]:
        _, batch_size = batches[0]
        size = batch_size * min(BATCHES_A_PIECE, max(1, NUMBERS_A_PIECE // (batch_size * (self.n_features + 2))))
        by_piece = itertools.groupby(batches[done:], key=lambda span: span[0] // size)
        first, _ = batches[done]
        for rows, (piece, spans) in zip(order.parts(first - first % size, size), by_piece, strict=True):
            X, Y = self.read(rows)
            yield X, Y, [(start - piece * size, stop - piece * size) for start, stop in spans]


Samples: TypeAlias = Data | Stream

"""Samples that stay in their file: an epoch reads them a piece at a time, each while the previous one is in use."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..backends import Backend
from ..backends.runner import STEPS_A_CALL
from ..kernels.batch import Span
from .batches import Data, Piece
from .group_order import GroupOrder, Selection
from .read_ahead import read_ahead
from .shuffle import Shuffle

NUMBERS_A_PIECE = 2**20
"""The most numbers of a piece, unless a single batch has more; each sample counts for two more than its inputs."""

BATCHES_A_PIECE = STEPS_A_CALL
"""The most batches of a piece."""


@dataclass(frozen=True)
class Stream:
    """Samples of a file, in the place of `Data` that hold them all.

    Attributes
    ----------
    backend : Backend
        The library and device of the samples.
    selection : Selection
        Their rows in the file.
    groups_in_memory : int
        The number of groups of the file that are in memory together, so that their rows can be mixed.
    read : callable
        ``read(rows) -> (X, Y)``: checked inputs and encoded targets of some row numbers, on the host.
    n_features : int
        The number of features.
    digest : str
        A digest of the samples and their groups.
    variation : ndarray of shape (n_outputs,), in the dtype of the inputs, or None
        The sum of squared deviations of each output from its mean, where a score needs it.
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
        """The number of samples."""
        return sum(self.selection.counts)

    def order(self, shuffle: Shuffle | None, epoch: int, n_samples: int | None = None) -> GroupOrder:
        """Return an epoch's order of the samples; in a group, too, they are all samples."""
        return GroupOrder(self.selection, self.groups_in_memory, shuffle, epoch)

    def pieces(self, order: GroupOrder, batches: Sequence[Span], done: int = 0) -> Generator[Piece]:
        """Yield pieces of the samples in the order, as they are read, with their batches.

        The pieces do not depend on ``done``: a compiled step rounds as it would without an interruption.
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

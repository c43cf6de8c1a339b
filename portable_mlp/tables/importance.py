"""The permutation importance of columns: the rise of the loss when the cells of a column are shuffled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Importance", "permutation_importance"]

MOST_ROWS = 2000
"""The most rows to predict; more would cost time and change little."""

MOST_PREDICTIONS = 1000
"""The most passes over the rows: columns times repetitions."""

REPETITIONS = 5


class Importance(NamedTuple):
    """The importance of a column.

    Attributes
    ----------
    name : str
        The name of the column.
    mean : float
        The rise of the loss, averaged over the repetitions.
    spread : float
        The standard deviation over the repetitions.
    """

    name: str
    mean: float
    spread: float


def permutation_importance(
    loss: Callable[[NDArray[np.float64], NDArray[np.intp]], float],
    inputs: NDArray[np.float64],
    columns: Sequence[tuple[str, int]],
    seed: int = 0,
) -> list[Importance]:
    """Return the importance of the columns of a table, the most important first (Breiman 2001).

    A column of the table is encoded as some columns next to each other, which are shuffled together: encoding goes row
    by row, so that this is what the shuffled cells would become.

    Parameters
    ----------
    loss : callable
        ``loss(inputs, rows)`` returns the loss of the predictions of encoded rows; ``rows`` are their numbers.
    inputs : ndarray of shape (n_rows, n_features)
        The encoded rows; a draw of them where they are very many.
    columns : sequence of (str, int)
        The name of each column of the table, and how many columns it is encoded as, in their order.
    seed : int
        Seed of the shuffles.

    Returns
    -------
    list of Importance
        The importances; empty for tables of more than ``MOST_PREDICTIONS`` columns.
    """
    encoded = [(name, width) for name, width in columns if width]
    repetitions = min(REPETITIONS, MOST_PREDICTIONS // max(1, len(encoded)))
    if repetitions == 0:
        return []
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(inputs))[:MOST_ROWS])
    inputs = inputs[rows]
    before, start, found = loss(inputs, rows), 0, []
    for name, width in encoded:
        block = slice(start, start + width)
        start += width
        rises = []
        for _ in range(repetitions):
            shuffled = inputs.copy()
            shuffled[:, block] = inputs[rng.permutation(len(inputs)), block]
            rises.append(loss(shuffled, rows) - before)
        found.append(Importance(name, float(np.mean(rises)), float(np.std(rises))))
    return sorted(found, key=lambda one: -one.mean)

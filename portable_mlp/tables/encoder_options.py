"""The options of the encoding of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["EncoderOptions"]


class EncoderOptions(NamedTuple):
    """The options of the encoding; the fields are the parameters of `TableEncoder`.

    Attributes
    ----------
    drop : sequence of str
        Columns to leave out.
    max_levels : int
        Largest number of distinct texts, besides rare ones, to encode one-hot; more are encoded by target means.
    min_count : int
        Least number of rows of a text that is not rare.
    n_pieces : int
        Features that a number has beside itself, one for each piece between its quantiles; 0 for none.
    """

    drop: Sequence[str] = ()
    max_levels: int = 30
    min_count: int = 2
    n_pieces: int = 0

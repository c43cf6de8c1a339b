"""The different texts of a column, and the encoding that they get where their targets are not asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .column_encodings import CategoryColumn, ColumnEncoding, DroppedColumn
from .drop_reasons import ALL_MISSING, texts_identify_rows
from .encoder_options import EncoderOptions
from .errors import shown

__all__ = ["Levels", "encoding_of_texts"]

_FEW_ROWS = 20
_COMMON, _MUCH = 0.1, 0.25
"""The share of the rows that a common text has, and that which common texts have where a column is more than names."""


class Levels(NamedTuple):
    """The different texts of a column.

    Attributes
    ----------
    texts : list of str
        The different texts in sorted order.
    counts : ndarray of shape (n_texts,)
        Their numbers of rows.
    n_missing : int
        Number of rows without one.
    """

    texts: list[str]
    counts: NDArray[np.intp]
    n_missing: int

    @classmethod
    def of(cls, counts: Mapping[str | None, int]) -> Levels:
        """Return the texts of numbers of rows by texts, None where a cell is missing."""
        texts = sorted(text for text in counts if text is not None)
        return cls(texts, np.array([counts[text] for text in texts], dtype=np.intp), counts.get(None, 0))

    @property
    def share_of_common(self) -> float:
        """The share of the rows with a text whose text is common."""
        n_present = self.counts.sum()
        return float(self.counts[self.counts >= _COMMON * n_present].sum() / n_present)

    def frequent(self, options: EncoderOptions) -> list[str]:
        """Return the texts that are not rare."""
        return [text for text, count in zip(self.texts, self.counts, strict=True) if count >= options.min_count]


def encoding_of_texts(name: str, form: str, levels: Levels, options: EncoderOptions) -> ColumnEncoding:
    """Return the encoding of texts that does not ask for their targets: a column for each of the commonest ones."""
    reason = _reason_to_drop(levels, options)
    if reason is not None:
        return DroppedColumn(name, reason)
    frequent = levels.frequent(options)
    if len(frequent) > options.max_levels:
        by_count = sorted(zip((-levels.counts).tolist(), levels.texts, strict=True))
        frequent = sorted(text for _, text in by_count[: options.max_levels])
    return CategoryColumn(name, form, frequent, len(levels.texts) - len(frequent), levels.n_missing > 0)


def _reason_to_drop(levels: Levels, options: EncoderOptions) -> str | None:
    """Return the reason to leave a column of text out, None if there is none."""
    n_levels, n_present = len(levels.texts), int(levels.counts.sum())
    if not n_levels:
        return ALL_MISSING
    if n_levels == 1 and not levels.n_missing:
        return f"constant, always {shown(levels.texts[0])}"
    hardly_repeat = 2 * n_levels > n_present >= _FEW_ROWS and levels.share_of_common < _MUCH
    if levels.counts.max() < options.min_count or hardly_repeat:
        return texts_identify_rows(levels.texts, n_present, levels.n_missing)
    return None

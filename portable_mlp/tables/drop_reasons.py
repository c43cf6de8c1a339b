"""The reasons to leave a column out, in words."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import counted
from .typed_columns import text_of

__all__ = ["ALL_MISSING", "AS_ASKED", "always", "identifies_rows", "texts_identify_rows"]

ALL_MISSING = "every cell is missing"
AS_ASKED = "left out as asked"

_WORDS_OF_SENTENCES = 5
"""Texts of so many words, on the mean, are sentences, and no names."""


def always(value: object) -> str:
    """Return the reason to leave a column out that has one value alone."""
    return f"constant, always {text_of(value)}"


def identifies_rows(n_rows: int) -> str:
    """Return the reason to leave a column of numbers out that tells the rows apart."""
    return f"{n_rows} different numbers in as many rows: it tells them apart"


def texts_identify_rows(texts: Sequence[str], n_rows: int, n_missing: int) -> str:
    """Return the reason to leave a column of texts out that hardly repeat.

    >>> texts_identify_rows(["A. Li", "B. Fu"], 3, 0)
    '2 different texts in 3 rows: it tells them apart'
    >>> texts_identify_rows(["a slow but friendly service"], 1, 2)
    '1 different text in 1 row, missing in 2: free text, which is not read'
    """
    lacking = f", missing in {n_missing}" if n_missing else ""
    n_words = sum(len(text.split()) for text in texts)
    what = "free text, which is not read" if n_words >= _WORDS_OF_SENTENCES * len(texts) else "it tells them apart"
    return f"{counted(len(texts), 'different text')} in {counted(n_rows, 'row')}{lacking}: {what}"

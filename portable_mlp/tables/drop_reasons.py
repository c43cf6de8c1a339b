"""The reasons to leave a column out, in words."""

from __future__ import annotations

from .typed_columns import text_of

__all__ = ["ALL_MISSING", "AS_ASKED", "always", "identifies_rows"]

ALL_MISSING = "every cell is missing"
AS_ASKED = "left out as asked"


def always(value: object) -> str:
    """Return the reason to leave a column out that has one value alone."""
    return f"constant, always {text_of(value)}"


def identifies_rows(n_rows: int) -> str:
    """Return the reason to leave a column of numbers out that tells the rows apart."""
    return f"{n_rows} different numbers in as many rows: it tells them apart"

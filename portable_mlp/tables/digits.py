"""The data set that needs no file: the handwritten digits that scikit-learn ships."""

from __future__ import annotations

from ..backends.extras import install
from .reading import Table

BRIGHTEST = 16.0
"""The largest value of a pixel."""


def digits() -> Table:
    """Return 1,797 images of 8 x 8 pixels from 0 to 16, and the digit that each shows.

    Raises
    ------
    ImportError
        If scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError(f"the digits come with scikit-learn: {install('sklearn')}") from None
    bunch = load_digits()
    return Table(bunch.data, bunch.target, tuple(bunch.feature_names), "digit")


def refuse_with_digits(**options: object) -> None:
    """Raise ValueError if an option was given that is about tables in files, by its name in Python."""
    for name, value in options.items():
        if value is not None:
            raise ValueError(f"--{name.replace('_', '-')} does not go with digits, which are not read from a file")

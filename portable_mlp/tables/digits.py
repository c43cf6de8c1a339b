"""scikit-learn's handwritten digits, the built-in data set."""

from __future__ import annotations

from ..backends.extras import install
from .reading import Table

BRIGHTEST = 16.0
"""The largest value of a pixel."""


def digits() -> Table:
    """Return 1,797 images of 8 x 8 pixels, each from 0 to 16, and the digits they show.

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
    """Raise ValueError if an option for table files was given; keywords are the options' names in Python."""
    for name, value in options.items():
        if value is not None:
            raise ValueError(f"--{name.replace('_', '-')} does not go with digits, which are not read from a file")

"""What is looked at in arrays from files: that they are NumPy's, and numbers, and finite."""

from __future__ import annotations

from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .array_headers import ArrayHeader
from .errors import DataError, counted

__all__ = [
    "ARRAY_SUFFIXES",
    "check_feature_left",
    "check_finite",
    "check_magic",
    "check_matrix",
    "check_real",
    "numbered_names",
]

_MAGIC = {".npy": (b"\x93NUMPY",), ".npz": (b"PK\x03\x04", b"PK\x05\x06")}
ARRAY_SUFFIXES = tuple(_MAGIC)


def check_magic(file: IO[bytes], suffix: str, path: str) -> None:
    """Check the first bytes of a file; what has others may be a pickle, which is never opened."""
    if not file.read(6).startswith(_MAGIC[suffix]):
        raise DataError(
            f"{path}: not an {suffix} file of NumPy (a pickle, perhaps; pickles are refused: "
            "write numpy.savez(file, X=X, y=y))"
        )
    file.seek(0)


def check_matrix(stored: ArrayHeader, name: str, path: str) -> None:
    """Check that an array has two dimensions, something in it, and real numbers."""
    if stored.ndim != 2:
        raise DataError(f"{path}: {name} has {counted(stored.ndim, 'dimension')}; 2 are expected")
    check_real(stored, name, path)
    if not stored.size:
        raise DataError(f"{path}: {name} of shape {stored.shape} is empty")


def check_feature_left(stored: ArrayHeader, path: str) -> None:
    """Check that a matrix whose last column is the target has another column."""
    if stored.shape[1] == 1:
        raise DataError(f"{path}: the only column is the target; no feature is left")


def check_real(values: ArrayHeader, name: str, path: str) -> None:
    """Check that an array holds real numbers, for which bool goes too."""
    if values.dtype.kind not in "biuf":
        raise DataError(f"{path}: {name} has dtype {values.dtype}; real numbers are expected")


def check_finite(values: NDArray[Any], name: str, path: str, *, gaps: bool = False) -> None:
    """Check that all numbers are finite, but for NaN where there may be gaps, or name the first that is not."""
    finite = np.isfinite(values) | (np.isnan(values) if gaps else False)
    if not finite.all():
        index = np.unravel_index(np.argmin(finite), values.shape)
        place = ", ".join(map(str, index))
        raise DataError(f"{path}: {name}[{place}] is {values[index]}; finite numbers are expected")


def numbered_names(n_features: int) -> tuple[str, ...]:
    """Return the names of features that have none."""
    return tuple(f"x{column}" for column in range(n_features))

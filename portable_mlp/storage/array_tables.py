"""Tables in ``.npy`` and ``.npz`` files, whatever is broken in them; pickles are refused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from .table_errors import DataError, counted, listed, opened, shown
from .table_types import Table, TargetKind

__all__ = ["ARRAY_SUFFIXES", "read_prediction_arrays", "read_training_arrays"]

_MAGIC = {".npy": (b"\x93NUMPY",), ".npz": (b"PK\x03\x04", b"PK\x05\x06")}
ARRAY_SUFFIXES = tuple(_MAGIC)
_REASON_CHARACTERS = 200


def read_training_arrays(path: str, suffix: str, target: str | None, target_kind: TargetKind) -> Table:
    """Read the features and the targets, which cannot be chosen by a name."""
    if target is not None:
        where = "the array y" if suffix == ".npz" else "the last column"
        raise DataError(
            f"{path}: the target of an {suffix} file is {where}; "
            f"the target column {shown(target)} can be chosen in .csv and .tsv files only"
        )
    X, y = _archive_pair(path, target_kind) if suffix == ".npz" else _split_array(path)
    return Table(X, y, _numbered_names(X), None)


def read_prediction_arrays(path: str, suffix: str, feature_names: Sequence[str] | None) -> Table:
    """Read the features, of which only the number can be compared."""
    X = _archive_features(path) if suffix == ".npz" else _checked_matrix(_loaded_array(path), "array", path)
    if feature_names is not None and X.shape[1] != len(feature_names):
        raise DataError(f"{path}: expected {counted(len(feature_names), 'feature')}, got {X.shape[1]}")
    return Table(X, None, _numbered_names(X), None)


def _numbered_names(X: NDArray[np.float64]) -> tuple[str, ...]:
    """Return the names of features that have none."""
    return tuple(f"x{column}" for column in range(X.shape[1]))


def _archive_pair(path: str, target_kind: TargetKind) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return X and y of an .npz file."""
    with opened(path) as file, _opened_archive(file, path) as archive:
        X = _checked_matrix(_archived(archive, "X", path), "X", path)
        y = _archived(archive, "y", path)
    _check_targets(y, len(X), target_kind, path)
    return X, y


def _archive_features(path: str) -> NDArray[np.float64]:
    """Return X of an .npz file."""
    with opened(path) as file, _opened_archive(file, path) as archive:
        return _checked_matrix(_archived(archive, "X", path), "X", path)


def _split_array(path: str) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return the columns of an .npy file before the last one, and the last one in its own dtype, always a number's."""
    joined = _loaded_array(path)
    matrix = _checked_matrix(joined, "array", path)
    if matrix.shape[1] == 1:
        raise DataError(f"{path}: the only column is the target; no feature is left")
    return np.ascontiguousarray(matrix[:, :-1]), joined[:, -1].copy()


def _loaded_array(path: str) -> NDArray[Any]:
    """Return the array of an .npy file as it is stored."""
    with opened(path) as file:
        _check_magic(file, ".npy", path)
        with _broken_file(path, "the array"):
            loaded: NDArray[Any] = np.load(file, allow_pickle=False)
    return loaded


def _opened_archive(file: BinaryIO, path: str) -> NpzFile:
    """Return the arrays of an .npz file by name; each is read when it is taken."""
    _check_magic(file, ".npz", path)
    with _broken_file(path, "the archive"):
        archive: NpzFile = np.load(file, allow_pickle=False)
    return archive


def _archived(archive: NpzFile, name: str, path: str) -> NDArray[Any]:
    """Return one array of an .npz file as it is stored."""
    if name not in archive.files:
        raise DataError(f"{path}: no array {name!r}; the file holds {listed(archive.files) or 'no array'}")
    with _broken_file(path, f"the array {name!r}"):
        member = archive[name]
    if not isinstance(member, np.ndarray):
        raise DataError(f"{path}: {name!r} is not a NumPy array")
    return member


def _check_magic(file: BinaryIO, suffix: str, path: str) -> None:
    """Check the first bytes of a file; NumPy would take every unknown file for a pickle."""
    if not file.read(6).startswith(_MAGIC[suffix]):
        raise DataError(f"{path}: not an {suffix} file of NumPy (a pickle, perhaps; pickles are refused)")
    file.seek(0)


@contextlib.contextmanager
def _broken_file(path: str, what: str) -> Iterator[None]:
    """Turn into a DataError whatever NumPy and zipfile raise for a broken file, a dozen of types."""
    try:
        yield
    except Exception as error:
        if "allow_pickle" in str(error):
            reason = "it holds Python objects (a pickle), which are refused"
        else:
            reason = " ".join(str(error).split())[:_REASON_CHARACTERS] or type(error).__name__
        raise DataError(f"{path}: {what} cannot be read: {reason}") from error


def _checked_matrix(stored: NDArray[Any], name: str, path: str) -> NDArray[np.float64]:
    """Return a 2-D array of finite real numbers as C-contiguous float64."""
    if stored.ndim != 2:
        raise DataError(f"{path}: {name} has {counted(stored.ndim, 'dimension')}; 2 are expected")
    _check_real(stored, name, path)
    if not stored.size:
        raise DataError(f"{path}: {name} of shape {stored.shape} is empty")
    with np.errstate(over="ignore"):
        matrix = np.ascontiguousarray(stored, dtype=np.float64)
    _check_finite(matrix, name, path)
    return matrix


def _check_targets(y: NDArray[Any], n_samples: int, target_kind: TargetKind, path: str) -> None:
    """Check that y has one target, or one row of targets, per sample."""
    if y.ndim not in (1, 2):
        raise DataError(f"{path}: y has {counted(y.ndim, 'dimension')}; 1 or 2 are expected")
    if target_kind == "numbers":
        _check_real(y, "y", path)
    if y.dtype.kind not in "biufU":
        raise DataError(f"{path}: y has dtype {y.dtype}; bool, integers, floats or str are expected")
    if y.dtype.kind == "U" and y.ndim > 1:
        raise DataError(f"{path}: y has dtype {y.dtype} and {y.ndim} dimensions; texts have 1")
    if len(y) != n_samples:
        raise DataError(f"{path}: X has {counted(n_samples, 'row')}, y has {len(y)}")
    if not y.size:
        raise DataError(f"{path}: y of shape {y.shape} is empty")
    if y.dtype.kind == "f":
        _check_finite(y, "y", path)


def _check_real(values: NDArray[Any], name: str, path: str) -> None:
    """Check that an array holds real numbers, for which bool goes too."""
    if values.dtype.kind not in "biuf":
        raise DataError(f"{path}: {name} has dtype {values.dtype}; real numbers are expected")


def _check_finite(values: NDArray[Any], name: str, path: str) -> None:
    """Check that all numbers are finite, or name the first that is not."""
    finite = np.isfinite(values)
    if not finite.all():
        index = np.unravel_index(np.argmin(finite), values.shape)
        place = ", ".join(map(str, index))
        raise DataError(f"{path}: {name}[{place}] is {values[index]}; finite numbers are expected")

"""Tables in ``.npy`` and ``.npz`` files, whatever is broken in them; pickles are refused."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .array_checks import check_finite, check_magic, check_matrix, check_real, numbered_names
from .table_errors import DataError, broken_file, counted, listed, opened, shown
from .table_limits import check_columns, check_rows
from .table_types import Table, TargetKind

__all__ = ["read_prediction_arrays", "read_training_arrays"]


def read_training_arrays(
    path: str, suffix: str, target: str | None, target_kind: TargetKind, max_rows: int | None
) -> Table:
    """Read the features and the targets, which cannot be chosen by a name."""
    if target is not None:
        where = "the array y" if suffix == ".npz" else "the last column"
        raise DataError(
            f"{path}: the target of an {suffix} file is {where}; "
            f"the target column {shown(target)} can be chosen in .csv, .tsv and .parquet files only"
        )
    X, y = _archive_pair(path, target_kind, max_rows) if suffix == ".npz" else _split_array(path, max_rows)
    return Table(X, y, numbered_names(X.shape[1]), None)


def read_prediction_arrays(path: str, suffix: str, feature_names: Sequence[str] | None, max_rows: int | None) -> Table:
    """Read the features, of which only the number can be compared."""
    if suffix == ".npz":
        X = _archive_features(path, max_rows)
    else:
        X = _checked_matrix(_loaded_array(path, max_rows), "array", path)
    if feature_names is not None and X.shape[1] != len(feature_names):
        raise DataError(f"{path}: expected {counted(len(feature_names), 'feature')}, got {X.shape[1]}")
    return Table(X, None, numbered_names(X.shape[1]), None)


def _archive_pair(path: str, target_kind: TargetKind, max_rows: int | None) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return X and y of an .npz file."""
    with opened(path) as file, _opened_archive(file, path) as archive:
        X = _checked_matrix(_archived(archive, "X", path, max_rows), "X", path)
        y = _archived(archive, "y", path, max_rows)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    _check_targets(y, len(X), target_kind, path)
    return X, y


def _archive_features(path: str, max_rows: int | None) -> NDArray[np.float64]:
    """Return X of an .npz file."""
    with opened(path) as file, _opened_archive(file, path) as archive:
        return _checked_matrix(_archived(archive, "X", path, max_rows), "X", path)


def _split_array(path: str, max_rows: int | None) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return the columns of an .npy file before the last one, and the last one in its own dtype, always a number's."""
    joined = _loaded_array(path, max_rows)
    matrix = _checked_matrix(joined, "array", path)
    if matrix.shape[1] == 1:
        raise DataError(f"{path}: the only column is the target; no feature is left")
    return np.ascontiguousarray(matrix[:, :-1]), joined[:, -1].copy()


def _loaded_array(path: str, max_rows: int | None) -> NDArray[Any]:
    """Return the array of an .npy file as it is stored."""
    with opened(path) as file:
        check_magic(file, ".npy", path)
        return _stored(file, "the array", path, max_rows)


def _opened_archive(file: IO[bytes], path: str) -> zipfile.ZipFile:
    """Return the archive that an .npz file is."""
    check_magic(file, ".npz", path)
    with broken_file(path, "the archive"):
        return zipfile.ZipFile(file)


def _archived(archive: zipfile.ZipFile, name: str, path: str, max_rows: int | None) -> NDArray[Any]:
    """Return one array of an .npz file as it is stored."""
    names = [member.removesuffix(".npy") for member in archive.namelist() if member.endswith(".npy")]
    if name not in names:
        raise DataError(f"{path}: no array {name!r}; the file holds {listed(names) or 'no array'}")
    with broken_file(path, f"the array {name!r}"):
        member = archive.open(f"{name}.npy")
    with member:
        return _stored(member, f"the array {name!r}", path, max_rows)


def _stored(file: IO[bytes], what: str, path: str, max_rows: int | None) -> NDArray[Any]:
    """Return an array, once what its header announces was found not to be too much."""
    with broken_file(path, what):
        version = np.lib.format.read_magic(file)
        # Version 3 differs from 2 in the names of fields, which a table does not have.
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
    n_rows, n_columns = shape[0] if shape else 1, max(1, math.prod(shape[1:]))
    check_columns(path, n_columns)
    check_rows(path, n_rows, n_columns * max(dtype.itemsize, 8), max_rows)  # it will be float64, if it is not wider
    with broken_file(path, what):
        file.seek(0)
        stored: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return stored


def _checked_matrix(stored: NDArray[Any], name: str, path: str) -> NDArray[np.float64]:
    """Return a 2-D array of finite real numbers as C-contiguous float64."""
    check_matrix(stored, name, path)
    with np.errstate(over="ignore"):
        matrix = np.ascontiguousarray(stored, dtype=np.float64)
    check_finite(matrix, name, path)
    return matrix


def _check_targets(y: NDArray[Any], n_samples: int, target_kind: TargetKind, path: str) -> None:
    """Check that y has one target, or one row of targets, per sample."""
    if y.ndim not in (1, 2):
        raise DataError(f"{path}: y has {counted(y.ndim, 'dimension')}; 1 or 2 are expected")
    if target_kind == "numbers":
        check_real(y, "y", path)
    if y.dtype.kind not in "biufU":
        raise DataError(f"{path}: y has dtype {y.dtype}; bool, integers, floats or str are expected")
    if y.dtype.kind == "U" and y.ndim > 1:
        raise DataError(f"{path}: y has dtype {y.dtype} and {y.ndim} dimensions; texts have 1")
    if len(y) != n_samples:
        raise DataError(f"{path}: X has {counted(n_samples, 'row')}, y has {len(y)}")
    if not y.size:
        raise DataError(f"{path}: y of shape {y.shape} is empty")
    if y.dtype.kind == "f":
        check_finite(y, "y", path)

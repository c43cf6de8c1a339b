"""Tables in ``.npy`` and ``.npz`` files; pickles are refused."""

from __future__ import annotations

import contextlib
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .column_names import numbered_names
from .columns import Table
from .errors import OBJECTS, DataError, broken_file, counted, listed, opened, shown
from .limits import check_columns, check_rows
from .targets import TargetKind

__all__ = [
    "ARRAY_SUFFIXES",
    "TARGETS_BESIDE",
    "ArrayHeader",
    "check_feature_left",
    "check_finite",
    "check_magic",
    "check_matrix",
    "check_real",
    "read_array_header",
    "read_arrays_with_gaps",
    "read_prediction_arrays",
    "read_training_arrays",
]


class ArrayHeader(NamedTuple):
    """Shape and dtype of a stored array, known before its data are read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def n_columns(self) -> int:
        """The number of elements per entry of the first dimension."""
        return math.prod(self.shape[1:])

    def check_rows(self, path: str, max_rows: int | None) -> None:
        """Check that the rows fit into memory at their own width, or at float64's if that is wider."""
        row_bytes = max(1, self.n_columns) * max(self.dtype.itemsize, 8)
        check_rows(path, self.shape[0] if self.shape else 1, row_bytes, max_rows)


def read_array_header(file: IO[bytes], what: str, path: str, *, n_bytes: int, file_bytes: int) -> ArrayHeader:
    """Read the header of an array, and check that the file is long enough for what it announces.

    Parameters
    ----------
    file : binary file
        At the beginning of the array.
    what, path : str
        Names of the array and its file, for error messages.
    n_bytes : int
        Bytes available for the header and the array.
    file_bytes : int
        Size of the whole file, as stored.

    Raises
    ------
    DataError
        If the header is damaged or announces more than is stored, too many columns or Python objects.
    """
    with broken_file(path, what):
        version = np.lib.format.read_magic(file)
        # Version 3 differs from 2 in the names of fields, which a table does not have.
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    header = ArrayHeader(shape, dtype)
    if dtype.hasobject:
        raise DataError(f"{path}: {what} cannot be read: {OBJECTS}")
    if any(length < 0 for length in shape):
        raise DataError(f"{path}: {what} cannot be read: its header announces the shape {shape}")
    announced, there = header.size * dtype.itemsize, n_bytes - file.tell()
    if announced > there:
        raise DataError(f"{path}: {what} cannot be read: its header announces {announced} bytes, and {there} are there")
    check_columns(path, header.n_columns, file_bytes)
    return header


_MAGIC = {".npy": (b"\x93NUMPY",), ".npz": (b"PK\x03\x04", b"PK\x05\x06")}
TARGETS_BESIDE = "numpy.savez('both.npz', X=X, y=y) keeps inputs and targets in one file"
"""Advice to who has them in two files."""

ARRAY_SUFFIXES = tuple(_MAGIC)


def check_magic(file: IO[bytes], suffix: str, path: str) -> None:
    """Check the magic bytes of a file. A file with others may be a pickle, which is never opened."""
    if not file.read(6).startswith(_MAGIC[suffix]):
        raise DataError(
            f"{path}: not an {suffix} file of NumPy (a pickle, perhaps; pickles are refused: "
            "write numpy.savez(file, X=X, y=y))"
        )
    file.seek(0)


def check_matrix(stored: ArrayHeader, name: str, path: str) -> None:
    """Check that an array is a non-empty matrix of real numbers."""
    if stored.ndim != 2:
        raise DataError(f"{path}: {name} has {counted(stored.ndim, 'dimension')}; 2 are expected")
    check_real(stored, name, path)
    if not stored.size:
        raise DataError(f"{path}: {name} of shape {stored.shape} is empty")


def check_feature_left(stored: ArrayHeader, path: str) -> None:
    """Check that a matrix has a column beside its last one, the target."""
    if stored.shape[1] == 1:
        raise DataError(f"{path}: the only column is the target; no feature is left")


def check_real(values: ArrayHeader, name: str, path: str) -> None:
    """Check that an array holds real numbers or booleans."""
    if values.dtype.kind not in "biuf":
        raise DataError(f"{path}: {name} has dtype {values.dtype}; real numbers are expected")


def check_finite(values: NDArray[Any], name: str, path: str, *, gaps: bool = False) -> None:
    """Check that all numbers are finite, or NaN where ``gaps`` are allowed; the error names the first other one."""
    finite = np.isfinite(values) | (np.isnan(values) if gaps else False)
    if not finite.all():
        index = np.unravel_index(np.argmin(finite), values.shape)
        place = ", ".join(map(str, index))
        raise DataError(f"{path}: {name}[{place}] is {values[index]}; finite numbers are expected")


def read_training_arrays(
    path: str, suffix: str, target: str | None, target_kind: TargetKind, max_rows: int | None
) -> Table:
    """Read features and targets; arrays have no column names to choose the target by."""
    if target is not None:
        where = "the array y" if suffix == ".npz" else "the last column"
        raise DataError(
            f"{path}: the target of an {suffix} file is {where}; "
            f"the target column {shown(target)} can be chosen in .csv, .tsv and .parquet files only ({TARGETS_BESIDE})"
        )
    X, y = _archive_pair(path, target_kind, max_rows) if suffix == ".npz" else _split_array(path, max_rows)
    return Table(X, y, numbered_names(X.shape[1]), None)


def read_prediction_arrays(path: str, suffix: str, feature_names: Sequence[str] | None, max_rows: int | None) -> Table:
    """Read features; arrays have no column names, so only their number is compared."""
    if suffix == ".npz":
        with _opened_archive(path) as archive:
            X = _read_matrix(_archived(archive, "X", path, max_rows), "X", path)
    else:
        with opened(path) as file:
            X = _read_matrix(_single(file, path, max_rows), "array", path)
    if feature_names is not None and X.shape[1] != len(feature_names):
        raise DataError(f"{path}: expected {counted(len(feature_names), 'feature')}, got {X.shape[1]}")
    return Table(X, None, numbered_names(X.shape[1]), None)


def read_arrays_with_gaps(path: str, suffix: str, max_rows: int | None) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return X in its own dtype, NaN where a cell is missing, and y if an .npz file has it."""
    if suffix == ".npy":
        with opened(path) as file:
            return _matrix_with_gaps(_single(file, path, max_rows), "array", path), None
    with _opened_archive(path) as archive:
        X = _matrix_with_gaps(_archived(archive, "X", path, max_rows), "X", path)
        if "y.npy" not in archive.namelist():
            return X, None
        targets = _archived(archive, "y", path, max_rows)
        _check_targets(targets.header, len(X), "any", path)
        y = targets.read()
    if y.dtype.kind == "f":
        check_finite(y, "y", path)
    return X, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def _matrix_with_gaps(stored: _Stored, name: str, path: str) -> NDArray[Any]:
    """Read a 2-D array of real numbers in its own dtype, all finite but for NaN."""
    check_matrix(stored.header, name, path)
    matrix = stored.read()
    check_finite(matrix, name, path, gaps=True)
    return matrix


def _archive_pair(path: str, target_kind: TargetKind, max_rows: int | None) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return X and y of an .npz file; their headers are compared before the data are read."""
    with _opened_archive(path) as archive:
        features, targets = (_archived(archive, name, path, max_rows) for name in ("X", "y"))
        check_matrix(features.header, "X", path)
        _check_targets(targets.header, features.header.shape[0], target_kind, path)
        X, y = _read_matrix(features, "X", path), targets.read()
    if y.dtype.kind == "f":
        check_finite(y, "y", path)
    return X, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def _split_array(path: str, max_rows: int | None) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return the columns of an .npy file before the last one, and the last one in its own, real dtype."""
    with opened(path) as file:
        stored = _single(file, path, max_rows)
        check_matrix(stored.header, "array", path)
        check_feature_left(stored.header, path)
        joined = stored.read()
    matrix = _finite_matrix(joined, "array", path)
    return np.ascontiguousarray(matrix[:, :-1]), joined[:, -1].copy()


class _Stored(NamedTuple):
    """An array of an open file."""

    header: ArrayHeader
    read: Callable[[], NDArray[Any]]


def _single(file: IO[bytes], path: str, max_rows: int | None) -> _Stored:
    """Return the array of an .npy file."""
    check_magic(file, ".npy", path)
    n_bytes = os.fstat(file.fileno()).st_size
    header = read_array_header(file, "the array", path, n_bytes=n_bytes, file_bytes=n_bytes)
    header.check_rows(path, max_rows)

    def read() -> NDArray[Any]:
        with broken_file(path, "the array"):
            file.seek(0)
            return _read_array(file)

    return _Stored(header, read)


@contextlib.contextmanager
def _opened_archive(path: str) -> Iterator[zipfile.ZipFile]:
    """Open the archive that an .npz file is."""
    with opened(path) as file:
        check_magic(file, ".npz", path)
        with broken_file(path, "the archive"):
            archive = zipfile.ZipFile(file)
        yield archive


def _archived(archive: zipfile.ZipFile, name: str, path: str, max_rows: int | None) -> _Stored:
    """Return one array of an .npz file."""
    names = [member.removesuffix(".npy") for member in archive.namelist() if member.endswith(".npy")]
    if name not in names:
        raise DataError(f"{path}: no array {name!r}; the file holds {listed(names) or 'no array'}")
    what, member = f"the array {name!r}", archive.getinfo(f"{name}.npy")
    # Other methods unpack a block at once, however large it becomes.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{path}: {what} cannot be read: it is compressed otherwise than numpy.savez_compressed does")
    file_bytes = os.fstat(archive.fp.fileno()).st_size  # type: ignore[union-attr]
    with broken_file(path, what):
        file = archive.open(member)
    with file:
        header = read_array_header(file, what, path, n_bytes=member.file_size, file_bytes=file_bytes)
    header.check_rows(path, max_rows)

    def read() -> NDArray[Any]:
        with broken_file(path, what), archive.open(member) as file:
            return _read_array(file)

    return _Stored(header, read)


def _read_array(file: IO[bytes]) -> NDArray[Any]:
    """Read an array from a file positioned at the array's header."""
    stored: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return stored


def _read_matrix(stored: _Stored, name: str, path: str) -> NDArray[np.float64]:
    """Read a 2-D array of finite real numbers as C-contiguous float64."""
    check_matrix(stored.header, name, path)
    return _finite_matrix(stored.read(), name, path)


def _finite_matrix(stored: NDArray[Any], name: str, path: str) -> NDArray[np.float64]:
    """Return an array of finite numbers as C-contiguous float64."""
    with np.errstate(over="ignore"):
        matrix = np.ascontiguousarray(stored, dtype=np.float64)
    check_finite(matrix, name, path)
    return matrix


def _check_targets(y: ArrayHeader, n_samples: int, target_kind: TargetKind, path: str) -> None:
    """Check that y has one target, or one row of targets, per sample."""
    if y.ndim not in (1, 2):
        raise DataError(f"{path}: y has {counted(y.ndim, 'dimension')}; 1 or 2 are expected")
    if target_kind == "numbers":
        check_real(y, "y", path)
    if y.dtype.kind not in "biufU":
        raise DataError(f"{path}: y has dtype {y.dtype}; bool, integers, floats or str are expected")
    if y.dtype.kind == "U" and y.shape[1:] not in ((), (1,)):
        raise DataError(f"{path}: y has dtype {y.dtype} and {y.ndim} dimensions; texts have 1")
    if y.shape[0] != n_samples:
        raise DataError(f"{path}: X has {counted(n_samples, 'row')}, y has {y.shape[0]}")
    if not y.size:
        raise DataError(f"{path}: y of shape {y.shape} is empty")

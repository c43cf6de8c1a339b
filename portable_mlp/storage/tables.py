"""Tables of numbers, read from and written to files.

The readers take ``.csv`` (comma), ``.tsv`` (tab), ``.npz`` and ``.npy`` files.  They accept a file as
a whole or raise one `DataError` that names the file, the line and the column of the first mistake;
no text ever becomes NaN.

A number in a text file is an optional sign, digits with an optional point (or a point with digits)
and an optional exponent, in ASCII, with spaces or tabs around it.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import difflib
import math
import os
import re
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple, TextIO

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from .atomic import replace_file

__all__ = ["DataError", "Table", "read_prediction_table", "read_training_table", "write_csv"]

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_ARRAY_MAGIC = {".npy": (b"\x93NUMPY",), ".npz": (b"PK\x03\x04", b"PK\x05\x06")}
_SUFFIXES = (*_DELIMITERS, *_ARRAY_MAGIC)

_MAX_ROW_BYTES = 1_000_000
_MAX_COLUMNS = 10_000
_MAX_TEXT_BYTES = 2**30
_SHOWN_CHARACTERS = 40
_SHOWN_NAMES = 20
_REASON_CHARACTERS = 200

_BLANKS = " \t"
# Whatever `float` reads and is written in these characters alone is a number of the grammar above:
# the underscores, words and non-ASCII digits that `float` also reads need others.
_NUMBER_CHARACTERS = re.compile(r"[0-9eE+\-. \t,]*")
_NON_FINITE_WORD = re.compile(r"[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")

# By a part of the message of `csv.Error`, which speaks to programmers.
_CSV_REASONS = {
    "new-line character": r"a carriage return inside an unquoted cell (lines end with \n or \r\n)",
    "unexpected end": "the closing quote of a cell is missing",
    "expected after": "text after the closing quote of a cell",
    "field larger": "a cell is too long (is a closing quote missing?)",
}


class DataError(ValueError):
    """A mistake in a data file, told in one line that begins with the file's path.

    In text files the path is followed by the line and, where there is one, the number of the column,
    both counted from 1: ``data.csv:3:2: 'abc' is not a number``.
    """


class Table(NamedTuple):
    """The content of a data file.

    Attributes
    ----------
    X : numpy.ndarray of shape (n_samples, n_features), float64
        Features, C-contiguous, all finite.
    y : numpy.ndarray of shape (n_samples,) or (n_samples, n_outputs), or None
        Targets; None in a table read for prediction.  From text files: int64 where every target is
        written as a whole number (and fits), else float64 where every target is a number, else str.
        From arrays: whatever the array holds (bool, integer, float or str).
    feature_names : tuple of str
        One name per column of ``X``: the header, or ``"x0"``, ``"x1"``, ... for arrays.
    target_name : str or None
        Name of the target column; None for arrays and in a table read for prediction.
    """

    X: NDArray[np.float64]
    y: NDArray[Any] | None
    feature_names: tuple[str, ...]
    target_name: str | None


def read_training_table(path: str | os.PathLike[str], target: str | None = None) -> Table:
    """Read features and targets from a file.

    Parameters
    ----------
    path : str or os.PathLike of str
        A ``.csv`` or ``.tsv`` file with a header line, an ``.npz`` file with the arrays ``X`` and
        ``y``, or an ``.npy`` file with one 2-D array whose last column is the target.
    target : str, optional
        Name of the target column of a text file; the last column if not given.

    Returns
    -------
    Table
        `Table.X` of shape (n_samples, n_features), float64, and `Table.y` of shape (n_samples,), or
        (n_samples, n_outputs) where an ``.npz`` file holds a 2-D ``y``.

    Raises
    ------
    DataError
        If the file cannot be read, is of another kind, lacks the target column, holds anything but
        finite numbers in its feature columns, an empty target, or a NaN or an infinity among targets
        that are numbers otherwise.
    """
    name, suffix = _path_and_suffix(path)
    if suffix in _DELIMITERS:
        return _read_training_text(name, _DELIMITERS[suffix], target)
    if target is not None:
        where = "the array y" if suffix == ".npz" else "the last column"
        raise DataError(
            f"{name}: the target of an {suffix} file is {where}; "
            f"the target column {_shown(target)} can be chosen in .csv and .tsv files only"
        )
    X, y = _read_archive_pair(name) if suffix == ".npz" else _read_joined_array(name)
    return Table(X, y, _numbered_names(X), None)


def read_prediction_table(
    path: str | os.PathLike[str],
    feature_names: Sequence[str] | None = None,
    target_name: str | None = None,
) -> Table:
    """Read the features to predict from.

    Parameters
    ----------
    path : str or os.PathLike of str
        A ``.csv`` or ``.tsv`` file with a header line, an ``.npz`` file with the array ``X``, or an
        ``.npy`` file with one 2-D array.
    feature_names : sequence of str, optional
        Columns to take from a text file, in this order, whatever their order in the file.  Of arrays
        only the number of columns is compared.  Every column is a feature if not given.
    target_name : str, optional
        Column of a text file to leave out, unread, where the file has it.

    Returns
    -------
    Table
        `Table.X` of shape (n_samples, n_features), float64; `Table.y` and `Table.target_name` are
        None.

    Raises
    ------
    DataError
        If the file cannot be read, is of another kind, lacks a feature or has other columns, or holds
        anything but finite numbers.
    """
    name, suffix = _path_and_suffix(path)
    if suffix in _DELIMITERS:
        return _read_prediction_text(name, _DELIMITERS[suffix], feature_names, target_name)
    X = _read_archive_features(name) if suffix == ".npz" else _read_plain_array(name)
    if feature_names is not None and X.shape[1] != len(feature_names):
        raise DataError(f"{name}: expected {_counted(len(feature_names), 'feature')}, got {X.shape[1]}")
    return Table(X, None, _numbered_names(X), None)


def write_csv(
    path_or_file: str | os.PathLike[str] | TextIO,
    header: Sequence[str],
    columns: Sequence[NDArray[Any] | Sequence[object]],
) -> None:
    r"""Write columns as comma-separated text.

    Floats are written with the fewest digits that read back as the same float64, strings are quoted
    where needed, lines end with ``\n``.  A path is written in UTF-8 and in one step: the file holds
    everything, or is what it was before.

    Parameters
    ----------
    path_or_file : str, os.PathLike of str or typing.TextIO
        Path to create or to replace, or a text file open for writing, which stays open.
    header : sequence of str
        One name per column.
    columns : sequence of numpy.ndarray of shape (n_rows,), or of sequences
        Cells of any dtype, column by column.

    Raises
    ------
    ValueError
        If there is not one name per column, or if the columns are not 1-D and of one length.
    OSError
        If the file cannot be written.
    """
    cells = _checked_columns(header, columns)
    if not isinstance(path_or_file, (str, os.PathLike)):
        _write_rows(path_or_file, header, cells)
        return
    with replace_file(path_or_file) as file:
        _write_rows(codecs.getwriter("utf-8")(file), header, cells)


# --- Messages


def _shown(text: str) -> str:
    """Return a cell or a name for a message: quoted, escaped and not too long."""
    return repr(text) if len(text) <= _SHOWN_CHARACTERS else repr(text[:_SHOWN_CHARACTERS]) + "..."


def _listed(names: Sequence[str]) -> str:
    """Return names for a message, the first of them if there are many."""
    shown = ", ".join(_shown(name) for name in names[:_SHOWN_NAMES])
    more = len(names) - _SHOWN_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _counted(number: int, noun: str) -> str:
    """Return the number with the noun in the singular or the plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# --- Files


def _path_and_suffix(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the path as text and its suffix in small letters, which tells the kind of the file."""
    name = os.fspath(path)
    suffix = os.path.splitext(name)[1].lower()
    if suffix not in _SUFFIXES:
        raise DataError(f"{name}: the file's name must end in {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}")
    return name, suffix


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Open a file for reading; whatever the system has against it is a DataError."""
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


# --- Text files: lines, records and the header


class _TextLines:
    """The lines of a text file, each with its line end, and the number of the last one.

    The limit on the length holds for a whole record, since an open quote may join many lines.
    """

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file = file
        self._path = path
        self._number = 0
        self._record = 1
        self._room = _MAX_ROW_BYTES

    def start_record(self) -> int:
        """Return the number of the line that comes next; a record begins there."""
        self._room = _MAX_ROW_BYTES
        self._record = self._number + 1
        return self._record

    def __iter__(self) -> _TextLines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._room + 1)
        if not line:
            raise StopIteration
        self._number += 1
        self._room -= len(line)
        if self._room < 0:
            raise DataError(f"{self._path}:{self._record}: the row is longer than {_MAX_ROW_BYTES} bytes")
        if b"\0" in line:
            raise DataError(f"{self._path}:{self._number}: a NUL byte; the file is not UTF-8 text")
        return self._decoded(line)

    def _decoded(self, line: bytes) -> str:
        """Return the line as text, without the mark that some programs put before the first one."""
        if self._number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            byte = line[error.start]
            raise DataError(
                f"{self._path}:{self._number}: byte 0x{byte:02x} is not valid UTF-8 (save the file as UTF-8)"
            ) from error


def _records(file: BinaryIO, path: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the first line and the cells of every record, without blank lines at the end."""
    lines = _TextLines(file, path)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    blank = None
    while True:
        line = lines.start_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path}:{line}: {_csv_reason(error)}") from error
        if not cells:
            blank = blank or line
        elif blank is not None:
            raise DataError(f"{path}:{blank}: blank line (blank lines may stand at the end only)")
        else:
            yield line, cells


def _csv_reason(error: csv.Error) -> str:
    """Return what is wrong with a record, in words for the author of the file."""
    message = str(error)
    return next((reason for part, reason in _CSV_REASONS.items() if part in message), message)


def _read_header(records: Iterator[tuple[int, list[str]]], path: str) -> tuple[str, ...]:
    """Return the names of the columns, all different and none empty."""
    _, cells = next(records, (0, None))
    if cells is None:
        raise DataError(f"{path}: the file is empty; a header line is expected")
    if len(cells) > _MAX_COLUMNS:
        raise DataError(f"{path}:1: {len(cells)} columns; at most {_MAX_COLUMNS} can be read")
    if all(_as_float(cell) is not None for cell in cells):
        raise DataError(f"{path}:1: the first line is all numbers; a header line with names is expected")
    names = tuple(cell.strip(_BLANKS) for cell in cells)
    seen: dict[str, int] = {}
    for column, name in enumerate(names, start=1):
        if not name:
            raise DataError(f"{path}:1:{column}: the column has no name")
        if name in seen:
            raise DataError(f"{path}:1:{column}: the name {_shown(name)} is that of column {seen[name]} too")
        seen[name] = column
    return names


# --- Text files: choice of the columns


def _read_training_text(path: str, delimiter: str, target: str | None) -> Table:
    """Read a text file with a target column."""
    with _opened(path) as file:
        records = _records(file, path, delimiter)
        header = _read_header(records, path)
        target_column = _target_column(header, target, path)
        columns = [column for column in range(len(header)) if column != target_column]
        if not columns:
            raise _no_feature(header, path)
        features, targets = _Features(path, columns), _Targets(path, target_column)
        for line, cells in _rows_of_width(records, len(header), path):
            features.append(cells, line)
            targets.append(cells, line)
    names = tuple(header[column] for column in columns)
    return Table(features.matrix(), targets.vector(), names, header[target_column])


def _target_column(header: tuple[str, ...], target: str | None, path: str) -> int:
    """Return the position of the target column."""
    if target is None:
        return len(header) - 1
    name = target.strip(_BLANKS)
    if name in header:
        return header.index(name)
    near = difflib.get_close_matches(name, header, n=1)
    hint = f" (did you mean {_shown(near[0])}?)" if near else ""
    raise DataError(f"{path}:1: no column {_shown(name)}{hint}; the columns are {_listed(header)}")


def _read_prediction_text(
    path: str, delimiter: str, feature_names: Sequence[str] | None, target_name: str | None
) -> Table:
    """Read a text file without regard to its target column."""
    with _opened(path) as file:
        records = _records(file, path, delimiter)
        header = _read_header(records, path)
        if feature_names is None:
            feature_names = [name for name in header if name != target_name]
        _check_names(header, feature_names, target_name, path)
        column_of = {name: column for column, name in enumerate(header)}
        features = _Features(path, [column_of[name] for name in feature_names])
        for line, cells in _rows_of_width(records, len(header), path):
            features.append(cells, line)
    return Table(features.matrix(), None, tuple(feature_names), None)


def _check_names(
    header: tuple[str, ...],
    feature_names: Sequence[str],
    target_name: str | None,
    path: str,
) -> None:
    """Check that a file for prediction has the columns it should have and, but for the target, no other."""
    if not feature_names:
        raise _no_feature(header, path)
    present, known = set(header), {*feature_names, target_name}
    lacking = [name for name in feature_names if name not in present]
    besides = [name for name in header if name not in known]
    faults = [f"lacks {_listed(lacking)}"] if lacking else []
    faults += [f"has besides {_listed(besides)}"] if besides else []
    if faults:
        expected, found = _listed(feature_names), " and ".join(faults)
        raise DataError(f"{path}:1: the model expects the columns {expected}, the file {found}")


def _no_feature(header: tuple[str, ...], path: str) -> DataError:
    """Return the error for a file that has its target and nothing else."""
    return DataError(f"{path}:1: {_listed(header)} is the only column; no feature is left")


# --- Text files: cells


class _Place(NamedTuple):
    """Where a cell stands, counted from 1."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


class _Features:
    """The feature cells of the rows read so far, as one run of float64."""

    def __init__(self, path: str, columns: list[int]) -> None:
        self._path = path
        self._columns = columns
        self._values = array("d")

    def append(self, cells: list[str], line: int) -> None:
        """Take the features of one row."""
        chosen = [cells[column] for column in self._columns]
        values = _row_of_floats(chosen)
        if values is None:
            places = [_Place(self._path, line, column + 1) for column in self._columns]
            values = [_checked_float(cell, place) for cell, place in zip(chosen, places, strict=True)]
        self._values.fromlist(values)

    def matrix(self) -> NDArray[np.float64]:
        """Return the features, of shape (n_samples, n_features), without a copy."""
        if not self._values:
            raise DataError(f"{self._path}: no row after the header line")
        return np.frombuffer(self._values, dtype=np.float64).reshape(-1, len(self._columns))


class _Targets:
    """The target cells of the rows read so far, as text, and the lines they stand on."""

    def __init__(self, path: str, column: int) -> None:
        self._path = path
        self._column = column
        self._texts: list[str] = []
        self._lines = array("q")

    def append(self, cells: list[str], line: int) -> None:
        """Take the target of one row, which may be any text but none."""
        self._texts.append(cells[self._column].strip(_BLANKS))
        self._lines.append(line)
        if not self._texts[-1]:
            raise DataError(f"{self._place(-1)}: the target is empty (remove the row or fill the cell)")

    def vector(self) -> NDArray[Any]:
        """Return the targets, of shape (n_samples,), as numbers if all of them are, else as text."""
        numbers = [number for number in map(_as_float, self._texts) if number is not None]
        if len(numbers) < len(self._texts):
            return self._labels()
        values = np.array(numbers, dtype=np.float64)
        finite = np.isfinite(values)
        if not finite.all():
            # Among numbers, 'nan' is a missing value rather than the name of a class.
            row = int(np.argmin(finite))
            raise _not_a_number(self._texts[row], self._place(row))
        if all(map(_WHOLE_NUMBER.fullmatch, self._texts)):
            with contextlib.suppress(OverflowError):
                return np.array(list(map(int, self._texts)), dtype=np.int64)
        return values

    def _labels(self) -> NDArray[np.str_]:
        """Return the targets as text; NumPy gives each of them the room of the longest."""
        lengths = list(map(len, self._texts))
        longest = max(lengths)
        if 4 * longest * len(lengths) > _MAX_TEXT_BYTES:
            place = self._place(lengths.index(longest))
            raise DataError(f"{place}: a target of {longest} characters is too long for a label")
        return np.array(self._texts)

    def _place(self, row: int) -> _Place:
        """Return where the target of a row stands."""
        return _Place(self._path, self._lines[row], self._column + 1)


def _rows_of_width(
    records: Iterator[tuple[int, list[str]]],
    width: int,
    path: str,
) -> Iterator[tuple[int, list[str]]]:
    """Yield the records after the header, each as wide as the header."""
    for line, cells in records:
        if len(cells) != width:
            raise DataError(f"{path}:{line}: {_counted(len(cells), 'cell')} where the header has {width}")
        yield line, cells


def _row_of_floats(cells: list[str]) -> list[float] | None:
    """Return the numbers of a row, None where a cell may be wrong; made for speed."""
    if _NUMBER_CHARACTERS.fullmatch(",".join(cells)) is None:
        return None
    try:
        values = list(map(float, cells))
    except ValueError:
        return None
    return values if math.isfinite(sum(values)) else None


def _as_float(text: str) -> float | None:
    """Return the number in a cell, None where there is none; 'nan', 'inf' and 1e999 are not finite."""
    text = text.strip(_BLANKS)
    if _NUMBER_CHARACTERS.fullmatch(text) is None and _NON_FINITE_WORD.fullmatch(text) is None:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _checked_float(cell: str, place: _Place) -> float:
    """Return the finite number in a cell."""
    value = _as_float(cell)
    if value is None or not math.isfinite(value):
        raise _not_a_number(cell, place)
    return value


def _not_a_number(cell: str, place: _Place) -> DataError:
    """Return the error that says why a cell is not a finite number."""
    text = cell.strip(_BLANKS)
    if not text:
        reason = "the cell is empty; a number is expected (remove the row or fill the cell)"
    elif _NON_FINITE_WORD.fullmatch(text):
        reason = f"{_shown(cell)} is not a finite number"
    elif _as_float(text) is not None:
        reason = f"{_shown(cell)} is too large for float64"
    else:
        reason = f"{_shown(cell)} is not a number"
    return DataError(f"{place}: {reason}")


# --- Arrays


def _read_archive_pair(path: str) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return X and y of an .npz file."""
    with _opened(path) as file, _opened_archive(file, path) as archive:
        X = _checked_matrix(_archived(archive, "X", path), "X", path)
        y = _archived(archive, "y", path)
    _check_targets(y, len(X), path)
    return X, y


def _read_archive_features(path: str) -> NDArray[np.float64]:
    """Return X of an .npz file."""
    with _opened(path) as file, _opened_archive(file, path) as archive:
        return _checked_matrix(_archived(archive, "X", path), "X", path)


def _read_joined_array(path: str) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return the columns of an .npy file before the last one, and the last one in its own dtype."""
    joined = _loaded_array(path)
    matrix = _checked_matrix(joined, "array", path)
    if matrix.shape[1] == 1:
        raise DataError(f"{path}: the only column is the target; no feature is left")
    return np.ascontiguousarray(matrix[:, :-1]), joined[:, -1].copy()


def _read_plain_array(path: str) -> NDArray[np.float64]:
    """Return the matrix of an .npy file."""
    return _checked_matrix(_loaded_array(path), "array", path)


def _loaded_array(path: str) -> NDArray[Any]:
    """Return the array of an .npy file as it is stored."""
    with _opened(path) as file:
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
        raise DataError(f"{path}: no array {name!r}; the file holds {_listed(archive.files) or 'no array'}")
    with _broken_file(path, f"the array {name!r}"):
        member = archive[name]
    if not isinstance(member, np.ndarray):
        raise DataError(f"{path}: {name!r} is not a NumPy array")
    return member


def _check_magic(file: BinaryIO, suffix: str, path: str) -> None:
    """Check the first bytes of a file; NumPy would take every unknown file for a pickle."""
    if not file.read(6).startswith(_ARRAY_MAGIC[suffix]):
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
        raise DataError(f"{path}: {name} has {_counted(stored.ndim, 'dimension')}; 2 are expected")
    if stored.dtype.kind not in "biuf":
        raise DataError(f"{path}: {name} has dtype {stored.dtype}; real numbers are expected")
    if not stored.size:
        raise DataError(f"{path}: {name} of shape {stored.shape} is empty")
    with np.errstate(over="ignore"):
        matrix = np.ascontiguousarray(stored, dtype=np.float64)
    _check_finite(matrix, name, path)
    return matrix


def _check_targets(y: NDArray[Any], n_samples: int, path: str) -> None:
    """Check that y has one target, or one row of targets, per sample."""
    if y.ndim not in (1, 2):
        raise DataError(f"{path}: y has {_counted(y.ndim, 'dimension')}; 1 or 2 are expected")
    if y.dtype.kind not in "biufU":
        raise DataError(f"{path}: y has dtype {y.dtype}; bool, integers, floats or str are expected")
    if len(y) != n_samples:
        raise DataError(f"{path}: X has {_counted(n_samples, 'row')}, y has {len(y)}")
    if not y.size:
        raise DataError(f"{path}: y of shape {y.shape} is empty")
    if y.dtype.kind == "f":
        _check_finite(y, "y", path)


def _check_finite(values: NDArray[Any], name: str, path: str) -> None:
    """Check that all numbers are finite, or name the first that is not."""
    finite = np.isfinite(values)
    if not finite.all():
        index = np.unravel_index(np.argmin(finite), values.shape)
        place = ", ".join(map(str, index))
        raise DataError(f"{path}: {name}[{place}] is {values[index]}; finite numbers are expected")


def _numbered_names(X: NDArray[np.float64]) -> tuple[str, ...]:
    """Return the names of features that have none."""
    return tuple(f"x{column}" for column in range(X.shape[1]))


# --- Writing


class _LineFeedRows:
    r"""A text file for `csv.writer` that ends rows with ``\n`` where the writer puts ``\r\n``.

    Before Python 3.13 the writer leaves a carriage return unquoted unless it is part of the line end.
    """

    def __init__(self, file: TextIO | codecs.StreamWriter) -> None:
        self._file = file

    def write(self, row: str) -> None:
        """Write one row."""
        self._file.write(row.removesuffix("\r\n") + "\n")


def _write_rows(
    file: TextIO | codecs.StreamWriter,
    header: Sequence[str],
    columns: list[list[object]],
) -> None:
    """Write the header and the rows."""
    writer = csv.writer(_LineFeedRows(file), lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(zip(*columns, strict=True))


def _checked_columns(
    header: Sequence[str],
    columns: Sequence[NDArray[Any] | Sequence[object]],
) -> list[list[object]]:
    """Return the columns as lists of plain Python values."""
    if len(header) != len(columns):
        raise ValueError(f"{_counted(len(header), 'name')} for {_counted(len(columns), 'column')}")
    if any(column.ndim != 1 for column in columns if isinstance(column, np.ndarray)):
        raise ValueError("every column must have one dimension")
    lengths = sorted({len(column) for column in columns})
    if len(lengths) > 1:
        raise ValueError(f"the columns have different lengths: {', '.join(map(str, lengths))}")
    return [[_plain(cell) for cell in column] for column in columns]


def _plain(cell: object) -> object:
    """Return a NumPy scalar as the Python value that is written with the digits of a float64."""
    return cell.item() if isinstance(cell, np.generic) else cell

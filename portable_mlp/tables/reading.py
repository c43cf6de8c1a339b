"""Readers of table files, whatever their format: `read_table`, and what the command line reads.

Formats are ``.csv`` (comma) and ``.tsv`` (tab), also compressed (``.csv.gz``, ``.tsv.gz``), ``.parquet``, ``.npz`` and
``.npy``. A file is accepted as a whole or refused with one `DataError`, which names the file, the line and the column
of a mistake. Sizes are checked before memory is allocated.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import get_args

from ..kernels.options import check_choice
from ..kernels.suggestions import suggesting
from .array_files import ARRAY_SUFFIXES, TARGETS_BESIDE, read_prediction_arrays, read_training_arrays
from .columns import RawTable, Reading, Table
from .errors import DataError, MixedTargetError, shown
from .known_targets import KnownTarget
from .limits import above
from .parquet_files import read_prediction_parquet, read_training_parquet
from .raw import OpenedText, ReadingOptions, interpreted, read_known, read_known_parts, read_raw
from .raw_rows import RawParquetRows
from .raw_text_rows import RawTextRows
from .row_sources import NpyRows, ParquetRows, RowSource
from .targets import TargetKind
from .text_copies import announcement
from .text_files import DELIMITER_OF, DELIMITERS, STANDARD_INPUT, check_encoding, opened_text
from .text_tables import read_prediction_text, read_training_text
from .writing import check_output, write_parts, write_table

__all__ = [
    "DataError",
    "MixedTargetError",
    "RawTable",
    "ReadingOptions",
    "RowSource",
    "Table",
    "TargetKind",
    "check_output",
    "open_raw_rows",
    "open_training_rows",
    "read_known_columns",
    "read_known_in_parts",
    "read_or_copy_table",
    "read_prediction_table",
    "read_raw_table",
    "read_table",
    "read_training_table",
    "write_parts",
    "write_table",
]

_PARQUET = ".parquet"
_SUFFIXES = (*DELIMITER_OF, _PARQUET, *ARRAY_SUFFIXES)
_WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods")
_OTHER_TEXTS = (".txt", ".dat", ".data", ".tab", ".asc")
_TEXT_SUFFIXES = (*DELIMITER_OF, STANDARD_INPUT)


@suggesting
def read_table(
    path: str | os.PathLike[str],
    target: str | None = None,
    drop: Sequence[str] = (),
    id: str | None = None,
    features: Sequence[str] | None = None,
    categorical: Sequence[str] = (),
    encoding: str | None = None,
    decimal: str = ".",
    delimiter: str | None = None,
    header: bool = True,
    strict: bool = False,
) -> RawTable:
    r"""Read a table with columns of any kind: numbers, text, truth values, dates, with missing cells.

    The kind of a column is inferred from all of its cells: numbers, also 27,000, 1'234.50, (5), $5, 12 %, 5 kg; truth
    values such as yes and no; dates and times in the usual formats, and 20200127 where the column's name speaks of
    dates; otherwise text. Empty cells, words such as NA and NaN, and errors of spreadsheets are missing. Where nearly
    all cells are of one kind, the others are mistakes, reported with file, line and column.

    Parameters
    ----------
    path : str or os.PathLike of str
        A ``.csv`` or ``.tsv`` file, plain or compressed (``.csv.gz``, ``.tsv.gz``), a ``.parquet`` file, an ``.npz``
        file with ``X`` and perhaps ``y``, or an ``.npy`` file with one 2-D array. ``"-"`` is standard input.
    target : str, optional
        Name of the column to predict; rows where it is missing are left out.
    drop : sequence of str
        Names of columns to leave out.
    id : str, optional
        Name of the column that identifies the rows: not a feature, but returned as ``ids``.
    features : sequence of str, optional
        Names of the columns to keep; all others if not given.
    categorical : sequence of str
        Names of columns to read as categories even if they look like numbers, such as postcodes.
    encoding : str, optional
        Encoding of a text file; by default UTF-8, or UTF-16 if the file begins with its byte-order mark.
    decimal : {".", ","}
        Decimal mark of numbers in a text file.
    delimiter : {",", "\t", ";", "|"}, optional
        Separator of the cells of a text file; by default inferred from its first lines.
    header : bool
        Whether the first line of a text file has the column names; otherwise they are "x0", "x1", ...
    strict : bool
        Whether every cell must be a finite number, or a truth value.

    Returns
    -------
    RawTable
        `RawTable.X`, columns by name, which ``to_pandas`` converts to a data frame; `RawTable.y` of shape (n_samples,).

    Raises
    ------
    DataError
        If the file cannot be read, is too large, lacks a column, or a cell contradicts its column. A `ValueError`.
    ValueError
        If ``decimal``, ``delimiter`` or ``encoding`` is unknown.
    ImportError
        If the file is in Parquet and PyArrow is missing.

    Examples
    --------
    >>> import pathlib, tempfile, portable_mlp as pm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "flats.csv"
    ...     _ = path.write_text("rent,rooms,district,lift\n990,2,north,yes\n1250,3,,no\n,4,south,no\n")
    ...     table = pm.read_table(path, target="rent")
    >>> table.X
    Columns(2 rows; rooms: number, district: text, lift: truth)
    >>> table.X["district"].tolist(), table.y.tolist(), table.notes
    (['north', None], [990, 1250], ('1 row without a target left out',))
    """
    options = ReadingOptions(
        target=target,
        drop=_names(drop),
        id=id,
        features=None if features is None else _names(features),
        categorical=_names(categorical),
        encoding=encoding,
        decimal=decimal,
        delimiter=delimiter,
        header=header,
        strict=strict,
    )
    return read_raw_table(path, options)


def read_raw_table(
    path: str | os.PathLike[str],
    options: ReadingOptions,
    *,
    target_kind: TargetKind = "unmixed",
    last: bool = False,
) -> RawTable:
    """Read a table like `read_table`; with ``last`` the last column is the default target."""
    return read_raw(*_checked_options(path, options), options, target_kind, last)


def read_or_copy_table(
    path: str | os.PathLike[str], options: ReadingOptions, *, target_kind: TargetKind, announce: Callable[[str], None]
) -> RawTable | RowSource:
    """Read a table like `read_raw_table`, with the last column as the default target, or open it.

    The cells of a text table that is too large for memory are copied to a temporary file, which ``announce`` is called
    with a sentence about, and its rows are read from there; the result is then to be closed.
    """
    name, suffix = _checked_options(path, options)
    if suffix not in _TEXT_SUFFIXES or options.strict:
        return read_raw(name, suffix, options, target_kind, last=True)
    with opened_text(name, options.encoding) as file:
        text = OpenedText.of(file, suffix, options)
        if text.loaded.is_large:
            announce(announcement(file))
            return RawTextRows(text, options, target_kind)
        whole = text.whole()
    return interpreted(whole, options, target_kind, last=True)


def read_known_columns(
    path: str | os.PathLike[str],
    readings: Mapping[str, Reading],
    options: ReadingOptions,
    target: KnownTarget | None = None,
) -> RawTable:
    """Read the columns that a model was trained on, each as the same kind; other columns are ignored.

    ``target`` is read too, for every row, where the file has it.

    Raises
    ------
    DataError
        If a column is missing, or a cell is not of its column's kind; the message names it.
    """
    return read_known(*_checked_options(path, options), readings, options, target)


def read_known_in_parts(
    path: str | os.PathLike[str], readings: Mapping[str, Reading], options: ReadingOptions, target: KnownTarget
) -> Iterator[RawTable]:
    """Yield the same rows; those of a text table that is too large for memory some at a time."""
    return read_known_parts(*_checked_options(path, options), readings, options, target)


def _names(names: Sequence[str]) -> tuple[str, ...]:
    """Return column names as a tuple; a str is one name, not a sequence of letters."""
    return (names,) if isinstance(names, str) else tuple(names)


def _checked_options(path: str | os.PathLike[str], options: ReadingOptions) -> tuple[str, str]:
    """Check the options for a path; return it as str, and its suffix."""
    name, suffix = _checked(path, options.delimiter, options.max_rows)
    check_choice("decimal", options.decimal, (".", ","))
    if options.encoding is not None:
        check_encoding(options.encoding)
    about_text = {
        "encoding": options.encoding is not None,
        "decimal": options.decimal != ".",
        "header": not options.header,
    }
    for option, given in about_text.items():
        if given and suffix not in _TEXT_SUFFIXES:
            raise DataError(f"{name}: the {option} of a text file does not go with an {suffix} file")
    return name, suffix


def read_training_table(
    path: str | os.PathLike[str],
    target: str | None = None,
    *,
    target_kind: TargetKind = "any",
    delimiter: str | None = None,
    max_rows: int | None = None,
) -> Table:
    r"""Read features and targets from a table of numbers.

    Parameters
    ----------
    path : str or os.PathLike of str
        A ``.csv`` or ``.tsv`` file with a header line, plain or compressed (``.csv.gz``, ``.tsv.gz``), a ``.parquet``
        file, an ``.npz`` file with the arrays ``X`` and ``y``, or an ``.npy`` file with one 2-D array whose last
        column is the target. ``"-"`` is standard input: text, plain or compressed with gzip.
    target : str, optional
        Name of the target column of a text or Parquet file; the last column if not given.
    target_kind : {"any", "unmixed", "numbers"}
        Targets to accept. "any": classes, which are texts if one of them is not a number, or is written as the
        number would not be (007, 1.50). "unmixed": the same, but numbers may be a quantity as well, for which 1.50
        goes, and a text file with at least ten targets, and nine out of ten, that are finite numbers is refused for the
        others. "numbers": finite numbers alone, or truth values alone.
    delimiter : {",", "\t", ";", "|"}, optional
        Separator of the cells of a text file; by default a comma in ``.csv`` and a tab in ``.tsv``. On standard input
        it is a tab if the header line has one and no comma.
    max_rows : int, optional
        Largest number of rows to accept. Independently of it, a file is refused that needs more than half of this
        machine's memory.

    Returns
    -------
    Table
        `Table.X` of shape (n_samples, n_features), float64, in which True is 1 and False is 0, and `Table.y` of shape
        (n_samples,), or (n_samples, n_outputs) where an ``.npz`` file holds a ``y`` of several columns.

    Raises
    ------
    DataError
        If the file cannot be read, is of another kind or too large, lacks the target column, holds anything but finite
        numbers, or truth values, in a feature column, an empty target, a target of another kind, or a NaN or an
        infinity among targets that are numbers otherwise.
    MixedTargetError
        The DataError for targets that are not "unmixed"; they can be read as "any".
    ValueError
        If ``target_kind`` or ``delimiter`` is unknown, or ``max_rows`` is less than 1.
    ImportError
        If the file is in Parquet and PyArrow is missing.
    """
    check_choice("target_kind", target_kind, get_args(TargetKind))
    name, suffix = _checked(path, delimiter, max_rows)
    if suffix in _TEXT_SUFFIXES:
        return read_training_text(name, suffix, target, target_kind, delimiter, max_rows)
    if suffix == _PARQUET:
        return read_training_parquet(name, target, target_kind, max_rows)
    return read_training_arrays(name, suffix, target, target_kind, max_rows)


def read_prediction_table(
    path: str | os.PathLike[str],
    feature_names: Sequence[str] | None = None,
    target_name: str | None = None,
    *,
    delimiter: str | None = None,
    max_rows: int | None = None,
) -> Table:
    """Read features for prediction.

    Parameters
    ----------
    path : str or os.PathLike of str
        A text or Parquet file, or standard input, as for training, an ``.npz`` file with the array ``X``, or an
        ``.npy`` file with one 2-D array.
    feature_names : sequence of str, optional
        Columns to take from a text or Parquet file, in this order, whatever their order in the file. Of arrays only
        the number of columns is compared. Every column is a feature if not given.
    target_name : str, optional
        Column of a text or Parquet file to leave out, unread, where the file has it.
    delimiter, max_rows
        The same as in `read_training_table`.

    Returns
    -------
    Table
        `Table.X` of shape (n_samples, n_features), float64; `Table.y` and `Table.target_name` are None.

    Raises
    ------
    DataError
        If the file cannot be read, is of another kind or too large, lacks a feature or has other columns, or holds
        anything but finite numbers, or truth values, in a column.
    ValueError
        If ``delimiter`` is unknown, or ``max_rows`` is less than 1.
    ImportError
        If the file is in Parquet and PyArrow is missing.
    """
    name, suffix = _checked(path, delimiter, max_rows)
    if suffix in _TEXT_SUFFIXES:
        return read_prediction_text(name, suffix, feature_names, target_name, delimiter, max_rows)
    if suffix == _PARQUET:
        return read_prediction_parquet(name, feature_names, target_name, max_rows)
    return read_prediction_arrays(name, suffix, feature_names, max_rows)


def open_training_rows(
    path: str | os.PathLike[str],
    target: str | None = None,
    *,
    target_kind: TargetKind = "any",
    max_rows: int | None = None,
) -> RowSource:
    """Open a file, perhaps larger than memory, whose rows are read on demand.

    Parameters
    ----------
    path : str or os.PathLike of str
        A ``.parquet`` file, or an ``.npy`` file with one 2-D array whose last column is the target.
    target : str, optional
        Name of the target column of a Parquet file; the last column if not given.
    target_kind : {"any", "unmixed", "numbers"}
        Targets to accept, as in `read_training_table`.
    max_rows : int, optional
        Largest number of rows to accept.

    Returns
    -------
    RowSource
        The open file, to be closed or used in a ``with`` statement.

    Raises
    ------
    DataError
        If the file cannot be read, has another format, is too large, lacks the target column, or has columns of another
        type. Values are checked when they are read.
    ValueError
        If ``target_kind`` is unknown, or ``max_rows`` is less than 1.
    ImportError
        If the file is in Parquet and PyArrow is missing.
    """
    check_choice("target_kind", target_kind, get_args(TargetKind))
    name, suffix = _checked(path, None, max_rows)
    source = _opened_rows(name, suffix, target, target_kind)
    if max_rows is not None and source.n_rows > max_rows:
        source.close()
        raise DataError(f"{name}: {source.n_rows} rows are {above(max_rows)}")
    return source


def open_raw_rows(
    path: str | os.PathLike[str], options: ReadingOptions, *, target_kind: TargetKind = "unmixed"
) -> RowSource:
    """Open a Parquet file, perhaps larger than memory, with columns of any kind; its rows are `Columns`.

    The last column is the default target. Parameters are those of `read_raw_table`.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column, is too large, or has a target that is neither numbers nor text.
    ImportError
        If PyArrow is missing.
    """
    name, _ = _checked_options(path, options)
    source = RawParquetRows(name, options, target_kind)
    if options.max_rows is not None and source.n_rows > options.max_rows:
        source.close()
        raise DataError(f"{name}: {source.n_rows} rows are {above(options.max_rows)}")
    return source


def _opened_rows(name: str, suffix: str, target: str | None, target_kind: TargetKind) -> RowSource:
    """Open the file in the format of its suffix."""
    if suffix == _PARQUET:
        return ParquetRows(name, target, target_kind)
    if suffix != ".npy":
        raise DataError(f"{name}: rows can be read one by one from .npy and .parquet files, not from {suffix}")
    if target is not None:
        raise DataError(
            f"{name}: the target of an .npy file is the last column; it has no column {shown(target)} "
            f"({TARGETS_BESIDE})"
        )
    return NpyRows(name)


def _advice(suffix: str) -> str:
    """Return what to do with a file of another suffix, empty if it is not known."""
    if suffix in _WORKBOOKS:
        return " (save the sheet as .csv)"
    return " (rename it if it is a text table)" if suffix in _OTHER_TEXTS else ""


def _checked(path: str | os.PathLike[str], delimiter: str | None, max_rows: int | None) -> tuple[str, str]:
    """Return the path as str and its suffix in lower case, the file's format; ``-`` is a suffix of its own."""
    name = os.fspath(path)
    stem, suffix = os.path.splitext(name.lower())
    if suffix == ".gz":
        suffix = os.path.splitext(stem)[1] + suffix
    if name == STANDARD_INPUT:
        suffix = STANDARD_INPUT
    elif suffix not in _SUFFIXES:
        raise DataError(
            f"{name}: the file's name must end in {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}{_advice(suffix)}"
        )
    if delimiter is not None:
        check_choice("delimiter", delimiter, DELIMITERS)
        if suffix not in _TEXT_SUFFIXES:
            raise DataError(f"{name}: the delimiter {delimiter!r} does not go with an {suffix} file")
    if max_rows is not None and max_rows < 1:
        raise ValueError(f"max_rows must be at least 1; got {max_rows}")
    return name, suffix

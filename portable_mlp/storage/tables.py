"""Tables of numbers, read from and written to files.

The readers take ``.csv`` (comma), ``.tsv`` (tab), ``.npz`` and ``.npy`` files. They accept a file as a whole or raise
one `DataError` that names the file, the line and the column of a mistake; no text ever becomes NaN.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import get_args

from ..kernels.options import check_choice
from .array_tables import ARRAY_SUFFIXES, read_prediction_arrays, read_training_arrays
from .csv_output import write_csv
from .table_errors import DataError, MixedTargetError
from .table_types import Table, TargetKind
from .text_tables import DELIMITERS, read_prediction_text, read_training_text

__all__ = [
    "DataError",
    "MixedTargetError",
    "Table",
    "TargetKind",
    "read_prediction_table",
    "read_training_table",
    "write_csv",
]

_SUFFIXES = (*DELIMITERS, *ARRAY_SUFFIXES)


def read_training_table(
    path: str | os.PathLike[str], target: str | None = None, *, target_kind: TargetKind = "any"
) -> Table:
    """Read features and targets from a file.

    Parameters
    ----------
    path : str or os.PathLike of str
        A ``.csv`` or ``.tsv`` file with a header line, an ``.npz`` file with the arrays ``X`` and ``y``, or an
        ``.npy`` file with one 2-D array whose last column is the target.
    target : str, optional
        Name of the target column of a text file; the last column if not given.
    target_kind : {"any", "unmixed", "numbers"}
        What the targets may be. "any": numbers, or texts if one of them is not a number. "unmixed": the same, but a
        text file with at least ten targets, and nine out of ten, that are finite numbers is refused for the others.
        "numbers": finite numbers alone.

    Returns
    -------
    Table
        `Table.X` of shape (n_samples, n_features), float64, and `Table.y` of shape (n_samples,), or
        (n_samples, n_outputs) where an ``.npz`` file holds a 2-D ``y``.

    Raises
    ------
    DataError
        If the file cannot be read, is of another kind, lacks the target column, holds anything but finite numbers in
        its feature columns, an empty target, a target of another kind, or a NaN or an infinity among targets that are
        numbers otherwise.
    MixedTargetError
        The DataError for targets that are not "unmixed"; they can be read as "any".
    ValueError
        If ``target_kind`` is unknown.
    """
    check_choice("target_kind", target_kind, get_args(TargetKind))
    name, suffix = _path_and_suffix(path)
    if suffix in DELIMITERS:
        return read_training_text(name, DELIMITERS[suffix], target, target_kind)
    return read_training_arrays(name, suffix, target, target_kind)


def read_prediction_table(
    path: str | os.PathLike[str], feature_names: Sequence[str] | None = None, target_name: str | None = None
) -> Table:
    """Read the features to predict from.

    Parameters
    ----------
    path : str or os.PathLike of str
        A ``.csv`` or ``.tsv`` file with a header line, an ``.npz`` file with the array ``X``, or an ``.npy`` file
        with one 2-D array.
    feature_names : sequence of str, optional
        Columns to take from a text file, in this order, whatever their order in the file. Of arrays only the number
        of columns is compared. Every column is a feature if not given.
    target_name : str, optional
        Column of a text file to leave out, unread, where the file has it.

    Returns
    -------
    Table
        `Table.X` of shape (n_samples, n_features), float64; `Table.y` and `Table.target_name` are None.

    Raises
    ------
    DataError
        If the file cannot be read, is of another kind, lacks a feature or has other columns, or holds anything but
        finite numbers.
    """
    name, suffix = _path_and_suffix(path)
    if suffix in DELIMITERS:
        return read_prediction_text(name, DELIMITERS[suffix], feature_names, target_name)
    return read_prediction_arrays(name, suffix, feature_names)


def _path_and_suffix(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the path as text and its suffix in small letters, which tells the kind of the file."""
    name = os.fspath(path)
    suffix = os.path.splitext(name)[1].lower()
    if suffix not in _SUFFIXES:
        raise DataError(f"{name}: the file's name must end in {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}")
    return name, suffix

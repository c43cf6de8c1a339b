"""Tables in memory: columns by name, each of numbers, text, truth values or dates, or one matrix of numbers."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self, overload

import numpy as np
from numpy.typing import NDArray

from ..html_parts import escaped, notebook_heading, notebook_table
from ..kernels.summaries import fields

__all__ = ["Column", "Columns", "RawTable", "Reading", "Table", "TextFormat"]

N_CELLS_SHOWN = 3
"""The number of cells of each column that a notebook shows."""


class Reading(NamedTuple):
    """The kind of a column, and its notation in text files.

    Attributes
    ----------
    kind : {"number", "text", "truth", "date"}
        Kind of every cell that is not missing.
    form : str
        Notation in text. Numbers: the decimal mark, followed by other marks in use (``".,"`` for 27,000; ``".$"`` for
        $5). Truth values: both words, ``"no/yes"``. Dates: one of `dates.DATE_FORMS`. Text: ``"code"`` where 3.0 equals
        3. Empty where the cells were not text.
    """

    kind: str
    form: str = ""


class Column(NamedTuple):
    """A column with missing cells.

    Attributes
    ----------
    reading : Reading
        Kind and notation of the cells.
    values : ndarray of shape (n_rows,)
        Numbers and truth values (1, 0) are float64, NaN where the cell is missing; texts are object, str or None;
        dates are datetime64[us], NaT where the cell is missing.
    """

    reading: Reading
    values: NDArray[Any]

    @property
    def missing(self) -> NDArray[np.bool_]:
        """True where a cell is missing, of shape (n_rows,)."""
        if self.values.dtype.kind == "O":
            return np.fromiter((value is None for value in self.values), np.bool_, len(self.values))
        return np.isnat(self.values) if self.values.dtype.kind == "M" else np.isnan(self.values)

    @property
    def n_bytes(self) -> int:
        """The bytes that the cells take in memory; equal texts are there once."""
        if self.values.dtype.kind != "O":
            return self.values.nbytes
        return self.values.nbytes + sum(map(sys.getsizeof, set(self.values.tolist())))

    def first(self, n_rows: int) -> Column:
        """Return the column of the first rows."""
        return self._replace(values=self.values[:n_rows])

    def public(self) -> NDArray[Any]:
        """Return the cells as users see them: truth values become bool, or True, False and None if some are missing."""
        if self.reading.kind != "truth":
            return self.values
        missing = self.missing
        if not missing.any():
            return self.values.astype(np.bool_)
        truths = (self.values == 1.0).astype(object)
        truths[missing] = None
        return truths


class Columns(Mapping[str, NDArray[Any]]):
    """Columns by name: a mapping from names to arrays that can be indexed by rows too.

    ``columns["age"]`` is the array of one column; ``columns[rows]``, with row numbers, a mask or a slice, selects rows
    of all columns. ``dict(columns)`` is accepted by the constructors of pandas and polars data frames and by
    `pyarrow.table`; ``to_pandas`` is a shortcut. scikit-learn's splits and searches can index it.

    Parameters
    ----------
    columns : dict of str to Column
        All of one length.

    Raises
    ------
    ValueError
        If two columns have different lengths; the message names both.

    Examples
    --------
    >>> ages = Columns({"age": Column(Reading("number"), np.array([31.0, np.nan, 27.0]))})
    >>> ages.shape, ages["age"].tolist(), ages[np.array([2])]["age"].tolist()
    ((3, 1), [31.0, nan, 27.0], [27.0])
    """

    ndim = 2

    def __init__(self, columns: dict[str, Column]) -> None:
        self._columns = dict(columns)
        n_rows, _ = self.shape
        for name, column in columns.items():
            if len(column.values) != n_rows:
                first = next(iter(columns))
                raise ValueError(f"column {name!r} has {len(column.values)} rows, but column {first!r} has {n_rows}")

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        first = next(iter(self._columns.values()), None)
        return 0 if first is None else len(first.values), len(self._columns)

    def column(self, name: str) -> Column:
        """Return a column with what is known of it."""
        return self._columns[name]

    @overload
    def __getitem__(self, key: str) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, key: NDArray[Any] | Sequence[int] | slice) -> Self: ...
    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self._columns[key].public()
        if isinstance(key, tuple) and len(key) == 2 and key[1] is ...:
            key = key[0]  # as scikit-learn asks for rows
        rows = key if isinstance(key, slice) else np.asarray(key)
        return type(self)({name: Column(c.reading, c.values[rows]) for name, c in self._columns.items()})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of several tables with the same columns, one after another."""
        first = parts[0]
        return cls(
            {
                name: Column(column.reading, np.concatenate([part.column(name).values for part in parts]))
                for name, column in first._columns.items()
            }
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        kinds = ", ".join(f"{name}: {column.reading.kind}" for name, column in self._columns.items())
        return f"Columns({self.shape[0]} rows; {kinds})"

    def _repr_html_(self) -> str:
        """Return the columns for a notebook, a row for each: its kind, the number of missing cells, the first cells."""
        rows = [
            (name, column.reading.kind, f"{column.missing.sum():,}", *column.first(N_CELLS_SHOWN).public())
            for name, column in self._columns.items()
        ]
        cells = [f"row {i}" for i in range(min(self.shape[0], N_CELLS_SHOWN))]
        return notebook_table(("column", "kind", "missing", *cells), rows)

    def to_pandas(self) -> Any:
        """Return a data frame of pandas, which must be installed."""
        return importlib.import_module("pandas").DataFrame(dict(self))


class TextFormat(NamedTuple):
    """The format of a text file: what separates its cells, and the encoding of the text, by Python's name."""

    delimiter: str
    encoding: str


class RawTable(NamedTuple):
    """A table with columns of any kind, as `read_table` returns it.

    Attributes
    ----------
    X : Columns
        The features by their names, `Columns.shape` (n_samples, n_features); a mapping, ``dict(table.X)`` for a frame.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs), or None
        Targets: int64 where every one is a whole number, else float64 where every one is a number, else str; None if
        no target was asked for.
    ids : ndarray of shape (n_samples,), object, or None
        The texts of the ``id`` column, None where a cell is missing.
    target_name : str or None
        Name of the target column.
    notes : tuple of str
        Remarks for the user: an unusual delimiter or encoding, rows left out because their target is missing.
    text : TextFormat or None
        The format of the file, if it is a text file.
    rows : ndarray of shape (n_samples,), or None
        The numbers of the rows in the file, counted from 0, if some were left out.
    """

    X: Columns
    y: NDArray[Any] | None
    ids: NDArray[Any] | None
    target_name: str | None
    notes: tuple[str, ...]
    text: TextFormat | None = None
    rows: NDArray[np.intp] | None = None

    def __repr__(self) -> str:
        return fields(self)

    def _repr_html_(self) -> str:
        """Return the table for a notebook: its size and target, remarks, and its columns."""
        facts = {"rows": f"{self.X.shape[0]:,}", "columns": self.X.shape[1], "target": self.target_name}
        notes = "".join(f"<p>{escaped(note)}</p>" for note in self.notes)
        return f"<div>{notebook_heading(self, facts)}{notes}{self.X._repr_html_()}</div>"

    def take(self, rows: NDArray[np.intp]) -> Self:
        """Return some rows, by their numbers."""
        y, ids = (None if x is None else x[rows] for x in (self.y, self.ids))
        return self._replace(X=self.X[rows], y=y, ids=ids, rows=rows if self.rows is None else self.rows[rows])


class Table(NamedTuple):
    """A table of numbers, as `read_training_table` and `read_prediction_table` return it.

    Attributes
    ----------
    X : numpy.ndarray of shape (n_samples, n_features), float64
        Features, C-contiguous, all finite.
    y : numpy.ndarray of shape (n_samples,) or (n_samples, n_outputs), or None
        Targets; None in a table read for prediction. From text files: int64 where every target is a whole number,
        else float64 where every target is a number, else str; str also for codes such as 007, which numbers would not
        give back. From arrays: whatever the array holds (bool, integer, float or str).
    feature_names : tuple of str
        One name per column of ``X``: the header, or ``"x0"``, ``"x1"``, ... for arrays.
    target_name : str or None
        Name of the target column; None for arrays and in a table read for prediction.
    rows : ndarray of shape (n_samples,), or None
        The numbers of the rows in the file, counted from 0, if these are some of them.
    """

    X: NDArray[np.float64]
    y: NDArray[Any] | None
    feature_names: tuple[str, ...]
    target_name: str | None
    rows: NDArray[np.intp] | None = None

    def take(self, rows: NDArray[np.intp]) -> Self:
        """Return some rows, by their numbers."""
        y = None if self.y is None else self.y[rows]
        return self._replace(X=self.X[rows], y=y, rows=rows if self.rows is None else self.rows[rows])

"""Tables with columns of any kind: numbers, text, truth values and dates, with missing cells."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from .array_files import ARRAY_SUFFIXES, read_arrays_with_gaps
from .arrow_columns import ParquetColumn, parquet_columns
from .cells import MISSING, MISSING_NUMBERS, Cells, as_strict, check_decimal_mark, numbers_of, read_as
from .column_names import BLANKS, no_feature, numbered_names, unsplit
from .columns import Column, Columns, RawTable, Reading, TextFormat
from .errors import DataError, MixedTargetError, counted, listed, opened, shown
from .known_targets import KnownTarget
from .limits import check_bytes
from .loaded_text import LoadedText
from .targets import TargetKind, are_whole, target_vector
from .text_files import TextFile, opened_text
from .text_numbers import as_float
from .text_tables import TextRows, TextTableOptions, read_text_table, text_format, text_groups
from .typed_columns import RawColumn, TypedColumn, conformed, meaning_of, number_column

__all__ = [
    "OpenedTable",
    "OpenedText",
    "ReadingOptions",
    "feature_names_of",
    "interpreted",
    "read_known",
    "read_known_parts",
    "read_raw",
    "targets_of",
    "without_target",
]


_MOST_TITLES = 20
"""The lines among which a header line is looked for, in an error message."""


class ReadingOptions(NamedTuple):
    """The options for reading a table; the fields are the parameters of `read_table`."""

    target: str | None = None
    drop: Sequence[str] = ()
    id: str | None = None
    features: Sequence[str] | None = None
    categorical: Sequence[str] = ()
    encoding: str | None = None
    decimal: str = "."
    delimiter: str | None = None
    header: bool = True
    strict: bool = False
    max_rows: int | None = None


class OpenedTable(NamedTuple):
    """The contents of a file before its cells are interpreted.

    Attributes
    ----------
    name : str
        Name of the file in error messages.
    columns : dict of str to RawColumn
        Columns of the file by name.
    y : ndarray or None
        The array ``y`` of an ``.npz`` file.
    notes : tuple of str
        Remarks for the user, such as an unusual delimiter.
    text : TextFormat or None
        The format of a text file.
    """

    name: str
    columns: Mapping[str, RawColumn]
    y: NDArray[Any] | None = None
    notes: tuple[str, ...] = ()
    text: TextFormat | None = None

    def column(self, name: str) -> RawColumn:
        """Return a column by name; the error for an unknown name suggests the nearest."""
        self.check_named([name])
        return self.columns[name.strip(BLANKS)]

    def check_named(self, names: Sequence[str]) -> None:
        """Raise DataError unless there are columns of these names."""
        for name in names:
            if name.strip(BLANKS) not in self.columns:
                near = difflib.get_close_matches(name, self.columns, n=1)
                hint = f" (did you mean {shown(near[0])}?)" if near else ""
                raise DataError(
                    f"{self.name}: no column {shown(name)}{hint}; the columns are {listed(tuple(self.columns))}"
                    f"{self._header_below(name.strip(BLANKS)) or unsplit(tuple(self.columns))}"
                )

    def _header_below(self, name: str) -> str:
        """Return where a text file has a name below its first line, for an error message; empty if nowhere."""
        for column in self.columns.values() if self.text is not None else ():
            cells = column.cells()
            row = cells.first(text == name for text in cells.texts)
            if row < _MOST_TITLES and cells.texts[cells.codes[row]] == name:
                return f"; {cells.place(row)} has it: if titles stand above the header line, remove these lines"
        return ""

    def target_name(self, options: ReadingOptions, *, last: bool) -> str | None:
        """Return the name of the target column, which is the last one by default if ``last``; None if there is none."""
        if options.target is not None or not last or self.y is not None:
            return options.target
        return [name for name in self.columns if name not in options.drop and name != options.id][-1]

    def check_target(self, name: str | None) -> None:
        """Raise DataError if a target column is chosen, though the targets are an array of their own."""
        if name is not None and self.y is not None:
            raise DataError(
                f"{self.name}: the target of an .npz file is the array y; the target column {shown(name)} cannot be "
                "chosen"
            )


@contextlib.contextmanager
def opened_raw(path: str, suffix: str, options: ReadingOptions) -> Iterator[OpenedTable]:
    """Open a table file of any format."""
    if suffix in ARRAY_SUFFIXES:
        X, y = read_arrays_with_gaps(path, suffix, options.max_rows)

        def place_in(name: str) -> Callable[[int], object]:
            return lambda row: f"{path}: row {row + 1}, column {shown(name)}"

        names = numbered_names(X.shape[1])
        yield OpenedTable(path, {name: number_column(name, X[:, j], place_in(name)) for j, name in enumerate(names)}, y)
    elif suffix == ".parquet":
        with opened(path) as file:
            yield OpenedTable(path, parquet_columns(file, path, options.max_rows))
    else:
        with opened_text(path, options.encoding) as text:
            whole = OpenedText.of(text, suffix, options).whole()
        yield whole


class OpenedText(NamedTuple):
    """A text table that is open.

    Attributes
    ----------
    file : TextFile
        The file, of which `loaded` was read.
    loaded : LoadedText
        The text, as far as it fits into memory.
    format : TextFormat
        The format of the file.
    notes : tuple of str
        What is unusual about it.
    options : TextTableOptions
        The options of the caller.
    """

    file: TextFile
    loaded: LoadedText
    format: TextFormat
    notes: tuple[str, ...]
    options: TextTableOptions

    @classmethod
    def of(cls, file: TextFile, suffix: str, options: ReadingOptions) -> Self:
        """Look at a text file that was opened just now."""
        asked = TextTableOptions(options.delimiter, options.header, options.max_rows)
        found, notes = text_format(file, suffix, asked)
        return cls(file, LoadedText(file), found, notes, asked)

    def whole(self) -> OpenedTable:
        """Read it whole; raise DataError if it is too large."""
        return self._table(read_text_table(self.loaded, self.format, self.options).columns)

    def groups(self) -> tuple[tuple[str, ...], Iterator[TextRows]]:
        """Return the column names, and the rows in groups, as `text_groups`."""
        return text_groups(self.loaded.rewound(), self.format.delimiter, self.options)

    def tables(self) -> Iterator[OpenedTable]:
        """Yield tables of some rows each."""
        _, groups = self.groups()
        for rows in groups:
            yield self._table(rows.columns)

    def _table(self, columns: Sequence[RawColumn]) -> OpenedTable:
        by_name = {column.name: column for column in columns}
        return OpenedTable(self.file.name, by_name, notes=self.notes, text=self.format)


def read_raw(path: str, suffix: str, options: ReadingOptions, target_kind: TargetKind, last: bool) -> RawTable:
    """Read a table and interpret its columns.

    Parameters
    ----------
    path, suffix : str
        Path of the file, and its format.
    options : ReadingOptions
        The options of the caller.
    target_kind : {"any", "unmixed", "numbers"}
        Targets to accept, as in `TargetKind`.
    last : bool
        Whether the last column is the default target.
    """
    with opened_raw(path, suffix, options) as raw:
        return interpreted(raw, options, target_kind, last)


def interpreted(raw: OpenedTable, options: ReadingOptions, target_kind: TargetKind, last: bool) -> RawTable:
    """Interpret the columns of an open table; parameters are those of `read_raw`."""
    raw.check_target(options.target)
    target = raw.target_name(options, last=last)
    names = feature_names_of(raw, options, target)
    y, rows, notes = raw.y, None, raw.notes
    if target is not None:
        y, rows = _targets(raw, target, target_kind, options.decimal)
    X = _columns(raw, names, lambda column: _feature(column, options))
    ids = None if options.id is None else _ids(raw.column(options.id))
    if rows is not None and len(rows) < X.shape[0]:
        notes = (*notes, without_target(X.shape[0] - len(rows)))
        return RawTable(X[rows], y, None if ids is None else ids[rows], target, notes, raw.text, rows)
    return RawTable(X, y, ids, target, notes, raw.text)


def without_target(n_rows: int) -> str:
    """Return the remark about rows whose target is missing."""
    return f"{counted(n_rows, 'row')} without a target left out"


def feature_names_of(raw: OpenedTable, options: ReadingOptions, target: str | None) -> list[str]:
    """Return the names of the features, in the file's order."""
    for names in (options.drop, options.categorical, options.features or (), [n for n in (options.id, target) if n]):
        raw.check_named(names)
    _check_target_alone(raw.name, options, target)
    others = {name.strip(BLANKS) for name in (*options.drop, options.id, target) if name is not None}
    chosen = raw.columns if options.features is None else {name.strip(BLANKS) for name in options.features}
    names = [name for name in raw.columns if name in chosen and name not in others]
    if not names and len(raw.columns) == 1:
        raise no_feature(tuple(raw.columns), raw.name)
    if not names:
        raise DataError(f"{raw.name}: no feature is left of the columns {listed(tuple(raw.columns))}")
    return names


def _check_target_alone(path: str, options: ReadingOptions, target: str | None) -> None:
    """Raise DataError if an option for features names the target."""
    if target is None:
        return
    if target.strip(BLANKS) in [name.strip(BLANKS) for name in options.drop]:
        raise DataError(f"{path}: the target {shown(target)} cannot be dropped")
    if target.strip(BLANKS) in [name.strip(BLANKS) for name in options.categorical]:
        raise DataError(
            f"{path}: the target {shown(target)} is not a feature to read as categories (--task classification "
            "predicts it as classes)"
        )


def _columns(raw: OpenedTable, names: Iterable[str], interpreted: Callable[[RawColumn], Column]) -> Columns:
    """Return the columns of these names, one after another, as long as they fit into memory."""
    columns: dict[str, Column] = {}
    n_bytes = 0
    for name in names:
        columns[name] = interpreted(raw.columns[name])
        n_bytes += columns[name].n_bytes
        check_bytes(raw.name, "a table", n_bytes)
    return Columns(columns)


def _feature(column: RawColumn, options: ReadingOptions) -> Column:
    """Return a column with the kind inferred from its cells, or chosen by the caller."""
    if column.name in map(str.strip, options.categorical):
        return read_as(column.cells(), Reading("text", "code"))
    return as_strict(column.cells()) if options.strict else meaning_of(column, options.decimal)


def _ids(column: RawColumn) -> NDArray[Any]:
    """Return the column that identifies the rows as text, None where a cell is missing."""
    cells = column.cells().stripped()
    return cells.spread([text or None for text in cells.texts], object)


def _targets(raw: OpenedTable, name: str, kind: TargetKind, decimal: str) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the targets that are not missing, and the numbers of their rows."""
    column = raw.column(name)
    if isinstance(column, ParquetColumn):
        column = column.read()
    if isinstance(column, TypedColumn) and column.stored.dtype.kind in "biuf":
        rows = np.flatnonzero(~column.column.missing)
        _check_any(rows, raw.name, column.name)
        return column.stored[rows], rows
    return targets_of(column.cells().stripped(), raw.name, kind, decimal)


def targets_of(cells: Cells, path: str, kind: TargetKind, decimal: str) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the targets of a column of text that are not missing, and the numbers of their rows."""
    missing = MISSING if _has_words(cells) else MISSING_NUMBERS
    rows = np.flatnonzero(~np.isin(cells.codes, [i for i, text in enumerate(cells.texts) if text in missing]))
    _check_any(rows, path, cells.name)
    present = cells.rows(rows)
    numbers = None if kind == "any" else numbers_of(present, decimal)
    if numbers is not None:
        values = numbers.values
        return values.astype(np.int64) if are_whole(values) else values, rows
    if kind != "any" and decimal == ".":
        _check_decimal_mark(present)
    return target_vector(present.spread(present.texts, object).tolist(), present.place, kind), rows


def _check_decimal_mark(cells: Cells) -> None:
    """Raise MixedTargetError if the targets are numbers with decimal commas, unless they are classes."""
    try:
        check_decimal_mark(cells)
    except DataError as error:
        raise MixedTargetError(str(error)) from None


def _has_words(cells: Cells) -> bool:
    """Tell whether some texts are neither numbers nor missing cells."""
    return any(as_float(text) is None for text in cells.texts if text not in MISSING_NUMBERS)


def _check_any(rows: NDArray[np.intp], path: str, name: str) -> None:
    """Raise DataError if no row has a target."""
    if not len(rows):
        raise DataError(f"{path}: every cell of the target column {shown(name)} is missing (--target names another)")


def read_known(
    path: str,
    suffix: str,
    readings: Mapping[str, Reading],
    options: ReadingOptions,
    target: KnownTarget | None = None,
) -> RawTable:
    """Read the columns that a model was trained on, each as the same kind; other columns are ignored.

    The result has a ``target_name`` where the file has that column; where it cannot be read, ``y`` is None, and the
    last of ``notes`` is the reason.

    Parameters
    ----------
    path, suffix : str
        Path of the file, and its format.
    readings : dict of str to Reading
        Kind and notation of each column of the model.
    options : ReadingOptions
        The caller's options; the id may be missing from the file, and a target is checked alone.
    target : KnownTarget, optional
        The target to read too, for every row, as `KnownTarget.read` gives it.

    Raises
    ------
    DataError
        If a column is missing, or a cell is not of its column's kind; the message names it. If a target column is
        chosen, and the file has an array of targets.
    """
    with opened_raw(path, suffix, options) as raw:
        return _known_table(raw, suffix, readings, options, target)


def read_known_parts(
    path: str,
    suffix: str,
    readings: Mapping[str, Reading],
    options: ReadingOptions,
    target: KnownTarget | None = None,
) -> Iterator[RawTable]:
    """Yield the same rows; those of a text table that is too large for memory some at a time."""
    with contextlib.ExitStack() as stack:
        if suffix in (*ARRAY_SUFFIXES, ".parquet"):
            tables: Iterable[OpenedTable] = [stack.enter_context(opened_raw(path, suffix, options))]
        else:
            text = OpenedText.of(stack.enter_context(opened_text(path, options.encoding)), suffix, options)
            tables = text.tables() if text.loaded.is_large else [text.whole()]
        for raw in tables:
            yield _known_table(raw, suffix, readings, options, target)


def _known_table(
    raw: OpenedTable,
    suffix: str,
    readings: Mapping[str, Reading],
    options: ReadingOptions,
    target: KnownTarget | None,
) -> RawTable:
    """Interpret the columns of an open table; parameters are those of `read_known`."""
    raw.check_target(options.target)
    if suffix in ARRAY_SUFFIXES and len(raw.columns) == len(readings) and not raw.columns.keys() <= readings.keys():
        # An array has no names: its columns are those of the model, in order.
        raw = raw._replace(columns=dict(zip(readings, raw.columns.values(), strict=True)))
    if suffix in ARRAY_SUFFIXES and not readings.keys() <= raw.columns.keys():
        raise DataError(f"{raw.name}: expected {counted(len(readings), 'feature')}, got {len(raw.columns)}")
    lacking = [name for name in readings if name not in raw.columns]
    if lacking:
        raise DataError(
            f"{raw.name}: the model expects the columns {listed(tuple(readings))}, the file lacks {listed(lacking)}"
        )
    X = _columns(raw, readings, lambda column: _known(column, readings[column.name]))
    ids = None if options.id is None or options.id not in raw.columns else _ids(raw.columns[options.id])
    y, reason = (None, None) if target is None else _known_targets(raw, target)
    name = None if target is None or (y is None and reason is None) else target.name
    return RawTable(X, y, ids, name, raw.notes if reason is None else (*raw.notes, reason), raw.text)


def _known_targets(raw: OpenedTable, target: KnownTarget) -> tuple[NDArray[Any] | None, str | None]:
    """Return the targets of all rows, None where the file has none; and the reason, if they cannot be read."""
    try:
        if raw.y is not None:
            return target.of_array(raw.y, raw.name), None
        if target.name is None and target.required:
            raise DataError(f"{raw.name}: no target is known; --target names its column")
        if target.name is None or (target.name not in raw.columns and not target.required):
            return None, None
        return target.read(raw.column(target.name)), None
    except DataError as error:
        if target.required:
            raise
        return None, f"not scored: {error}"


def _known(column: RawColumn, reading: Reading) -> Column:
    """Return a column with the kind that the model was trained on."""
    return conformed(column.read() if isinstance(column, ParquetColumn) else column, reading)

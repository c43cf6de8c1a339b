"""Encoding of a table as a real matrix: each column by its kind, fitted to the training rows and applied to others.

The kinds are classes in `column_encodings` and `date_encoding`; a new kind is one class, and an entry in `ENCODINGS`.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..training.batches import blocks
from .column_encodings import (
    CategoryColumn,
    ColumnEncoding,
    DroppedColumn,
    NumberColumn,
    TargetMeanColumn,
    TruthColumn,
    is_number_without_gaps,
)
from .columns import Column, Columns, Reading
from .date_encoding import DateColumn
from .errors import counted, shown
from .limits import check_matrix_bytes
from .number_features import NumberFeatures
from .typed_columns import text_of

__all__ = [
    "ALL_MISSING",
    "AS_ASKED",
    "ENCODINGS",
    "ColumnReport",
    "Encoder",
    "EncoderOptions",
    "Levels",
    "RowNumbering",
    "always",
    "encoding_of_texts",
    "identifies_rows",
    "numbers_rows",
    "with_features",
]


class EncoderOptions(NamedTuple):
    """The options of the encoding; the fields are the parameters of `TableEncoder`.

    Attributes
    ----------
    drop : sequence of str
        Columns to leave out.
    max_levels : int
        Largest number of distinct texts, besides rare ones, to encode one-hot; more are encoded by target means.
    min_count : int
        Least number of rows of a text that is not rare.
    n_pieces : int
        Features that a number has beside itself, one for each piece between its quantiles; 0 for none.
    """

    drop: Sequence[str] = ()
    max_levels: int = 30
    min_count: int = 2
    n_pieces: int = 0


class ColumnReport(NamedTuple):
    """The treatment of a column: its name, its kind, its number of features, and a description for people."""

    name: str
    kind: str
    n_features: int
    treatment: str


ENCODINGS: dict[str, type[ColumnEncoding]] = {
    cls.kind: cls for cls in (DroppedColumn, NumberColumn, TruthColumn, CategoryColumn, TargetMeanColumn, DateColumn)
}
"""The kinds of columns by their names."""

ALL_MISSING = "every cell is missing"
AS_ASKED = "left out as asked"
_NUMBERS_AT_ONCE = 2**18
"""The most features that are computed at a time: so many fit into a processor's cache."""

_FEW_ROWS = 20
_COMMON, _MUCH = 0.1, 0.25
"""The share of the rows that a common text has, and that which common texts have where a column is more than names."""

_NAMES_OF_ROWS = re.compile(
    r"|index|idx|id|ids|uid|uuid|guid|key|row|rows|rownum|rownames|row[ _.]?(?:id|number|name|names)|no|nr|unnamed: 0"
    r"|.*[ _.-](?:id|idx|uuid|guid|key)|\.\.\.1",
    re.IGNORECASE,
)
_CAMEL_CASE_ID = re.compile(r".*[a-z](?:Id|ID)")
"""Names of columns that may number the rows: distinct numbers under such a name are no quantity."""
_NAMES_OF_NUMBERS = re.compile(r".*[ _.-](?:no|nr)", re.IGNORECASE)
"""Names that end in "number", or answer a question: distinct numbers are none where they are close together."""
_NAMES_OF_COUNTS = re.compile(r"id|seq|case|obs|row|num|index|nr", re.IGNORECASE)
"""Parts of the names of columns that count the rows from 0 or 1."""


class _Layout(NamedTuple):
    """The places of columns in a matrix: those of numbers, whose features are computed together, and others.

    Attributes
    ----------
    n_features : int
        Number of columns of the matrix.
    others : list of (slice, ColumnEncoding)
        The columns that are no numbers, with the places of their features.
    names : list of str
        Names of the columns of numbers.
    numbers : NumberFeatures or None
        Their features, if there are any.
    places : ndarray of shape (n_features_of_numbers,)
        The places of these.
    """

    n_features: int
    others: list[tuple[slice, ColumnEncoding]]
    names: list[str]
    numbers: NumberFeatures | None
    places: NDArray[np.intp]


@dataclass(frozen=True)
class Encoder:
    """The fitted encoding of a table.

    Attributes
    ----------
    columns : tuple of ColumnEncoding
        Encodings of the columns, in the table's order.
    """

    columns: tuple[ColumnEncoding, ...]

    @classmethod
    def learn(
        cls,
        X: Columns,
        outputs: NDArray[np.float64] | None,
        options: EncoderOptions,
        rows: NDArray[np.intp] | None = None,
    ) -> tuple[Encoder, NDArray[np.float64]]:
        """Learn from training rows; return the matrix of these rows as well.

        Parameters
        ----------
        X : Columns
            Training rows, at least one.
        outputs : ndarray of shape (n_rows, n_outputs), or None
            Their targets as numbers; without them a column of many texts is encoded one-hot, within `EncoderOptions`.
        options : EncoderOptions
            Options of the encoding.
        rows : ndarray of shape (n_rows,), optional
            Their numbers in the table, counted from 0; by default the table has no other rows.

        Raises
        ------
        ValueError
            If no column is left; the message gives the reasons. If a column's numbers are too large to be scaled.
        DataError
            If the matrix is too large for memory.
        """
        numbering = np.arange(X.shape[0]) if rows is None else rows
        learnt = [_learnt(name, X.column(name), outputs, options, numbering) for name in X]
        found = [encoding for encoding, _ in learnt]
        encodings = with_features(found, lambda encoding: _number_after_all(encoding, X.column(encoding.name)))
        check_matrix_bytes(X.shape[0], sum(len(encoding.feature_names) for encoding in encodings))
        pieces = [
            encoding.transform(X.column(encoding.name).values) if piece is None else piece
            for encoding, (_, piece) in zip(encodings, learnt, strict=True)
        ]
        return cls(encodings), np.column_stack(pieces)

    @functools.cached_property
    def readings(self) -> dict[str, Reading]:
        """Kind and notation of each column that is needed."""
        return {encoding.name: encoding.reading for encoding in self.columns if encoding.reading is not None}

    @property
    def feature_names(self) -> list[str]:
        """The names of the columns of the matrix, all different."""
        names: dict[str, None] = {}
        for name in (name for encoding in self.columns for name in encoding.feature_names):
            while name in names:
                name += "_"
            names[name] = None
        return list(names)

    @property
    def numbers(self) -> list[NumberColumn] | None:
        """The columns that are needed, if all of them are numbers without gaps: what any matrix may hold."""
        needed = [encoding for encoding in self.columns if encoding.reading is not None]
        numbers = list(filter(is_number_without_gaps, needed))
        return numbers if len(numbers) == len(needed) else None

    @property
    def report(self) -> list[ColumnReport]:
        """The treatment of each column."""
        return [ColumnReport(c.name, c.kind, len(c.feature_names), c.treatment) for c in self.columns]

    def transform(self, X: Columns) -> NDArray[np.float64]:
        """Return the matrix (n_rows, n_features) of rows with the kinds and notations of `readings`.

        Raises
        ------
        DataError
            If it is too large for memory.
        """
        layout = self._layout
        check_matrix_bytes(X.shape[0], layout.n_features)
        matrix = np.empty((X.shape[0], layout.n_features))
        for places, encoding in layout.others:
            matrix[:, places] = encoding.transform(X.column(encoding.name).values)
        if layout.numbers is not None:
            numbers = [X.column(name).values for name in layout.names]
            for start, stop in blocks(len(matrix), layout.n_features, _NUMBERS_AT_ONCE):
                values = np.array([column[start:stop] for column in numbers]).T
                matrix[start:stop, layout.places] = layout.numbers.transform(values)
        return matrix

    @functools.cached_property
    def _layout(self) -> _Layout:
        """The places of the columns' features in the matrix."""
        needed = [encoding for encoding in self.columns if encoding.reading is not None]
        stops = np.cumsum([len(encoding.feature_names) for encoding in needed]).tolist()
        placed = [
            (slice(*ends), encoding) for ends, encoding in zip(itertools.pairwise([0, *stops]), needed, strict=True)
        ]
        numbers = [(places, encoding) for places, encoding in placed if isinstance(encoding, NumberColumn)]
        return _Layout(
            stops[-1],
            [(places, encoding) for places, encoding in placed if not isinstance(encoding, NumberColumn)],
            [encoding.name for _, encoding in numbers],
            NumberFeatures.of([encoding for _, encoding in numbers]) if numbers else None,
            np.concatenate([np.arange(stops[-1])[places] for places, _ in numbers] or [np.empty(0, np.intp)]),
        )

    def among(self, names: Sequence[str]) -> Encoder:
        """Return the encoder of a table with all these columns, of which those that are not known were left out."""
        known = {encoding.name: encoding for encoding in self.columns}
        return Encoder(tuple(known.get(name, DroppedColumn(name, AS_ASKED)) for name in names))

    def to_metadata(self) -> list[dict[str, Any]]:
        """Return a description for JSON."""
        return list(map(_described, self.columns))

    @classmethod
    def from_metadata(cls, described: Any) -> Encoder:
        """Return the encoder from its description.

        Raises
        ------
        ValueError
            If this is not a result of `to_metadata`.
        """
        if not isinstance(described, list):
            raise ValueError("the columns are not a list")
        return cls(tuple(map(_restored, described)))


def _learnt(
    name: str,
    column: Column,
    outputs: NDArray[np.float64] | None,
    options: EncoderOptions,
    rows: NDArray[np.intp],
) -> tuple[ColumnEncoding, NDArray[np.float64] | None]:
    """Return the encoding of a column, and its columns of the matrix if they are not those of `transform`."""
    if name in options.drop:
        return DroppedColumn(name, AS_ASKED), None
    kind = column.reading.kind
    if kind == "text":
        levels = Levels.of(Counter(column.values.tolist()))
        encoding = encoding_of_texts(name, column.reading.form, levels, options)
        is_kept = not isinstance(encoding, DroppedColumn)
        if is_kept and outputs is not None and len(levels.frequent(options)) > options.max_levels:
            return TargetMeanColumn.learn(name, column, outputs)
        return encoding, None
    reason = _reason_to_drop(name, column, rows)
    if reason is not None:
        return DroppedColumn(name, reason), None
    if kind == "number":
        return NumberColumn.learn(name, column, options.n_pieces), None
    if kind == "truth":
        return TruthColumn.learn(name, column), None
    return DateColumn.learn(name, column), None


def with_features(
    encodings: Sequence[ColumnEncoding], number_after_all: Callable[[ColumnEncoding], ColumnEncoding]
) -> tuple[ColumnEncoding, ...]:
    """Return the encodings of a table, of which one at least has a feature.

    Where none has, a column that counts the rows is better than no feature: ``number_after_all`` returns the encoding
    of a dropped column of numbers, and that of any other column as it is.

    Raises
    ------
    ValueError
        If none has even so; the message gives the reasons.
    """
    if not any(encoding.feature_names for encoding in encodings):
        encodings = [e if e.treatment == AS_ASKED else number_after_all(e) for e in encodings]
    if not any(encoding.feature_names for encoding in encodings):
        reasons = "; ".join(f"{encoding.name}: {encoding.treatment}" for encoding in encodings)
        raise ValueError(f"no feature is left of {counted(len(encodings), 'column')} ({reasons})")
    return tuple(encodings)


class Levels(NamedTuple):
    """The different texts of a column.

    Attributes
    ----------
    texts : list of str
        The different texts in sorted order.
    counts : ndarray of shape (n_texts,)
        Their numbers of rows.
    n_missing : int
        Number of rows without one.
    """

    texts: list[str]
    counts: NDArray[np.intp]
    n_missing: int

    @classmethod
    def of(cls, counts: Mapping[str | None, int]) -> Levels:
        """Return the texts of numbers of rows by texts, None where a cell is missing."""
        texts = sorted(text for text in counts if text is not None)
        return cls(texts, np.array([counts[text] for text in texts], dtype=np.intp), counts.get(None, 0))

    @property
    def share_of_common(self) -> float:
        """The share of the rows with a text whose text is common."""
        n_present = self.counts.sum()
        return float(self.counts[self.counts >= _COMMON * n_present].sum() / n_present)

    def frequent(self, options: EncoderOptions) -> list[str]:
        """Return the texts that are not rare."""
        return [text for text, count in zip(self.texts, self.counts, strict=True) if count >= options.min_count]


def encoding_of_texts(name: str, form: str, levels: Levels, options: EncoderOptions) -> ColumnEncoding:
    """Return the encoding of texts that does not ask for their targets: a column for each of the commonest ones."""
    reason = _reason_to_drop_texts(levels, options)
    if reason is not None:
        return DroppedColumn(name, reason)
    frequent = levels.frequent(options)
    if len(frequent) > options.max_levels:
        by_count = sorted(zip((-levels.counts).tolist(), levels.texts, strict=True))
        frequent = sorted(text for _, text in by_count[: options.max_levels])
    return CategoryColumn(name, form, frequent, len(levels.texts) - len(frequent), levels.n_missing > 0)


def _number_after_all(encoding: ColumnEncoding, column: Column) -> ColumnEncoding:
    """Return an encoding of a dropped column of numbers, for a table of which nothing else is left."""
    if column.reading.kind != "number" or column.missing.all():
        return encoding
    return NumberColumn.learn(encoding.name, column)


def _reason_to_drop(name: str, column: Column, rows: NDArray[np.intp]) -> str | None:
    """Return the reason to leave a column that is not of texts out, None if there is none."""
    missing = column.missing
    present = column.values[~missing]
    if not len(present):
        return ALL_MISSING
    if (present == present[0]).all():
        return None if missing.any() and column.reading.kind != "date" else always(present[0].item())
    if column.reading.kind == "number" and not missing.any() and numbers_rows(name, RowNumbering.of(present, rows)):
        return identifies_rows(len(present))
    return None


def _reason_to_drop_texts(levels: Levels, options: EncoderOptions) -> str | None:
    """Return the reason to leave a column of text out, None if there is none."""
    n_levels, n_present = len(levels.texts), int(levels.counts.sum())
    if not n_levels:
        return ALL_MISSING
    if n_levels == 1 and not levels.n_missing:
        return f"constant, always {shown(levels.texts[0])}"
    hardly_repeat = 2 * n_levels > n_present >= _FEW_ROWS and levels.share_of_common < _MUCH
    if levels.counts.max() < options.min_count or hardly_repeat:
        return f"{n_levels} different texts in {counted(n_present, 'row')}: it tells them apart"
    return None


def always(value: object) -> str:
    """Return the reason to leave a column out that has one value alone."""
    return f"constant, always {text_of(value)}"


def identifies_rows(n_rows: int) -> str:
    """Return the reason to leave a column of numbers out that tells the rows apart."""
    return f"{n_rows} different numbers in as many rows: it tells them apart"


class RowNumbering(NamedTuple):
    """What tells of numbers, one in each row, whether they identify the rows.

    Attributes
    ----------
    are_different : bool
        Whether they are whole, and no two alike.
    spread : float
        The difference between the greatest and the least.
    n_rows : int
        How many there are.
    counted_from : float or None
        The number of the table's first row, if each other number is that of its row, counted on; None if not.
    """

    are_different: bool
    spread: float
    n_rows: int
    counted_from: float | None

    @classmethod
    def of(cls, numbers: NDArray[np.float64], rows: NDArray[np.intp]) -> Self:
        """Return it of the numbers of these rows."""
        spread = float(numbers.max()) - float(numbers.min())  # infinite where float64 overflows
        return cls(are_whole_and_different(numbers), spread, len(numbers), counted_from(numbers, rows))


def are_whole_and_different(numbers: NDArray[np.float64]) -> bool:
    """Tell whether all numbers are whole, and no two alike."""
    return bool((numbers == np.trunc(numbers)).all()) and len(np.unique(numbers)) == len(numbers)


def counted_from(numbers: NDArray[np.float64], rows: NDArray[np.intp]) -> float | None:
    """Return the number of row 0 if all numbers are those of their rows, counted on from it; None if not.

    >>> counted_from(np.array([1.0, 2.0, 5.0]), np.array([0, 1, 4]))
    1.0
    """
    ahead = numbers - rows
    return ahead[0].item() if (ahead == ahead[0]).all() else None


def numbers_rows(name: str, numbering: RowNumbering) -> bool:
    """Tell whether numbers identify the rows, or their subjects, judging by the column's name and the numbers."""
    if not numbering.are_different:
        return False
    if _NAMES_OF_ROWS.fullmatch(name.strip()) or _CAMEL_CASE_ID.fullmatch(name.strip()):
        return True
    if _NAMES_OF_NUMBERS.fullmatch(name.strip()):
        return numbering.spread < 2 * numbering.n_rows
    return numbering.counted_from in (0.0, 1.0) and _NAMES_OF_COUNTS.search(name) is not None


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: type(value) is int and value >= 0,
    "float": lambda value: type(value) is float,
    "list[str]": lambda value: isinstance(value, list) and all(isinstance(text, str) for text in value),
    "list[float]": lambda value: isinstance(value, list) and all(type(number) is float for number in value),
    "list[list[float]]": lambda value: isinstance(value, list) and all(map(_CHECKS["list[float]"], value)),
}
"""Type checks by the annotations of fields."""


def _described(encoding: ColumnEncoding) -> dict[str, Any]:
    """Return what JSON can keep of a column; a field that has a default is left out where it is empty."""
    kept = dataclasses.asdict(encoding)
    empty = [field.name for field in dataclasses.fields(encoding) if _has_default(field) and not kept[field.name]]
    return {"kind": encoding.kind, **{name: value for name, value in kept.items() if name not in empty}}


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default_factory is not dataclasses.MISSING


def _restored(described: Any) -> ColumnEncoding:
    """Return the encoding of a column that `_described` described."""
    cls = ENCODINGS.get(str(described.get("kind"))) if isinstance(described, dict) else None
    if cls is None:
        raise ValueError("a column is of no known kind")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    needed = {name for name, field in fields.items() if not _has_default(field)}
    values = {name: value for name, value in described.items() if name != "kind"}
    if not needed <= values.keys() <= fields.keys() or not all(
        _CHECKS[str(fields[name].type)](value) for name, value in values.items()
    ):
        raise ValueError(f"a column of the kind {cls.kind} has other fields")
    encoding = cls(**values)
    if not encoding.is_sound or _described(encoding) != described:
        raise ValueError(f"a column of the kind {cls.kind} contradicts itself")
    return encoding

"""Encoding of columns as a real matrix: fitted to each column of the training rows, and applied to others.

Each kind of column has a class here, a frozen record of plain values that fit into JSON: `learn` makes it from the
training rows, `transform` returns the columns of the matrix. A new kind is one class, and an entry in `ENCODINGS`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from .cells import is_known
from .columns import Column, Columns, Reading
from .errors import counted, shown
from .moments import Moments
from .typed_columns import text_of

__all__ = ["ENCODINGS", "ColumnReport", "Encoder", "EncoderOptions"]


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


@dataclass(frozen=True)
class ColumnEncoding:
    """The fitted encoding of a column.

    Attributes
    ----------
    name : str
        Name of the column.
    """

    kind: ClassVar[str]
    name: str

    @property
    def reading(self) -> Reading | None:
        """Kind and notation of the column's cells; None if they are not needed."""
        raise NotImplementedError

    @property
    def feature_names(self) -> list[str]:
        """The names of the columns of the matrix."""
        raise NotImplementedError

    @property
    def treatment(self) -> str:
        """The treatment of the column, in words."""
        raise NotImplementedError

    @property
    def is_sound(self) -> bool:
        """Whether the fields, perhaps read from a file, are consistent; their types are checked before."""
        return self.reading is None or is_known(self.reading)

    def transform(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the columns of the matrix (n_rows, n_features) for some `Column.values`."""
        raise NotImplementedError


@dataclass(frozen=True)
class DroppedColumn(ColumnEncoding):
    """A column that is left out.

    Attributes
    ----------
    reason : str
        The reason, for people.
    """

    kind: ClassVar[str] = "dropped"
    reason: str

    @property
    def reading(self) -> None:
        """None: the cells are not needed."""
        return

    @property
    def feature_names(self) -> list[str]:
        """An empty list."""
        return []

    @property
    def treatment(self) -> str:
        """The reason."""
        return self.reason

    def transform(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return a matrix without columns."""
        return np.empty((len(values), 0))


@dataclass(frozen=True)
class NumberColumn(ColumnEncoding):
    """Numbers, ``z = (x - mean) / scale``; missing cells become the median, with a 1 in an indicator column.

    Between two edges, which are quantiles of x, is a piece. It has a column of its own: 0 below the piece, 1 above it,
    linear within (the piecewise linear encoding of Gorishniy, Rubachev and Babenko 2022).

    Attributes
    ----------
    form : str
        Notation of the numbers, as in `Reading`.
    median, mean, scale : float
        Statistics of the training rows.
    gaps : bool
        Whether a training row has a missing cell.
    edges : list of float
        The edges of the pieces, ascending, at least three; empty where there are no pieces.
    """

    kind: ClassVar[str] = "number"
    form: str
    median: float
    mean: float
    scale: float
    gaps: bool
    edges: list[float] = dataclasses.field(default_factory=list)

    @classmethod
    def learn(cls, name: str, column: Column, n_pieces: int = 0) -> Self:
        """Learn from training rows, at least one of which has a number."""
        missing = np.isnan(column.values)
        median = float(np.median(column.values[~missing]))
        filled = np.where(missing, median, column.values)
        mean, scale = _mean_and_scale(filled, name)
        return cls(name, column.reading.form, median, mean, scale, bool(missing.any()), _edges(filled, n_pieces))

    @property
    def reading(self) -> Reading:
        """Numbers in their notation."""
        return Reading("number", self.form)

    @property
    def feature_names(self) -> list[str]:
        """The column's own name, those of its pieces, counted from 1, and that of its indicator."""
        pieces = [f"{self.name}_piece{i}" for i in range(1, len(self.edges))]
        return [self.name, *pieces, *[f"{self.name}_missing"] * self.gaps]

    @property
    def treatment(self) -> str:
        """The treatment of the numbers."""
        written = "".join(mark for mark in self.form[1:] if mark not in ",.")
        notes = [f"written with {written}"] if written else []
        notes += ["written with groups of three digits"] if set(self.form[1:]) & set(",.") else []
        notes += [f"{len(self.edges) - 1} pieces"] if self.edges else []
        return "; ".join(["scaled", *notes]) + self._gaps_treatment

    @property
    def _gaps_treatment(self) -> str:
        """The treatment of missing cells, if there are any."""
        return f"; gaps become the median {self.median:g} and are marked" if self.gaps else ""

    @property
    def is_sound(self) -> bool:
        """Whether the scale is positive, and the edges ascend."""
        with np.errstate(over="ignore"):
            widths = np.diff(self.edges)
        finite = np.isfinite([self.median, self.mean, self.scale, *self.edges, *widths]).all().item()
        ascending = len(self.edges) not in (1, 2) and bool((widths > 0).all())
        return super().is_sound and self.scale > 0 and finite and ascending

    def transform(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the scaled numbers, their position in each piece, and the indicator of missing cells."""
        missing = np.isnan(values)
        filled = np.where(missing, self.median, values)[:, None]
        parts = [(filled - self.mean) / self.scale]
        if self.edges:
            with np.errstate(over="ignore"):
                parts.append(np.clip((filled - self.edges[:-1]) / np.diff(self.edges), 0.0, 1.0))
        return np.column_stack([*parts, missing] if self.gaps else parts)


@dataclass(frozen=True)
class TruthColumn(NumberColumn):
    """Truth values, as the numbers 1 and 0; ``form`` has the words for them."""

    kind: ClassVar[str] = "truth"

    @property
    def reading(self) -> Reading:
        """Truth values in their notation."""
        return Reading("truth", self.form)

    @property
    def treatment(self) -> str:
        """The treatment of the truth values."""
        false, true = self.form.split("/") if self.form else ("false", "true")
        return f"{true} is 1, {false} is 0; scaled" + self._gaps_treatment

    @property
    def is_sound(self) -> bool:
        """Whether the scale is positive; two numbers have no pieces."""
        return super().is_sound and not self.edges


@dataclass(frozen=True)
class CategoryColumn(ColumnEncoding):
    """Categories, one-hot: one column for each frequent text, one for all rare ones, and one for missing cells.

    An unknown text counts as rare; without a column for rare texts all of its columns are 0.

    Attributes
    ----------
    form : str
        Notation of the texts, as in `Reading`.
    levels : list of str
        The texts that have a column, sorted.
    rare : int
        Number of distinct rare texts.
    gaps : bool
        Whether a training row has a missing cell.
    """

    kind: ClassVar[str] = "category"
    form: str
    levels: list[str]
    rare: int
    gaps: bool

    @property
    def reading(self) -> Reading:
        """Text in its notation."""
        return Reading("text", self.form)

    @property
    def feature_names(self) -> list[str]:
        """The column's name followed by each text."""
        names = [f"{self.name}_{level}" for level in self.levels]
        return names + [f"{self.name}_other"] * bool(self.rare) + [f"{self.name}_missing"] * self.gaps

    @property
    def treatment(self) -> str:
        """The treatment of the texts."""
        notes = [_categories(len(self.levels))]
        notes += [f"{counted(self.rare, 'rare text')} together as one more"] if self.rare else []
        notes += ["gaps as one of their own"] if self.gaps else []
        return ", ".join(notes)

    @property
    def is_sound(self) -> bool:
        """Whether the texts are distinct."""
        return super().is_sound and len(set(self.levels)) == len(self.levels)

    def transform(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the one-hot matrix."""
        other = len(self.levels) if self.rare else -1
        codes = _codes(values, self.levels, unknown=other)
        width = len(self.feature_names)
        codes[Column(self.reading, values).missing] = width - 1 if self.gaps else -1
        return (codes[:, None] == np.arange(width)).astype(np.float64)


@dataclass(frozen=True)
class TargetMeanColumn(ColumnEncoding):
    """Many categories, each encoded as the mean of its targets, shrunk to the overall mean if its rows are few.

    Attributes
    ----------
    form : str
        Notation of the texts, as in `Reading`.
    levels : list of str
        The texts of the training rows, sorted; a missing cell is the empty text.
    means : list of list of float
        Scaled means, one for each text and output.
    fallback : list of float
        Scaled means for unknown texts, one for each output.
    """

    kind: ClassVar[str] = "many categories"
    form: str
    levels: list[str]
    means: list[list[float]]
    fallback: list[float]

    @property
    def reading(self) -> Reading:
        """Text in its notation."""
        return Reading("text", self.form)

    @property
    def feature_names(self) -> list[str]:
        """The column's own name, numbered if there are several."""
        n_outputs = len(self.fallback)
        return [self.name] if n_outputs == 1 else [f"{self.name}_{k}" for k in range(n_outputs)]

    @property
    def treatment(self) -> str:
        """The treatment of the texts."""
        return f"{_categories(len(self.levels))}, each the mean of its targets"

    @property
    def is_sound(self) -> bool:
        """Whether each text has one mean per output."""
        widths = {len(row) for row in (*self.means, self.fallback)}
        return super().is_sound and len(self.means) == len(set(self.levels)) == len(self.levels) and len(widths) == 1

    def transform(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the scaled mean of each row's text."""
        table = np.array([*self.means, self.fallback])
        return table[_codes(_filled(values), self.levels, unknown=len(self.levels))]

    @classmethod
    def learn(
        cls, name: str, column: Column, outputs: NDArray[np.float64]
    ) -> tuple[TargetMeanColumn, NDArray[np.float64]]:
        """Learn from training rows with their outputs (n_rows, n_outputs); return the columns of these rows as well.

        A row must not be encoded by its own target. Training rows are cross-fitted: each of `_N_FOLDS` folds is encoded
        by the means of the others, as in scikit-learn's ``TargetEncoder.fit_transform``.
        """
        texts = _filled(column.values)
        levels = sorted(set(texts))
        codes = _codes(texts, levels, unknown=0)
        part = np.random.RandomState(0).permutation(len(codes)) % _N_FOLDS
        others = np.empty((len(codes), outputs.shape[1]))
        for fold in range(_N_FOLDS):
            inside = part == fold
            means, fallback = _shrunken_means(codes[~inside], outputs[~inside], len(levels))
            others[inside] = means[codes[inside]]
        mean, scale = (np.array(numbers) for numbers in Moments.of(others).mean_and_scale([name] * outputs.shape[1]))
        means, fallback = ((table - mean) / scale for table in _shrunken_means(codes, outputs, len(levels)))
        learnt = cls(name, column.reading.form, levels, means.tolist(), fallback.tolist())
        return learnt, (others - mean) / scale


@dataclass(frozen=True)
class DateColumn(ColumnEncoding):
    """Dates and times: the elapsed time, the year, the month, the weekday and the time of day, as far as they vary.

    The elapsed days and the year are scaled; the others are periodic, and become a sine and a cosine. For a missing
    cell all of them are 0, and an indicator column is 1.

    Attributes
    ----------
    form : str
        Format of the dates, as in `Reading`.
    parts : list of str
        The keys of `DATE_PARTS` that are used.
    means, scales : list of float
        Mean and scale of the scaled parts; 0 and 1 for the periodic ones.
    gaps : bool
        Whether a training row has a missing cell.
    """

    kind: ClassVar[str] = "date"
    form: str
    parts: list[str]
    means: list[float]
    scales: list[float]
    gaps: bool

    @classmethod
    def learn(cls, name: str, column: Column) -> DateColumn:
        """Learn from training rows, two of which have different dates."""
        present = column.values[~np.isnat(column.values)]
        parts = [part for part, (number_of, _) in DATE_PARTS.items() if _differ(number_of(present))]
        if not _differ(_day(present)):
            # All dates are the same day of their months, often the first: the weekday means nothing.
            parts = [part for part in parts if part != "weekday"]
        if len(parts) > 1 and set(parts) == {"elapsed", "year"}:
            parts = ["year"]
        scaled = {
            part: _mean_and_scale(DATE_PARTS[part][0](present), name) for part in parts if not DATE_PARTS[part][1]
        }
        means, scales = ([scaled.get(part, (0.0, 1.0))[i] for part in parts] for i in (0, 1))
        return cls(name, column.reading.form, parts, means, scales, len(present) < len(column.values))

    @property
    def reading(self) -> Reading:
        """Dates in their format."""
        return Reading("date", self.form)

    @property
    def feature_names(self) -> list[str]:
        """The column's name followed by each part."""
        names = []
        for part in self.parts:
            names += [f"{part}_sin", f"{part}_cos"] if DATE_PARTS[part][1] else [part]
        return [f"{self.name}_{part}" for part in (*names, *["missing"] * self.gaps)]

    @property
    def treatment(self) -> str:
        """The treatment of the dates."""
        written = f"read as {self.form}: " if self.form else ""
        return written + ", ".join(self.parts) + ("; gaps are marked" if self.gaps else "")

    @property
    def is_sound(self) -> bool:
        """Whether the parts are known and each has a positive scale."""
        known = set(self.parts) <= DATE_PARTS.keys() and 0 < len(set(self.parts)) == len(self.parts)
        scaled = len(self.parts) == len(self.means) == len(self.scales) and all(scale > 0 for scale in self.scales)
        return super().is_sound and known and scaled

    def transform(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the parts, and the indicator of missing cells."""
        missing = np.isnat(values)
        there = np.where(missing, np.datetime64(0, "us"), values)
        columns = []
        for part, mean, scale in zip(self.parts, self.means, self.scales, strict=True):
            number_of, period = DATE_PARTS[part]
            numbers = number_of(there)
            if period:
                angle = numbers * (2.0 * np.pi / period)
                columns += [np.sin(angle), np.cos(angle)]
            else:
                columns.append((numbers - mean) / scale)
        matrix = np.column_stack(columns)
        matrix[missing] = 0.0
        return np.column_stack([matrix, missing]) if self.gaps else matrix


def _days(dates: NDArray[Any]) -> NDArray[np.float64]:
    """Return the days since 1970, with fractions."""
    return dates.astype(np.int64) / 86_400e6


def _year(dates: NDArray[Any]) -> NDArray[np.float64]:
    """Return the year."""
    return dates.astype("datetime64[Y]").astype(np.float64) + 1970.0


def _month(dates: NDArray[Any]) -> NDArray[np.float64]:
    """Return the month from 0 to 11."""
    return np.mod(dates.astype("datetime64[M]").astype(np.float64), 12.0)


def _day(dates: NDArray[Any]) -> NDArray[np.float64]:
    """Return the day of the month from 0."""
    return np.floor(_days(dates)) - _days(dates.astype("datetime64[M]").astype("datetime64[us]"))


def _differ(numbers: NDArray[np.float64]) -> bool:
    """Tell whether numbers are not all the same."""
    return bool((numbers != numbers[0]).any())


def _weekday(dates: NDArray[Any]) -> NDArray[np.float64]:
    """Return the day of the week, 0 for a Monday."""
    return np.mod(np.floor(_days(dates)) + 3.0, 7.0)


def _hour(dates: NDArray[Any]) -> NDArray[np.float64]:
    """Return the hours since midnight, with fractions."""
    return 24.0 * np.mod(_days(dates), 1.0)


DATE_PARTS: dict[str, tuple[Callable[[NDArray[Any]], NDArray[np.float64]], float | None]] = {
    "elapsed": (_days, None),
    "year": (_year, None),
    "month": (_month, 12.0),
    "weekday": (_weekday, 7.0),
    "hour": (_hour, 24.0),
}
"""The parts of a date: a function from dates to numbers, and the period, None for a part that is not periodic."""

ENCODINGS: dict[str, type[ColumnEncoding]] = {
    cls.kind: cls for cls in (DroppedColumn, NumberColumn, TruthColumn, CategoryColumn, TargetMeanColumn, DateColumn)
}
"""The kinds of columns by their names."""

_AS_ASKED = "left out as asked"
_N_FOLDS = 5
_FEW_ROWS = 20
_NAMES_OF_ROWS = re.compile(
    r"|index|idx|id|ids|uid|uuid|guid|key|row|rows|rownum|rownames|row[ _.]?(?:id|number|name|names)|no|nr|unnamed: 0"
    r"|.*[ _.-](?:id|idx|uuid|guid|key|no|nr)|\.\.\.1",
    re.IGNORECASE,
)
_CAMEL_CASE_ID = re.compile(r".*[a-z](?:Id|ID)")
"""Names of columns that may number the rows: distinct numbers under such a name are no quantity."""
_NAMES_OF_COUNTS = re.compile(r"id|seq|case|obs|row|num|index|nr", re.IGNORECASE)
"""Parts of the names of columns that count the rows from 0 or 1."""


class Encoder(NamedTuple):
    """The fitted encoding of a table.

    Attributes
    ----------
    columns : tuple of ColumnEncoding
        Encodings of the columns, in the table's order.
    """

    columns: tuple[ColumnEncoding, ...]

    @classmethod
    def learn(
        cls, X: Columns, outputs: NDArray[np.float64] | None, options: EncoderOptions
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

        Raises
        ------
        ValueError
            If no column is left; the message gives the reasons. If a column's numbers are too large to be scaled.
        """
        learnt = [_learnt(name, X.column(name), outputs, options) for name in X]
        if not any(encoding.feature_names for encoding, _ in learnt):
            # A column that counts the rows is better than no feature.
            learnt = [(_number_after_all(encoding, X.column(encoding.name)), None) for encoding, _ in learnt]
        if not any(encoding.feature_names for encoding, _ in learnt):
            reasons = "; ".join(f"{encoding.name}: {encoding.treatment}" for encoding, _ in learnt)
            raise ValueError(f"no feature is left of {counted(len(learnt), 'column')} ({reasons})")
        pieces = [e.transform(X.column(e.name).values) if piece is None else piece for e, piece in learnt]
        return cls(tuple(encoding for encoding, _ in learnt)), np.column_stack(pieces)

    @property
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
        numbers = [encoding for encoding in needed if isinstance(encoding, NumberColumn) and not encoding.gaps]
        return numbers if len(numbers) == len(needed) else None

    @property
    def report(self) -> list[ColumnReport]:
        """The treatment of each column."""
        return [ColumnReport(c.name, c.kind, len(c.feature_names), c.treatment) for c in self.columns]

    def transform(self, X: Columns) -> NDArray[np.float64]:
        """Return the matrix (n_rows, n_features) of rows with the kinds and notations of `readings`."""
        return np.column_stack([c.transform(X.column(c.name).values) for c in self.columns if c.reading is not None])

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
    name: str, column: Column, outputs: NDArray[np.float64] | None, options: EncoderOptions
) -> tuple[ColumnEncoding, NDArray[np.float64] | None]:
    """Return the encoding of a column, and its columns of the matrix if they are not those of `transform`."""
    reason = _reason_to_drop(name, column, options)
    if reason is not None:
        return DroppedColumn(name, reason), None
    kind = column.reading.kind
    if kind == "number":
        return NumberColumn.learn(name, column, options.n_pieces), None
    if kind == "truth":
        return TruthColumn.learn(name, column), None
    if kind == "date":
        return DateColumn.learn(name, column), None
    levels, counts = _levels(column)
    frequent = [level for level, count in zip(levels, counts, strict=True) if count >= options.min_count]
    if len(frequent) > options.max_levels:
        if outputs is not None:
            return TargetMeanColumn.learn(name, column, outputs)
        by_count = sorted(zip((-counts).tolist(), levels, strict=True))
        frequent = sorted(level for _, level in by_count[: options.max_levels])
    gaps = bool(column.missing.any())
    return CategoryColumn(name, column.reading.form, frequent, len(levels) - len(frequent), gaps), None


def _number_after_all(encoding: ColumnEncoding, column: Column) -> ColumnEncoding:
    """Return an encoding of a dropped column of numbers, for a table of which nothing else is left."""
    if column.reading.kind != "number" or column.missing.all() or encoding.treatment == _AS_ASKED:
        return encoding
    return NumberColumn.learn(encoding.name, column)


def _reason_to_drop(name: str, column: Column, options: EncoderOptions) -> str | None:
    """Return the reason to leave a column out, None if there is none."""
    if name in options.drop:
        return _AS_ASKED
    missing = column.missing
    present = column.values[~missing]
    if not len(present):
        return "every cell is missing"
    if column.reading.kind == "text":
        return _reason_to_drop_texts(column, options)
    if (present == present[0]).all():
        return (
            None
            if missing.any() and column.reading.kind != "date"
            else f"constant, always {text_of(present[0].item())}"
        )
    if column.reading.kind == "number" and not missing.any() and _numbers_rows(name, present):
        return f"{len(present)} different numbers in as many rows: it tells them apart"
    return None


def _reason_to_drop_texts(column: Column, options: EncoderOptions) -> str | None:
    """Return the reason to leave a column of text out, None if there is none."""
    levels, counts = _levels(column)
    n_present = int(counts.sum())
    if len(levels) == 1 and n_present == len(column.values):
        return f"constant, always {shown(levels[0])}"
    if counts.max() < options.min_count or (2 * len(levels) > n_present >= _FEW_ROWS):
        return f"{len(levels)} different texts in {counted(n_present, 'row')}: it tells them apart"
    return None


def _numbers_rows(name: str, numbers: NDArray[np.float64]) -> bool:
    """Tell whether numbers identify the rows, or their subjects, judging by the column's name and the numbers."""
    if not (numbers == np.trunc(numbers)).all() or len(np.unique(numbers)) < len(numbers):
        return False
    if _NAMES_OF_ROWS.fullmatch(name.strip()) or _CAMEL_CASE_ID.fullmatch(name.strip()):
        return True
    counted_up = np.array_equal(numbers, numbers[0] + np.arange(len(numbers)))
    return counted_up and numbers[0] in (0.0, 1.0) and _NAMES_OF_COUNTS.search(name) is not None


def _levels(column: Column) -> tuple[list[str], NDArray[np.intp]]:
    """Return the distinct texts of a column, sorted, and their numbers of rows."""
    counts: dict[str, int] = {}
    for text in column.values:
        if text is not None:
            counts[text] = counts.get(text, 0) + 1
    levels = sorted(counts)
    return levels, np.array([counts[level] for level in levels], dtype=np.intp)


def _filled(values: NDArray[Any]) -> list[str]:
    """Return texts with missing cells as empty texts."""
    return ["" if text is None else text for text in values]


def _codes(values: Sequence[Any] | NDArray[Any], levels: Sequence[str], *, unknown: int) -> NDArray[np.int64]:
    """Return the index of each text among the levels, ``unknown`` for others."""
    index = {level: code for code, level in enumerate(levels)}
    return np.fromiter((index.get(text, unknown) for text in values), np.int64, len(values))


def _shrunken_means(
    codes: NDArray[np.int64], outputs: NDArray[np.float64], n_levels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each level's mean of the outputs, shrunk to the overall mean, and the overall mean.

    With n rows of a level, of mean m and variance v, and the mean M and the variance V of all: ``w m + (1 - w) M``,
    ``w = n V / (n V + v)``: empirical Bayes, as scikit-learn's ``TargetEncoder(smooth="auto")`` (Micci-Barreca 2001).
    """
    count = np.bincount(codes, minlength=n_levels)[:, None].astype(np.float64)
    overall, spread = outputs.mean(axis=0), outputs.var(axis=0)
    sums = np.column_stack([np.bincount(codes, y, minlength=n_levels) for y in outputs.T])
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / count
        squares = np.square(outputs - means[codes])
        within = np.column_stack([np.bincount(codes, y, minlength=n_levels) for y in squares.T]) / count
        weight = count * spread / (count * spread + within)
        shrunken = weight * means + (1.0 - weight) * overall
    return np.where(np.isnan(shrunken), overall, shrunken), overall


def _mean_and_scale(numbers: NDArray[np.float64], name: str) -> tuple[float, float]:
    """Return the mean and the standard deviation of one column."""
    (mean,), (scale,) = Moments.of(numbers[:, None]).mean_and_scale([name])
    return mean, scale


def _edges(numbers: NDArray[np.float64], n_pieces: int) -> list[float]:
    """Return the different ones of the quantiles that bound the pieces; none where there is but one piece.

    Quantiles are numbers of the column, not between them: two different numbers have no pieces.
    """
    if n_pieces < 2:
        return []
    edges: list[float] = np.unique(np.quantile(numbers, np.linspace(0.0, 1.0, n_pieces + 1), method="lower")).tolist()
    return edges if len(edges) > 2 else []


def _categories(number: int) -> str:
    return "1 category" if number == 1 else f"{number} categories"


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

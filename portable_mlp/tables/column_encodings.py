"""Encodings of single columns: numbers, truth values, categories. Those of dates are in `date_encoding`.

Each kind of column has a class, a frozen record of plain values that fit into JSON: `learn` makes it from the training
rows, `transform` returns the columns of the matrix. `encoding` chooses the kind.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeGuard

import numpy as np
from numpy.typing import NDArray

from .cells import is_known
from .columns import Column, Reading
from .dates import hint_of_dates
from .errors import counted
from .moments import Moments
from .number_features import NumberFeatures
from .number_forms import form_in_words

__all__ = [
    "CategoryColumn",
    "ColumnEncoding",
    "DroppedColumn",
    "NumberColumn",
    "TargetMeanColumn",
    "TruthColumn",
    "edges_between",
    "is_number_without_gaps",
]

_N_FOLDS = 5


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
        (mean,), (scale,) = Moments.of(filled[:, None]).mean_and_scale([name])
        return cls(name, column.reading.form, median, mean, scale, bool(missing.any()), edges_between(filled, n_pieces))

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
        notes = form_in_words(self.form)
        notes += [f"{len(self.edges) - 1} pieces between quantiles"] if self.edges else []
        hint = hint_of_dates(self.name, self.median, self.scale)
        notes += [hint] if hint else []
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
        return NumberFeatures.of([self]).transform(values[:, None])


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


def is_number_without_gaps(encoding: ColumnEncoding) -> TypeGuard[NumberColumn]:
    """Tell whether a column is of numbers, or of truth values, none of which is missing: what any matrix may hold."""
    return isinstance(encoding, NumberColumn) and not encoding.gaps


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


def edges_between(numbers: NDArray[np.float64], n_pieces: int) -> list[float]:
    """Return the different ones of the quantiles that bound the pieces; none where there is but one piece.

    Quantiles are numbers of the column, not between them: two different numbers have no pieces.
    """
    if n_pieces < 2:
        return []
    edges: list[float] = np.unique(np.quantile(numbers, np.linspace(0.0, 1.0, n_pieces + 1), method="lower")).tolist()
    return edges if len(edges) > 2 else []


def _categories(number: int) -> str:
    return "1 category" if number == 1 else f"{number} categories"

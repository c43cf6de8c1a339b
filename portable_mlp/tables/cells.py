"""The kind of a column of text: numbers, truth values, dates or text, inferred once from all of its cells.

Where nearly all cells are of one kind and a few contradict it, these are mistakes, and the first is reported with its
place. Only the words of `MISSING` become missing cells.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .columns import Column, Reading
from .dates import DATE_FORMS, DIGIT_FORMS, date_form, digit_form, names_dates, parsed_date
from .errors import DataError, shown
from .number_forms import (
    SPACES,
    is_number_form,
    measure_in,
    other_mark,
    parsed_number,
    unit_in,
    unit_of,
    written_numbers,
)
from .text_numbers import as_float, as_truth, checked_feature, is_code, not_a_number

__all__ = [
    "MISSING",
    "MISSING_NUMBERS",
    "PLURAL",
    "Cells",
    "as_strict",
    "check_decimal_mark",
    "is_known",
    "numbers_of",
    "read_as",
    "recognised",
    "with_dates",
]

MISSING = frozenset(
    (
        *("", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "NULL", "null"),
        *("#N/A", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"),
    )
)
"""Missing cells of any column: empty, or as pandas, R and databases write them, or an error of a spreadsheet."""

MISSING_NUMBERS = MISSING | {"None", "?", "-", "."}
"""Missing cells of a column of numbers, truth values or dates; in a column of text some of these may be names."""

PLURAL = {"number": "numbers", "text": "texts", "truth": "truth values", "date": "dates"}
"""The contents of a column in words, by its kind."""

TRUTH_WORDS = (("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"))
"""The words of truth values, in lower case."""

PAIRS_OF_TRUTH_WORDS = (
    *(("off", "on"), ("falsch", "wahr"), ("faux", "vrai"), ("falso", "verdadero"), ("falso", "verdadeiro")),
    *(("falso", "vero"), ("nein", "ja"), ("nee", "ja"), ("nej", "ja"), ("nei", "ja"), ("non", "oui")),
    *(("no", "s\u00ed"), ("no", "s\u00ec"), ("no", "si"), ("n\u00e3o", "sim"), ("nao", "sim"), ("nie", "tak")),
    *(("ne", "ano"), ("ne", "da"), ("nu", "da"), ("\u043d\u0435\u0442", "\u0434\u0430"), ("ei", "kyll\u00e4")),
    ("hay\u0131r", "evet"),
)
"""Words that are truth values where a column has both of a pair and no other: one alone may be a name."""

_WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))\.0*", re.ASCII)

_MANY, _SHARE = 10, 0.9
"""The least number of cells of one kind, and their least share of a column, that make the others mistakes."""


class Cells(NamedTuple):
    """The cells of a column as text.

    Attributes
    ----------
    name : str
        Name of the column.
    texts : list of str
        The distinct cells, without blanks around them.
    codes : ndarray of shape (n_rows,), integer
        Index into ``texts`` for each row.
    place : callable
        Function from a row, counted from 0, to its place in error messages.
    """

    name: str
    texts: list[str]
    codes: NDArray[Any]
    place: Callable[[int], object]

    @classmethod
    def of(cls, name: str, texts: Iterable[str], place: Callable[[int], object]) -> Cells:
        """Return the cells of a column given row by row."""
        number: dict[str, int] = {}
        codes = np.fromiter((number.setdefault(text, len(number)) for text in texts), np.int64)
        return cls(name, list(number), codes, place)

    def stripped(self) -> Cells:
        """Return the cells without spaces of any kind around them, such as the no-break space in an empty cell."""
        texts = [text.strip(SPACES) for text in self.texts]
        if texts == self.texts:
            return self
        number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        codes = np.array([number[text] for text in texts])[self.codes]
        return self._replace(texts=list(number), codes=codes)

    def rows(self, chosen: NDArray[Any]) -> Cells:
        """Return the cells of the rows with these numbers."""
        kept, codes = np.unique(self.codes[chosen], return_inverse=True)
        return Cells(self.name, [self.texts[i] for i in kept.tolist()], codes, lambda row: self.place(int(chosen[row])))

    def spread(self, values: Sequence[Any], dtype: Any) -> NDArray[Any]:
        """Return one value per row, from one per distinct text."""
        different = np.empty(len(values), dtype=dtype)
        different[:] = values
        return different[self.codes]

    def first(self, wrong: Iterable[bool]) -> int:
        """Return the first row with a wrong text; ``wrong`` has one entry per distinct text."""
        return int(np.argmax(np.fromiter(wrong, np.bool_, len(self.texts))[self.codes]))

    def n_rows_with(self, chosen: Iterable[bool]) -> int:
        """Return the number of rows with a chosen text; ``chosen`` has one entry per distinct text."""
        return int(np.count_nonzero(np.fromiter(chosen, np.bool_, len(self.texts))[self.codes]))


def recognised(cells: Cells, decimal: str = ".") -> Column:
    """Return a column with the kind inferred from its cells.

    Parameters
    ----------
    cells : Cells
        The cells as they are written.
    decimal : {".", ","}
        Decimal mark of numbers.

    Raises
    ------
    DataError
        If nearly all cells are numbers, truth values or dates, and others are not; the message names the first of
        these. If all cells look like numbers with a decimal comma, and ``decimal`` is a point.
    """
    cells = cells.stripped()
    present = [text for text in cells.texts if text not in MISSING_NUMBERS]
    if any(map(is_code, present)):
        return read_as(cells, Reading("text"))  # numbers would lose the leading zeros of codes
    unit = unit_in(present)
    numbers = _numbers(cells, present, decimal + unit)
    if numbers is not None:
        return numbers
    as_numbers = Reading("number", decimal + unit)
    if all(as_float(text) is not None for text in present):
        raise _contradiction(cells, as_numbers)  # an infinity, or the other decimal mark
    others = list(_other_readings(present))
    for reading in others:
        if all(_value(text, reading) is not None for text in present):
            return read_as(cells, reading)
    measured = _measured(cells, present, decimal)
    if measured is not None:
        return measured
    if decimal == ".":
        _check_decimal_mark(cells, unit)
    for reading in (*reversed(others), as_numbers):
        _check_consistent(cells, reading)
    if decimal == ".":
        _check_decimal_mark(cells, unit, _SHARE)
    return read_as(cells, Reading("text"))


def read_as(cells: Cells, reading: Reading) -> Column:
    """Return a column whose kind and notation are known.

    Raises
    ------
    DataError
        If a cell is neither of this kind nor missing; the message names it.
    """
    cells = cells.stripped()
    if reading.kind == "text":
        spelt = _code if reading.form == "code" else str
        return Column(reading, cells.spread([None if text in MISSING else spelt(text) for text in cells.texts], object))
    noted = _with_form(reading, [text for text in cells.texts if text not in MISSING_NUMBERS])
    values = [None if text in MISSING_NUMBERS else _value(text, noted) for text in cells.texts]
    if any(value is None and text not in MISSING_NUMBERS for text, value in zip(cells.texts, values, strict=True)):
        raise _contradiction(cells, noted)
    if reading.kind == "date":
        return Column(reading, cells.spread([np.datetime64(v, "us") for v in values], "datetime64[us]"))
    return Column(reading, cells.spread([math.nan if v is None else v for v in values], np.float64))


def _code(text: str) -> str:
    """Return a whole number without a fraction: joins and missing cells turn the code 3 into 3.0."""
    match = _WHOLE.fullmatch(text)
    return text if match is None else match[1]


def with_dates(name: str, column: Column) -> Column:
    """Return a column of numbers such as 20200127 as dates, if its name speaks of dates and every number is one."""
    if column.reading.kind != "number" or not names_dates(name):
        return column
    different, codes = np.unique(column.values, return_inverse=True)  # NaN, one at most, comes last
    form = digit_form(different[~np.isnan(different)].tolist())
    if form is None:
        return column
    dates = [None if math.isnan(number) else parsed_date(f"{number:.15g}", form) for number in different.tolist()]
    return Column(Reading("date", form), np.array(dates, "datetime64[us]")[codes.reshape(-1)])


def numbers_of(cells: Cells, decimal: str) -> Column | None:
    """Return a column of numbers written with further marks, such as 27,000 or $5; None for any other column."""
    cells = cells.stripped()
    present = [text for text in cells.texts if text not in MISSING_NUMBERS]
    column = _numbers(cells, present, decimal + unit_in(present)) or _measured(cells, present, decimal)
    return None if column is None or column.reading.form == "." else column


def _measured(cells: Cells, present: Sequence[str], decimal: str) -> Column | None:
    """Return a column of numbers all of which have the same unit of measure behind them; None for any other column."""
    unit = measure_in(present)
    return _numbers(cells, present, decimal + unit) if unit else None


def _numbers(cells: Cells, present: Sequence[str], form: str) -> Column | None:
    """Return a column of numbers with a decimal mark and a unit; None for any other column."""
    written = written_numbers(present, form)
    if written is None:
        return None
    number = dict(zip(present, written[0], strict=True))
    values = [number.get(text, math.nan) for text in cells.texts]
    return Column(Reading("number", written[1]), cells.spread(values, np.float64))


def check_decimal_mark(cells: Cells) -> None:
    """Raise DataError if all cells are numbers with the comma as the decimal mark, and some with no other."""
    _check_decimal_mark(cells, unit_in(cells.texts))


def _check_decimal_mark(cells: Cells, unit: str, share: float = 1.0) -> None:
    """Raise DataError if this share of the cells, ten at least unless it is 1, are numbers, and some by a comma alone.

    With the comma as the decimal mark 9,5 is a number, and so is 1.234.567.
    """
    sound = _sound(cells, Reading("number", "," + unit), share)
    if sound is None or (share < 1.0 and cells.n_rows_with(sound) < _MANY):
        return
    # Four numbers between points may be the address of a computer.
    by_comma = [
        fits and parsed_number(text, "." + unit) is None and ("," in text or text.count(".") != 3)
        for text, fits in zip(cells.texts, sound, strict=True)
    ]
    if any(by_comma):
        row = cells.first(by_comma)
        raise DataError(
            f"{cells.place(row)}: {shown(cells.texts[cells.codes[row]])} is not a number (--decimal , reads decimal "
            "commas, as does decimal=',')"
        )


def as_strict(cells: Cells) -> Column:
    """Return a column of finite numbers alone, or of truth values alone if the first cell is one.

    Raises
    ------
    DataError
        If a cell is anything else; the message names the first.
    """
    is_truth = as_truth(cells.texts[cells.codes[0]]) is not None
    first_rows = np.unique(cells.codes, return_index=True)[1]
    # Distinct texts are checked in the order of their first rows, so that the first mistake is reported.
    values = {
        int(cells.codes[row]): checked_feature(cells.texts[cells.codes[row]], cells.place(int(row)), is_truth)
        for row in np.sort(first_rows)
    }
    reading = Reading("truth", "false/true") if is_truth else Reading("number", ".")
    return Column(reading, cells.spread([values[code] for code in range(len(cells.texts))], np.float64))


def is_known(reading: Reading) -> bool:
    """Tell whether a reading is one that this module infers."""
    kind, form = reading
    if kind == "number":
        return form == "" or is_number_form(form)
    if kind == "truth":
        return form == "" or tuple(form.split("/")) in (*TRUTH_WORDS, *PAIRS_OF_TRUTH_WORDS)
    return form in ("", *DATE_FORMS, *DIGIT_FORMS) if kind == "date" else kind == "text" and form in ("", "code")


def _other_readings(present: Sequence[str]) -> Iterator[Reading]:
    """Yield the candidate readings of a column that is not of numbers alone, likeliest first."""
    lowered = {text.lower() for text in present}
    for words in TRUTH_WORDS:
        # Of two letters both are needed, unless there is nothing else: beside m, f is no truth value.
        is_word = len(words[0]) > 1 or lowered <= set(words) or set(words) <= lowered
        if is_word and any(text.lower() in words for text in present[:2]):
            yield Reading("truth", "/".join(words))
    yield from (Reading("truth", "/".join(words)) for words in PAIRS_OF_TRUTH_WORDS if lowered == set(words))
    # A column of dates may have a mistake among its first cells.
    for some in (present, present[:1], present[1:2]):
        form = date_form(some) if some else None
        if form is not None:
            yield Reading("date", form)


def _value(text: str, reading: Reading) -> Any:
    """Parse a text; return None if it does not match the reading."""
    if reading.kind == "number":
        return parsed_number(text, reading.form or ".")
    if reading.kind == "truth":
        return next(
            (float(words.index(text.lower())) for words in _truth_words(reading) if text.lower() in words), None
        )
    return parsed_date(text, reading.form) if reading.form else None


def _with_form(reading: Reading, present: Sequence[str]) -> Reading:
    """Return a reading with one notation for all texts where it has none, that of the first text if they differ."""
    if reading.form or reading.kind == "number" or not present:
        return reading
    form_of = date_form if reading.kind == "date" else _truth_form
    return reading._replace(form=form_of(present) or form_of(present[:1]) or "")


def _truth_form(texts: Sequence[str]) -> str | None:
    """Return the pair of words that all texts are of, None if there is none."""
    lowered = {text.lower() for text in texts}
    return next(("/".join(words) for words in TRUTH_WORDS if lowered <= set(words)), None)


def _truth_words(reading: Reading) -> Sequence[tuple[str, ...]]:
    """Return the words for truth values in this notation; all words if the column was not read from text."""
    return (tuple(reading.form.split("/")),) if reading.form else TRUTH_WORDS


def _sound(cells: Cells, reading: Reading, share: float) -> list[bool] | None:
    """Tell of each different text whether it is read so; None if fewer than this share of the cells are."""
    n_rows = np.bincount(cells.codes, minlength=len(cells.texts)).tolist()
    present = [text not in MISSING_NUMBERS for text in cells.texts]
    n_present = n_sound = sum(n for n, there in zip(n_rows, present, strict=True) if there)
    sound = []
    for text, n, there in zip(cells.texts, n_rows, present, strict=True):
        sound.append(there and _value(text, reading) is not None)
        n_sound -= n if there and not sound[-1] else 0
        if n_sound < share * n_present:
            return None
    return sound


def _check_consistent(cells: Cells, reading: Reading) -> None:
    """Raise DataError if nearly all cells are of one kind, so that the others are mistakes."""
    sound = _sound(cells, reading, _SHARE)
    n_sound = 0 if sound is None else cells.n_rows_with(sound)
    n_present = cells.n_rows_with(text not in MISSING_NUMBERS for text in cells.texts)
    if _MANY <= n_sound < n_present:
        raise DataError(
            f"{_contradiction(cells, reading)}, while {n_sound} of the {n_present} cells of column "
            f"{shown(cells.name)} are {PLURAL[reading.kind]} (--categorical takes all of them as texts)"
        )


def _contradiction(cells: Cells, reading: Reading) -> DataError:
    """Return the error for the first cell that is neither missing nor read so."""
    row = cells.first(text not in MISSING_NUMBERS and _value(text, reading) is None for text in cells.texts)
    text, place = cells.texts[cells.codes[row]], cells.place(row)
    if reading.kind == "number":
        return _no_number(text, place, reading.form or ".")
    if reading.kind == "truth":
        words = ", or ".join(" or ".join(reversed(pair)) for pair in _truth_words(reading))
        return DataError(f"{place}: {shown(text)} is not {words}")
    return DataError(f"{place}: {shown(text)} is not a date of the form {reading.form or 'YYYY-MM-DD'}")


def _no_number(text: str, place: object, form: str) -> DataError:
    """Return the error for a cell that is not a number of this form, with the reason."""
    unit, found = unit_of(form), unit_in([text])
    if parsed_number(text, other_mark(form) + unit) is not None:
        return DataError(f"{place}: {shown(text)} is not a number with the decimal mark {form[0]!r}")
    if unit != found and parsed_number(text, form[0] + found) is not None:
        here = f"has the unit {found!r}" if found else "has no unit"
        there = f"have {unit!r}" if unit else "have none"
        return DataError(f"{place}: {shown(text)} {here}, where the other cells of its column {there}")
    return not_a_number(text, place)

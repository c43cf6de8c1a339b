"""Numbers as people write them: with groups of digits, units of money, per-cent signs, and several minus signs.

The form of a column of numbers is a text: the decimal mark, then the other marks in use (`_MARKS`), then the unit. The
decimal mark is known, so that the other one can only group digits, and no other mark has two meanings: a number may
have any of them, whatever the form says. A unit is another matter: 5 may not be $5.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .text_numbers import as_float

__all__ = [
    "SPACES",
    "form_in_words",
    "is_number_form",
    "measure_in",
    "other_mark",
    "parsed_number",
    "unit_in",
    "unit_of",
]

SPACES = " \t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
"""Tabs and Unicode's spaces: no-break, narrow and thin ones are written between groups of digits and before units."""

_MINUS = "\u2212"
"""The minus sign of typesetting."""

_APOSTROPHES = "'\u2019"

_SHARES = ("%", "\u2030")
"""Units that no cell may lack: 0.12 is not 12 %."""

_MONEY_IN_LETTERS = (
    *("R$", "US$", "A$", "C$", "z\u0142", "K\u010d", "kr", "Ft", "lei", "Rs", "Fr"),
    *("AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HUF", "INR", "JPY", "MXN", "NOK", "PLN", "SEK"),
    *("TRY", "USD", "ZAR"),
)
_MONEY = (*"$\u00a2\u00a3\u00a4\u00a5\u0e3f", *map(chr, range(0x20A0, 0x20C1)), *_MONEY_IN_LETTERS)
_UNITS = frozenset((*_SHARES, *_MONEY))
_MEASURE = re.compile(r"°?[^\W\d_]{1,8}(?:/[^\W\d_]{1,8})?[²³]?")
"""Any other unit, such as kg, °C, km/h or m², which no cell may lack."""

_MARKS = {
    ",": "groups of three digits",
    ".": "groups of three digits",
    " ": "blanks between groups of digits",
    "'": "apostrophes between groups of digits",
    "(": "parentheses around negative numbers",
    "-": "minus signs behind the numbers",
    _MINUS: f"the minus sign {_MINUS}",
}
"""The marks of a form, in their order, in words."""

_FORM = re.compile(rf"(?P<decimal>[.,])(?P<marks>(?:(?!(?P=decimal))[.,])? ?'?\(?-?{_MINUS}?)(?P<unit>.*)")
_ABOUT_A_UNIT = "0123456789.,+-()" + _MINUS + _APOSTROPHES + SPACES
"""What a number may have before and behind its unit."""


class _Number(NamedTuple):
    """A number and the marks with which it is written."""

    value: float
    marks: str


def is_number_form(form: str) -> bool:
    """Tell whether a text is the form of a column of numbers."""
    found = _FORM.fullmatch(form)
    return found is not None and (found["unit"] in ("", *_UNITS) or _MEASURE.fullmatch(found["unit"]) is not None)


@functools.cache
def unit_of(form: str) -> str:
    """Return the unit of a form, empty if it has none.

    >>> unit_of(".,$"), unit_of(". "), unit_of(",.EUR")
    ('$', '', 'EUR')
    """
    found = _FORM.fullmatch(form)
    return found["unit"] if found else ""


def other_mark(form: str) -> str:
    """Return the mark that is not the decimal one."""
    return "," if form[0] == "." else "."


def form_in_words(form: str) -> list[str]:
    """Return the unit and the marks of a form in words.

    >>> form_in_words(".,$"), form_in_words(".")
    (['written with $', 'written with groups of three digits'], [])
    """
    found = _FORM.fullmatch(form)
    if found is None:
        return []
    parts = [found["unit"]] * bool(found["unit"]) + [_MARKS[mark] for mark in found["marks"]]
    return [f"written with {part}" for part in parts]


def unit_in(texts: Iterable[str]) -> str:
    """Return the commonest unit in some texts, empty if they have none. Shares are one where most numbers have it.

    >>> unit_in(["-$5", "7"]), unit_in(["5 kr.", "7 kr."]), unit_in(["5 kg"]), unit_in(["5 %", "6", "7"])
    ('$', 'kr', '', '')
    """
    count = Counter(text.strip(_ABOUT_A_UNIT) for text in texts)
    units = [unit for unit in count.keys() & _UNITS if unit not in _SHARES or count[unit] > count[""]]
    return max(units, key=lambda unit: (count[unit], unit), default="")


def measure_in(texts: Sequence[str]) -> str:
    """Return the unit of measure behind the numbers that all texts are, empty if they have none, or several.

    Numbers with leading zeros are parts of codes.

    >>> measure_in(["12 kg", "7.5 kg"]), measure_in(["12 kg", "7 lb"]), measure_in(["12 kg", "7"])
    ('kg', '', '')
    """
    units = {text.lstrip(_ABOUT_A_UNIT) for text in texts}
    unit = units.pop() if len(units) == 1 else ""
    is_code = any(re.match(r"0\d", text) for text in texts)
    return unit if _MEASURE.fullmatch(unit) and unit not in texts and not is_code else ""


def written_numbers(texts: Sequence[str], form: str) -> tuple[list[float], str] | None:
    r"""Return the numbers that all of some texts are, and the form in which they are written; None if one is none.

    Where each is negative, and by the same unusual mark, nothing says that it is: (0.12) may be a standard error.

    Parameters
    ----------
    texts : sequence of str
        The numbers, without spaces around them.
    form : str
        The decimal mark and the unit.

    Examples
    --------
    >>> written_numbers(["$5", "1,000"], ".$"), written_numbers(["1\u202f234,5"], ","), written_numbers(["$5"], ".")
    (([5.0, 1000.0], '.,$'), ([1234.5], ', '), None)
    >>> written_numbers(["(5)", "7"], "."), written_numbers(["(5)", "(7)"], ".")
    (([-5.0, 7.0], '.('), None)
    """
    values, in_all, in_some = [], {"(", "-"}, set()
    for text in texts:
        number = _number(text, form)
        if number is None:
            return None
        values.append(number.value)
        in_all &= set(number.marks)
        in_some |= set(number.marks)
    if texts and in_all:
        return None
    return values, form[0] + "".join(mark for mark in _MARKS if mark in in_some) + form[1:]


def parsed_number(text: str, form: str) -> float | None:
    r"""Parse a finite number with the decimal mark of a form, and its unit; return None for anything else.

    >>> parsed_number("1'064.99", "."), parsed_number("\u22121.064,99 €", ",€"), parsed_number("($5)", ".$")
    (1064.99, -1064.99, -5.0)
    >>> parsed_number("1.064,99", "."), parsed_number("12", ".%"), parsed_number("12", ".$")
    (None, None, 12.0)
    """
    number = _number(text, form)
    return None if number is None else number.value


def _number(text: str, form: str) -> _Number | None:
    """Parse a number; return None if there is none."""
    if form == "." and (value := as_float(text)) is not None:
        return _Number(value, "") if math.isfinite(value) else None
    unit = unit_of(form)
    found = _pattern(form[0], unit).fullmatch(text)
    if found is None:
        return None
    opened, sign, before, inner, signed, grouped, group, plain, behind, closed, after, close = found.groups()
    opened, closed = opened + inner, closed + close
    signs = [mark for mark in (sign, signed, behind, opened) if mark]
    if (
        len(opened) != len(closed)
        or len(opened) > 1
        or len(signs) > 1
        or not (before or after or unit in ("", *_MONEY))
    ):
        return None
    group = group or ","  # of lakhs
    digits = plain or grouped.replace(group, "")
    value = float(digits.replace(_MINUS, "-").replace(form[0], "."))
    if not math.isfinite(value):
        return None
    marks = opened + "-" * bool(behind) + _MINUS * (_MINUS in text)
    if grouped:
        marks += " " if group in SPACES else "'" if group in _APOSTROPHES else group
    return _Number(-value if signs and signs[0] != "+" else value, marks)


@functools.cache
def _pattern(decimal: str, unit: str) -> re.Pattern[str]:
    """Return the pattern of numbers with a decimal mark and a unit, in which parentheses and signs are not counted."""
    mark, other = re.escape(decimal), other_mark(decimal)
    sign, blanks = f"[-+{_MINUS}]", f"[{SPACES}]*"
    written = re.escape(unit) + r"\.?" * unit.isalpha() if unit else "(?!)"
    grouped = rf"[1-9]\d{{0,2}}(?P<group>[{other}{_APOSTROPHES}{SPACES}])\d{{3}}(?:(?P=group)\d{{3}})*"
    if other == ",":
        grouped += r"|[1-9]\d?(?:,\d\d)+,\d{3}"  # lakhs, hundreds of thousands, as in India
    return re.compile(
        rf"{blanks}(\(?){blanks}({sign}?){blanks}((?:{written})?){blanks}(\(?)({sign}?)"
        rf"(?:((?:{grouped})(?:{mark}\d*)?)|((?:\d+{mark}?\d*|{mark}\d+)(?:[eE]{sign}?\d+)?))"
        rf"([-{_MINUS}]?)(\)?){blanks}((?:{written})?){blanks}(\)?){blanks}",
        re.ASCII,
    )

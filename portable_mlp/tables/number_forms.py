"""Numbers as people write them: with groups of digits, units of money, per-cent signs, and several minus signs.

The form of a column of numbers is a text: the decimal mark, then the other marks in use (`_MARKS`), then the unit. The
decimal mark is known, so that the other one can only group digits, and no other mark has two meanings: a number may
have any of them, whatever the form says. A unit is another matter: 5 may not be $5.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from .text_numbers import as_float

__all__ = [
    "SPACES",
    "form_in_words",
    "is_number_form",
    "number_form",
    "other_mark",
    "parsed_number",
    "unit_in",
    "unit_of",
]

SPACES = " \t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
"""Tabs and Unicode's spaces: no-break, narrow and thin ones are written between groups of digits and before units."""

_MINUS = "\u2212"
"""The minus sign of typesetting."""

_SHARES = ("%", "\u2030")
"""Units that no cell may lack: 0.12 is not 12 %."""

_APOSTROPHES = "'\u2019"

_MONEY = (
    *("R$", "US$", "A$", "C$", "z\u0142", "K\u010d", "kr", "kr.", "Ft", "lei", "Rs", "Rs.", "Fr."),
    *("AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HUF", "INR", "JPY", "MXN", "NOK", "PLN", "SEK"),
    *("TRY", "USD", "ZAR"),
)
"""Units of money in letters; those that are one sign are in `_UNITS`."""

_UNITS = "|".join(
    [*map(re.escape, sorted((*_SHARES, *_MONEY), key=len, reverse=True)), "[$\u00a2-\u00a5\u0e3f\u20a0-\u20c0]"]
)
_WRITTEN_UNIT = re.compile(rf"(?<![A-Za-z])(?:{_UNITS})(?![A-Za-z])")

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

_FORM = re.compile(rf"(?P<decimal>[.,])(?P<marks>(?:(?!(?P=decimal))[.,])? ?'?\(?-?{_MINUS}?)(?P<unit>(?:{_UNITS})?)")


class _Number(NamedTuple):
    """A number and the marks with which it is written."""

    value: float
    marks: str


def is_number_form(form: str) -> bool:
    """Tell whether a text is the form of a column of numbers."""
    return _FORM.fullmatch(form) is not None


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


def unit_in(texts: Sequence[str]) -> str:
    """Return the unit in some texts, empty if they have none, or several."""
    first = ""
    for found in _WRITTEN_UNIT.finditer("\0".join(texts)):
        if first not in ("", found[0]):
            return ""
        first = found[0]
    return first


def number_form(texts: Sequence[str], form: str) -> str | None:
    r"""Return the form in which all of some texts are numbers, None if there is none.

    Where each is negative, and by the same unusual mark, nothing says that it is: (0.12) may be a standard error.

    Parameters
    ----------
    texts : sequence of str
        The numbers, without spaces around them.
    form : str
        The decimal mark and the unit.

    Examples
    --------
    >>> number_form(["$5", "1,000"], ".$"), number_form(["1\u202f234,5"], ","), number_form(["$5"], ".")
    ('.,$', ', ', None)
    >>> number_form(["(5)", "7"], "."), number_form(["(5)", "(7)"], ".")
    ('.(', None)
    """
    in_all, in_some = {"(", "-"}, set()
    for text in texts:
        number = _number(text, form)
        if number is None:
            return None
        in_all &= set(number.marks)
        in_some |= set(number.marks)
    if texts and in_all:
        return None
    return form[0] + "".join(mark for mark in _MARKS if mark in in_some) + form[1:]


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
    if found is None or (unit in _SHARES and not (found["before"] or found["after"])):
        return None
    opened, closed = found["open"] + found["opened"], found["closed"] + found["close"]
    signs = [sign for sign in (found["sign"], found["signed"], found["behind"], opened) if sign]
    if len(opened) != len(closed) or len(opened) > 1 or len(signs) > 1:
        return None
    group = found["group"] or ","  # of lakhs
    digits = found["plain"] or found["grouped"].replace(group, "")
    value = float(digits.replace(_MINUS, "-").replace(form[0], "."))
    if not math.isfinite(value):
        return None
    marks = opened + "-" * bool(found["behind"]) + _MINUS * (_MINUS in text)
    if found["grouped"]:
        marks += " " if group in SPACES else "'" if group in _APOSTROPHES else group
    return _Number(-value if signs and signs[0] != "+" else value, marks)


@functools.cache
def _pattern(decimal: str, unit: str) -> re.Pattern[str]:
    """Return the pattern of numbers with a decimal mark and a unit; parentheses and signs are yet to be counted."""
    mark, other = re.escape(decimal), other_mark(decimal)
    sign, blanks = f"[-+{_MINUS}]", f"[{SPACES}]*"
    written = re.escape(unit) if unit else "(?!)"
    grouped = rf"[1-9]\d{{0,2}}(?P<group>[{other}{_APOSTROPHES}{SPACES}])\d{{3}}(?:(?P=group)\d{{3}})*"
    if other == ",":
        grouped += r"|[1-9]\d?(?:,\d\d)+,\d{3}"  # lakhs, hundreds of thousands, as in India
    return re.compile(
        rf"{blanks}(?P<open>\(?){blanks}(?P<sign>{sign}?){blanks}(?P<before>(?:{written})?){blanks}"
        rf"(?P<opened>\(?)(?P<signed>{sign}?)"
        rf"(?:(?P<grouped>(?:{grouped})(?:{mark}\d*)?)|(?P<plain>(?:\d+{mark}?\d*|{mark}\d+)(?:[eE]{sign}?\d+)?))"
        rf"(?P<behind>(?:[-{_MINUS}])?)(?P<closed>\)?){blanks}(?P<after>(?:{written})?){blanks}(?P<close>\)?){blanks}",
        re.ASCII,
    )

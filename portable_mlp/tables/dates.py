"""Dates and times written as text: their formats, each with a name that is shown."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

__all__ = ["DATE_FORMS", "date_form", "parsed_date"]

_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
"""Names of the months, which may be cut after three letters."""

_CLOCK = (
    r"(?P<H>\d{1,2}):(?P<M>\d\d)(?::(?P<S>\d\d)(?:\.(?P<f>\d{1,9}))?)?"
    r"(?P<p> ?[AaPp]\.?[Mm]\.?)?(?P<z> ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?"
)
_YEAR, _SHORT_YEAR, _DAY = r"(?P<y>\d{4})", r"(?P<y>\d\d)", r"(?P<d>\d{1,2})"
_MONTH, _MONTH_NAME = r"(?P<m>\d{1,2})", r"(?P<m>[A-Za-z]{3,9})\.?"
_WEEKDAY = r"(?:(?:[Mm]on|[Tt]ue|[Ww]ed|[Tt]hu|[Ff]ri|[Ss]at|[Ss]un)[a-z]*\.?,? )?"
_PIVOT = 69
"""The first two-digit year of the twentieth century, as in POSIX."""


def _form(date: str) -> re.Pattern[str]:
    """Return the pattern of a date with an optional time of day."""
    return re.compile(rf"{date}(?:[T ]\s*{_CLOCK})?", re.ASCII)


DATE_FORMS: dict[str, re.Pattern[str]] = {
    "YYYY-MM-DD": _form(rf"{_YEAR}-{_MONTH}-{_DAY}"),
    "YYYY/MM/DD": _form(rf"{_YEAR}/{_MONTH}/{_DAY}"),
    "YYYY-MM": re.compile(rf"{_YEAR}-(?P<m>\d\d)", re.ASCII),
    "Mon YYYY": re.compile(rf"{_MONTH_NAME}[- ]{_YEAR}", re.ASCII),
    "DD.MM.YYYY": _form(rf"{_DAY}\.{_MONTH}\.{_YEAR}"),
    "MM/DD/YYYY": _form(rf"{_MONTH}/{_DAY}/{_YEAR}"),
    "DD/MM/YYYY": _form(rf"{_DAY}/{_MONTH}/{_YEAR}"),
    "MM-DD-YYYY": _form(rf"{_MONTH}-{_DAY}-{_YEAR}"),
    "DD-MM-YYYY": _form(rf"{_DAY}-{_MONTH}-{_YEAR}"),
    "Mon D YYYY": _form(rf"{_WEEKDAY}{_MONTH_NAME} {_DAY},? {_YEAR}"),
    "D Mon YYYY": _form(rf"{_WEEKDAY}{_DAY}[- ]{_MONTH_NAME}[- ]{_YEAR}"),
    "MM/DD/YY": _form(rf"{_MONTH}/{_DAY}/{_SHORT_YEAR}"),
    "DD/MM/YY": _form(rf"{_DAY}/{_MONTH}/{_SHORT_YEAR}"),
    "Mon D YY": _form(rf"{_WEEKDAY}{_MONTH_NAME} {_DAY},? {_SHORT_YEAR}"),
    "D Mon YY": _form(rf"{_WEEKDAY}{_DAY}[- ]{_MONTH_NAME}[- ]{_SHORT_YEAR}"),
    "HH:MM": re.compile(_CLOCK, re.ASCII),
}
"""Patterns by format name; where several match all cells of a column, the first wins."""


def date_form(texts: Sequence[str]) -> str | None:
    """Return the name of the first format that matches every text, None if there is none.

    >>> date_form(["12/31/1999", "1/2/2000"]), date_form(["31/12/1999"]), date_form(["soon"])
    ('MM/DD/YYYY', 'DD/MM/YYYY', None)
    """
    for form in DATE_FORMS:
        if all(parsed_date(text, form) is not None for text in texts):
            return form
    return None


def parsed_date(text: str, form: str) -> datetime.datetime | None:
    """Parse a date in a format of `DATE_FORMS`; return None if it does not match.

    A date with a time zone is converted to UTC. A time of day without a date is one of 1 January 1970.

    >>> parsed_date("Jun 12 1998", "Mon D YYYY")
    datetime.datetime(1998, 6, 12, 0, 0)
    """
    match = DATE_FORMS[form].fullmatch(text)
    if match is None:
        return None
    parts = match.groupdict()
    month = _month(parts.get("m") or "1")
    if month is None:
        return None
    try:
        day = datetime.datetime(_year(parts.get("y") or "1970"), month, int(parts.get("d") or 1))
        return day + _time_of_day(parts)
    except (ValueError, OverflowError):
        return None


def _month(text: str) -> int | None:
    """Return the number of a month, written so or by its name; None if there is no such month."""
    if not text.isalpha():
        return int(text)
    return next((number for number, name in enumerate(_MONTHS, start=1) if name.startswith(text.lower())), None)


def _year(digits: str) -> int:
    """Return the year written with two or four digits."""
    year = int(digits)
    return year if len(digits) == 4 else year + (1900 if year >= _PIVOT else 2000)


def _time_of_day(parts: dict[str, str | None]) -> datetime.timedelta:
    """Return the time since midnight UTC."""
    hour, minute, second = (int(parts.get(part) or 0) for part in "HMS")
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("there is no such time")
    half = (parts.get("p") or "").strip().lower()[:1]
    if half:
        if not 1 <= hour <= 12:
            raise ValueError("there is no such hour")
        hour = hour % 12 + (12 if half == "p" else 0)
    micro = int((parts.get("f") or "").ljust(6, "0")[:6])
    zone = (parts.get("z") or "").strip().replace(":", "")
    ahead = int(zone[0] + "1") * (60 * int(zone[1:3]) + int(zone[3:])) if len(zone) == 5 else 0
    return datetime.timedelta(hours=hour, minutes=minute - ahead, seconds=second, microseconds=micro)

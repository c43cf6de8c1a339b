"""Dates and times written as text: their formats, each with a name that is shown."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

__all__ = ["DATE_FORMS", "DIGIT_FORMS", "date_form", "digit_form", "hint_of_dates", "names_dates", "parsed_date"]

_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
"""Names of the months, which may be cut after three letters."""

_ZONE = r"(?P<z> ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?"
_CLOCK = (
    r"(?P<H>\d{1,2}):(?P<M>\d\d)(?::(?P<S>\d\d)(?:\.(?P<f>\d{1,9}))?)?"
    r"(?P<p> ?[AaPp]\.?[Mm]\.?)?" + _ZONE
)
_YEAR, _SHORT_YEAR, _DAY = r"(?P<y>\d{4})", r"(?P<y>\d\d)", r"(?P<d>\d{1,2})"
_MONTH, _MONTH_NAME = r"(?P<m>\d{1,2})", r"(?P<m>[A-Za-z]{3,9})\.?"
_DAY_IN_DIGITS = r"(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)"
_QUARTER = r"[Qq](?P<q>[1-4])"
_WEEKDAY = r"(?:(?:[Mm]on|[Tt]ue|[Ww]ed|[Tt]hu|[Ff]ri|[Ss]at|[Ss]un)[a-z]*\.?,? )?"
_PIVOT = 69
"""The first two-digit year of the twentieth century, as in POSIX."""


def _form(date: str) -> re.Pattern[str]:
    """Return the pattern of a date with an optional time of day."""
    return re.compile(rf"{date}(?:[T ]\s*{_CLOCK})?", re.ASCII)


def _in_digits(digits: str) -> re.Pattern[str]:
    """Return the pattern of a date in digits; beside missing cells programs write 20200127.0."""
    return re.compile(rf"{digits}(?:\.0*)?", re.ASCII)


DATE_FORMS: dict[str, re.Pattern[str]] = {
    "YYYY-MM-DD": _form(rf"{_YEAR}-{_MONTH}-{_DAY}"),
    "YYYY/MM/DD": _form(rf"{_YEAR}/{_MONTH}/{_DAY}"),
    "YYYY.MM.DD": _form(rf"{_YEAR}\. ?{_MONTH}\. ?{_DAY}\.?"),
    "YYYY-MM": re.compile(rf"{_YEAR}-(?P<m>\d\d)", re.ASCII),
    "YYYY-Qn": re.compile(rf"{_YEAR}[- ]?{_QUARTER}", re.ASCII),
    "Qn YYYY": re.compile(rf"{_QUARTER}[-/ ]?{_YEAR}", re.ASCII),
    "Mon YYYY": re.compile(rf"{_MONTH_NAME}[- ]{_YEAR}", re.ASCII),
    "DD.MM.YYYY": _form(rf"{_DAY}\.{_MONTH}\.{_YEAR}"),
    "MM/DD/YYYY": _form(rf"{_MONTH}/{_DAY}/{_YEAR}"),
    "DD/MM/YYYY": _form(rf"{_DAY}/{_MONTH}/{_YEAR}"),
    "MM-DD-YYYY": _form(rf"{_MONTH}-{_DAY}-{_YEAR}"),
    "DD-MM-YYYY": _form(rf"{_DAY}-{_MONTH}-{_YEAR}"),
    "Mon D YYYY": _form(rf"{_WEEKDAY}{_MONTH_NAME} {_DAY},? {_YEAR}"),
    "D Mon YYYY": _form(rf"{_WEEKDAY}{_DAY}[- ]{_MONTH_NAME}[- ]{_YEAR}"),
    "DD.MM.YY": _form(rf"(?P<d>\d\d)\.(?P<m>\d\d)\.{_SHORT_YEAR}"),
    "MM/DD/YY": _form(rf"{_MONTH}/{_DAY}/{_SHORT_YEAR}"),
    "DD/MM/YY": _form(rf"{_DAY}/{_MONTH}/{_SHORT_YEAR}"),
    "Mon D YY": _form(rf"{_WEEKDAY}{_MONTH_NAME} {_DAY},? {_SHORT_YEAR}"),
    "D Mon YY": _form(rf"{_WEEKDAY}{_DAY}[- ]{_MONTH_NAME}[- ]{_SHORT_YEAR}"),
    "HH:MM": re.compile(_CLOCK, re.ASCII),
    "YYYYMMDD HHMM": re.compile(
        rf"{_DAY_IN_DIGITS}[T ](?P<H>\d\d):?(?P<M>\d\d)(?::?(?P<S>\d\d)(?:\.(?P<f>\d{{1,9}}))?)?{_ZONE}", re.ASCII
    ),
}
"""Patterns by format name; where several match all cells of a column, the first wins."""

DIGIT_FORMS: dict[str, re.Pattern[str]] = {
    "YYYYMMDD": _in_digits(_DAY_IN_DIGITS),
    "YYYYMM": _in_digits(r"(?P<y>\d{4})(?P<m>\d\d)"),
    "YYYYMMDDHHMM": _in_digits(_DAY_IN_DIGITS + r"(?P<H>\d\d)(?P<M>\d\d)"),
    "YYYYMMDDHHMMSS": _in_digits(_DAY_IN_DIGITS + r"(?P<H>\d\d)(?P<M>\d\d)(?P<S>\d\d)"),
}
"""Patterns of dates that are whole numbers. The name of a column says that its numbers are dates."""

_NAMES_OF_DATES = re.compile(
    r"date|datum|fecha|day|month|monat|period|birth|born|time|zeit|yyyymm|ymd"
    r"|(?<![a-z])(?:dt|dob|tag|jour|dia|mes|mois)(?![a-z])",
    re.IGNORECASE,
)
_NAMES_OF_DAYS = re.compile("dat|fecha|birth|born", re.IGNORECASE)
"""Names under which small numbers count days: a time of 30,000 is something else."""

_COUNTS_OF_TIME = (
    ("days since 1900, as of spreadsheets", 25_000, 60_000),
    ("seconds since 1970", 3e8, 4e9),
    ("milliseconds since 1970", 3e11, 4e12),
    ("microseconds since 1970", 3e14, 4e15),
    ("nanoseconds since 1970", 3e17, 4e18),
)
"""Counts of time with the least and the greatest that are likely: those of the last decades and the next."""

_LARGEST_DEVIATION = 0.3
"""The deviation of such counts is a smaller share of them."""

_LARGEST_DEVIATION_OF_DIGITS = 0.02
"""The deviation of numbers such as 20200127: 40 years."""

_YEARS_IN_DIGITS = range(1900, 2101)
"""The years of dates that are whole numbers: 12345678 is none."""


def date_form(texts: Sequence[str]) -> str | None:
    """Return the name of the first format that matches every text, None if there is none.

    >>> date_form(["12/31/1999", "1/2/2000"]), date_form(["31/12/1999"]), date_form(["soon"])
    ('MM/DD/YYYY', 'DD/MM/YYYY', None)
    """
    for form in DATE_FORMS:
        if all(parsed_date(text, form) is not None for text in texts):
            return form
    return None


def names_dates(name: str) -> bool:
    """Tell whether the name of a column speaks of dates or times.

    >>> names_dates("order_date"), names_dates("DT"), names_dates("width")
    (True, True, False)
    """
    return _NAMES_OF_DATES.search(name) is not None


def digit_form(numbers: Sequence[float]) -> str | None:
    """Return the name of the format in digits that all numbers have, None if there is none.

    >>> digit_form([20200127.0, 20200229.0]), digit_form([20200230.0]), digit_form([202001.0]), digit_form([1.5])
    ('YYYYMMDD', None, 'YYYYMM', None)
    """
    for form in DIGIT_FORMS:
        ends = [float(f"{year}{'0' * (len(form) - 4)}") for year in (_YEARS_IN_DIGITS.start, _YEARS_IN_DIGITS.stop)]
        if numbers and ends[0] < min(numbers) and max(numbers) < ends[1]:
            return form if all(parsed_date(f"{number:.15g}", form) is not None for number in numbers) else None
    return None


def hint_of_dates(name: str, median: float, deviation: float) -> str:
    """Return what numbers may mean under a name that speaks of dates, and how they become dates; empty for others.

    >>> hint_of_dates("created_time", 1.58e9, 4e7)
    'perhaps seconds since 1970: as dates (2020-01-27) they would also have months, weekdays and hours'
    """
    if not names_dates(name) or deviation > _LARGEST_DEVIATION * median:
        return ""
    if 19_000_101 <= median <= 21_001_231 and deviation < _LARGEST_DEVIATION_OF_DIGITS * median:
        return "nearly dates such as 20200127, but not all are: correct or empty those, and all are read as dates"
    for unit, low, high in _COUNTS_OF_TIME:
        if low <= median < high and (low > 1e6 or _NAMES_OF_DAYS.search(name)):
            return f"perhaps {unit}: as dates (2020-01-27) they would also have months, weekdays and hours"
    return ""


def parsed_date(text: str, form: str) -> datetime.datetime | None:
    """Parse a date in a format of `DATE_FORMS` or `DIGIT_FORMS`; return None if it does not match.

    A date with a time zone is converted to UTC. A time of day without a date is one of 1 January 1970.

    >>> parsed_date("Jun 12 1998", "Mon D YYYY")
    datetime.datetime(1998, 6, 12, 0, 0)
    """
    match = (DATE_FORMS.get(form) or DIGIT_FORMS[form]).fullmatch(text)
    if match is None:
        return None
    parts = match.groupdict()
    month = 3 * int(parts["q"]) - 2 if "q" in parts else _month(parts.get("m") or "1")
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

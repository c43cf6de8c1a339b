"""Options that are one of a few names, or a number within bounds: ``check(name, value)`` returns the plain value.

Numbers come back as plain floats: a NumPy scalar is a strong float64, which would widen float32 arrays.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Any, TypeAlias

from .suggestions import did_you_mean

Check: TypeAlias = Callable[[str, Any], Any]


class Names(Set[str]):
    """The names of some entries of a table, read at each use: a tuple would keep those of the time of import.

    Parameters
    ----------
    names : callable
        Returns the names, in order.

    Examples
    --------
    >>> table = {"adam": 1}
    >>> solvers = Names(lambda: (*table, "lbfgs"))
    >>> table["sgd"] = 2
    >>> "sgd" in solvers, list(solvers)
    (True, ['adam', 'sgd', 'lbfgs'])
    """

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names

    def __contains__(self, name: object) -> bool:
        return any(name == other for other in self._names())

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return sum(1 for _ in self._names())

    @classmethod
    def _from_iterable(cls, names: Iterable[Any]) -> set[Any]:
        """Return a plain set, for unions and differences."""
        return set(names)


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Raise ValueError unless ``value`` is one of ``choices``, which the message lists, with the nearest of them."""
    names = tuple(choices)
    if not isinstance(value, str) or value not in names:
        meant = did_you_mean(value, names) if isinstance(value, str) else ""
        raise ValueError(f"{name} must be one of {', '.join(map(repr, names))}; got {value!r}{meant}")


def positive_number(name: str, value: Any) -> float:
    """Return a finite number above 0."""
    number = _number(name, value)
    if not 0.0 < number < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value!r}")
    return number


def not_negative_number(name: str, value: Any) -> float:
    """Return a finite number, 0 or above."""
    number = _number(name, value)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"{name} must be a finite number, not negative; got {value!r}")
    return number


def fraction(name: str, value: Any) -> float:
    """Return a number from 0 to below 1."""
    number = _number(name, value)
    if not 0.0 <= number < 1.0:
        raise ValueError(f"{name} must lie in [0, 1), got {value!r}")
    return number


def flag(name: str, value: Any) -> bool:
    """Return a truth value, Python's or NumPy's; the integers 0 and 1 count."""
    if not (isinstance(value, int) or type(value).__name__.startswith("bool")) or value not in (0, 1):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


@dataclass(frozen=True)
class Whole:
    """Checks that an option is a whole number, ``least`` or above."""

    least: int

    def __call__(self, name: str, value: Any) -> int:
        """Return the number."""
        try:
            whole = operator.index(value)
        except TypeError:
            raise TypeError(f"{name} must be a whole number, got {value!r}") from None
        if whole < self.least:
            raise ValueError(f"{name} must be at least {self.least}, got {whole}")
        return whole


@dataclass(frozen=True)
class Choice:
    """Checks that an option is one of some names, read at each check, or, where ``or_function``, a function."""

    choices: Iterable[str]
    or_function: bool = False

    def __call__(self, name: str, value: Any) -> Any:
        """Return the name, or the function."""
        if not (self.or_function and callable(value)):
            check_choice(name, value, self.choices)
        return value


@dataclass(frozen=True)
class OrNone:
    """Checks an option that may be None."""

    check: Check

    def __call__(self, name: str, value: Any) -> Any:
        """Return None, or what the check of other values returns."""
        return None if value is None else self.check(name, value)


def _number(name: str, value: Any) -> float:
    try:
        # float() would parse a text, and would accept an array of one element.
        if isinstance(value, str | bytes) or getattr(value, "shape", ()) != ():
            raise TypeError
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None

"""A constraint of scikit-learn's kind for a parameter that is the name of an entry in a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from typing import Any

from sklearn.utils._param_validation import StrOptions


def one_of(names: Callable[[], Iterable[str]]) -> StrOptions:
    """Return the constraint that a parameter is one of the names of a table.

    Parameters
    ----------
    names : callable
        Returns the names, and is called whenever a parameter is checked: a set would keep those of the first import.

    Examples
    --------
    >>> table = {"sgd": 1}
    >>> constraint = one_of(lambda: table)
    >>> table["adam"] = 2
    >>> constraint.is_satisfied_by("adam"), str(constraint)
    (True, "a str among {'sgd', 'adam'}")
    """
    return StrOptions(_Names(names))


class _Names(Set[str]):
    """The names of a table as they are now."""

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names

    def __contains__(self, name: object) -> bool:
        return name in tuple(self._names())

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(tuple(self._names()))

    @classmethod
    def _from_iterable(cls, names: Iterable[Any]) -> set[Any]:
        """Return a plain set, for what scikit-learn makes of this one."""
        return set(names)

"""Docstrings that list the entries of a table by reading the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T", bound=type)


def quoted(names: Iterable[str]) -> str:
    """Return names as a docstring lists them.

    >>> quoted(["adam", "sgd"])
    '"adam", "sgd"'
    """
    return ", ".join(f'"{name}"' for name in names)


def documented_with(**texts: str) -> Callable[[T], T]:
    """Replace each name in braces in the docstring of a class by its text.

    >>> @documented_with(solvers=quoted(["adam", "sgd"]))
    ... class Fit:
    ...     '''One of {solvers}.'''
    >>> Fit.__doc__
    'One of "adam", "sgd".'
    """

    def documented(cls: T) -> T:
        for name, text in texts.items():
            cls.__doc__ = (cls.__doc__ or "").replace(f"{{{name}}}", text)
        return cls

    return documented

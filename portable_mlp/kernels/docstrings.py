"""Docstrings that list the entries of a table by reading the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])


def quoted(names: Iterable[str]) -> str:
    """Return names as a docstring lists them.

    >>> quoted(["adam", "sgd"])
    '"adam", "sgd"'
    """
    return ", ".join(f'"{name}"' for name in names)


def documented_with(**texts: str) -> Callable[[T], T]:
    """Replace each name in braces in the docstring of a class or function by its text.

    >>> @documented_with(solvers=quoted(["adam", "sgd"]))
    ... class Fit:
    ...     '''One of {solvers}.'''
    >>> Fit.__doc__
    'One of "adam", "sgd".'
    """

    def documented(thing: T) -> T:
        for name, text in texts.items():
            thing.__doc__ = (thing.__doc__ or "").replace(f"{{{name}}}", text)
        return thing

    return documented

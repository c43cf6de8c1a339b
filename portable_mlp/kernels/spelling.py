"""Names that were probably meant: of keywords and public names that do not exist."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return what a message about an unknown name ends with: the nearest of those there are, or nothing.

    >>> did_you_mean("learing_rate", ["solver", "learning_rate"])
    "; did you mean 'learning_rate'?"
    """
    nearest = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


def suggesting(function: Callable[P, R]) -> Callable[P, R]:
    """Name the nearest keyword where a function is called with one that it does not have.

    Only a call that has failed is looked at: a right one pays for one call more.
    """

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            known = inspect.signature(function).parameters
            unknown = next((name for name in kwargs if name not in known), None)
            if unknown is None or any(one.kind is one.VAR_KEYWORD for one in known.values()):
                raise
            message = f"{error}{did_you_mean(unknown, known)}"
        raise TypeError(message) from None

    return called


def suggesting_class(cls: C) -> C:
    """Do the same for the constructor and the public methods that stand in a class."""
    for name, member in list(vars(cls).items()):
        if name.startswith("_") and name != "__init__":
            continue
        if inspect.isfunction(member):
            setattr(cls, name, suggesting(member))
        elif isinstance(member, (classmethod, staticmethod)):
            setattr(cls, name, type(member)(suggesting(member.__func__)))
    return cls

"""Suggestions for misspelt keyword arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

from .nearest import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)


def suggesting(function: Callable[P, R], keywords: Iterable[str] = ()) -> Callable[P, R]:
    """Suggest the nearest keyword where a function is called with one that it does not have.

    Only failed calls are examined: a correct call costs one function call more. A function with ``**parameters`` that
    raises a TypeError for names other than ``keywords`` is examined too.
    """
    parameters = inspect.signature(function).parameters
    known = [*parameters, *keywords]
    takes_any = not keywords and any(one.kind is one.VAR_KEYWORD for one in parameters.values())

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except TypeError:
            unknown = next((name for name in kwargs if name not in known), None)
            if unknown is None or takes_any:
                raise
        meant = did_you_mean(unknown, known)
        raise TypeError(f"{function.__qualname__}() got an unexpected keyword argument {unknown!r}{meant}") from None

    return called


def suggesting_class(cls: C) -> C:
    """Apply `suggesting` to the constructor and the public methods that a class defines."""
    for name, member in list(vars(cls).items()):
        if name.startswith("_") and name != "__init__":
            continue
        if inspect.isfunction(member):
            setattr(cls, name, suggesting(member))
        elif isinstance(member, (classmethod, staticmethod)):
            setattr(cls, name, type(member)(suggesting(member.__func__)))
    return cls

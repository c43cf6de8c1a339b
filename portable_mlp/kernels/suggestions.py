"""Suggestions for mistaken names ("did you mean ...?"), and for misspelt keyword arguments."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

USUAL = {
    "alpha": "l2",
    "early-stopping": "patience n-iter-no-change",
    "epochs": "max-iter",
    "eta": "learning-rate",
    "fit": "train",
    "iterations": "epochs",
    "l2": "alpha",
    "label": "target",
    "layers": "hidden",
    "linear": "identity",
    "lr": "learning-rate-init",
    "max-iter": "epochs",
    "model": "save",
    "mse": "squared-error",
    "n-jobs": "procs",
    "optimizer": "solver",
    "out": "save",
    "outfile": "output",
    "output": "save",
    "patience": "n-iter-no-change",
    "penalty": "l2 alpha",
    "random-state": "seed",
    "seed": "random-state",
    "search": "tune",
    "sep": "delimiter",
    "separator": "delimiter",
    "sigmoid": "logistic",
    "step-size": "learning-rate",
    "swish": "silu",
    "test-size": "validation",
    "workers": "procs",
}
"""Names in other programs and their counterparts here, in lower case with dashes; several are separated by spaces."""

ALIKE = 0.7
"""The least similarity of the letters of two names, as `difflib` measures it from 0 to 1."""

SHARED = 0.6
"""The least share of two names that is words of both, from 0 to 1."""

LEAST_LETTERS = 3
"""The fewest letters that abbreviate a word."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is nearest to a mistaken one, None where none is near.

    Names are compared letter by letter, word by word (a word may be cut short), and with the first letters of their
    words; small and capital letters, dashes and underscores are the same.

    Parameters
    ----------
    name : str
        The mistaken name, as the user wrote it.
    known : iterable of str
        The names that exist; the first of equally near ones wins.

    Examples
    --------
    >>> options = ["--hidden", "--learning-rate", "--l2", "--batch-size"]
    >>> [nearest(name, options) for name in ("--lr", "--batch", "--hidden-layers", "--alpha", "--colour")]
    ['--learning-rate', '--batch-size', '--hidden', '--l2', None]
    """
    words = _words(name)
    usual = [_words(one) for one in USUAL.get("-".join(words), "").split()]
    scores = {other: _likeness(words, _words(other), usual) for other in known}
    best = max(scores, key=lambda other: scores[other], default=None)
    return best if best is not None and scores[best] > 0.0 else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the part of a message that suggests the nearest name, an empty text where none is near.

    >>> did_you_mean("adm", ["adam", "sgd"])
    ", did you mean 'adam'?"
    """
    near = nearest(name, known)
    return "" if near is None else f", did you mean {near!r}?"


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


def _words(name: str) -> list[str]:
    """Return the words of a name, also of one like LearningRate, in small letters."""
    return re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower())


def _likeness(words: list[str], others: list[str], usual: list[list[str]]) -> float:
    """Return how near two names are, given as their words: above 1 if they are the same, 0 if they are not alike."""
    if not words or not others:
        return 0.0
    if others in (words, *usual):
        return 2.0
    if len(others) > 1 and "".join(words) == "".join(word[0] for word in others):
        return 1.0
    alike = difflib.SequenceMatcher(None, "-".join(words), "-".join(others)).ratio()
    shared = (_share(words, others) + _share(others, words)) / 2.0
    return max(alike if alike >= ALIKE else 0.0, shared if shared >= SHARED else 0.0)


def _share(words: list[str], others: list[str]) -> float:
    """Return the share of a name's letters that belong to words of the other name."""
    shared = (
        max((min(len(word), len(other)) for other in others if _is_same(word, other)), default=0) for word in words
    )
    return sum(shared) / sum(map(len, words))


def _is_same(word: str, other: str) -> bool:
    """Return whether two words are equal, or one abbreviates the other."""
    short, long = sorted((word, other), key=len)
    return word == other or (len(short) >= LEAST_LETTERS and long.startswith(short))

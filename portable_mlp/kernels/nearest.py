"""The known name that a mistaken one was most likely meant for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

USUAL = {
    "alpha": "l2",
    "early-stopping": "patience",
    "eta": "learning-rate",
    "fit": "train",
    "iterations": "epochs",
    "label": "target",
    "layers": "hidden",
    "linear": "identity",
    "max-iter": "epochs",
    "model": "save",
    "mse": "squared-error",
    "n-jobs": "procs",
    "optimizer": "solver",
    "out": "save",
    "outfile": "output",
    "output": "save",
    "penalty": "l2",
    "random-state": "seed",
    "sep": "delimiter",
    "separator": "delimiter",
    "sigmoid": "logistic",
    "step-size": "learning-rate",
    "swish": "silu",
    "test-size": "validation",
    "workers": "procs",
}
"""Names that other programs use for things with another name here, in small letters with dashes."""

ALIKE = 0.7
"""How alike the letters of two names must be, as `difflib` measures it from 0 to 1."""

SHARED = 0.6
"""How much of two names must be words of both, from 0 to 1."""

LEAST_LETTERS = 3
"""Fewer letters than these do not abbreviate a word."""


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
    usual = _words(USUAL.get("-".join(words), ""))
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


def _words(name: str) -> list[str]:
    """Return the words of a name, also of one like LearningRate, in small letters."""
    return re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower())


def _likeness(words: list[str], others: list[str], usual: list[str]) -> float:
    """Return how near two names are, given as their words: above 1 if they are the same, 0 if they are not alike."""
    if not words or not others:
        return 0.0
    if others in (words, usual):
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

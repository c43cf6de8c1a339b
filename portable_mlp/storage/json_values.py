"""Values that JSON returns unchanged, and the one text of each: ``check_json`` and ``canonical``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

__all__ = ["are_numbers", "canonical", "check_json", "is_text"]

_DEEPEST = 100
_MOST_BITS = 4096
"""Python reads no integer of more than 4300 digits from text, or of 640 where it was configured so."""
_CHARACTERS_OF_KEYS = 40
_LONGEST_PLACE = 200


def canonical(value: Any) -> str:
    """Return the text of a value: ASCII, keys in order, no spaces, numbers as Python writes them."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def check_json(value: Any, where: str, depth: int = 0) -> None:
    """Raise unless JSON would return a value unchanged.

    Raises
    ------
    TypeError
        If it is, or contains, something else than None, bool, int, float, str, lists, and dicts with texts for keys.
        A tuple would come back as a list.
    ValueError
        If it contains a number that is not finite, an integer of more than 4096 bits or half of a surrogate pair, or is
        nested more than 100 levels deep.
    """
    try:
        _check(value, depth)
    except _NotJSONError as error:
        place = where + "".join(f"[{_beginning(key)!r}]" for key in reversed(error.path))
        raise error.kind(
            f"{place if len(place) <= _LONGEST_PLACE else place[:_LONGEST_PLACE] + '...'} {error}"
        ) from None


class _NotJSONError(Exception):
    """A fault of a value; its place is collected on the way up, so that sound values cost no text."""

    def __init__(self, kind: type[Exception], reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.path: list[Any] = []


def _check(value: Any, depth: int) -> None:
    if depth > _DEEPEST:
        raise _NotJSONError(ValueError, f"is nested more than {_DEEPEST} levels deep, or holds itself")
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise _NotJSONError(
                    TypeError, f"has the key {key!r}, but keys are all texts in JSON: str(key) makes one"
                )
            _check_text(key)
        _check_each(value.items(), depth)
    elif isinstance(value, list):
        _check_each(enumerate(value), depth)
    elif isinstance(value, str):
        _check_text(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _NotJSONError(ValueError, f"is {value}, which JSON does not have; None may stand for it")
    elif isinstance(value, int):
        if value.bit_length() > _MOST_BITS:
            raise _NotJSONError(ValueError, f"is an integer of more than {_MOST_BITS} bits")
    elif value is not None:
        raise _NotJSONError(
            TypeError,
            f"is a {type(value).__name__}, but JSON has None, bool, int, float, str, list and dict only: "
            "list(...), .tolist() or .item() may give one of them",
        )


def _check_each(items: Iterable[tuple[Any, Any]], depth: int) -> None:
    for key, inner in items:
        try:
            _check(inner, depth + 1)
        except _NotJSONError as error:
            error.path.append(key)
            raise


def are_numbers(values: Any, length: int) -> bool:
    """Tell whether these are so many floats in a list."""
    return isinstance(values, list) and len(values) == length and all(type(value) is float for value in values)


def is_text(value: object) -> bool:
    """Return whether a value is a text that files can hold: without half of a surrogate pair."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_text(text: str) -> None:
    if not is_text(text):
        raise _NotJSONError(ValueError, f"has half of a surrogate pair in {_beginning(text)!r}: not a text")


def _beginning(key: Any) -> Any:
    return key[:_CHARACTERS_OF_KEYS] if isinstance(key, str) else key

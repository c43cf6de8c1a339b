"""JSON that comes back as it went in: which values those are, and the one text that each of them has."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["canonical", "check_json"]

_DEEPEST = 100
_MOST_BITS = 4096
"""Python reads no integer of more than 4300 digits from text, or of 640 where it was told so."""
_SHOWN_CHARACTERS = 40


def canonical(value: Any) -> str:
    """Return the text of a value: ASCII, keys in order, no spaces, numbers as Python writes them."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def check_json(value: Any, where: str, depth: int = 0) -> None:
    """Raise unless a value would come back from JSON equal to what it is.

    Raises
    ------
    TypeError
        If it is, or holds, something else than None, bool, int, float, str, lists, and dicts with texts for keys.
        A tuple would come back as a list.
    ValueError
        If it holds a number that is not finite, an integer of more than 4096 bits or half of a surrogate pair, or is
        nested more than 100 levels deep.
    """
    if depth > _DEEPEST:
        raise ValueError(f"{where[:_SHOWN_CHARACTERS]}... is nested more than {_DEEPEST} levels deep, or holds itself")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where} has the key {key!r}, but keys are all texts in JSON: str(key) makes one")
            _check_text(key, where)
            check_json(inner, f"{where}[{key[:_SHOWN_CHARACTERS]!r}]", depth + 1)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            check_json(inner, f"{where}[{i}]", depth + 1)
    elif isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}, which JSON does not have; None may stand for it")
    elif isinstance(value, int):
        if value.bit_length() > _MOST_BITS:
            raise ValueError(f"{where} is an integer of more than {_MOST_BITS} bits")
    elif value is not None:
        raise TypeError(
            f"{where} is a {type(value).__name__}, but JSON has None, bool, int, float, str, list and dict only: "
            "list(...), .tolist() or .item() may give one of them"
        )


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{where} has half of a surrogate pair in {text[:_SHOWN_CHARACTERS]!r}: not a text") from None

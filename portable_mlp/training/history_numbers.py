"""Numbers of callbacks in the history: converted to a float, or to nested lists of floats."""

from __future__ import annotations

from typing import Any

from ..storage.json_values import is_text


def kept_number(name: object, value: Any) -> Any:
    """Return a value of the history as a float, or a list of floats, or a list of such lists of one length, ...

    Raises
    ------
    ValueError
        If it is none of these, which a checkpoint could not store, or its name is not a text.

    Examples
    --------
    >>> kept_number("f1", [1, True, 0.5])
    [1.0, 1.0, 0.5]
    """
    if not is_text(name):
        raise ValueError(f"a callback keeps something in event.history under {name!r}; a name must be a text")
    try:
        numbers = _as_floats(value)
        _shape(numbers)
    except (TypeError, OverflowError, RecursionError):
        raise ValueError(
            f"a callback keeps {_one_line(value)} in event.history[{name!r}]; the history holds numbers, or lists of "
            "numbers, all lists within one of the same length: keep anything else in the callback itself"
        ) from None
    return numbers


def copied(numbers: Any) -> Any:
    """Return a copy of a result of `kept_number` that shares no list with it."""
    if not isinstance(numbers, list):
        return numbers
    # A list of numbers alone is copied by one slice: a long run has many of them, copied after each epoch.
    return [copied(item) for item in numbers] if numbers and isinstance(numbers[0], list) else numbers[:]


def _as_floats(value: Any) -> Any:
    if hasattr(value, "tolist"):  # an array, or one of its numbers, of any library
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_as_floats(item) for item in value]
    if not isinstance(value, float | int):
        raise TypeError
    return float(value)


def _shape(numbers: Any) -> tuple[int, ...]:
    if isinstance(numbers, float):
        return ()
    shapes = {_shape(item) for item in numbers}
    if len(shapes) > 1:
        raise TypeError
    return (len(numbers), *(shapes.pop() if shapes else ()))


def _one_line(value: Any) -> str:
    shown = " ".join(repr(value).split())
    return shown if len(shown) <= 80 else f"{shown[:77]}..."

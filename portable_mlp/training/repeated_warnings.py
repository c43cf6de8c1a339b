"""Warnings that were issued on one rank of a group, repeated on all of them as if they were their own."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from typing import Any, TypeAlias

from ..distributed.exchange import pickled, sendable, unpickled

SentWarning: TypeAlias = tuple[bytes, str, int]
"""The pickle of a warning, and the file and the line that it is about."""


def sent_warning(caught: warnings.WarningMessage) -> SentWarning:
    """Return what other ranks need of a warning that was recorded.

    One that they could not make again is of the nearest class of Python's own, with the same text.
    """
    message = caught.message if isinstance(caught.message, Warning) else caught.category(caught.message)
    try:
        content = sendable(message)
        is_same = type(unpickled(content)) is type(message)
    except TypeError:
        is_same = False
    if not is_same:
        content = pickled(_nearest_of_python(type(message))(str(message)))
    return content, caught.filename, caught.lineno


def repeat_warnings(recorded: Iterable[SentWarning]) -> None:
    """Issue warnings again: those of one place as often as the filters allow, as if all came from this process."""
    for content, file, line in recorded:
        message = unpickled(content)
        warnings.warn_explicit(message, type(message), file, line, registry=_registry(file))


def _nearest_of_python(kind: type[Warning]) -> type[Warning]:
    return next(base for base in kind.__mro__ if issubclass(base, Warning) and base.__module__ == "builtins")


def _registry(file: str) -> dict[Any, Any]:
    """Return the record of the warnings of a module that were issued already."""
    modules = (getattr(module, "__dict__", {}) for module in list(sys.modules.values()))
    found: dict[Any, Any] = next((names for names in modules if names.get("__file__") == file), {})
    registry: dict[Any, Any] = found.setdefault("__warningregistry__", {})
    return registry

"""Objects that the ranks of a group send each other, as pickles: what the fits of one rank are to all others.

A pickle can run any program where it is loaded. These come from the processes of the group alone, which run the same
program for the same user; no file is read.
"""

from __future__ import annotations

import io
import pickle
from typing import Any, TypeVar

from .group import Group

T = TypeVar("T")


def pickled(value: Any) -> bytes:
    """Return the pickle of a value, in which errors are of any class."""
    stream = io.BytesIO()
    _Pickler(stream).dump(value)
    return stream.getvalue()


def unpickled(content: bytes) -> Any:
    """Return the value that a rank has pickled."""
    return pickle.loads(content)


def sendable(value: Any, name: str = "it") -> bytes:
    """Return the pickle of a value that the other ranks can read.

    Raises
    ------
    TypeError
        If it cannot be pickled, or not be made from its pickle.
    """
    try:
        content = pickled(value)
        unpickled(content)
    except Exception as error:
        raise TypeError(f"{name} cannot be sent to the other processes: {type(error).__name__}: {error}") from error
    return content


def of_root(group: Group, value: T, name: str) -> T:
    """Return the value that rank 0 has; the others, which have one of their own, receive a copy.

    Raises
    ------
    TypeError
        On every rank, if the value of that ``name`` cannot be sent.
    """
    if group.size == 1:
        return value
    error: TypeError | None = None
    if group.rank == 0:
        try:
            content = sendable((value, None), name)
        except TypeError as reason:  # of this rank alone, for which the others would wait
            error, content = reason, pickled((None, reason))
        group.broadcast(content)
    else:
        value, error = unpickled(group.broadcast(None))
    if error is not None:
        raise error
    return value


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        """Keep what an error says, also where its class takes something else than what it keeps in ``args``."""
        if not isinstance(value, BaseException):
            return NotImplemented
        return _error, (type(value), value.args), vars(value)


def _error(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    try:
        error = kind(*args)
    except Exception:  # it takes something else
        try:
            error = kind.__new__(kind, *args)
        except Exception:  # so does its __new__
            return RuntimeError(f"{kind.__name__}: {Exception(*args)}")
    error.args = args
    return error

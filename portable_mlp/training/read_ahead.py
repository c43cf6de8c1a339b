"""Reading ahead: a thread fetches what comes next while this one works on what came before."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
from collections.abc import Iterator
from typing import Any, TypeVar

T = TypeVar("T")

AHEAD = 2
"""How many are fetched before they are asked for."""

_END: Any = object()


@contextlib.contextmanager
def read_ahead(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """Return the items as a thread of its own takes them from the iterator, an error where it was raised there.

    The thread has ended when the context is left, however it is left.
    """
    with concurrent.futures.ThreadPoolExecutor(1, "portable-mlp-reader") as thread:
        try:
            yield _as_they_come(thread, items)
        finally:
            thread.shutdown(cancel_futures=True)


def _as_they_come(thread: concurrent.futures.Executor, items: Iterator[T]) -> Iterator[T]:
    fetched = collections.deque(thread.submit(next, items, _END) for _ in range(AHEAD))
    while (item := fetched.popleft().result()) is not _END:
        fetched.append(thread.submit(next, items, _END))
        yield item

"""Reading ahead: a thread fetches the next items while this one works on the previous ones."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
from collections.abc import Iterator
from typing import Any, TypeVar

T = TypeVar("T")

AHEAD = 2
"""The number of items fetched in advance."""

_END: Any = object()


@contextlib.contextmanager
def read_ahead(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """Iterate in a thread of its own; return its items, and raise its errors at the same place.

    The thread has ended when the context exits, however it exits.
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

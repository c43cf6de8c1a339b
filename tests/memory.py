"""How much memory a call takes, as Python and NumPy count it."""

import tracemalloc
from collections.abc import Callable
from typing import Any


def peak_memory(call: Callable[[], Any]) -> int:
    """Return the most bytes, beyond those before it, that a call holds at a time."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

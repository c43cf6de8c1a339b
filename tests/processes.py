"""Surroundings of the processes that tests start."""

import os


def environment(**variables: str) -> dict[str, str]:
    """Return the variables of this process, and others, for one that trains for a moment.

    Steps are not compiled: they have the same bits, and to load compiled code would take longer than the few of a test.
    """
    return {**os.environ, "NUMBA_DISABLE_JIT": "1", **variables}

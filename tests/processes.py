"""Surroundings of the processes that tests start."""

import os

CHEAP = {
    # Steps to the same bits: loading compiled code would take longer than the few that a test takes.
    "NUMBA_DISABLE_JIT": "1",
    # Ranks of MPICH that wait for each other sleep in between.
    "MPIR_CVAR_ENABLE_HEAVY_YIELD": "1",
    "MPIR_CVAR_POLLS_BEFORE_YIELD": "1",
}
"""What keeps a process short that trains for a moment, and the other processes of a machine with few cores going."""


def environment(**variables: str) -> dict[str, str]:
    """Return the variables of this process, the cheap ones, and others, for a process that a test starts."""
    return {**os.environ, **CHEAP, **variables}

"""The threads in which fits run side by side: their number, as joblib counts, and scikit-learn's settings in each."""

from __future__ import annotations

import functools
from collections.abc import Callable
from numbers import Integral
from typing import Any

import joblib
from joblib.parallel import ThreadingBackend, get_active_backend
from sklearn import get_config, set_config

from ..distributed.group import several_ranks


def n_threads(n_jobs: int | None) -> int:
    """Return the number of threads for ``n_jobs`` as joblib counts: -1 for all cores that this process may use.

    None is the number set by ``joblib.parallel_config``; else all cores, or 1 within a task of joblib or of these, and
    in a group of several processes, which may share a machine.

    Raises
    ------
    TypeError, ValueError
        If it is no whole number, or 0.
    """
    if not isinstance(n_jobs, Integral | None):
        raise TypeError(f"n_jobs must be a whole number, as -1 for all cores, or None, got {n_jobs!r}")
    backend, configured = get_active_backend()
    if n_jobs is None:
        n_jobs = configured
    if n_jobs is None:
        n_jobs = 1 if backend.nesting_level or several_ranks() is not None else -1
    return int(ThreadingBackend().effective_n_jobs(n_jobs))


def settings_of_thread() -> Callable[[], None]:
    """Return a function that sets what is of a thread: scikit-learn's configuration, joblib's, by which it starts none.

    The configuration is that of the thread which calls this.
    """
    return functools.partial(_set, get_config())


def _set(config: dict[str, Any]) -> None:
    set_config(**config)
    joblib.parallel_config(ThreadingBackend(nesting_level=1), n_jobs=None)

"""The places where joblib runs the fits of a search: threads of this process, and the ranks of a group."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from joblib.parallel import ParallelBackendBase
from sklearn.utils.parallel import _FuncWrapper

from ..distributed.agreement import comparable_text
from ..distributed.group import Group, training_in
from ..training.side_by_side import TaskOutcome, Workers, side_by_side
from .same_fits import check_same_rows, digests_of_numbers
from .threads import n_threads, settings_of_thread

ALL_AT_ONCE = 100_000
"""A number of jobs larger than that of most searches' tasks, all of which joblib then submits before it asks for a
result. It takes no number above a million for ``pre_dispatch``, such as "2*n_jobs"."""


class ThreadsOfSearch(ParallelBackendBase):
    """Runs the tasks of joblib in `Workers`."""

    uses_threads = supports_sharedmem = supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(self) -> None:
        super().__init__()
        self._open = contextlib.ExitStack()
        self._workers: Workers | None = None

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return the number of threads."""
        return n_threads(n_jobs)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_: Any) -> int:
        """Start the threads, and return their number."""
        self.parallel = parallel
        n = self.effective_n_jobs(n_jobs)
        self._workers = self._open.enter_context(Workers(n, settings_of_thread())) if n > 1 else None
        return n

    def submit(self, func: Any, callback: Callable[[Future[Any]], Any] | None = None) -> Future[Any]:
        """Run some tasks when a thread is free, then the callback."""
        assert self._workers is not None  # with one thread joblib runs the tasks itself
        future = self._workers.submit(_without_filters(func))
        if callback is not None:
            future.add_done_callback(callback)
        return future

    apply_async = submit
    """The name that older versions of joblib call."""

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """Return the result of the tasks."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Stop the fits that run, between two steps, and drop the others."""
        self.terminate()
        if ensure_ready:
            self.configure(self.parallel.n_jobs, self.parallel)

    def terminate(self) -> None:
        """Wait for the threads to end."""
        self._open.close()


class RanksOfSearch(ParallelBackendBase):
    """Runs the tasks of joblib on the ranks of a group, when joblib asks for the first result.

    All ranks make the same calls: each submits all tasks, runs its share, and receives all results.

    Parameters
    ----------
    group : Group
        The group whose ranks fit the models.
    in_threads : bool
        Whether the fits may run in threads.
    """

    uses_threads = supports_sharedmem = True
    default_n_jobs = 1

    def __init__(self, group: Group, *, in_threads: bool) -> None:
        super().__init__()
        self._group, self._in_threads = group, in_threads
        self._submitted: list[_Submitted] = []

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return the number of jobs that joblib is to think of."""
        return ALL_AT_ONCE

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_: Any) -> int:
        """Take the number of threads of each rank."""
        self.parallel, self._n_jobs = parallel, n_jobs
        return ALL_AT_ONCE

    def submit(self, func: Any, callback: Callable[[Any], Any]) -> _Submitted:
        """Keep some tasks for later."""
        self._submitted.append(_Submitted(_without_filters(func), callback))
        return self._submitted[-1]

    apply_async = submit
    """The name that older versions of joblib call."""

    def retrieve_result(self, out: _Submitted, timeout: float | None = None) -> Any:
        """Return the result of tasks, having run all that were submitted."""
        if out.outcome is None:
            self._run()
        assert out.outcome is not None
        if out.outcome.error is not None:
            raise out.outcome.error
        return out.outcome.value

    def _run(self) -> None:
        """Run this rank's share of what was submitted; receive the outcomes of all of it."""
        submitted, self._submitted = self._submitted, []
        with training_in(self._group):
            _check_same(submitted)
            n = n_threads(self._n_jobs) if self._in_threads else 1
            outcomes = side_by_side([one.run for one in submitted], n, start=settings_of_thread())
        for one, outcome in zip(submitted, outcomes, strict=True):
            one.outcome = outcome
        for one in submitted:
            one.callback(None)  # joblib may submit more of them


class _Submitted:
    """Tasks of joblib, its function to call when they have ended, and their outcome."""

    def __init__(self, tasks: Any, callback: Callable[[Any], Any]) -> None:
        self.tasks, self.callback = tasks, callback
        self.outcome: TaskOutcome[Any] | None = None

    def run(self) -> Any:
        """Run the tasks, and keep none of them: each has an estimator, which is fitted then."""
        tasks, self.tasks = self.tasks, None
        return tasks()


def _without_filters(tasks: Any) -> Any:
    """Take scikit-learn's wrapper off: while a task runs it replaces the filters of warnings, those of all threads."""
    tasks.items = [
        (task.function if isinstance(task, _FuncWrapper) else task, *arguments) for task, *arguments in tasks.items
    ]
    return tasks


def _check_same(submitted: list[_Submitted]) -> None:
    """Raise ValueError on all ranks if they were given other data, parameters or folds."""

    def described() -> bytes:
        options = [options for one in submitted for _, _, options in one.tasks.items]
        rows = (one.get(name) for one in options for name in ("train", "test"))
        return comparable_text([one.get("parameters") for one in options]).encode() + digests_of_numbers(*rows)

    _, (_, X, y), _ = submitted[0].tasks.items[0]
    check_same_rows(X, y, None, **{"candidates and folds (drawn with a random_state)": described})

"""Many tasks side by side in threads of one process, such as the fits of a search.

NumPy's products and compiled steps release the GIL, so that each core trains a model, on data that no process has to
copy. A task sees what the caller sees: its context variables, its configuration of scikit-learn, its filters of
warnings. Where several threads run, BLAS has one each.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import queue
import threading
import types
import warnings
from collections.abc import Callable, Generator, Iterable, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from numbers import Integral
from typing import Any, Generic, NamedTuple, Self, TypeVar

import joblib
from joblib.parallel import ThreadingBackend, get_active_backend
from sklearn import get_config, set_config
from threadpoolctl import threadpool_limits

from ..distributed.group import current_group
from ..training.interruption import SharedRequest, sharing

T = TypeVar("T")


class TaskOutcome(NamedTuple, Generic[T]):
    """The outcome of a task.

    Attributes
    ----------
    number : int
        The number of the task, from 0.
    value : object
        What the task returned; None if it failed.
    error : Exception or None
        The exception that it raised.
    """

    number: int
    value: T | None
    error: Exception | None


def side_by_side(
    tasks: Iterable[Callable[[], T]], n_jobs: int | None = None, *, ended: Callable[[TaskOutcome[T]], Any] | None = None
) -> list[TaskOutcome[T]]:
    """Run tasks in threads, and return their outcomes in the order of the tasks.

    A task that raises an exception stops no other. Ctrl-C stops all: trainings between two steps, other tasks when they
    end. In a group of processes (`portable_mlp.parallel`) and with one thread the tasks run one after the other, in the
    calling thread.

    Parameters
    ----------
    tasks : iterable of callable
        Functions without parameters. Each is taken from the iterable when a thread is free, by that thread.
    n_jobs : int, optional
        The number of threads, as for `n_threads`.
    ended : callable, optional
        ``ended(outcome)`` is called in the calling thread as soon as a task ends, in the order in which they end.

    Returns
    -------
    list of TaskOutcome
        The outcome of each task.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, or if a task raises it, once no task runs any more.
    """
    n = 1 if current_group() is not None else n_threads(n_jobs)
    if isinstance(tasks, Sized):
        n = min(n, len(tasks))
    outcomes = []
    with contextlib.closing(_one_by_one(tasks) if n <= 1 else _in_threads(tasks, n)) as as_they_end:
        for outcome in as_they_end:
            outcomes.append(outcome)
            if ended is not None:
                ended(outcome)
    return sorted(outcomes, key=lambda outcome: outcome.number)


def n_threads(n_jobs: int | None) -> int:
    """Return the number of threads for ``n_jobs`` as joblib counts: -1 for all cores that this process may use.

    None is the number set by ``joblib.parallel_config``; else all cores, or 1 within a task of joblib or of these.

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
        n_jobs = 1 if backend.nesting_level else -1
    return int(ThreadingBackend().effective_n_jobs(n_jobs))


class Workers:
    """Threads that run tasks in the context of the call which made them; a context manager, which waits for them.

    Parameters
    ----------
    n : int
        The number of threads.
    """

    def __init__(self, n: int) -> None:
        self._request = SharedRequest()
        with sharing(self._request):
            self._context = contextvars.copy_context()
        start = functools.partial(_start_thread, get_config())
        self._name = f"portable_mlp {id(self):x}"
        self._executor = ThreadPoolExecutor(n, self._name, initializer=start)

    def check(self) -> None:
        """Raise KeyboardInterrupt if no task is to begin any more."""
        self._request.pass_on()

    def submit(self, task: Callable[[], T]) -> Future[T]:
        """Run a task when a thread is free."""
        return self._executor.submit(self._context.copy().run, task)

    def stop(self) -> None:
        """Stop trainings between two steps, drop tasks that have not begun, and wait for the others."""
        self._request.ask()
        self._executor.shutdown(cancel_futures=True)
        # A thread whose start Ctrl-C interrupted is unknown to the executor.
        for thread in threading.enumerate():
            if thread.name.startswith(self._name):
                thread.join()

    def __enter__(self) -> Self:
        one_thread_each.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            one_thread_each.leave()


class OneThreadEach:
    """The settings of the process while threads run side by side: one thread of BLAS, and the filters of warnings.

    Both are of the process, so that the first call sets them and the last one restores them. scikit-learn's checks
    change the filters for a moment, and before Python 3.14 two threads that do so may each restore the other's. A
    thread of its own sets and restores them: threadpoolctl lets only that thread restore a limit which has set it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_calls = 0
        self._ended = threading.Event()
        self._keeper = threading.Thread()

    def enter(self) -> None:
        """Count a call that begins."""
        with self._lock:
            if self._n_calls == 0:
                are_set, self._ended = threading.Event(), threading.Event()
                self._keeper = threading.Thread(target=self._keep, args=(are_set, self._ended), daemon=True)
                try:
                    self._keeper.start()
                    are_set.wait()
                except BaseException:  # Ctrl-C: no call begins, and none would end
                    self._ended.set()
                    raise
            self._n_calls += 1

    def leave(self) -> None:
        """Count a call that ends."""
        with self._lock:
            self._n_calls -= 1
            if self._n_calls == 0:
                self._ended.set()
                self._keeper.join()

    @staticmethod
    def _keep(are_set: threading.Event, ended: threading.Event) -> None:
        try:
            with threadpool_limits(1, "blas"), warnings.catch_warnings():
                are_set.set()
                ended.wait()
        finally:
            are_set.set()


one_thread_each = OneThreadEach()


def _start_thread(config: dict[str, Any]) -> None:
    """Set what is of a thread: scikit-learn's configuration, joblib's, by which a task starts no other, OpenMP's."""
    set_config(**config)
    threadpool_limits(1, "blas")  # of BLAS on OpenMP; of another the limit of the process is in effect already
    joblib.parallel_config(ThreadingBackend(nesting_level=1), n_jobs=None)


def _outcome(number: int, task: Callable[[], T]) -> TaskOutcome[T]:
    try:
        return TaskOutcome(number, contextvars.copy_context().run(task), None)
    except Exception as error:
        return TaskOutcome(number, None, error)


def _one_by_one(tasks: Iterable[Callable[[], T]]) -> Generator[TaskOutcome[T]]:
    request = SharedRequest()
    with sharing(request):
        for number, task in enumerate(tasks):
            request.pass_on()
            yield _outcome(number, task)


def _in_threads(tasks: Iterable[Callable[[], T]], n: int) -> Generator[TaskOutcome[T]]:
    """Yield the outcomes as tasks end, each of which is taken by the thread that runs it."""
    lock, numbered, ended = threading.Lock(), enumerate(tasks), queue.SimpleQueue[Any]()

    def take() -> tuple[int, Callable[[], T]] | None:
        with lock:
            workers.check()
            return next(numbered, None)

    def work() -> None:
        for number, task in iter(take, None):
            ended.put(_outcome(number, task))

    with Workers(n) as workers:
        for _ in range(n):
            workers.submit(work).add_done_callback(ended.put)
        while n:
            one = ended.get()
            if isinstance(one, TaskOutcome):
                yield one
            else:
                one.result()  # raises what ended the thread: a KeyboardInterrupt, or an error of the iterable
                n -= 1

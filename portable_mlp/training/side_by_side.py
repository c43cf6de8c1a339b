"""Many tasks side by side, such as the fits of a search: in threads of one process, and in a group on all its ranks.

NumPy's products and compiled steps release the GIL, so that each core trains a model, on data that no process has to
copy. A task sees what the caller sees: its context variables, its filters of warnings. Where several threads run, BLAS
has one each.
"""

from __future__ import annotations

import contextlib
import contextvars
import queue
import threading
import types
import warnings
from collections.abc import Callable, Generator, Iterable, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, Self, TypeVar

from threadpoolctl import threadpool_limits

from ..distributed.exchange import pickled, sendable, unpickled
from ..distributed.group import Group, several_ranks, training_in
from .repeated_warnings import repeat_warnings, sent_warning
from .stop_requests import SharedRequest, sharing

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
    tasks: Iterable[Callable[[], T]],
    n_threads: int = 1,
    *,
    ended: Callable[[TaskOutcome[T]], Any] | None = None,
    start: Callable[[], Any] | None = None,
) -> list[TaskOutcome[T]]:
    """Run tasks in threads, and return their outcomes in the order of the tasks.

    A task that raises an exception stops no other. Ctrl-C stops all: trainings between two steps, other tasks when they
    end. With one thread the tasks run one after the other, in the calling thread.

    In a group of processes (`portable_mlp.parallel`) each rank runs a share of the tasks, in so many threads, with one
    thread of BLAS each, and outside of the group: a fit is that of one process. All ranks have the same tasks, and
    receive the outcomes and the warnings of all of them.

    Parameters
    ----------
    tasks : iterable of callable
        Functions without parameters. Each is taken from the iterable when a thread is free, by that thread; in a group
        all of them are taken at the start.
    n_threads : int
        The number of threads, at least 1.
    ended : callable, optional
        ``ended(outcome)`` is called in the calling thread as soon as a task ends, in the order in which they end; in a
        group once all have ended.
    start : callable, optional
        Called in each thread before its first task, to set what is of a thread.

    Returns
    -------
    list of TaskOutcome
        The outcome of each task. In a group, what the tasks of other ranks returned are copies.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, or if a task raises it, once no task runs any more.
    """
    group = several_ranks()
    with training_in(None):
        if group is None:
            return _in_this_process(tasks, n_threads, ended, start)
        outcomes = _over_ranks(group, list(tasks), n_threads, start)
    for outcome in outcomes:
        if ended is not None:
            ended(outcome)
    return outcomes


def _over_ranks(
    group: Group, tasks: list[Callable[[], T]], n_threads: int, start: Callable[[], Any] | None
) -> list[TaskOutcome[T]]:
    """Return the outcomes of all tasks, of which each rank has run those of its share."""
    mine = _share(group, len(tasks))
    with one_thread_each, warnings.catch_warnings(record=True) as caught:
        done = _in_this_process([tasks[i] for i in mine], n_threads, None, start)
    own = [_sendable(outcome._replace(number=i)) for i, outcome in zip(mine, done, strict=True)]
    sent = pickled(([content for _, content in own], [sent_warning(one) for one in caught]))
    outcomes: list[TaskOutcome[T]] = [outcome for outcome, _ in own]
    for rank, received in enumerate(map(unpickled, group.bytes_of_all(sent))):
        contents, sent_warnings = received
        if rank != group.rank:
            outcomes += map(unpickled, contents)
        repeat_warnings(sent_warnings)
    return sorted(outcomes, key=lambda outcome: outcome.number)


def own_share(n_tasks: int) -> range:
    """Return the numbers of the tasks that `side_by_side` runs here: all of them, or of a group's a share."""
    group = several_ranks()
    return range(n_tasks) if group is None else _share(group, n_tasks)


def _share(group: Group, n_tasks: int) -> range:
    return range(group.rank, n_tasks, group.size)


def _sendable(outcome: TaskOutcome[T]) -> tuple[TaskOutcome[T], bytes]:
    """Return an outcome for all ranks, and its bytes; an error in its place if it has none."""
    try:
        return outcome, sendable(outcome)
    except TypeError as reason:  # of this rank alone, for which the others would wait
        failed = TaskOutcome[T](outcome.number, None, reason)
        return failed, pickled(failed)


def _in_this_process(
    tasks: Iterable[Callable[[], T]],
    n_threads: int,
    ended: Callable[[TaskOutcome[T]], Any] | None,
    start: Callable[[], Any] | None,
) -> list[TaskOutcome[T]]:
    n = min(n_threads, len(tasks)) if isinstance(tasks, Sized) else n_threads
    outcomes = []
    with contextlib.closing(_one_by_one(tasks) if n <= 1 else _in_threads(tasks, n, start)) as as_they_end:
        for outcome in as_they_end:
            outcomes.append(outcome)
            if ended is not None:
                ended(outcome)
    return sorted(outcomes, key=lambda outcome: outcome.number)


class Workers:
    """Threads that run tasks in the context of the call which made them; a context manager, which waits for them.

    Parameters
    ----------
    n : int
        The number of threads.
    start : callable, optional
        Called in each thread before its first task.
    """

    def __init__(self, n: int, start: Callable[[], Any] | None = None) -> None:
        self._settings = contextlib.ExitStack()
        self._request = SharedRequest()
        with sharing(self._request):
            self._context = contextvars.copy_context()
        self._name = f"portable_mlp {id(self):x}"
        self._executor = ThreadPoolExecutor(n, self._name, initializer=_start_thread, initargs=(start,))

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
        self._settings.enter_context(one_thread_each)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        with self._settings:
            self.stop()


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

    def __enter__(self) -> Self:
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
                    if self._keeper.is_alive():
                        self._keeper.join()  # before another call may begin
                    raise
            self._n_calls += 1
        return self

    def __exit__(self, *exc: object) -> None:
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


def _start_thread(start: Callable[[], Any] | None) -> None:
    threadpool_limits(1, "blas")  # of BLAS on OpenMP; of another the limit of the process is in effect already
    if start is not None:
        start()


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


def _in_threads(tasks: Iterable[Callable[[], T]], n: int, start: Callable[[], Any] | None) -> Generator[TaskOutcome[T]]:
    """Yield the outcomes as tasks end, each of which is taken by the thread that runs it."""
    lock, numbered, ended = threading.Lock(), enumerate(tasks), queue.SimpleQueue[Any]()

    def take() -> tuple[int, Callable[[], T]] | None:
        with lock:
            workers.check()
            return next(numbered, None)

    def work() -> None:
        for number, task in iter(take, None):
            ended.put(_outcome(number, task))

    with Workers(n, start) as workers:
        for _ in range(n):
            workers.submit(work).add_done_callback(ended.put)
        while n:
            one = ended.get()
            if isinstance(one, TaskOutcome):
                yield one
            else:
                one.result()  # raises what ended the thread: a KeyboardInterrupt, or an error of the iterable
                n -= 1

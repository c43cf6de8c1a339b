"""The trials of a search in several processes of this machine, each of which evaluates one trial at a time."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait

from threadpoolctl import threadpool_limits

from ..backends.deferred_interrupts import interrupts_held_back
from ..tables.search import TableSearch, TrialScores
from ..tables.search_loop import Ended
from .misuse import PROGRAM
from .terminal import echo

RESTARTS = 3
"""The most processes that are started in the place of others."""

DIED = "a process of the search died"


def evaluate_in_processes(search: TableSearch, numbers: Iterator[int], ended: Ended, n_processes: int) -> None:
    """Evaluate trials in processes, each of which gets another number when it has sent its trial.

    The trial of a process that dies is evaluated by another one, started in its place. Whatever ends the call ends the
    processes at once.

    Parameters
    ----------
    search : TableSearch
        The search, of which each process gets a copy.
    numbers : iterator of int
        The numbers of the trials.
    ended : callable
        Called with each trial as it ends.
    n_processes : int
        The number of processes.

    Raises
    ------
    ChildProcessError
        If a process dies as it starts, or more than `RESTARTS` of them at work.
    Exception
        If a trial raises it.
    """
    with contextlib.ExitStack() as workers:
        idle = [_started(workers, search) for _ in range(n_processes)]
        busy: dict[Connection, int] = {}
        again: list[int] = []
        n_restarts = 0
        while True:
            while idle and (number := again.pop() if again else next(numbers, None)) is not None:
                busy[idle[-1]] = number
                with contextlib.suppress(ConnectionError):  # of a dead process, which is noticed below
                    idle.pop().send(number)
            if not busy:
                return
            for ready in wait([*busy]):
                assert isinstance(ready, Connection)
                number = busy.pop(ready)
                try:
                    trial = _received(ready)
                except ChildProcessError:
                    if n_restarts == RESTARTS:
                        raise
                    n_restarts += 1
                    echo(f"{PROGRAM}: {DIED}; another evaluates its trial: {n_restarts} of {RESTARTS}", err=True)
                    again.append(number)
                    idle.append(_started(workers, search))
                else:
                    idle.append(ready)
                    ended(trial)


def _started(workers: contextlib.ExitStack, search: TableSearch) -> Connection:
    """Return the connection to a new process that has the search."""
    connection = workers.enter_context(_worker())
    # As an argument of a process, a large one would keep its start waiting for ever if the process died meanwhile.
    with _alive():
        connection.send(search)
    return connection


@contextlib.contextmanager
def _worker() -> Iterator[Connection]:
    """Yield the connection to a process that evaluates trials; end the process with the context."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_evaluate_for, args=(theirs,), daemon=True)
    try:
        with _interrupts_blocked():
            process.start()
        theirs.close()
        yield ours
    finally:
        if process.pid is not None:
            process.terminate()
            process.join()
        ours.close()


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Start a process in which Ctrl-C is blocked from its first moment; here it takes effect at the end of the block.

    Ctrl-C reaches all processes of a terminal; the one that started the others ends them. On Windows nothing changes.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # It is started with the first process, and would unblock what is blocked by then.
    resource_tracker.ensure_running()
    with interrupts_held_back():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _evaluate_for(connection: Connection) -> None:
    """Receive a search; send a trial for each number that is received then."""
    # On Windows it was not blocked.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Where that one is gone, so is the other end.
    with threadpool_limits(1, "blas"), contextlib.suppress(EOFError, ConnectionError):
        search: TableSearch = connection.recv()
        while True:
            number = connection.recv()
            try:
                result: TrialScores | Exception = search.evaluate(number)
            except Exception as error:
                result = error
            connection.send(result)


def _received(connection: Connection) -> TrialScores:
    """Return the trial that a process has sent; raise the error that it sent instead."""
    with _alive():
        result = connection.recv()
    if isinstance(result, Exception):
        raise result
    trial: TrialScores = result
    return trial


@contextlib.contextmanager
def _alive() -> Iterator[None]:
    """Name the reason why a process neither takes nor sends anything."""
    try:
        yield
    except (EOFError, ConnectionError):
        raise ChildProcessError(f"{DIED}; --checkpoint DIR and --resume keep its trials") from None

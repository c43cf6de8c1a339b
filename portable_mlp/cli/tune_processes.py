"""The trials of a search in several processes of this machine, each of which evaluates one trial at a time."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait

from threadpoolctl import threadpool_limits

from ..backends.interrupts import interrupts_held_back
from ..tables.search import TableSearch, TrialScores
from ..tables.search_loop import Ended


def evaluate_in_processes(search: TableSearch, numbers: Iterator[int], ended: Ended, n_processes: int) -> None:
    """Evaluate trials in processes, each of which gets another number when it has sent its trial.

    Whatever ends the call ends the processes at once.

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
        If a process dies.
    Exception
        If a trial raises it.
    """
    with contextlib.ExitStack() as workers:
        idle = [workers.enter_context(_worker()) for _ in range(n_processes)]
        # As an argument of a process, a large one would keep its start waiting for ever if the process died meanwhile.
        for connection in idle:
            with _alive():
                connection.send(search)
        busy: list[Connection] = []
        while True:
            while idle and (number := next(numbers, None)) is not None:
                busy.append(idle.pop())
                with _alive():
                    busy[-1].send(number)
            if not busy:
                return
            for ready in wait(busy):
                assert isinstance(ready, Connection)
                ended(_received(ready))
                busy.remove(ready)
                idle.append(ready)


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
        raise ChildProcessError("a process of the search died; --checkpoint DIR and --resume keep its trials") from None

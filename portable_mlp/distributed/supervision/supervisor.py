"""A training of several processes, watched: ended where it hangs, gone on with where it died, stopped when asked to."""

from __future__ import annotations

import contextlib
import pathlib
import signal
import sys
import time
import types
from collections.abc import Sequence
from typing import Any, NamedTuple, Self, TypeAlias

from ...exit_codes import GAVE_UP, INTERRUPTED, TERMINATED, USERS_MISTAKE
from ...storage.checkpoints import CheckpointFolder
from ...storage.printable import printable
from .cores import busy_cores, doubt, n_cores
from .job import SECONDS_BETWEEN_LOOKS, Job, Outcome, started
from .mpi_launcher import Launcher, find_launcher

STOPPED = (INTERRUPTED, TERMINATED)
"""The exit codes of a training that was stopped by somebody else."""

SECONDS_BEFORE_RESTART = 1.0
"""Before the first; doubled before each further one."""

_States: TypeAlias = frozenset[tuple[str, int, int]]
"""What `CheckpointFolder.versions` returns."""


class Rules(NamedTuple):
    """When to end a job, and when to start it again.

    Attributes
    ----------
    timeout : float
        Seconds: a job whose ranks do not meet for longer hangs. Its start may take as long.
    restarts : int
        How often it may be started again.
    checkpoint : path or None
        Folder of its states; without one there is nothing to go on from.
    """

    timeout: float = 300.0
    restarts: int = 3
    checkpoint: pathlib.Path | None = None


def supervise(program: Sequence[str], again: Sequence[str], procs: int, rules: Rules) -> int:
    """Run a program on several processes of this machine until it is done; return the exit code.

    What rank 0 writes is passed on as it is. What the others write is told once, with their rank, when they have ended.
    A job that dies or hangs is started again, after 1, 2, 4... seconds, if it has written a state since it was last
    started. The first SIGINT (Ctrl-C), SIGTERM or SIGHUP is passed on and its effect waited for; the
    second ends everything at once.

    Parameters
    ----------
    program : sequence of str
        The path of a program that uses MPI, and its arguments. It ends with 2 after a mistake of its user, and its
        rank 0 touches the file that the environment's PORTABLE_MLP_HEARTBEAT names whenever the ranks have met.
    again : sequence of str
        The same, going on from the newest state.
    procs : int
        How many processes.
    rules : Rules
        When to end them, and when to start them again.

    Returns
    -------
    int
        0 done; 2 a mistake of the user; 75 failed; 128 and the number of a signal: stopped by it.

    Raises
    ------
    BackendUnavailable
        If MPI is missing or cannot be used here.
    """
    launcher = find_launcher()
    reservation = doubt(procs, n_cores(), busy_cores())
    if reservation is not None:
        _tell(reservation)
    with _Requests() as requests:
        n_restarts = 0
        while True:
            before = _states(rules.checkpoint)
            outcome = _one_start(launcher, procs, again if n_restarts else program, rules.timeout, requests)
            if outcome.code == 0:
                return 0
            if requests.received:
                return 128 + requests.received[0]
            if outcome.code in (USERS_MISTAKE, *STOPPED):
                return outcome.code
            reason = _why_not_again(rules, n_restarts, before)
            if reason is not None:
                _tell(f"the training failed and is not started again: {reason}{_last_lines(outcome)}")
                return GAVE_UP
            pause = SECONDS_BEFORE_RESTART * 2**n_restarts
            n_restarts += 1
            _tell(f"it goes on from its newest checkpoint in {pause:g} s: restart {n_restarts} of {rules.restarts}")
            requests.wait(pause)
            if requests.received:
                return 128 + requests.received[0]


def _one_start(launcher: Launcher, procs: int, program: Sequence[str], timeout: float, requests: _Requests) -> Outcome:
    """Run the program once, to its end or until it must be ended; tell what is known of a failure."""
    with started(launcher, procs, program) as job:
        hung = _watch(job, timeout, requests)
        job.end()
        outcome = job.outcome()
    _tell_what_ranks_wrote(outcome)
    if hung:
        _tell(f"nothing was heard of the training for {timeout:g} s; its processes were ended")
        # Whatever mpiexec makes of being ended, this was no mistake and no request.
        return outcome._replace(code=GAVE_UP)
    if outcome.code not in (0, USERS_MISTAKE, *STOPPED) and outcome.launcher.strip():
        _tell(f"mpiexec ended with {outcome.code} and wrote:\n{outcome.launcher.strip()}")
    return outcome


def _watch(job: Job, timeout: float, requests: _Requests) -> bool:
    """Wait until the job has ended or must be ended; tell whether it hangs. Pass on the first request to stop."""
    asked = False
    while not job.has_ended():
        if job.silence() > timeout:
            return True
        if len(requests.received) > asked:
            # Whoever closes a terminal wants what one wants who terminates: a last state.
            number = signal.SIGINT if requests.received[0] == signal.SIGINT else signal.SIGTERM
            if asked or not job.ask(number):
                return False
            asked = True
    return False


def _why_not_again(rules: Rules, n_restarts: int, before: _States) -> str | None:
    """Return what speaks against another start, None if nothing does."""
    if rules.checkpoint is None:
        return "without --checkpoint DIR there is nothing to go on from"
    if n_restarts >= rules.restarts:
        return f"it was started again {n_restarts} times, the most that --restarts allows"
    if _states(rules.checkpoint) <= before:
        return f"{rules.checkpoint} got no new state since its last start"
    return None


def _states(checkpoint: pathlib.Path | None) -> _States:
    return frozenset() if checkpoint is None else CheckpointFolder(checkpoint).versions()


def _tell_what_ranks_wrote(outcome: Outcome) -> None:
    """Tell what ranks other than 0 wrote: once what several wrote, and nothing that rank 0 wrote too."""
    told = outcome.errors.get(0, "")
    for text in sorted({text for rank, text in outcome.errors.items() if rank}, key=len, reverse=True):
        if text.strip() not in told:
            _tell(f"{_ranks(outcome, text)} wrote:\n{text.strip()}")
            told += text


def _last_lines(outcome: Outcome) -> str:
    """Return the last line of each rank that wrote something, each on a line of its own."""
    last = {rank: text.strip().splitlines()[-1] for rank, text in sorted(outcome.errors.items())}
    return "".join(f"\n  rank {rank}: {line}" for rank, line in last.items())


def _ranks(outcome: Outcome, text: str) -> str:
    ranks = [str(rank) for rank, other in sorted(outcome.errors.items()) if other == text]
    return f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {', '.join(ranks)}"


def _tell(message: str) -> None:
    lines = "\n".join(map(printable, message.splitlines()))
    sys.stderr.write(f"portable-mlp: {lines}\n")
    sys.stderr.flush()


class _Requests(contextlib.AbstractContextManager["_Requests"]):
    """Takes note of every request to stop, and lets none of them end us half-way."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                self._before[number] = signal.signal(number, self._take_note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        """Put the handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait(self, seconds: float) -> None:
        """Wait, or until there is a request."""
        end = time.monotonic() + seconds
        while not self.received and time.monotonic() < end:
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _take_note(self, number: int, frame: types.FrameType | None) -> None:
        self.received.append(number)

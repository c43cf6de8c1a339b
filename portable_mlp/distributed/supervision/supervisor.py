"""The supervisor of a job: it ends a job that hangs, resumes one that died, and passes on requests to stop."""

from __future__ import annotations

import pathlib
import signal
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from ...exit_codes import GAVE_UP, INTERRUPTED, TERMINATED, USERS_MISTAKE
from ...printable import printable
from ...signal_handlers import SignalHandlers
from ...storage.checkpoints import CheckpointFolder
from ..agreement import ranks_in_words
from .cores import busy_cores, doubt, n_cores
from .job import SECONDS_BETWEEN_LOOKS, Job, Outcome, started
from .mpi_launcher import Launcher, find_launcher

STOPPED = (INTERRUPTED, TERMINATED)
"""The exit codes of a training that was stopped by somebody else."""

SECONDS_BEFORE_RESTART = 1.0
"""The pause before the first restart; doubled before each further one."""

_States: TypeAlias = frozenset[tuple[str, int, int]]
"""The type of `CheckpointFolder.versions`."""


class Rules(NamedTuple):
    """The limits at which a job is ended or started again.

    Attributes
    ----------
    timeout : float
        Seconds after which a job hangs whose ranks have not met; its start may take as long.
    restarts : int
        Largest number of restarts.
    checkpoint : path or None
        Folder of its checkpoints; without one a job cannot be resumed.
    """

    timeout: float = 300.0
    restarts: int = 3
    checkpoint: pathlib.Path | None = None


def supervise(program: Sequence[str], again: Sequence[str], procs: int, rules: Rules) -> int:
    """Run a program on several processes of this machine until it is done; return the exit code.

    The output of rank 0 is passed on unchanged, that of the others once, with their rank, when they have ended.
    A job that dies or hangs is started again, after 1, 2, 4... seconds, if it has written a state since it was last
    started. The first SIGINT (Ctrl-C), SIGTERM or SIGHUP is passed on and its effect waited for; the
    second ends everything at once.

    Parameters
    ----------
    program : sequence of str
        The path of a program that uses MPI, and its arguments. It ends with 2 after a mistake of its user, and its
        rank 0 touches the file that the environment's PORTABLE_MLP_HEARTBEAT names whenever the ranks have met.
    again : sequence of str
        The same program, resumed from the newest checkpoint.
    procs : int
        Number of processes to start.
    rules : Rules
        Limits at which they are ended or started again.

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
        _report(reservation)
    with _RequestsOfJob() as requests:
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
                _report(f"the training failed and is not started again: {reason}{_last_lines(outcome)}")
                return GAVE_UP
            pause = SECONDS_BEFORE_RESTART * 2**n_restarts
            n_restarts += 1
            _report(f"it goes on from its newest checkpoint in {pause:g} s: restart {n_restarts} of {rules.restarts}")
            requests.wait(pause)
            if requests.received:
                return 128 + requests.received[0]


def _one_start(
    launcher: Launcher, procs: int, program: Sequence[str], timeout: float, requests: _RequestsOfJob
) -> Outcome:
    """Run the program once, to its end or until it must be ended; report a failure."""
    with started(launcher, procs, program) as job:
        hung = _watch(job, timeout, requests)
        job.end()
        outcome = job.outcome()
    _report_output_of_ranks(outcome)
    if hung:
        _report(f"nothing was heard of the training for {timeout:g} s; its processes were ended")
        # Whatever the exit code of the ended mpiexec, this was neither a mistake nor a request.
        return outcome._replace(code=GAVE_UP)
    if outcome.code not in (0, USERS_MISTAKE, *STOPPED) and outcome.launcher.strip():
        _report(f"mpiexec ended with {outcome.code} and wrote:\n{outcome.launcher.strip()}")
    return outcome


def _watch(job: Job, timeout: float, requests: _RequestsOfJob) -> bool:
    """Wait until the job has ended or must be ended; return whether it hangs. Pass on the first request to stop."""
    asked = False
    while not job.has_ended():
        if job.silence() > timeout:
            return True
        if len(requests.received) > asked:
            # A closed terminal (SIGHUP) asks for the same as SIGTERM: a last checkpoint.
            number = signal.SIGINT if requests.received[0] == signal.SIGINT else signal.SIGTERM
            if asked or not job.ask(number):
                return False
            asked = True
    return False


def _why_not_again(rules: Rules, n_restarts: int, before: _States) -> str | None:
    """Return the reason not to start the job again, None if there is none."""
    if rules.checkpoint is None:
        return "without --checkpoint DIR there is nothing to go on from"
    if n_restarts >= rules.restarts:
        return f"it was started again {n_restarts} times, the most that --restarts allows"
    if _states(rules.checkpoint) <= before:
        return f"{rules.checkpoint} got no new state since its last start"
    return None


def _states(checkpoint: pathlib.Path | None) -> _States:
    return frozenset() if checkpoint is None else CheckpointFolder(checkpoint).versions()


def _report_output_of_ranks(outcome: Outcome) -> None:
    """Report the output of ranks other than 0: once if it is that of several, and nothing that rank 0 wrote too."""
    reported = outcome.errors.get(0, "")
    for text in sorted({text for rank, text in outcome.errors.items() if rank}, key=len, reverse=True):
        if text.strip() not in reported:
            ranks = [rank for rank, other in sorted(outcome.errors.items()) if other == text]
            _report(f"{ranks_in_words(ranks)} wrote:\n{text.strip()}")
            reported += text


def _last_lines(outcome: Outcome) -> str:
    """Return the last line of each rank that wrote something, each on a line of its own."""
    last = {rank: text.strip().splitlines()[-1] for rank, text in sorted(outcome.errors.items())}
    return "".join(f"\n  rank {rank}: {line}" for rank, line in last.items())


def _report(message: str) -> None:
    lines = "\n".join(map(printable, message.splitlines()))
    sys.stderr.write(f"portable-mlp: {lines}\n")
    sys.stderr.flush()


class _RequestsOfJob(SignalHandlers):
    """A record of every request to stop; none of them ends this process half-way."""

    def __init__(self) -> None:
        super().__init__(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self.received: list[int] = []

    def wait(self, seconds: float) -> None:
        """Wait, or until there is a request."""
        end = time.monotonic() + seconds
        while not self.received and time.monotonic() < end:
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def receive(self, number: int) -> None:
        """Record a request."""
        self.received.append(number)

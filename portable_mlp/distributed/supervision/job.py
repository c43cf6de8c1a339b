"""One job of several processes: started, watched, and ended to the last of them."""

from __future__ import annotations

import codecs
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import types
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TextIO

from . import rank
from .cores import threads_per_rank
from .guardian import guarded_folder
from .heartbeat import VARIABLE as HEARTBEAT
from .members import SECONDS_TO_END, ask_root, heartbeat_of, kill_members
from .mpi_launcher import Launcher
from .shared_memory import leftovers_removed

SECONDS_BETWEEN_LOOKS = 0.1

_NOISE = re.compile(rb"^Abort\(\d+\) on node .*\n?|\0", re.MULTILINE)
"""A line that MPICH adds to the error of a program, and the character at the end of Open MPI's texts."""


class Outcome(NamedTuple):
    """The end of a job.

    Attributes
    ----------
    code : int
        Exit code of ``mpiexec``.
    errors : dict of int to str
        By rank: its stderr and, except for rank 0, its stdout. Ranks that wrote nothing are left out.
    launcher : str
        Output of ``mpiexec`` itself.
    """

    code: int
    errors: dict[int, str]
    launcher: str


@contextlib.contextmanager
def started(launcher: Launcher, procs: int, program: Sequence[str]) -> Iterator[Job]:
    """Yield a job that has been started; when the context ends, however it does, nothing of the job is left.

    Parameters
    ----------
    launcher : Launcher
        The ``mpiexec`` that starts the ranks.
    procs : int
        Number of ranks to start.
    program : sequence of str
        Path of the program that each rank runs, and its arguments.

    Yields
    ------
    Job
    """
    with guarded_folder() as folder, leftovers_removed():
        job = Job(folder, launcher, procs, program)
        try:
            yield job
        finally:
            job.end()


class Job:
    """Ranks that ``mpiexec`` has started. The output of rank 0 appears on our stdout and stderr; the rest is kept."""

    def __init__(self, folder: pathlib.Path, launcher: Launcher, procs: int, program: Sequence[str]) -> None:
        self._folder = folder
        self._heartbeat = heartbeat_of(folder)
        self._heartbeat.touch()
        self._last_beat, self._seen = self._beat(), time.monotonic()
        # Progress first: its last line must not be drawn over what is printed after it.
        self._relays = (_Relay(folder / "0.err", sys.stderr, without=_NOISE), _Relay(folder / "0.out", sys.stdout))
        with self._log.open("wb") as log:
            self._mpiexec = subprocess.Popen(
                [*launcher.command(procs), *_script(rank, folder), *program],
                env={**os.environ, **threads_per_rank(procs), **_screen(), HEARTBEAT: str(self._heartbeat)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in a terminal is for us, who pass it on
            )

    def has_ended(self) -> bool:
        """Wait a moment, pass on the new output of rank 0, and return whether the job has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._mpiexec.wait(SECONDS_BETWEEN_LOOKS)
        for relay in self._relays:
            relay.pass_on()
        return self._mpiexec.returncode is not None

    def silence(self) -> float:
        """Return the seconds since the ranks last met, or since the job was started."""
        beat = self._beat()
        # Timed by our own clock, since the clock of files may jump.
        if beat != self._last_beat:
            self._last_beat, self._seen = beat, time.monotonic()
        return time.monotonic() - self._seen

    def ask(self, number: int) -> bool:
        """Send a signal to rank 0, which acts for all; return whether it was there."""
        return ask_root(self._folder, number)

    def end(self) -> None:
        """End all its processes, and whatever they have started."""
        if self._mpiexec.poll() is None:
            self._mpiexec.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._mpiexec.wait(SECONDS_TO_END)
        kill_members(self._folder)
        if self._mpiexec.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._mpiexec.pid, signal.SIGKILL)
            self._mpiexec.wait()

    def outcome(self) -> Outcome:
        """Return the outcome of the job, once it has ended."""
        for relay in self._relays:
            relay.pass_on()
        errors = {int(path.stem): _text_of_file(path) for path in self._folder.glob("*.err")}
        log = _text_of_file(self._log)
        for path in self._folder.glob("*.pid"):
            log = re.sub(rf"\bPID {_text_of_file(path)}\b", rf"\g<0> (rank {path.stem})", log)
        return Outcome(self._mpiexec.returncode, {rank: text for rank, text in errors.items() if text.strip()}, log)

    @property
    def _log(self) -> pathlib.Path:
        return self._folder / "mpiexec.log"

    def _beat(self) -> int:
        return self._heartbeat.stat().st_mtime_ns


class _Relay:
    """A copy of what a file grows by to a stream, without what matches a pattern."""

    def __init__(self, path: pathlib.Path, to: TextIO, without: re.Pattern[bytes] | None = None) -> None:
        self._path, self._to, self._without, self._done = path, to, without, 0
        # The new bytes may end within a character.
        self._decoder = codecs.getincrementaldecoder(to.encoding or "utf-8")("replace")

    def pass_on(self) -> None:
        try:
            with self._path.open("rb") as file:
                file.seek(self._done)
                new = file.read()
        except FileNotFoundError:  # the rank has not begun
            return
        if new:
            self._done += len(new)
            self._to.write(self._decoder.decode(new if self._without is None else self._without.sub(b"", new)))
            self._to.flush()


def _script(module: types.ModuleType, argument: object) -> list[str]:
    """Return the command that runs a file of this package by itself, which then becomes the program that follows."""
    return [sys.executable, "-S", str(module.__file__), str(argument)]


def _screen() -> dict[str, str]:
    """Return the environment that makes rank 0 draw its progress for our terminal, though it writes into a file."""
    if not sys.stderr.isatty():
        return {}
    return {"FORCE_COLOR": "1", "COLUMNS": str(os.get_terminal_size(sys.stderr.fileno()).columns)}


def _text_of_file(path: pathlib.Path) -> str:
    return _NOISE.sub(b"", path.read_bytes()).decode("utf-8", errors="replace")

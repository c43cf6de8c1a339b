"""Ranks that die, hang, raise and are stopped: with real processes, started by the real ``mpiexec``."""

import contextlib
import json
import pathlib
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from portable_mlp.distributed.supervision import members
from portable_mlp.distributed.supervision.job import Outcome
from portable_mlp.distributed.supervision.supervisor import _report_output_of_ranks
from tests.processes import environment
from tests.selection import rarely

WORKER = pathlib.Path(__file__).parent / "worker.py"
SUPERVISE = """
import pathlib, sys
from portable_mlp.distributed.supervision import supervisor
procs, timeout, restarts, checkpoint, pause, *program = sys.argv[1:]
supervisor.SECONDS_BEFORE_RESTART = float(pause)
rules = supervisor.Rules(float(timeout), int(restarts), pathlib.Path(checkpoint) if checkpoint else None)
sys.exit(supervisor.supervise(program, [*program, "--resume"], int(procs), rules))
"""
PATIENCE = 120.0
"""Seconds; nothing here takes a tenth of it, and a hang all of it."""

LOWS = (11, 21, 31)
"""Steps from which on, for nine steps, a fault finds a state that is newer than that of the fault before it."""


class Supervised:
    """Starts workers under a supervisor, and knows what they left."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.mark = uuid.uuid4().hex
        self.n = 0

    def start(
        self,
        *,
        procs: int = 2,
        timeout: float = 60,
        restarts: int = 3,
        checkpoint: bool = True,
        pause: float = 0.01,
        **plan: Any,
    ) -> tuple[subprocess.Popen[bytes], pathlib.Path]:
        self.n += 1
        states = self.folder / f"states-{self.n}"
        states.mkdir()
        rules = [str(procs), str(timeout), str(restarts), str(states) if checkpoint else "", str(pause)]
        worker = [sys.executable, "-m", "mpi4py", str(WORKER), json.dumps({"folder": str(states), **plan})]
        process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISE, *rules, *worker],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(TMPDIR=str(self.temporary), MARK_OF_TEST=self.mark),
        )
        return process, states

    def run(self, **options: Any) -> tuple[int, bytes, str, pathlib.Path]:
        process, states = self.start(**options)
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err.decode(), states

    def processes(self) -> list[str]:
        mark = f"MARK_OF_TEST={self.mark}".encode()
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_text())
            except OSError:
                continue
        return found

    def statuses(self) -> str:
        """Return what the system says of all processes."""
        texts = []
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in (path / "environ").read_bytes():
                    texts.append((path / "status").read_text())
        return "\n".join(texts)

    def segments(self) -> set[str]:
        """Return all files of /dev/shm that the workers used."""
        return {line for path in self.folder.rglob("segments-*") for line in path.read_text().splitlines()}


@pytest.fixture
def supervised(tmp_path: pathlib.Path) -> Iterator[Supervised]:
    """Supervised workers; afterwards there must be no process, no segment and no temporary file of theirs."""
    one = Supervised(tmp_path)
    yield one
    assert not one.processes()
    assert not [name for name in one.segments() if pathlib.Path(name).exists()]
    assert not list(one.temporary.iterdir())


def starts(states: pathlib.Path) -> list[str]:
    """Return the options of each start."""
    return [path.read_text() for path in sorted(states.glob("start-*"))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a run of 60 steps prints that nobody disturbs."""
    code, out, err, _ = Supervised(tmp_path_factory.mktemp("whole")).run()
    assert (code, json.loads(out)["steps"]) == (0, 60), err
    return out


@pytest.mark.parametrize(("seed", "kills"), [(0, 1), *rarely((1, 3), (2, 3))])
def test_killed_ranks_change_nothing_in_the_result(seed: int, kills: int, supervised: Supervised, whole: bytes) -> None:
    """Each kill after a new state, of a rank drawn at random; the pauses become longer."""
    draw = random.Random(seed)
    faults = [
        [start, draw.randrange(2), draw.randrange(low, low + 9), "SIGKILL"] for start, low in enumerate(LOWS[:kills])
    ]
    code, out, err, states = supervised.run(faults=faults, pause=0.25)
    assert (code, out) == (0, whole), (faults, err)
    assert starts(states) == ["", *kills * ["--resume"]], faults
    for restart, pause in enumerate(("0.25", "0.5", "1")[:kills], start=1):
        assert f"it goes on from its newest checkpoint in {pause} s: restart {restart} of 3" in err


@pytest.mark.parametrize("rank", [1, *rarely(0)])
def test_a_hanging_rank_is_noticed(rank: int, supervised: Supervised, whole: bytes) -> None:
    code, out, err, states = supervised.run(timeout=15, faults=[[0, rank, 25, "SIGSTOP"]], grandchild=True)
    assert (code, out) == (0, whole), err
    assert starts(states) == ["", "--resume"]
    assert "nothing was heard of the training for 15 s; its processes were ended" in err


def test_a_long_run_that_beats_does_not_hang(supervised: Supervised, whole: bytes) -> None:
    code, out, err, _ = supervised.run(timeout=10, seconds_per_step=0.25, restarts=0)
    assert (code, out) == (0, whole), err


@pytest.mark.thorough  # each time: a rank that is stopped
def test_a_long_run_without_a_beat_hangs(supervised: Supervised) -> None:
    code, out, err, states = supervised.run(timeout=8, seconds_per_step=0.5, heartbeat=False, restarts=0)
    assert (code, out, starts(states)) == (75, b"", [""])
    assert "nothing was heard of the training for 8 s; its processes were ended" in err


def test_an_exception_of_one_rank_is_told_once(supervised: Supervised) -> None:
    code, out, err, states = supervised.run(procs=3, checkpoint=False, faults=[[None, 1, 5, "exception"]])
    assert (code, out, starts(states)) == (75, b"", [""])
    assert err.count("Traceback") == 1
    assert "portable-mlp: rank 1 wrote:\nTraceback" in err
    assert "is not started again: without --checkpoint DIR there is nothing to go on from" in err
    assert err.rstrip().endswith("\n  rank 1: RuntimeError: this rank fails")


def test_what_mpiexec_says_of_a_killed_rank_is_told_with_its_number(supervised: Supervised) -> None:
    # Of the ranks that end so MPICH names the first, and it may have killed the others before it looks.
    _, _, err, states = supervised.run(checkpoint=False, faults=[[None, 0, 5, "SIGKILL"]])
    assert len(starts(states)) == 1
    assert "portable-mlp: mpiexec ended with " in err
    assert f"PID {(states / 'pid-0-0').read_text()} (rank 0)" in err


@pytest.mark.parametrize("rank", [None, *rarely(0, 1)])
def test_a_mistake_of_the_user_is_not_tried_again(rank: int | None, supervised: Supervised) -> None:
    code, out, err, states = supervised.run(faults=[[None, rank, 15, "mistake"]])
    assert (code, out, starts(states)) == (2, b"", [""])
    assert err.count("portable-mlp: no such column") == 1


def test_without_a_new_state_it_is_not_tried_again(supervised: Supervised) -> None:
    code, out, err, states = supervised.run(faults=[[None, 1, 25, "SIGKILL"]])
    assert (code, out, starts(states)) == (75, b"", ["", "--resume"])
    assert f"{states} got no new state since its last start" in err


def test_it_is_not_tried_for_ever(supervised: Supervised) -> None:
    faults = [[start, 0, 10 * start + 15, "exception"] for start in range(5)]
    code, out, err, states = supervised.run(faults=faults, restarts=1)
    assert (code, out, starts(states)) == (75, b"", ["", "--resume"])
    assert "it was started again 1 times, the most that --restarts allows" in err
    assert err.count("RuntimeError: this rank fails") == 3  # twice in full, and the last error of each rank


def test_only_rank_0_speaks_on_stdout_and_what_a_rank_has_started_ends_with_it(
    supervised: Supervised, whole: bytes
) -> None:
    code, out, err, states = supervised.run(noise=True, grandchild=True)
    assert (code, out, starts(states)) == (0, whole, [""])
    assert "portable-mlp: rank 1 wrote:\nnoise of rank 1\n" in err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), *rarely((signal.SIGTERM, 143), (signal.SIGHUP, 129))]
)
def test_a_request_to_stop_is_passed_on_and_waited_for(number: int, code: int, supervised: Supervised) -> None:
    process, states = supervised.start(seconds_per_step=0.05, n_steps=10_000, state_every=10_000, seconds_to_write=2.5)
    _wait_for(states, "segments-0-1")
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, err
    assert len(list(states.glob("step-*"))) == 1
    assert len(starts(states)) == 1


def test_a_second_request_ends_everything_at_once(supervised: Supervised) -> None:
    process, states = supervised.start(seconds_per_step=0.05, n_steps=10_000, state_every=10_000, deaf=True)
    _wait_for(states, "segments-0-1")
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert not list(states.glob("step-*"))


def test_a_request_to_stop_is_heard_between_starts(supervised: Supervised) -> None:
    faults = [[start, 0, 10 * start + 15, "exception"] for start in range(5)]
    process, states = supervised.start(faults=faults, pause=PATIENCE)
    assert process.stderr is not None
    for line in process.stderr:
        if b"it goes on from its newest checkpoint in 120 s" in line:
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE / 2)
    assert process.returncode == 143
    assert len(starts(states)) == 1


def killed(supervised: Supervised, process: "subprocess.Popen[bytes]") -> None:
    """Kill a supervisor, and wait until no process of its job is left, nor the guardian, which tidies up."""
    process.kill()
    process.communicate(timeout=PATIENCE)
    end = time.monotonic() + PATIENCE
    while supervised.processes():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_supervisor_that_is_killed_takes_its_job_along(supervised: Supervised) -> None:
    process, states = supervised.start(seconds_per_step=0.05, n_steps=10_000, state_every=10_000)
    _wait_for(states, "segments-0-1")
    killed(supervised, process)
    assert len(list(states.glob("step-*"))) == 1


@pytest.mark.parametrize("rank", [0, *rarely(1)])
def test_a_stopped_rank_goes_with_its_killed_supervisor(rank: int, supervised: Supervised) -> None:
    """And so does the other one, which waits for it in an endless loop of MPI, and what it has started."""
    process, states = supervised.start(n_steps=10_000, faults=[[0, rank, 25, "SIGSTOP"]], grandchild=True)
    _wait_for(states, "step-000000000020.safetensors")
    end = time.monotonic() + PATIENCE
    while "T (stopped)" not in supervised.statuses():
        assert time.monotonic() < end
        time.sleep(0.02)
    killed(supervised, process)


@pytest.mark.parametrize("kills", [1, *rarely(5)])
def test_a_supervisor_that_is_killed_at_its_start(kills: int, supervised: Supervised) -> None:
    """At moments drawn at random, from before its guardian and its ranks are there to after."""
    draw = random.Random(0)
    for _ in range(kills):
        process, _ = supervised.start(n_steps=10_000, seconds_per_step=0.05)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=draw.uniform(0.3, 2.0))
        killed(supervised, process)


GUARDED = """
import os, signal, subprocess, sys
from portable_mlp.distributed.supervision.guardian import guarded_folder
from portable_mlp.distributed.supervision.members import heartbeat_of
with guarded_folder() as folder:
    marked = {**os.environ, "PORTABLE_MLP_HEARTBEAT": str(heartbeat_of(folder))}
    process = subprocess.Popen(["sleep", "1000"], env=marked, start_new_session=True, stdout=subprocess.DEVNULL)
    process.send_signal(signal.SIGSTOP)
    os.kill(os.getpid(), int(sys.argv[1]))
    process.kill()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, *rarely(signal.SIGTERM, signal.SIGCONT)])
def test_a_guardian_alone(number: int, supervised: Supervised) -> None:
    """Of what dies at once, and of what comes to its end."""
    marked = environment(TMPDIR=str(supervised.temporary), MARK_OF_TEST=supervised.mark)
    process = subprocess.Popen([sys.executable, "-c", GUARDED, str(int(number))], env=marked)
    process.wait(timeout=PATIENCE)
    assert process.returncode == (0 if number == signal.SIGCONT else -number)
    killed(supervised, process)


KILLED_AT_A_LINE = """
import os, signal, sys
from portable_mlp.distributed.supervision import guardian
lines = int(sys.argv[1])
def count(frame, event, argument):
    global lines
    if frame.f_code.co_filename != guardian.__file__:
        return None
    lines -= event == "line"
    if not lines:
        os.kill(os.getpid(), signal.SIGKILL)
    return count
sys.settrace(count)
with guardian.guarded_folder() as folder:
    (folder / "0.out").touch()
"""


@pytest.mark.thorough
def test_whatever_line_of_the_context_a_supervisor_is_killed_at(supervised: Supervised) -> None:
    """Also between the start of the guardian and the folder, and between the end of one and of the other."""
    marked = environment(TMPDIR=str(supervised.temporary), MARK_OF_TEST=supervised.mark)
    for line in range(1, 100):
        process = subprocess.Popen([sys.executable, "-c", KILLED_AT_A_LINE, str(line)], env=marked)
        if process.wait(timeout=PATIENCE) == 0:
            break
        killed(supervised, process)
        assert not list(supervised.temporary.iterdir()), line
    assert line > 10, "the lines were not counted"


def test_where_the_system_shows_no_environments(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS: the ranks are known by the numbers that they have left."""
    monkeypatch.setattr(members, "PROCESSES", tmp_path / "missing")
    ranks = [subprocess.Popen(["sleep", "1000"]) for _ in range(2)]
    try:
        for number, rank in enumerate(ranks):
            (tmp_path / f"{number}.pid").write_text(str(rank.pid))
        (tmp_path / "2.pid").write_text("")  # just being written
        ranks[1].send_signal(signal.SIGSTOP)
        assert sorted(members.members(tmp_path)) == sorted(rank.pid for rank in ranks)
        assert members.ask_root(tmp_path, signal.SIGTERM)
        assert ranks[0].wait(timeout=PATIENCE) == -signal.SIGTERM
        assert not members.ask_root(tmp_path / "elsewhere", signal.SIGTERM)
        assert members.members(tmp_path) == [ranks[1].pid]
        members.kill_members(tmp_path)
        assert ranks[1].wait(timeout=PATIENCE) == -signal.SIGKILL
        assert not members.ask_root(tmp_path, signal.SIGTERM)
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()


def test_two_supervisors_leave_each_other_alone(supervised: Supervised) -> None:
    """What has appeared since one job began, and is the other's, stays."""
    short, its_states = supervised.start(seconds_per_step=0.05, n_steps=10_000, deaf=True)
    _wait_for(its_states, "segments-0-1")
    long, states = supervised.start(seconds_per_step=0.2)
    _wait_for(states, "segments-0-1")
    in_use = (states / "segments-0-1").read_text().split()
    assert in_use
    for number in (signal.SIGINT, signal.SIGTERM):
        short.send_signal(number)
        time.sleep(0.5)
    short.communicate(timeout=PATIENCE)
    assert short.returncode == 130
    assert long.poll() is None
    assert all(pathlib.Path(name).exists() for name in in_use)
    out, err = long.communicate(timeout=PATIENCE)
    assert (long.returncode, json.loads(out)["steps"]) == (0, 60), err


def test_what_several_ranks_wrote_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    error = "Traceback\n  somewhere\nValueError: bad\x1b[31m row"
    _report_output_of_ranks(Outcome(1, {0: "drawn", 1: error + "\n", 2: error + "\n", 3: error[:20], 4: "drawn"}, ""))
    assert capsys.readouterr().err == (
        "portable-mlp: ranks 1, 2 wrote:\nTraceback\n  somewhere\nValueError: bad\\x1b[31m row\n"
    )


def _wait_for(states: pathlib.Path, name: str) -> None:
    end = time.monotonic() + PATIENCE
    while not (states / name).exists():
        assert time.monotonic() < end
        time.sleep(0.02)

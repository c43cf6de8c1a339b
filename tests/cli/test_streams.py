"""Standard streams that are closed, full, narrow or gone: a result is never lost for a message."""

import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.cli.app import run
from portable_mlp.training.best_effort_stream import BestEffortStream
from tests.cli.test_terminal import read_or_end
from tests.processes import environment
from tests.selection import one_in, rarely

PROGRAM = f"{sys.executable} -m portable_mlp"
TRAIN = f"{PROGRAM} train table.csv --epochs 2 --save new.safetensors"
PREDICT = f"{PROGRAM} predict model.safetensors new.csv"


@pytest.fixture(autouse=True)
def in_a_folder_with_a_model(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{i % 7},{i},{('äster', 'rose', '東')[i % 3]}\n" for i in range(30))
    pathlib.Path("table.csv").write_text("a,b,kind\n" + rows, encoding="utf-8")
    net = pm.Network((2, 3))
    metadata = {"classes": ["äster", "rose", "東"]}
    pm.save_model("model.safetensors", net, pm.init_params(net, random_state=0), metadata)
    pathlib.Path("new.csv").write_text("a,b\n" + "".join(f"{i % 7},{i - 9}\n" for i in range(30)), encoding="utf-8")


def shell(line: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line by the shell; no traceback may come of it."""
    # Streams are buffered, as they are for who has not asked for something else.
    usual = {name: value for name, value in environment(**variables).items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(["sh", "-c", line], capture_output=True, timeout=120, env=usual)
    for output in (done.stdout, done.stderr):
        assert b"Traceback" not in output, output.decode()
        assert b"Exception ignored" not in output, output.decode()
    return done


@pytest.mark.parametrize("broken", ["2>&-", "2>/dev/full", *rarely("2>&- <&-")])
def test_progress_that_cannot_be_drawn_costs_no_model(broken: str) -> None:
    done = shell(f"{TRAIN} {broken}")
    assert done.returncode == 0
    assert b"new.safetensors" in done.stdout
    assert pm.load_model("new.safetensors")[0].sizes[1:] == (256, 3)


@pytest.mark.parametrize(
    ("broken", "code", "reason"),
    [
        (">&-", 2, b"standard output: it is closed"),
        (">/dev/full", 2, b"standard output: No space left on device"),
        (">&- 2>&-", 2, b""),
    ],
)
def test_a_summary_that_cannot_be_printed_costs_no_model(broken: str, code: int, reason: bytes) -> None:
    done = shell(f"{TRAIN} {broken}")
    assert done.returncode == code
    assert reason in done.stderr
    assert (b"new.safetensors has the model" in done.stderr) == bool(reason)
    assert pathlib.Path("new.safetensors").exists()


def test_who_reads_the_progress_may_leave() -> None:
    shell(f"({TRAIN} 2>&1; echo $? >code) | true")
    assert pathlib.Path("code").read_text() == "141\n"
    assert pathlib.Path("new.safetensors").exists()


@pytest.mark.parametrize(
    ("line", "broken"),
    one_in(
        2,
        [PREDICT, f"{PROGRAM} inspect model.safetensors", f"{PROGRAM} gradcheck --backend numpy"],
        [">&-", ">/dev/full"],
    ),
)
def test_a_result_that_cannot_be_printed_is_a_mistake_that_names_the_stream(line: str, broken: str) -> None:
    done = shell(f"{line} {broken}")
    assert done.returncode == 2
    assert done.stderr.startswith(b"portable-mlp: standard output: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_number_of_a_stream_that_is_closed(closed: str) -> None:
    """What a library writes to standard error by its number would go into the file, a model for example."""
    pathlib.Path("opens.py").write_text(
        "import os, sys\nfrom portable_mlp.__main__ import main\n"
        "sys.argv[1:] = ['--version']\nmain()\nos._exit(os.open(os.devnull, os.O_RDONLY))\n"
    )
    assert shell(f"{sys.executable} opens.py {closed}").returncode > 2


@pytest.mark.parametrize("broken", ["2>&-", *rarely("2>/dev/full", "")])
def test_a_script_has_the_streams_that_it_was_started_with(broken: str) -> None:
    """Also where nobody can be told what is replaced."""
    code = "import sys; sys.stdout.buffer.write(b'bytes'); assert sys.stderr is sys.__stderr__; print(sys.stdin)"
    pathlib.Path("script.py").write_text(code)
    done = shell(f"{PROGRAM} accelerate script.py {broken}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"bytes<_io.TextIOWrapper")


def test_several_processes_train_where_nothing_can_be_told() -> None:
    done = shell(f"{TRAIN} --procs 1 2>/dev/full")
    assert done.returncode == 0, done.stdout
    assert pathlib.Path("new.safetensors").exists()


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_memory_that_runs_out_is_told_in_words(backend: str, capfd: pytest.CaptureFixture[str]) -> None:
    """An exabyte: no machine has it, and none tries."""
    assert run(["train", "table.csv", "--hidden", f"{10**16}", "--backend", backend]) == 2
    assert capfd.readouterr().err.splitlines()[-1].startswith("portable-mlp: memory ran out: Unable to allocate ")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "there is no room for what was asked"),
        (
            RuntimeError("CUDA out of memory. Tried to allocate\nand more"),
            "CUDA out of memory. Tried to allocate",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_what_libraries_say_when_memory_runs_out(
    error: Exception, told: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def too_large(*arguments: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr("portable_mlp.tables.model.load_model", too_large)
    assert run(["predict", "model.safetensors", "new.csv"]) == 2
    assert capfd.readouterr().err == f"portable-mlp: memory ran out: {told}\n"


def test_a_fault_of_the_program_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("another")

    monkeypatch.setattr("portable_mlp.tables.model.load_model", faulty)
    with pytest.raises(RuntimeError, match="another"):
        run(["predict", "model.safetensors", "new.csv"])


INTERRUPTED = """
import os, signal, sys
sys.argv = ["-m", "backends"]
sys.orig_argv = [sys.executable, "-m", "portable_mlp", "backends"]
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start us with SIGINT ignored

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == WHEN:
            os.kill(os.getpid(), signal.SIGINT)

import runpy
for name in ("pathlib", "typing"):
    sys.modules.pop(name, None)  # environments differ in what they load at the start
sys.meta_path.insert(0, Interrupting())
runpy.run_module("portable_mlp", run_name="__main__")
"""


@pytest.mark.parametrize(
    "when",
    [
        *("pathlib", "typing", "portable_mlp.backends", "numpy", "portable_mlp.training.train"),
        *("typer", "portable_mlp.cli.app", "rich.table"),
    ],
)
def test_ctrl_c_while_modules_are_loaded(when: str) -> None:
    code = INTERRUPTED.replace("WHEN", repr(when))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "portable-mlp: interrupted\n")


def test_a_program_that_imports_the_package_keeps_its_interrupts() -> None:
    code = "import signal; before = signal.getsignal(2); import portable_mlp; assert signal.getsignal(2) is before"
    subprocess.run([sys.executable, "-c", code, "-m", "portable_mlp"], check=True, timeout=120)


@pytest.mark.parametrize("encoding", ["cp1252", *rarely("ascii", "utf-8")])
def test_predictions_in_a_pipe_are_those_of_a_file(encoding: str) -> None:
    line = PREDICT + " --proba"
    done = shell(line, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert shell(f"{line} --output -", PYTHONIOENCODING=encoding).stdout == done.stdout
    assert not pathlib.Path("-").exists()
    assert shell(f"{line} --output out.csv").returncode == 0
    assert done.stdout == pathlib.Path("out.csv").read_bytes()
    assert "proba_東".encode() in done.stdout


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", r"proba_\xe4ster,proba_rose,proba_\u6771"), ("utf-8", "東")])
def test_a_terminal_gets_escaped_what_it_cannot_show(encoding: str, shown: str) -> None:
    terminal, end = os.openpty()
    command = [*PREDICT.split(), "--proba"]
    with subprocess.Popen(
        command, stdout=end, stderr=subprocess.PIPE, env=environment(PYTHONIOENCODING=encoding)
    ) as process:
        os.close(end)
        seen = b""
        while chunk := read_or_end(terminal):
            seen += chunk
        assert process.wait(timeout=120) == 0
    os.close(terminal)
    assert shown in seen.decode()
    assert len(seen.splitlines()) == 31


DOCTOR = """
import sys
from portable_mlp.__main__ import main
from portable_mlp.bench import agreement
agreement.backends = list  # to compare none saves most of the time
sys.argv[1:] = ["doctor"]
sys.exit(main())
"""


@pytest.mark.thorough
def test_tables_and_words_for_people_are_escaped_too() -> None:
    (pathlib.Path.cwd() / "doctor.py").write_text(DOCTOR)
    done = shell(f"{sys.executable} doctor.py", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_a_bar_that_cannot_be_drawn_costs_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    net = pm.Network((2, 2))
    X, y = np.eye(2), np.arange(2)
    whole = pm.train(net, pm.init_params(net, random_state=0), X, y, epochs=3)
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stderr", full)
        result = pm.train(net, pm.init_params(net, random_state=0), X, y, epochs=3, progress=True)
        monkeypatch.undo()
        with pytest.raises(OSError, match="No space"):  # what the bar left in the buffer
            full.close()
    assert result.history["loss"] == whole.history["loss"]


def test_a_stream_that_may_lose_what_it_is_given() -> None:
    with open("closed", "w", encoding="ascii") as file:
        stream = BestEffortStream(file)
        assert stream.write("kept\n") == 5
        assert stream.write("ä") == 1
        assert (stream.isatty(), stream.encoding) == (False, "ascii")
    stream.write("after its end")
    stream.flush()
    assert not stream.isatty()
    assert pathlib.Path("closed").read_text() == "kept\n"
    nothing = BestEffortStream(None)
    assert nothing.write("x") == 1
    nothing.flush()
    with pytest.raises(OSError, match="no stream"):
        nothing.fileno()

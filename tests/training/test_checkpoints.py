"""A run that is killed and gone on with gives every bit of the run that was left alone."""

import contextlib
import functools
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.backends._jax import JaxBackend
from portable_mlp.backends._loop_runner import LoopRunner
from portable_mlp.backends._scan_runner import ScanRunner
from portable_mlp.backends.runner import RunnerCall
from portable_mlp.storage import checkpoints as storage
from portable_mlp.storage.checkpoints import CheckpointFolder
from portable_mlp.training.stop_requests import Requests
from tests.selection import and_rarely_others, rarely

pytestmark = pytest.mark.compiled_steps

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(130, 6)), RNG.integers(0, 3, 130)
NET = pm.Network((6, 9, 3))
OPTIONS: dict[str, Any] = {"epochs": 5, "batch_size": 16, "l2": 0.01, "learning_rate": 0.01}


class KilledError(Exception):
    """In the place of a signal that ends the process."""


def train(lib: Any, **options: Any) -> pm.TrainResult:
    params = pm.init_params(NET, backend=lib.backend, dtype=lib.dtype)
    validation = (lib.array(X[:40]), lib.backend.asarray(Y[:40]))
    return pm.train(
        NET, params, lib.array(X), lib.backend.asarray(Y), **{**OPTIONS, "validation": validation, **options}
    )


@contextlib.contextmanager
def killed_after(writes: int) -> Any:
    """End a training when it has written so many states."""
    with pytest.MonkeyPatch.context() as patch:
        original, done = CheckpointFolder.write, []

        def write(self: Any, n_steps: int, checkpoint: Any) -> None:
            original(self, n_steps, checkpoint)
            done.append(n_steps)
            if len(done) == writes:
                raise KilledError

        patch.setattr(CheckpointFolder, "write", write)
        with pytest.raises(KilledError):
            yield


def assert_same(lib: Any, found: pm.TrainResult, expected: pm.TrainResult) -> None:
    for layer, wanted in zip(found.params, expected.params, strict=True):
        np.testing.assert_array_equal(lib.backend.to_numpy(layer.W), lib.backend.to_numpy(wanted.W))
        np.testing.assert_array_equal(lib.backend.to_numpy(layer.b), lib.backend.to_numpy(wanted.b))
    for name in expected.history.keys() - {"samples_per_second"}:
        assert found.history[name] == expected.history[name]
    assert (found.n_epochs, found.stopped_because) == (expected.n_epochs, expected.stopped_because)


SLOW_ON_JAX = pytest.mark.thorough_on("jax")  # which compiles each solver, and each number of steps
VARIETIES: dict[str, dict[str, Any]] = {
    "adam": {},
    "nesterov, adaptive": {"solver": "sgd", "schedule": "adaptive"},
    "patience": {"patience": 2, "learning_rate": 0.1, "epochs": 30},
    "in order": {"shuffle": False, "solver": "sgd", "momentum": 0.0},
    "a generator": {"random_state": np.random.default_rng(3)},
}


@pytest.mark.parametrize(
    ("variety", "every"),
    and_rarely_others(
        [
            ("adam", None),
            pytest.param("a generator", 4, marks=SLOW_ON_JAX),
            pytest.param("patience", 1, marks=SLOW_ON_JAX),
            pytest.param("nesterov, adaptive", 4, marks=SLOW_ON_JAX),
            pytest.param("in order", None, marks=SLOW_ON_JAX),
        ],
        VARIETIES,
        [None, 1, 4],
    ),
)
def test_a_run_goes_on_to_the_last_bit(lib: Any, variety: str, every: int | None, tmp_path: pathlib.Path) -> None:
    def options() -> dict[str, Any]:
        chosen = dict(VARIETIES[variety])
        if "random_state" in chosen:
            chosen["random_state"] = np.random.default_rng(3)
        return chosen

    expected = train(lib, **options())
    for writes in (1, 2, 1):
        with killed_after(writes):
            train(lib, checkpoint=tmp_path, checkpoint_every=every, resume=True, **options())
    resumed = train(lib, checkpoint=tmp_path, checkpoint_every=every, resume=True, **options())
    assert_same(lib, resumed, expected)
    assert_same(lib, train(lib, checkpoint=tmp_path, checkpoint_every=every, resume=True, **options()), expected)
    assert len(list(tmp_path.glob("step-*.safetensors"))) == storage.KEPT


def test_another_library_goes_on_to_rounding(lib: Any, tmp_path: pathlib.Path) -> None:
    expected = train(lib)
    host = type("Lib", (), {"backend": pm.get_backend("numpy"), "dtype": lib.dtype})
    host.array = staticmethod(lambda x: np.asarray(x, dtype=lib.dtype))
    with killed_after(3):
        train(host, checkpoint=tmp_path, checkpoint_every=4)
    resumed = train(lib, checkpoint=tmp_path, checkpoint_every=4, resume=True)
    np.testing.assert_allclose(resumed.history["loss"], expected.history["loss"], rtol=100 * lib.rtol)


class OnNumPy:
    backend, dtype = pm.get_backend("numpy"), "float64"

    @staticmethod
    def array(x: Any) -> np.ndarray:
        return np.asarray(x)


class OnJax:
    backend, dtype = pm.get_backend("jax"), "float64"

    @staticmethod
    def array(x: Any) -> Any:
        return OnJax.backend.asarray(x)


def test_more_epochs_are_added(tmp_path: pathlib.Path) -> None:
    train(OnNumPy, checkpoint=tmp_path, epochs=2)
    assert_same(OnNumPy, train(OnNumPy, checkpoint=tmp_path, resume=True), train(OnNumPy))


def test_many_models_go_on_too(tmp_path: pathlib.Path) -> None:
    net = pm.Network((6, 4, 3))
    several = [pm.init_params(net, random_state=seed) for seed in range(3)]
    params = tuple(pm.Layer(*map(np.stack, zip(*layers, strict=True))) for layers in zip(*several, strict=True))
    expected = pm.train(net, params, X, Y, **OPTIONS)
    with killed_after(4):
        pm.train(net, params, X, Y, checkpoint=tmp_path, checkpoint_every=3, **OPTIONS)
    assert_same(OnNumPy, pm.train(net, params, X, Y, checkpoint=tmp_path, resume=True, **OPTIONS), expected)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"l2": 0.5}, r"l2 was 0\.01, now 0\.5"),
        ({"batch_size": 10}, r"batch_size was 16, now 10"),
        ({"solver": "sgd"}, "solver was"),
        ({"beta_1": 0.5}, "solver was"),
        ({"patience": 3}, "patience was None, now 3"),
        ({"validation": None}, "validation was"),
        ({"shuffle": False}, "shuffle was True, now False"),
    ],
)
def test_another_run_is_refused(options: dict[str, Any], told: str, tmp_path: pathlib.Path) -> None:
    train(OnNumPy, checkpoint=tmp_path, epochs=1)
    with pytest.raises(ValueError, match=f"holds the checkpoints of another training: {told}"):
        train(OnNumPy, checkpoint=tmp_path, resume=True, **options)


def test_other_data_are_refused(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(OnNumPy, checkpoint=tmp_path, epochs=1)
    changed = X.copy()
    changed[77, 3] += 1e-9
    monkeypatch.setitem(globals(), "X", changed)
    with pytest.raises(ValueError, match=r"another training: data was different\. Give"):
        train(OnNumPy, checkpoint=tmp_path, resume=True)


def test_states_are_not_written_over_unasked(tmp_path: pathlib.Path) -> None:
    train(OnNumPy, checkpoint=tmp_path, epochs=1)
    with pytest.raises(ValueError, match="holds checkpoints already: resume, or give another folder"):
        train(OnNumPy, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="need a folder"):
        train(OnNumPy, resume=True)
    with pytest.raises(ValueError, match="need a folder"):
        train(OnNumPy, checkpoint_every=3)
    with pytest.raises(ValueError, match="checkpoint_every must be at least 1, got 0"):
        train(OnNumPy, checkpoint=tmp_path, checkpoint_every=0)
    with pytest.raises(ValueError, match="checkpoint is for the other solvers"):
        train(OnNumPy, checkpoint=tmp_path, solver="lbfgs")


def test_two_trainings_cannot_share_a_folder(tmp_path: pathlib.Path) -> None:
    with CheckpointFolder(tmp_path), pytest.raises(ValueError, match="another training writes its checkpoints here"):
        train(OnNumPy, checkpoint=tmp_path)
    train(OnNumPy, checkpoint=tmp_path, epochs=1)


def test_ctrl_c_on_entering_a_folder_releases_it(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*pattern: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patches:
        patches.setattr(pathlib.Path, "glob", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(OnNumPy, checkpoint=tmp_path)
    train(OnNumPy, checkpoint=tmp_path, epochs=1)


def test_what_a_killed_training_left_is_in_nobodys_way(tmp_path: pathlib.Path) -> None:
    (tmp_path / "lock").write_text("12345")
    (tmp_path / ".portable-mlp-0123456789abcdef.tmp").write_bytes(b"half a st")
    (tmp_path / "notes.txt").write_text("mine")
    train(OnNumPy, checkpoint=tmp_path, epochs=1, resume=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "notes.txt", "step-000000000009.safetensors"]


def test_a_damaged_state_is_passed_over(tmp_path: pathlib.Path) -> None:
    expected = train(OnNumPy)
    with killed_after(6):
        train(OnNumPy, checkpoint=tmp_path, checkpoint_every=4)
    _, newest = sorted(tmp_path.glob("step-*"))
    damaged = bytearray(newest.read_bytes())
    damaged[-5] ^= 1
    newest.write_bytes(damaged)
    with pytest.warns(UserWarning, match="a checkpoint is passed over: .*SHA-256"):
        resumed = train(OnNumPy, checkpoint=tmp_path, checkpoint_every=4, resume=True)
    assert_same(OnNumPy, resumed, expected)
    for path in tmp_path.glob("step-*"):
        path.write_bytes(path.read_bytes()[:-1])
    with (
        pytest.warns(UserWarning, match="passed over"),
        pytest.raises(pm.ModelFileError, match="no checkpoint in it can be read"),
    ):
        train(OnNumPy, checkpoint=tmp_path, resume=True)


def damage(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def steps_in(folder: pathlib.Path) -> list[int]:
    return sorted(int(path.stem.split("-")[1]) for path in folder.glob("step-" + 12 * "?" + ".safetensors"))


def written(folder: CheckpointFolder, *steps: int) -> None:
    for step in steps:
        folder.write(step, storage.Checkpoint({"x": [float(step)]}, {}))


def test_damaged_states_of_later_steps_push_out_nothing(tmp_path: pathlib.Path) -> None:
    """A run goes back behind two of them, is killed at once, goes on, and passes them."""
    expected = train(OnNumPy)
    with killed_after(1):
        train(OnNumPy, checkpoint=tmp_path, checkpoint_every=4)
    sound = (tmp_path / "step-000000000004.safetensors").read_bytes()
    with killed_after(8):
        train(OnNumPy, checkpoint=tmp_path, checkpoint_every=4, resume=True)
    later = steps_in(tmp_path)
    for path in tmp_path.glob("step-*"):
        damage(path)
    (tmp_path / "step-000000000004.safetensors").write_bytes(sound)
    again: dict[str, Any] = {"checkpoint": tmp_path, "checkpoint_every": 3, "resume": True}
    for found in (later, later):
        with pytest.warns(UserWarning, match="passed over"), killed_after(1):
            train(OnNumPy, **again)
        assert set(steps_in(tmp_path)) > set(found)
    with pytest.warns(UserWarning, match="passed over"):
        assert_same(OnNumPy, train(OnNumPy, **again), expected)
    assert len(steps_in(tmp_path)) == storage.KEPT
    assert_same(OnNumPy, train(OnNumPy, **again), expected)


def test_what_counts_among_the_states_that_are_kept(tmp_path: pathlib.Path) -> None:
    with CheckpointFolder(tmp_path) as folder:
        written(folder, 10, 20)
    for step in (70, 80):
        (tmp_path / f"step-{step:012d}.safetensors").write_bytes(b"no state")
    strange = ["step-0000000000020.safetensors", "step-000000000099.safetensors.old"]
    for name in strange:
        (tmp_path / name).touch()
    (tmp_path / "step-000000000090.safetensors").mkdir()
    with CheckpointFolder(tmp_path) as folder:
        with pytest.warns(UserWarning, match="passed over"):
            found = folder.newest()
        assert found is not None
        assert found.arrays["x"] == [20.0]
        for step, left in ((30, [20, 30]), (40, [30, 40]), (60, [40, 60])):
            written(folder, step)
            assert steps_in(tmp_path) == [*left, 70, 80, 90]
        written(folder, 75)  # behind it lies one that is of no use
        assert steps_in(tmp_path) == [60, 75, 80, 90]
        written(folder, 80)
        assert steps_in(tmp_path) == [75, 80, 90]
    assert all((tmp_path / name).exists() for name in strange)


def test_a_state_that_cannot_be_opened_is_passed_over_too(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CheckpointFolder(tmp_path) as folder:
        written(folder, 10, 20)
        original = os.open

        def refused(path: Any, *arguments: Any) -> int:
            if str(path).endswith("20.safetensors"):
                raise PermissionError(13, "Permission denied", path)
            return original(path, *arguments)

        monkeypatch.setattr(os, "open", refused)
        with pytest.warns(UserWarning, match=r"passed over: .*Permission denied: .*20\.safetensors"):
            found = folder.newest()
        assert found is not None
        assert found.arrays["x"] == [10.0]
        monkeypatch.undo()
        written(folder, 15)
        assert steps_in(tmp_path) == [10, 15, 20]


def test_a_state_is_there_though_an_old_one_stays(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with CheckpointFolder(tmp_path) as folder:
        written(folder, 10, 20)

        def refused(self: pathlib.Path, missing_ok: bool = False) -> None:
            raise PermissionError(1, "Operation not permitted", str(self))

        monkeypatch.setattr(pathlib.Path, "unlink", refused)
        with pytest.warns(UserWarning, match=r"an old checkpoint cannot be removed: .*10\.safetensors"):
            written(folder, 30)
        monkeypatch.undo()
        assert steps_in(tmp_path) == [10, 20, 30]


def test_a_state_written_anew_is_another_version(tmp_path: pathlib.Path) -> None:
    """By this a supervisor sees that a run has come further, also where damaged states of later steps lie about."""
    assert CheckpointFolder(tmp_path / "missing").versions() == frozenset()
    with CheckpointFolder(tmp_path) as folder:
        written(folder, 10)
        (tmp_path / "step-000000000090.safetensors").write_bytes(b"no state")
        before = folder.versions()
        assert folder.versions() == before
        written(folder, 20)
        assert not folder.versions() <= before
        before = folder.versions()
        written(folder, 90)
        assert not folder.versions() <= before


def test_a_checkpoint_says_which_numbers_it_cannot_hold(tmp_path: pathlib.Path) -> None:
    with CheckpointFolder(tmp_path) as folder, pytest.raises(TypeError, match="float32 and float64, but n is of int64"):
        folder.write(1, storage.Checkpoint({"n": np.asarray([1])}, {}))


def test_a_full_disk_does_not_end_the_training(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = train(OnNumPy)
    original, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if 3 <= len(calls) <= 6:
            raise OSError(28, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match=r"no checkpoint was written after step \d+: .*No space left on device"):
        result = train(OnNumPy, checkpoint=tmp_path)
    assert_same(OnNumPy, result, expected)
    assert not list(tmp_path.glob("*.tmp"))
    assert_same(OnNumPy, train(OnNumPy, checkpoint=tmp_path, resume=True), expected)


def test_a_training_in_a_thread_has_no_signals_to_hear(tmp_path: pathlib.Path) -> None:
    import threading

    results: list[pm.TrainResult] = []
    thread = threading.Thread(target=lambda: results.append(train(OnNumPy, checkpoint=tmp_path)))
    thread.start()
    thread.join()
    assert_same(OnNumPy, results[0], train(OnNumPy))


def test_the_handlers_of_signals_are_put_back(tmp_path: pathlib.Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train(OnNumPy, checkpoint=tmp_path, epochs=1)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_ctrl_c_while_handlers_are_put_back_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    before, set_handler = signal.getsignal(signal.SIGTERM), signal.signal

    def interrupted(number: int, handler: Any) -> Any:
        old = set_handler(number, handler)
        if handler is signal.default_int_handler:
            signal.raise_signal(signal.SIGINT)
        return old

    with pytest.raises(KeyboardInterrupt), Requests():
        monkeypatch.setattr(signal, "signal", interrupted)
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


SCRIPT = """
import hashlib, sys
import numpy as np, portable_mlp as pm
rng = np.random.default_rng(0)
X, y = rng.normal(size=(3_000, 20)), rng.integers(0, 5, 3_000)
net = pm.Network((20, 64, 5))
print("ready", flush=True)
result = pm.train(net, pm.init_params(net), X, y, batch_size=20, epochs=6, validation=(X[:300], y[:300]), patience=9,
                  schedule="adaptive", solver=sys.argv[1], checkpoint=sys.argv[2], checkpoint_every=int(sys.argv[3]),
                  resume=True)
kept = [result.params, result.history["loss"], result.history["validation_loss"], result.history["learning_rate"]]
digest = hashlib.sha256(b"".join(W.tobytes() + b.tobytes() for W, b in result.params) + repr(kept[1:]).encode())
print(result.stopped_because, digest.hexdigest())
"""


def started(folder: pathlib.Path, solver: str = "adam", every: int = 37) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, solver, str(folder), str(every)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished(folder: pathlib.Path, solver: str = "adam") -> str:
    done, _ = started(folder, solver).communicate(timeout=120)
    return done.removeprefix("ready\n")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function of the solver: what an undisturbed run prints, and the seconds that it takes."""

    @functools.cache
    def of(solver: str = "adam") -> tuple[str, float]:
        start = time.monotonic()
        return finished(tmp_path_factory.mktemp("whole"), solver), time.monotonic() - start

    return of


@pytest.mark.parametrize(("solver", "kills"), [("adam", 1), *rarely(("adam", 5), ("sgd", 5))])
def test_kill_minus_nine_at_random_moments(solver: str, kills: int, whole: Any, tmp_path: pathlib.Path) -> None:
    """Over the time that a whole run takes."""
    rng = random.Random(solver)
    expected, seconds = whole(solver)
    for i in range(kills):
        folder = tmp_path / str(i)
        process = started(folder, solver)
        assert process.stdout is not None
        process.stdout.readline()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=rng.uniform(0, seconds))
        process.kill()
        process.communicate()
        assert finished(folder, solver) == expected


def test_written_in_place_a_killed_run_loses_its_state(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the test above would see a state that is written half."""

    @contextlib.contextmanager
    def in_place(path: Any) -> Any:
        with open(path, "wb") as file:
            yield file

    from portable_mlp.storage import tensor_files

    class HalfFile:
        def __init__(self, file: Any) -> None:
            self._file, self._writes = file, 0

        def write(self, content: Any) -> None:
            self._writes += 1
            if self._writes == 2:
                self._file.write(bytes(content)[: len(bytes(content)) // 2])
                raise KilledError
            self._file.write(content)

    @contextlib.contextmanager
    def killed_half_way(path: Any) -> Any:
        with in_place(path) as file:
            yield HalfFile(file)

    monkeypatch.setattr(tensor_files, "replace_file", killed_half_way)
    with pytest.raises(KilledError):
        train(OnNumPy, checkpoint=tmp_path)
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="passed over"), pytest.raises(pm.ModelFileError):
        train(OnNumPy, checkpoint=tmp_path, resume=True)


@pytest.mark.thorough  # each time: the command line is sent one
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 0)])
def test_a_signal_leaves_a_last_state(number: int, code: int, whole: Any, tmp_path: pathlib.Path) -> None:
    expected, _ = whole()
    process = started(tmp_path / "stopped", every=10**6)
    assert process.stdout is not None
    process.stdout.readline()
    while not list((tmp_path / "stopped").glob("step-*")):
        time.sleep(0.01)
    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert rest == "" or rest.startswith(("interrupted", "max_epochs"))
    assert finished(tmp_path / "stopped") == expected


def steps_of_calls(monkeypatch: pytest.MonkeyPatch, runner: Any = LoopRunner) -> list[int]:
    """Return a list to which each call of a runner that takes many steps adds how many."""
    seen: list[int] = []
    original = runner.take

    def noted(self: Any, carry: Any, call: RunnerCall) -> Any:
        seen.append(len(call.spans))
        return original(self, carry, call)

    monkeypatch.setattr(runner, "take", noted)
    return seen


def test_the_loop_is_cut_where_states_are_written(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """On JAX, which takes many steps in a call: never past a step after which a state is due."""
    seen = steps_of_calls(monkeypatch)
    train(OnJax, checkpoint=tmp_path, checkpoint_every=4, epochs=1)
    assert seen == [4, 4, 1]


def test_a_diverging_run_does_not_write_over_its_good_states(tmp_path: pathlib.Path) -> None:
    def rate(epoch: int) -> float:
        return 0.01 if epoch < 2 else 1e200

    options: dict[str, Any] = {"solver": "sgd", "momentum": 0.0, "checkpoint_every": 2}
    with pytest.raises(pm.NonFiniteError, match=r"diverged in epoch 3, at batch [12] of 9") as caught:
        train(OnNumPy, schedule=rate, checkpoint=tmp_path, **options)
    assert all(np.isfinite(layer.W).all() for layer in caught.value.params)
    expected = train(OnNumPy, schedule=lambda epoch: 0.01, **options | {"checkpoint_every": None})
    resumed = train(OnNumPy, schedule=lambda epoch: 0.01, checkpoint=tmp_path, resume=True, **options)
    assert_same(OnNumPy, resumed, expected)


def test_a_batch_whose_loss_overflows_is_the_same_one_after_a_resume(tmp_path: pathlib.Path) -> None:
    """Its parameters are finite for some more steps: states of these would replace those before it."""
    X, Y = np.ones((60, 2), dtype="float32"), np.zeros((60, 1), dtype="float32")
    Y[25] = 3e19  # half its square is no float32
    net = pm.Network((2, 1), output="identity")
    params = pm.init_params(net, dtype="float32")
    options: dict[str, Any] = {"batch_size": 10, "shuffle": False, "checkpoint": tmp_path, "checkpoint_every": 1}
    for resume in (False, True):
        with pytest.raises(pm.NonFiniteError, match="epoch 1, at batch 3 of 6"):
            pm.train(net, params, X, Y, resume=resume, **options)


def test_the_error_of_a_divergence_has_the_epoch_before_after_a_resume_too(tmp_path: pathlib.Path) -> None:
    def rate(epoch: int) -> float:
        return 0.01 if epoch < 2 else 1e30

    errors = []
    options: dict[str, Any] = {"solver": "sgd", "momentum": 0.0, "schedule": rate, "l2": 0.0}
    with pytest.raises(pm.NonFiniteError) as caught:
        train(OnNumPy, **options)
    errors.append(caught.value)
    with killed_after(3):  # two epochs, and one step of the third
        train(OnNumPy, checkpoint=tmp_path, checkpoint_every=19, **options)
    with pytest.raises(pm.NonFiniteError) as caught:
        train(OnNumPy, checkpoint=tmp_path, checkpoint_every=19, resume=True, **options)
    errors.append(caught.value)
    assert errors[0].batch == errors[1].batch
    for layer, wanted in zip(errors[1].params, errors[0].params, strict=True):
        np.testing.assert_array_equal(layer.W, wanted.W)


def test_a_folder_stays_where_it_was(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere" / "states").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    train(OnNumPy, checkpoint="states", callbacks=[lambda end: os.chdir(tmp_path / "elsewhere")])
    assert not list((tmp_path / "elsewhere" / "states").iterdir())
    assert len(list((tmp_path / "states").glob("step-*"))) == storage.KEPT
    with pytest.raises(ValueError, match="the name of a folder, got an empty one"):
        train(OnNumPy, checkpoint="")


def test_a_disk_without_locks_is_a_warning(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*arguments: Any) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(storage.fcntl, "flock", without)
    with pytest.warns(UserWarning, match="on a disk without locks"):
        train(OnNumPy, checkpoint=tmp_path)


def test_children_do_not_keep_the_lock(tmp_path: pathlib.Path) -> None:
    code = (
        "import os, signal, sys, time\n"
        "from portable_mlp.storage.checkpoints import CheckpointFolder\n"
        "with CheckpointFolder(sys.argv[1]):\n"
        "    child = os.fork()\n"
        "    if not child: time.sleep(60)\n"
        "with CheckpointFolder(sys.argv[1]): print('entered again')\n"
        "os.kill(child, signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout == "entered again\n"


def test_a_signal_is_not_lost_where_the_run_ends_for_another_reason(tmp_path: pathlib.Path) -> None:
    def stop(end: pm.EpochEnd) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return True

    with pytest.raises(SystemExit) as caught:
        train(OnNumPy, checkpoint=tmp_path, callbacks=[stop])
    assert caught.value.code == 143
    assert len(list(tmp_path.glob("step-*"))) == 1


def test_ctrl_c_in_the_last_epoch_comes_too_late(tmp_path: pathlib.Path) -> None:
    def interrupt(end: pm.EpochEnd) -> None:
        if end.epoch + 1 == end.epochs:
            os.kill(os.getpid(), signal.SIGINT)

    result = train(OnNumPy, checkpoint=tmp_path, callbacks=[interrupt])
    assert_same(OnNumPy, result, train(OnNumPy))


def test_a_callbacks_own_interrupt_returns_what_was_reached(tmp_path: pathlib.Path) -> None:
    def interrupt(end: pm.EpochEnd) -> None:
        raise KeyboardInterrupt

    assert train(OnNumPy, checkpoint=tmp_path, callbacks=[interrupt]).stopped_because == "interrupted"


def test_another_seed_is_another_run(tmp_path: pathlib.Path) -> None:
    train(OnNumPy, checkpoint=tmp_path, epochs=1)
    with pytest.raises(ValueError, match="random_state was 0, now 1"):
        train(OnNumPy, checkpoint=tmp_path, resume=True, random_state=1)


def test_jax_compiles_for_few_numbers_of_steps(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """On a GPU, where each is compiled; on the CPU any number is the same code."""
    seen = {runner: steps_of_calls(monkeypatch, runner) for runner in (ScanRunner, LoopRunner)}
    results = []
    for runner, numbers in seen.items():
        monkeypatch.setattr(JaxBackend, "runner", lambda self, program, runner=runner: runner(self, program))
        results.append(train(OnJax, checkpoint=tmp_path / runner.__name__, checkpoint_every=97, epochs=4, batch_size=2))
        assert sum(numbers) == 4 * 65
    assert set(seen[ScanRunner]) <= {1, 2, 4, 8, 16, 32, 64}
    assert seen[LoopRunner] == [65, 32, 33, 64, 1, 65]
    assert results[0].history["loss"] == results[1].history["loss"]


@pytest.mark.parametrize("schedule", ["constant", "adaptive"])
def test_a_run_that_a_callback_has_stopped_goes_on_once_no_callback_stops_it(
    schedule: str, tmp_path: pathlib.Path
) -> None:
    """With a rate that stalls it also takes note of the epoch at whose end it stopped."""
    options = {"schedule": schedule, "learning_rate": 2e-6 if schedule == "adaptive" else 0.01, "epochs": 9}

    def at_the_third(end: pm.EpochEnd) -> bool:
        asked.append(end.epoch)
        return end.epoch == 2

    for stops in (at_the_third, at_the_third):  # the second time, it is still the third
        asked: list[int] = []
        stopped = train(OnNumPy, checkpoint=tmp_path, resume=True, callbacks=[stops], **options)
        assert (stopped.n_epochs, stopped.stopped_because) == (3, "callback")
    assert asked == [2]
    gone_on = train(OnNumPy, checkpoint=tmp_path, resume=True, **options)
    assert_same(OnNumPy, gone_on, train(OnNumPy, **options))


MALFORMED: dict[str, Any] = {
    "no epoch": lambda facts, arrays: facts.pop("epoch"),
    "no whole epoch": lambda facts, arrays: facts.update(epoch=1.5),
    "steps below 0": lambda facts, arrays: facts.update(n_steps=-1),
    "a truth value for a number": lambda facts, arrays: facts.update(batch=True),
    "a text for a key": lambda facts, arrays: facts.update(shuffle="1"),
    "a number for a reason": lambda facts, arrays: facts.update(stopped_because=1),
    "no parameters": lambda facts, arrays: arrays.pop("parameters"),
    "parameters of another shape": lambda facts, arrays: arrays.update(parameters=arrays["parameters"][:-1]),
    "a moment less": lambda facts, arrays: arrays.pop("moment_1"),
    "no start of the epoch": lambda facts, arrays: facts.update(batch=3),
    "a shorter history": lambda facts, arrays: arrays.update(history_loss=arrays["history_loss"][:-1]),
    "no history": lambda facts, arrays: arrays.pop("history_validation_loss"),
    "best parameters of another shape": lambda facts, arrays: arrays.update(best=arrays["best"][:1]),
    "a schedule of another kind": lambda facts, arrays: arrays.update(schedule=np.zeros(3)),
}


@pytest.mark.parametrize("spoil", MALFORMED.values(), ids=MALFORMED)
def test_a_state_with_a_right_checksum_that_lacks_something_is_refused(spoil: Any, tmp_path: pathlib.Path) -> None:
    options = {"checkpoint": tmp_path, "resume": True, "patience": 9}
    train(OnNumPy, **{**options, "epochs": 2})
    with CheckpointFolder(tmp_path) as folder:
        found = folder.newest()
        assert found is not None
        spoil(found.facts, found.arrays)
        folder.write(found.facts.get("n_steps", 0) + 1_000, found)
    with pytest.raises(pm.ModelFileError, match="the newest checkpoint in it lacks what a state of this run has"):
        train(OnNumPy, **options)


def test_a_state_that_says_of_no_run_is_another_runs(tmp_path: pathlib.Path) -> None:
    train(OnNumPy, checkpoint=tmp_path, epochs=1)
    for run in ({}, None, "run"):
        with CheckpointFolder(tmp_path) as folder:
            found = folder.newest()
            assert found is not None
            folder.write(10**6, storage.Checkpoint(found.arrays, {**found.facts, "run": run}))
        with pytest.raises(ValueError, match="another training: batch_size was None, now 16"):
            train(OnNumPy, checkpoint=tmp_path, resume=True)

"""Samples that are read piece by piece: the same training as from memory, to go on with, and to end, at any place."""

import contextlib
import dataclasses
import pathlib
import signal
import threading
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.training import stream as training_stream
from portable_mlp.training.batches import Data
from portable_mlp.training.evaluation import Evaluation
from portable_mlp.training.group_order import Selection
from portable_mlp.training.read_ahead import read_ahead
from portable_mlp.training.stream import Stream
from tests.conftest import Library
from tests.distributed.fakes import on_ranks
from tests.selection import and_rarely_others
from tests.training.test_checkpoints import assert_same, killed_after

RNG = np.random.default_rng(0)
N = 71
X = RNG.normal(size=(N, 6))
LABELS = RNG.integers(0, 3, N)
VALUES = RNG.normal(size=(N, 2))
NETS = {"labels": pm.Network((6, 9, 3)), "values": pm.Network((6, 9, 2), output="identity")}
SLOW_ON_JAX = pytest.mark.thorough_on("jax")  # which compiles steps for each size of pieces
OPTIONS: dict[str, Any] = {"epochs": 4, "batch_size": 16, "l2": 0.01, "learning_rate": 0.01, "patience": 3}


@pytest.fixture(autouse=True)
def small_pieces_and_no_thread_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two batches of 16 a piece, so that an epoch of 71 samples has three."""
    monkeypatch.setattr(training_stream, "NUMBERS_A_PIECE", 2 * 16 * 8 + 7)
    yield
    # After a Ctrl-C in the very exit of a context the thread ends by itself, when nobody can ask it any more.
    patience = time.monotonic() + 10
    while any("reader" in thread.name for thread in threading.enumerate()):
        assert time.monotonic() < patience
        time.sleep(0.01)


def stream(lib: Any, kind: str, n_samples: int = N, group_rows: int = 1000, read: Any = None) -> Stream:
    """Return the first samples as if they were in a file."""
    groups = [min(group_rows, n_samples - start) for start in range(0, n_samples, group_rows)]
    starts = np.cumsum([0, *groups])
    Y = LABELS[:, None] if kind == "labels" else VALUES.astype(lib.dtype)

    def take(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return X[rows].astype(lib.dtype), Y[rows]

    selection = Selection(tuple(groups), lambda group: np.arange(starts[group], starts[group + 1]))
    squares = np.square(Y[:n_samples] - Y[:n_samples].mean(axis=0)).sum(axis=0).astype(lib.dtype)
    return Stream(lib.backend, selection, 2, read or take, 6, "digest", squares)


def train(lib: Any, kind: str, data: Any, validation: Any, **options: Any) -> pm.TrainResult:
    params = pm.init_params(NETS[kind], backend=lib.backend, dtype=lib.dtype)
    return pm.train(NETS[kind], params, *data, **{**OPTIONS, "validation": validation, **options})


def in_memory(lib: Any, kind: str, n_samples: int = N) -> tuple[Any, Any]:
    y = lib.backend.asarray(LABELS) if kind == "labels" else lib.array(VALUES)
    return lib.array(X)[:n_samples, :], y[:n_samples, ...]


@SLOW_ON_JAX
@pytest.mark.parametrize(
    ("kind", "solver"),
    and_rarely_others([("labels", "adam"), ("values", "sgd")], NETS, ["adam", "sgd"]),
)
def test_one_group_trains_as_from_memory_to_the_last_bit(lib: Any, kind: str, solver: str) -> None:
    expected = train(lib, kind, in_memory(lib, kind), in_memory(lib, kind, 40), solver=solver)
    found = train(lib, kind, (stream(lib, kind), None), (stream(lib, kind, 40), None), solver=solver)
    scores = [result.history.pop("validation_score") for result in (found, expected)]
    np.testing.assert_allclose(*scores, atol=lib.rtol)  # R² may be near 0
    if lib.backend.name == "jax":  # its calls take other numbers of steps, and may round otherwise
        np.testing.assert_allclose(found.history["loss"], expected.history["loss"], rtol=lib.rtol)
    else:
        assert_same(lib, found, expected)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_group_trains_from_files_to_the_same_bits(size: int) -> None:
    """Each rank reads every piece, and computes its part of each batch."""
    lib = Library(pm.get_backend("numpy"), "float32")

    def together(n_ranks: int) -> list[Any]:
        def one(rank: int) -> pm.TrainResult:
            data, held_out = stream(lib, "labels", group_rows=17), stream(lib, "labels", 40)
            return train(lib, "labels", (data, None), (held_out, None))

        return on_ranks(n_ranks, one, reproducible=True)

    (alone,) = together(1)
    for found in together(size):
        assert_same(lib, found, alone)
    fast = train(lib, "labels", (stream(lib, "labels", group_rows=17), None), (stream(lib, "labels", 40), None))
    np.testing.assert_allclose(alone.history["loss"], fast.history["loss"], rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "every"),
    and_rarely_others(
        [
            ("labels", 4),
            pytest.param("labels", None, marks=SLOW_ON_JAX),
            pytest.param("values", 1, marks=SLOW_ON_JAX),
        ],
        NETS,
        [None, 1, 4],
    ),
)
def test_a_run_goes_on_to_the_last_bit(lib: Any, kind: str, every: int | None, tmp_path: pathlib.Path) -> None:
    """From each of the states that are written, among them those before the last, short batch."""

    def again(**options: Any) -> pm.TrainResult:
        data, held_out = stream(lib, kind, group_rows=17), stream(lib, kind, 40, group_rows=17)
        return train(lib, kind, (data, None), (held_out, None), epochs=2, checkpoint_every=every, **options)

    expected = again(checkpoint=tmp_path / "whole")
    for writes in range(1, 2 if every is None else 2 * (5 // every)):
        with killed_after(writes):
            again(checkpoint=tmp_path / str(writes))
        assert_same(lib, again(checkpoint=tmp_path / str(writes), resume=True), expected)


def test_other_samples_are_another_run(lib: Any, tmp_path: pathlib.Path) -> None:
    train(lib, "labels", (stream(lib, "labels"), None), None, patience=None, checkpoint=tmp_path, epochs=1)
    other = dataclasses.replace(stream(lib, "labels"), digest="another")
    with pytest.raises(ValueError, match="another training: data was 'digest', now 'another'"):
        train(lib, "labels", (other, None), None, patience=None, checkpoint=tmp_path, resume=True)


@pytest.mark.parametrize("kind", ["labels", pytest.param("values", marks=SLOW_ON_JAX)])
def test_an_evaluation_in_pieces_is_that_of_all(lib: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = NETS[kind]
    flat = pm.pack(pm.init_params(net, backend=lib.backend, dtype=lib.dtype))
    Y = lib.backend.asarray(LABELS[:, None]) if kind == "labels" else lib.array(VALUES)
    expected = Evaluation(lib.backend, net, Data(lib.array(X), Y)).loss_and_score(flat)
    monkeypatch.setattr("portable_mlp.training.evaluation.ACTIVATIONS_AT_ONCE", 7 * max(net.sizes))
    found = Evaluation(lib.backend, net, stream(lib, kind, group_rows=17))
    for _ in range(2):
        np.testing.assert_allclose(found.loss_and_score(flat), expected, rtol=lib.rtol, atol=lib.rtol)


def test_lbfgs_needs_all_samples_at_once(lib: Any) -> None:
    with pytest.raises(ValueError, match='"lbfgs" takes all samples in every step'):
        train(lib, "labels", (stream(lib, "labels"), None), None, patience=None, solver="lbfgs")


def test_the_batch_that_diverges_is_named(lib: Any) -> None:
    """The fourth of five, in the second of three pieces."""

    def spoilt(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        read.append(len(rows))
        some = X[rows].astype(lib.dtype)
        if len(read) == 2:
            some[16 + 3] = np.inf
        return some, LABELS[rows][:, None]

    read: list[int] = []
    with pytest.raises(pm.NonFiniteError, match="epoch 1") as caught:
        train(lib, "labels", (stream(lib, "labels", read=spoilt), None), None, patience=None)
    assert caught.value.batch == 4
    assert read == [32, 32, 7]


def test_a_reader_that_fails_fails_the_training(lib: Any) -> None:
    def broken(rows: np.ndarray) -> Any:
        if N - 1 in rows:
            raise OSError("the disk is gone")
        return X[rows].astype(lib.dtype), LABELS[rows][:, None]

    with pytest.raises(OSError, match="the disk is gone"):
        train(lib, "labels", (stream(lib, "labels", group_rows=17, read=broken), None), None, patience=None)


@pytest.mark.parametrize("where", ["read", "step"])
def test_ctrl_c_returns_what_was_reached(lib: Any, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the next piece is read, or in the middle of a step."""

    def read(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        done.append(len(rows))
        if where == "read" and len(done) == 7:
            signal.raise_signal(signal.SIGINT)
        return X[rows].astype(lib.dtype), LABELS[rows][:, None]

    def interrupt(event: pm.EpochEnd) -> None:
        if where == "step" and event.epoch == 1:
            raise KeyboardInterrupt

    done: list[int] = []
    data = stream(lib, "labels", group_rows=17, read=read)
    result = train(lib, "labels", (data, None), None, patience=None, epochs=50, callbacks=[interrupt])
    assert result.stopped_because == "interrupted"
    assert result.n_epochs <= 3


def test_steps_leave_no_memory_behind() -> None:
    """A list of an epoch's batches and an array for each one's loss would be 0.8 MB for 4,000 of them."""
    net, backend = pm.Network((1, 2)), pm.get_backend("numpy")
    params = pm.init_params(net)

    def peak(n_groups: int) -> int:
        groups = Selection((1000,) * n_groups, lambda group: np.arange(1000 * group, 1000 * group + 1000))
        data = Stream(backend, groups, 2, lambda rows: (rows[:, None] % 3 / 2, rows[:, None] % 2), 1, "digest")
        tracemalloc.start()
        pm.train(net, params, data, None, epochs=1, batch_size=10)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(5)
    assert peak(40) - peak(4) < 120_000


def test_reading_ahead_keeps_two_and_no_more() -> None:
    asked: list[int] = []

    def numbers() -> Iterator[int]:
        for i in range(10):
            asked.append(i)
            yield i

    seen = []
    with read_ahead(numbers()) as items:
        for i in items:
            seen.append(i)
            time.sleep(0.01)
            assert len(asked) <= i + 3
    assert seen == list(range(10))


@pytest.mark.parametrize("end", [None, KeyboardInterrupt, SystemExit, ValueError])
def test_leaving_early_ends_the_thread(end: type[BaseException] | None) -> None:
    with contextlib.suppress(*([] if end is None else [end])), read_ahead(iter(range(10**9))) as items:
        assert next(items) == 0
        if end is not None:
            raise end


def test_leaving_early_waits_for_what_is_being_read_and_reads_no_more() -> None:
    read: list[int] = []
    begun, may_end = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 0
        begun.set()
        may_end.wait()
        for i in range(1, 10):
            read.append(i)
            yield i

    with read_ahead(items()) as some:
        assert next(some) == 0
        begun.wait()
        threading.Timer(0.05, may_end.set).start()
    assert read == [1]


def test_an_error_comes_after_what_was_read_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("no more")

    with read_ahead(items()) as some:
        assert next(some) == 1
        with pytest.raises(OSError, match="no more"):
            next(some)

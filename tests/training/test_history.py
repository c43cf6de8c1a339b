"""The history: its lists have one length whatever falls between them, and a callback may keep numbers in it."""

import pathlib
import signal
import sys
import types
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.training import lbfgs, loop_record, monitor, run
from portable_mlp.training.history_numbers import kept_number
from tests.distributed.fakes import on_ranks
from tests.selection import rarely

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 6)), RNG.integers(0, 3, 40)
NET = pm.Network((6, 4, 3))
RECORDED = {"loss", "learning_rate", "samples_per_second", "validation_loss", "validation_score"}
EPOCH_ENDS = {module.__file__ for module in (monitor, loop_record, run, lbfgs)}


def train(**options: Any) -> pm.TrainResult:
    chosen = {"epochs": 3, "batch_size": 20, "validation": (X[:9], Y[:9]), "patience": 9, **options}
    return pm.train(NET, pm.init_params(NET), X, Y, **chosen)


def assert_whole(result: pm.TrainResult) -> None:
    assert {name: len(result.history[name]) for name in RECORDED} == dict.fromkeys(RECORDED, result.n_epochs)


class InterruptedAt:
    """Raises Ctrl-C's exception before the k-th line of the end of an epoch."""

    def __init__(self, k: int) -> None:
        self.left = k

    def __enter__(self) -> "InterruptedAt":
        self.before = sys.gettrace()
        sys.settrace(self.trace)
        return self

    def __exit__(self, *exc: object) -> None:
        sys.settrace(self.before)

    def trace(self, frame: types.FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in EPOCH_ENDS or frame.f_code.co_name in ("__init__", "result", "minimize"):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self.trace


def test_samples_per_second_wait_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device takes its steps while the host is ahead of it: their time is over when a number of theirs is read."""
    clock = types.SimpleNamespace(now=0.0)
    backend = pm.get_backend("numpy")
    original = type(backend).to_numpy

    def read(self: Any, x: Any) -> Any:
        clock.now += 2.0
        return original(self, x)

    monkeypatch.setattr(run.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(type(backend), "to_numpy", read)
    assert train(validation=None, patience=None).history["samples_per_second"] == [20.0, 20.0, 20.0]


@pytest.mark.parametrize(("solver", "every"), [("adam", 8), ("lbfgs", 8), *rarely(("adam", 1), ("lbfgs", 1))])
def test_ctrl_c_at_any_line_leaves_lists_of_one_length(solver: str, every: int) -> None:
    ends: list[int] = []
    for k in range(1, 2000, every):
        with InterruptedAt(k) as interrupted:
            try:
                result = train(solver=solver, callbacks=[lambda end: None])
            except KeyboardInterrupt:  # before the run could answer it, or in its answer
                continue
        assert_whole(result)
        if interrupted.left > 0:
            break
        assert result.stopped_because == "interrupted"
        ends.append(result.n_epochs)
    else:
        raise AssertionError("it never came to its end")
    assert set(ends) >= {0, 1, 2}
    assert len(ends) > 50 // every


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_call_of_an_epochs_end(number: int, tmp_path: pathlib.Path) -> None:
    """With checkpoints, where the run stops after the step and goes on later."""
    expected = train().history["validation_loss"]
    for k in range(1, 400, 7):
        folder, fired = tmp_path / str(k), []

        def profile(frame: types.FrameType, event: str, argument: Any, k: int = k, fired: list[int] = fired) -> None:
            if event == "call" and frame.f_code.co_filename in EPOCH_ENDS:
                fired.append(0)
                if len(fired) == k:
                    signal.raise_signal(number)

        before, handler = sys.getprofile(), signal.signal(signal.SIGTERM, lambda *about: sys.exit(143))
        try:
            sys.setprofile(profile)
            result = train(checkpoint=folder)
        except (SystemExit, KeyboardInterrupt):
            assert len(fired) >= k
        else:
            assert_whole(result)
        finally:
            sys.setprofile(before)
            signal.signal(signal.SIGTERM, handler)
        resumed = train(checkpoint=folder, resume=True)
        assert_whole(resumed)
        assert resumed.history["validation_loss"] == expected
        if len(fired) < k:
            return
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError])
def test_what_a_callback_raises_leaves_a_whole_history(kind: type[BaseException], tmp_path: pathlib.Path) -> None:
    def fail(end: pm.EpochEnd) -> None:
        end.history.setdefault("mine", []).append(object())
        if end.epoch == 1:
            raise kind

    def fails(end: pm.EpochEnd) -> None:
        if end.epoch == 1:
            raise kind

    for options in ({}, {"checkpoint": tmp_path}):
        if kind is KeyboardInterrupt:
            result = train(callbacks=[fails], **options)
            assert (result.n_epochs, result.stopped_because) == (2, "interrupted")
            assert_whole(result)
        else:
            with pytest.raises(kind):
                train(callbacks=[fails], **options)
    assert_whole(train(checkpoint=tmp_path, resume=True))


def keep(end: pm.EpochEnd) -> None:
    history = end.history
    history.setdefault("counts", []).append(np.int64(end.epoch))
    history.setdefault("rows", []).append(np.asarray([1, 2], dtype=np.float32) * end.epoch)
    history["a/b last \u00e9"] = np.float32(end.epoch)
    history["flag"] = end.epoch > 0
    history["empty"] = []
    assert len(history["counts"]) == end.epoch + 1


KEPT = {"counts": [0.0, 1.0, 2.0], "rows": [[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]], "a/b last \u00e9": 2.0, "flag": 1.0}


def test_a_callback_keeps_numbers_of_its_own(tmp_path: pathlib.Path) -> None:
    for options in ({}, {"checkpoint": tmp_path}, {"checkpoint": tmp_path, "resume": True}):
        result = train(callbacks=[keep], **options)
        assert {name: result.history[name] for name in result.history.keys() - RECORDED} == {**KEPT, "empty": []}
        assert all(type(number) is float for number in result.history["counts"])
        assert_whole(result)


def test_what_a_callback_keeps_comes_back(tmp_path: pathlib.Path) -> None:
    """Also after a while in which there was no callback."""
    train(callbacks=[keep], checkpoint=tmp_path, epochs=1)
    assert train(checkpoint=tmp_path, resume=True, epochs=1).history["counts"] == [0.0]
    result = train(callbacks=[keep], checkpoint=tmp_path, resume=True)
    assert {name: result.history[name] for name in KEPT} == KEPT
    assert train(checkpoint=tmp_path, resume=True, epochs=5).history["counts"] == [0.0, 1.0, 2.0]


def test_every_rank_has_what_rank_0s_callback_keeps(tmp_path: pathlib.Path) -> None:
    for epochs in (2, 3):
        results = on_ranks(
            2,
            lambda rank, epochs=epochs: train(
                callbacks=[] if rank else [keep], checkpoint=tmp_path, resume=True, epochs=epochs
            ),
        )
        for result in results:
            assert result.history["counts"] == KEPT["counts"][:epochs]


def test_a_callback_cannot_spoil_the_record() -> None:
    def spoil(end: pm.EpochEnd) -> None:
        end.history["loss"].append("nonsense")
        end.history["learning_rate"] = [object()]
        del end.history["validation_score"]

    result, expected = train(callbacks=[spoil]), train()
    assert_whole(result)
    for name in RECORDED - {"samples_per_second"}:
        assert result.history[name] == expected.history[name]


def test_nor_that_of_several_models(tmp_path: pathlib.Path) -> None:
    models = [pm.init_params(NET, random_state=seed) for seed in range(2)]
    params = tuple(pm.Layer(*map(np.stack, zip(*layers, strict=True))) for layers in zip(*models, strict=True))

    def spoil(end: pm.EpochEnd) -> None:
        end.history["loss"][0].append(0.5)
        end.history.setdefault("rows", [[1.0]])[0][0] += 1.0

    result = pm.train(NET, params, X, Y, epochs=3, callbacks=[spoil], checkpoint=tmp_path)
    assert [len(losses) for losses in result.history["loss"]] == [2, 2, 2]
    assert result.history["rows"] == [[4.0]]


NO_NUMBERS: dict[str, Any] = {
    "a text": "0.5",
    "nothing": None,
    "a complex number": np.asarray([1j]),
    "lists of unlike lengths": [[1.0], [1.0, 2.0]],
    "a list among numbers": [1.0, [2.0]],
    "a dictionary": {"f1": 0.5},
    "a huge number": 10**400,
    "a moment": np.datetime64("2026-01-01"),
    "itself a texts": ["a", "b"],
}


@pytest.mark.parametrize("value", NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_anything_else_is_refused_by_its_name(value: Any) -> None:
    def keep_it(end: pm.EpochEnd) -> None:
        end.history["mine"] = value

    with pytest.raises(ValueError, match=r"a callback keeps .* in event\.history\['mine'\]; the history holds numbers"):
        train(callbacks=[keep_it])


def test_a_name_is_a_text() -> None:
    with pytest.raises(ValueError, match=r"in event\.history under 3; a name must be a text"):
        train(callbacks=[lambda end: end.history.update({3: [1.0]})])
    with pytest.raises(ValueError, match=r"in event\.history under '\\ud800'; a name must be a text"):
        train(callbacks=[lambda end: end.history.update({"\ud800": [1.0]})])
    with pytest.raises(ValueError, match=r"keeps 'x{76}\.\.\. in"):
        kept_number("mine", "x" * 1000)

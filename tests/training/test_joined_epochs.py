"""Epochs of a few steps, many in one call: the numbers of one epoch at a time, to the bit."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.backends._native_runner import NativeRunner
from portable_mlp.training.loop import Loop
from portable_mlp.training.stop_requests import SharedRequest, sharing

pytestmark = [pytest.mark.compiled_steps, pytest.mark.usefixtures("compiled")]

NET = pm.Network((4, 8, 3, 1), activation="tanh", output="identity")
EPOCHS = 600  # two calls of 256, and a part of one


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run a function with no epochs joined."""

    def run(function: Callable[[], Any]) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(NativeRunner, "joins_epochs", False)
            return function()

    return run


def trained(dtype: str = "float32", **options: Any) -> pm.TrainResult:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(23, 4)).astype(dtype), rng.normal(size=(23, 1)).astype(dtype)
    params = pm.init_params(NET, random_state=0, dtype=dtype)
    chosen: dict[str, Any] = {"batch_size": 23, "epochs": EPOCHS, "random_state": 1}
    return pm.train(NET, params, X, y, **chosen | options)


def numbers(result: pm.TrainResult | pm.NonFiniteError) -> list[bytes]:
    return [np.asarray(x).tobytes() for layer in result.params for x in layer]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shuffle": False},
        {"solver": "sgd", "momentum": 0.9, "schedule": "cosine"},
        {"solver": "adamw", "warmup_steps": 100, "clip_norm": 0.1, "l2": 0.1},
        {"schedule": lambda epoch: 0.01 / (1 + epoch), "sample_weight": np.linspace(1, 2, 23)},
        {"batch_size": 5},
        {"batch_size": 11, "shuffle": False, "schedule": "exponential", "l2": 0.1},
    ],
)
def test_the_numbers_of_one_epoch_at_a_time(
    dtype: str, options: dict[str, Any], joined: list[int], one_by_one: Callable[..., Any]
) -> None:
    together = trained(dtype, **options)
    assert sum(joined) > EPOCHS // 2  # the first ones record the step
    apart = one_by_one(lambda: trained(dtype, **options))
    assert numbers(together) == numbers(apart)
    for name in ("loss", "learning_rate"):
        assert together.history[name] == apart.history[name]
    assert len(together.history["samples_per_second"]) == together.n_epochs == EPOCHS


def test_divergence_is_that_of_one_epoch_at_a_time(joined: list[int], one_by_one: Callable[..., Any]) -> None:
    def diverged() -> pm.NonFiniteError:
        with pytest.raises(pm.NonFiniteError) as error:
            trained(solver="sgd", learning_rate=0.01, schedule=lambda epoch: 0.01 if epoch < 400 else 1e30)
        return error.value

    together, apart = diverged(), one_by_one(diverged)
    assert max(joined) > 1
    assert str(together) == str(apart)
    assert "epoch 40" in str(together)
    assert numbers(together) == numbers(apart)
    assert together.history["loss"] == apart.history["loss"]
    assert all(map(math.isfinite, together.history["loss"]))


def test_a_request_to_stop_ends_them_between_calls(joined: list[int]) -> None:
    request = SharedRequest()

    def asking(epoch: int) -> float:
        if epoch == 20:
            request.ask()
        return 0.01

    with sharing(request), pytest.raises(KeyboardInterrupt):
        trained(schedule=asking, epochs=1000)
    assert 20 < sum(joined) < 1000


def test_ctrl_c_within_a_call_leaves_the_epochs_that_are_recorded(
    joined: list[int], one_by_one: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Loop.joined_epochs

    def interrupted(self: Loop, *arguments: Any) -> Any:
        losses = honest(self, *arguments)
        if sum(joined) > 500:
            raise KeyboardInterrupt
        return losses

    monkeypatch.setattr(Loop, "joined_epochs", interrupted)
    together = trained(epochs=1000)
    assert together.stopped_because == "interrupted"
    apart = one_by_one(lambda: trained(epochs=together.n_epochs))
    assert numbers(together) == numbers(apart)
    assert together.history["loss"] == apart.history["loss"]


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.5},
        {"schedule": "adaptive"},
        {"sample_weight": np.arange(23.0)},  # some of which are 0: a batch may have to be left out
        {"callbacks": [lambda event: False]},
        {"validation": (np.zeros((2, 4), "float32"), np.zeros((2, 1), "float32"))},
    ],
    ids=lambda options: next(iter(options)),
)
def test_epochs_between_which_something_may_happen_stay_apart(options: dict[str, Any], joined: list[int]) -> None:
    trained(**options)
    assert not any(joined)

"""Epochs of a fit, many in one call: scikit-learn's numbers, and all that one epoch at a time leaves."""

from typing import Any

import numpy as np
import pytest

from portable_mlp.backends._native_runner import NativeRunner
from tests.estimators.problems import assert_same, ours, problem, quietly, theirs, weights

pytestmark = [pytest.mark.compiled_steps, pytest.mark.usefixtures("compiled")]

SMALL: dict[str, Any] = {"hidden_layer_sizes": (6, 4), "max_iter": 30, "random_state": 3, "learning_rate_init": 0.02}


def left_by(estimator: Any) -> dict[str, Any]:
    """Return what a fit leaves, as bytes and plain numbers."""
    _, key, *place = estimator._random_state.get_state()
    optimizer = estimator._optimizer
    return {
        "parameters": [x.tobytes() for x in (*estimator.coefs_, *estimator.intercepts_, *optimizer.moments)],
        "optimizer": (optimizer.rate, optimizer.n_steps, optimizer.n_epochs),
        "random state": (key.tobytes(), *place),
        "record": [
            repr(getattr(estimator, name))
            for name in ("loss_", "loss_curve_", "best_loss_", "n_iter_", "t_", "_no_improvement_count")
        ],
    }


STOPPING: dict[str, dict[str, Any]] = {
    "at the last epoch": {"tol": 0.0},
    "never": {"n_iter_no_change": np.inf},
    "soon": {"tol": 0.1, "n_iter_no_change": 4},
    "at once": {"tol": 10.0, "n_iter_no_change": 1},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 2},
    "in order": {"shuffle": False, "tol": 0.1, "n_iter_no_change": 3},
    "one batch": {"batch_size": 70, "tol": 0.05, "n_iter_no_change": 5},
    "many batches": {"batch_size": 2},
}


@pytest.mark.parametrize("kind", ["classes", "number"])
@pytest.mark.parametrize("options", STOPPING.values(), ids=STOPPING)
def test_all_is_left_as_by_one_epoch_at_a_time(
    options: dict[str, Any], kind: str, joined: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, parameters = problem(kind), {**SMALL, "batch_size": 16, **options}
    together, apart, other = ours(kind, **parameters), ours(kind, **parameters), theirs(kind, **parameters)
    quietly(together.fit, task.X, task.y)
    assert max(joined) > 1
    quietly(other.fit, task.X, task.y)
    assert_same(together, other, 0.0)
    monkeypatch.setattr(NativeRunner, "joins_epochs", False)
    quietly(apart.fit, task.X, task.y)
    assert left_by(together) == left_by(apart)


def test_a_fit_goes_on_after_epochs_that_were_joined(joined: list[int]) -> None:
    task = problem("classes")
    pair = [make("classes", batch_size=16, warm_start=True, tol=0.05, **SMALL) for make in (ours, theirs)]
    for _ in range(3):
        for estimator in pair:
            quietly(estimator.fit, task.X, task.y)
        assert_same(*pair)
    assert max(joined) > 1


APART: dict[str, dict[str, Any]] = {
    "early stopping": {"early_stopping": True},
    "a schedule": {"solver": "sgd", "learning_rate": "invscaling"},
    "dropout": {"dropout": 0.1},
    "printing": {"verbose": True},
}


@pytest.mark.parametrize("options", APART.values(), ids=APART)
def test_epochs_between_which_something_happens_stay_apart(options: dict[str, Any], joined: list[int]) -> None:
    task = problem("classes")
    quietly(ours("classes", batch_size=16, **SMALL, **options).fit, task.X, task.y)
    assert not any(joined)


def test_so_do_those_of_weighted_samples_and_of_validation_data(joined: list[int]) -> None:
    task = problem("classes")
    for arguments in ({"sample_weight": weights()}, {"validation_data": (task.X, task.y)}):
        quietly(ours("classes", batch_size=16, **SMALL).fit, task.X, task.y, **arguments)
    assert not any(joined)


def test_ctrl_c_within_a_call_leaves_the_epochs_that_are_recorded(
    joined: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = NativeRunner.take

    def interrupted(self: NativeRunner, *arguments: Any) -> Any:
        taken = honest(self, *arguments)
        if sum(joined) >= 20:
            raise KeyboardInterrupt
        return taken

    task = problem("classes")
    with monkeypatch.context() as patch:
        patch.setattr(NativeRunner, "take", interrupted)
        stopped = ours("classes", batch_size=16, **SMALL)
        quietly(stopped.fit, task.X, task.y)
    whole = ours("classes", batch_size=16, **{**SMALL, "max_iter": stopped.n_iter_})
    quietly(whole.fit, task.X, task.y)
    assert 20 <= stopped.n_iter_ < 30
    for part in ("parameters", "optimizer", "record"):
        assert left_by(stopped)[part] == left_by(whole)[part]

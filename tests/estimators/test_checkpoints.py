"""``fit(..., checkpoint=DIR)``: a fit that ended goes on to the last bit, and folders of other fits are refused."""

import os
import pathlib
import signal
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_digits

import portable_mlp as pm
from portable_mlp.training.run import Run

X, Y = (part[:200] for part in load_digits(return_X_y=True))
X = X / 16
OPTIONS = {"hidden_layer_sizes": (8,), "max_iter": 6, "batch_size": 50, "random_state": 0}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "early stopping": {"early_stopping": True},
    "dropout": {"dropout": 0.2, "random_state": np.random.RandomState(3)},
    "stalls": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 1},
    "cosine": {"learning_rate": "cosine", "solver": "adamw"},
    "in order": {"shuffle": False},
}


class Ended(Exception):
    """Ends a fit as a killed process ends: nothing is written any more."""


def fitted(folder: Any = None, *, of: Any = X, weights: Any = None, every: Any = None, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = pm.MLPClassifier(**{**OPTIONS, **options})
        if isinstance(estimator.random_state, np.random.RandomState):  # each fit starts from the same one
            estimator.random_state = np.random.RandomState(3)
        asked = {} if folder is None else {"checkpoint": folder, "checkpoint_every": every, "resume": True}
        return estimator.fit(of, Y, sample_weight=weights, **asked)


def ended_after(monkeypatch: pytest.MonkeyPatch, step: int, end: Any) -> None:
    """Call ``end()`` after so many steps, once."""
    original, taken = Run._between, 0

    def between(self: Run, *arguments: Any) -> Any:
        heeded = original(self, *arguments)

        def counted(done: int) -> None:
            nonlocal taken
            heeded(done)
            taken += 1
            if taken == step:
                end()

        return counted

    monkeypatch.setattr(Run, "_between", between)


def end() -> None:
    raise Ended


def state_of(estimator: Any) -> list[Any]:
    names = ("n_iter_", "t_", "loss_", "loss_curve_", "best_loss_", "best_validation_score_", "validation_scores_")
    optimizer = estimator._optimizer
    arrays = (*estimator.coefs_, *estimator.intercepts_, *optimizer.moments)
    counts = (optimizer.rate, optimizer.n_steps, optimizer.n_epochs, estimator._no_improvement_count)
    numbers = [getattr(estimator, name) for name in names]
    return [[x.tobytes() for x in arrays], counts, numbers, estimator._random_state.get_state()[1].tolist()]


@pytest.mark.parametrize("step", [1, 4, 7, 14])
@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_goes_on_to_the_last_bit(
    kind: str, step: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted(**KINDS[kind])
    with monkeypatch.context() as patch:
        ended_after(patch, step, end)
        with pytest.raises(Ended):
            fitted(tmp_path, every=1, **KINDS[kind])
    resumed = fitted(tmp_path, every=1, **KINDS[kind])
    assert state_of(resumed) == state_of(whole)
    assert state_of(fitted(tmp_path, **KINDS[kind])) == state_of(whole)  # it has come to its end


def test_a_state_is_in_use(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared above would be equal, too, if every fit began anew."""
    ended_after(monkeypatch, 14, end)
    with pytest.raises(Ended):
        fitted(tmp_path, every=1)
    steps: list[int] = []
    monkeypatch.undo()
    ended_after(monkeypatch, 1, lambda: steps.append(1))
    fitted(tmp_path, every=1)
    assert steps == [1]
    taken = [int(path.stem.removeprefix("step-")) for path in tmp_path.glob("step-*")]
    assert max(taken) == 24


def test_sparse_samples_with_weights_go_on(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"of": scipy.sparse.csr_matrix(X), "weights": np.arange(200) % 3}
    whole = fitted(**given)
    with monkeypatch.context() as patch:
        ended_after(patch, 6, end)
        with pytest.raises(Ended):
            fitted(tmp_path, every=2, **given)
    assert state_of(fitted(tmp_path, every=2, **given)) == state_of(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_state_and_an_estimator(
    number: signal.Signals, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted()
    estimator = pm.MLPClassifier(**OPTIONS)
    with monkeypatch.context() as patch:
        ended_after(patch, 6, lambda: os.kill(os.getpid(), number))
        if number == signal.SIGINT:
            with pytest.warns(UserWarning, match=r"Training interrupted by user\."):
                estimator.fit(X, Y, checkpoint=tmp_path)
        else:
            with pytest.raises(SystemExit):
                estimator.fit(X, Y, checkpoint=tmp_path)
    assert (estimator.n_iter_, estimator._optimizer.n_steps) == (1, 7)
    assert state_of(fitted(tmp_path)) == state_of(whole)


def test_a_fit_interrupted_twice_within_an_epoch_keeps_its_record(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the second Ctrl-C no epoch ends: the record of the first comes from the state."""
    whole = fitted(batch_size=20)
    estimator = pm.MLPClassifier(**{**OPTIONS, "batch_size": 20})
    for n_steps in (13, 2):
        with monkeypatch.context() as patch:
            ended_after(patch, n_steps, lambda: os.kill(os.getpid(), signal.SIGINT))
            with pytest.warns(UserWarning, match=r"Training interrupted by user\."):
                estimator.fit(X, Y, checkpoint=tmp_path, resume=True)
    assert (estimator.n_iter_, estimator.t_, estimator._optimizer.n_steps) == (1, 200, 17)
    assert estimator.loss_curve_ == whole.loss_curve_[:1]
    assert state_of(fitted(tmp_path, batch_size=20)) == state_of(whole)


def test_more_epochs_are_added(tmp_path: pathlib.Path) -> None:
    fitted(tmp_path, max_iter=4)
    assert state_of(fitted(tmp_path, max_iter=9)) == state_of(fitted(max_iter=9))


def test_a_group_goes_on_as_well(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pm.parallel("serial", reproducible=True):
        whole = fitted()
        with monkeypatch.context() as patch:
            ended_after(patch, 6, end)
            with pytest.raises(Ended):
                fitted(tmp_path, every=1)
        assert state_of(fitted(tmp_path, every=1)) == state_of(whole)


def test_the_global_random_state_is_left_alone(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.random.seed(5)
    ended_after(monkeypatch, 6, end)
    with pytest.raises(Ended):
        fitted(tmp_path, random_state=None)
    monkeypatch.undo()
    resumed = fitted(tmp_path, random_state=None)
    assert resumed._random_state is not np.random.mtrand._rand
    np.random.seed(5)
    assert state_of(resumed) == state_of(fitted(random_state=None))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"alpha": 0.5}, r"alpha was 0\.0001, now 0\.5"),
        ({"hidden_layer_sizes": (9,)}, r"hidden_layer_sizes was '\(8\)', now '\(9\)'; network was"),
        ({"random_state": 1}, "random_state was 0, now 1"),
        ({"of": X + 1}, "data was"),
        ({"weights": np.ones(200)}, "data was"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_fit_is_refused(changed: dict[str, Any], message: str, tmp_path: pathlib.Path) -> None:
    fitted(tmp_path)
    with pytest.raises(ValueError, match=f"holds the checkpoints of another training: .*{message}"):
        fitted(tmp_path, **changed)


def test_a_warm_start_is_another_fit(tmp_path: pathlib.Path) -> None:
    estimator = fitted(tmp_path, warm_start=True)
    with pytest.raises(ValueError, match="start was None, now '"):
        estimator.fit(X, Y, checkpoint=tmp_path, resume=True)
    by_lbfgs = fitted(solver="lbfgs", warm_start=True).set_params(solver="adam")
    with pytest.raises(ValueError, match="start was None, now '"):
        by_lbfgs.fit(X, Y, checkpoint=tmp_path, resume=True)


def test_a_folder_in_use_is_not_written_over(tmp_path: pathlib.Path) -> None:
    fitted(tmp_path)
    with pytest.raises(ValueError, match="holds checkpoints already: resume, or give another folder"):
        pm.MLPClassifier(**OPTIONS).fit(X, Y, checkpoint=tmp_path)


@pytest.mark.parametrize(
    ("options", "asked", "message"),
    [
        ({"solver": "lbfgs"}, {"checkpoint": "x"}, "checkpoint is for the other solvers"),
        ({}, {"resume": True}, r"resume and checkpoint_every need a folder: checkpoint=\.\.\."),
        ({}, {"checkpoint": "x", "checkpoint_every": 0}, "checkpoint_every must be at least 1, got 0"),
        ({"early_stopping": True, "random_state": None}, {"checkpoint": "x"}, "needs random_state to be an int"),
        (
            {"random_state": np.random.RandomState(np.random.PCG64(0))},
            {"checkpoint": "x"},
            "keeps the state of a RandomState of MT19937; got a random_state of PCG64",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused(
    options: dict[str, Any], asked: dict[str, Any], message: str, tmp_path: pathlib.Path
) -> None:
    asked = {name: tmp_path / value if name == "checkpoint" else value for name, value in asked.items()}
    with pytest.raises(ValueError, match=message):
        pm.MLPClassifier(**{**OPTIONS, **options}).fit(X, Y, **asked)
    assert not list(tmp_path.iterdir())

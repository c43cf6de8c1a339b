"""Ranks that were given unlike options, parameters or data: an error on all of them that names what differs."""

import contextlib
import inspect
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import portable_mlp as pm
from portable_mlp.distributed.agreement import check_same_options, comparable_text, n_samples_of_all
from portable_mlp.estimators import base
from portable_mlp.training import train as train_module
from tests.distributed.fakes import ThreadCommunicator, Threads, on_ranks

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 6)), RNG.integers(0, 3, 60)
NET = pm.Network((6, 5, 3))
HELD_OUT = (X[:20], Y[:20])


def assert_named(outcomes: list[Any], *words: str) -> None:
    assert len(outcomes) > 1
    for outcome in outcomes:
        assert isinstance(outcome, ValueError), outcome
        for word in words:
            assert word in str(outcome)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def train(**options: Any) -> pm.TrainResult:
    return pm.train(**{"net": NET, "params": pm.init_params(NET), "X": X, "y": Y, "epochs": 2, **options})


OTHER_OF_TRAIN: dict[str, Any] = {
    "net": pm.Network((6, 5, 3), activation="tanh"),
    "params": pm.init_params(NET, random_state=1),
    "X": X + 1,
    "y": 2 - Y,
    "solver": "sgd",
    "learning_rate": 0.01,
    "batch_size": 21,
    "epochs": 3,
    "momentum": 0.5,
    "nesterov": False,
    "beta_1": 0.8,
    "beta_2": 0.9,
    "epsilon": 1e-7,
    "weight_decay": 0.1,
    "clip_norm": 1.0,
    "schedule": lambda epoch: 0.001,
    "decay": 0.5,
    "warmup_steps": 3,
    "label_smoothing": 0.1,
    "l2": 0.1,
    "sample_weight": np.ones(len(X)),
    "class_weight": "balanced",
    "dropout": 0.5,
    "shuffle": False,
    "random_state": 1,
    "validation": HELD_OUT,
    "patience": 2,
    "monitor": "score",
    "precision": "tf32",
    "checkpoint": "a folder",
    "checkpoint_every": 4,
    "resume": True,
}
"""Another value for each argument, also where that rank alone would refuse it."""


def test_every_argument_of_train_is_compared() -> None:
    arguments = set(inspect.signature(pm.train).parameters)
    assert arguments == OTHER_OF_TRAIN.keys() | {"callbacks", "progress"}
    assert train_module.ARGUMENTS_THAT_MAY_DIFFER.keys() == {"params", "X", "y", "callbacks", "progress"}
    assert all(train_module.ARGUMENTS_THAT_MAY_DIFFER.values())


@pytest.mark.parametrize("name", OTHER_OF_TRAIN)
def test_another_value_on_one_rank_is_every_ranks_error(name: str) -> None:
    outcomes = on_ranks(3, lambda rank: train(**({name: OTHER_OF_TRAIN[name]} if rank == 1 else {})))
    assert_named(outcomes, "samples" if name in ("X", "y") else name)
    assert len({str(outcome) for outcome in outcomes}) == 1


def test_the_error_tells_who_has_what() -> None:
    outcomes = on_ranks(4, lambda rank: train(l2=0.25 if rank == 2 else 0, batch_size=20 + rank % 2, epochs=1))
    assert_named(
        outcomes,
        "all ranks must give train the same options, but batch_size is 20 on ranks 0, 2 and 21 on ranks 1, 3; "
        "l2 is 0 on ranks 0, 1, 3 and 0.25 on rank 2",
    )
    outcomes = on_ranks(3, lambda rank: train(params=pm.init_params(NET, random_state=min(rank, 1))))
    assert_named(outcomes, "each rank must be given the same params; those of ranks 1, 2 differ from rank 0's")


def test_what_may_differ(tmp_path: pathlib.Path) -> None:
    """What rank 0 alone uses, numbers of other types, and what has no number to compare."""

    def trained(rank: int) -> pm.TrainResult:
        return train(
            net=pm.Network([6, 5, 3] if rank else (6, 5, 3)),
            learning_rate=np.float64(0.5) if rank else 0.5,
            batch_size=np.int64(20) if rank else 20,
            l2=0 if rank else 0.0,
            schedule=(lambda epoch: 0.1) if rank else (lambda epoch: 0.2),
            random_state=np.random.default_rng(rank),
            callbacks=[] if rank else [lambda end: False],
            checkpoint=tmp_path / str(rank),
        )

    first, second = on_ranks(2, trained)
    np.testing.assert_array_equal(first.params[0].W, second.params[0].W)
    assert [path.name for path in tmp_path.iterdir()] == ["0"]


def test_other_validation_data_of_the_same_shape() -> None:
    outcomes = on_ranks(2, lambda rank: train(validation=(X[:20] + rank, Y[:20])))
    assert_named(outcomes, "the same validation data; those of rank 1 differ")


def test_groups_that_are_not_alike() -> None:
    threads = Threads(2)
    groups: list[dict[str, Any]] = [{"reproducible": True}, {"samples": "own"}]

    def trained(rank: int) -> Any:
        with pm.parallel(comm=ThreadCommunicator(threads, rank), **groups[rank]):
            return train()

    outcomes = on_ranks_by_themselves(2, trained)
    assert_named(
        outcomes, "reproducible of parallel(...) is True on rank 0", "samples of parallel(...) is 'all' on rank 0"
    )


def on_ranks_by_themselves(size: int, work: Any) -> list[Any]:
    """As `on_ranks`, but each enters its group itself."""
    import threading

    outcomes: list[Any] = [None] * size

    def one(rank: int) -> None:
        try:
            outcomes[rank] = work(rank)
        except ValueError as error:
            outcomes[rank] = error

    running = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return outcomes


def test_unlike_calls() -> None:
    def called(rank: int) -> Any:
        return pm.MLPClassifier((5,), max_iter=2).fit(X, Y) if rank else train()

    outcomes = on_ranks(2, called)
    assert_named(
        outcomes, "all ranks must make the same call, but it is train on rank 0 and MLPClassifier.fit on rank 1"
    )


OTHER_OF_ESTIMATORS: dict[str, Any] = {
    "hidden_layer_sizes": (4,),
    "activation": "tanh",
    "solver": "sgd",
    "alpha": 0.1,
    "batch_size": 21,
    "learning_rate": "invscaling",
    "learning_rate_init": 0.01,
    "power_t": 0.25,
    "max_iter": 3,
    "loss": "poisson",
    "shuffle": False,
    "random_state": 1,
    "tol": 0.1,
    "warm_start": True,
    "momentum": 0.5,
    "nesterovs_momentum": False,
    "early_stopping": True,
    "validation_fraction": 0.2,
    "beta_1": 0.8,
    "beta_2": 0.9,
    "epsilon": 1e-7,
    "n_iter_no_change": 3,
    "max_fun": 100,
    "backend": "torch",
    "precision": "tf32",
    "dropout": 0.5,
    "decay": 0.5,
    "weight_decay": 0.1,
    "clip_norm": 1.0,
    "warmup_steps": 3,
    "label_smoothing": 0.1,
    "compat": None,
    "class_weight": "balanced",
    "loss_options": {"delta": 2.0},
}


def regressor(**options: Any) -> pm.MLPRegressor:
    return pm.MLPRegressor(hidden_layer_sizes=(5,), **{"random_state": 0, **options})


ESTIMATORS = {"classifier": pm.MLPClassifier, "regressor": pm.MLPRegressor}


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_every_parameter_of_an_estimator_is_compared(kind: str) -> None:
    parameters = ESTIMATORS[kind]().get_params().keys()
    assert base.PARAMETERS_THAT_MAY_DIFFER.keys() == {"verbose", "device"}
    assert parameters <= OTHER_OF_ESTIMATORS.keys() | base.PARAMETERS_THAT_MAY_DIFFER.keys()


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_every_argument_of_a_fit_is_compared(kind: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(base, "check_same_options", lambda call, options, but: seen.append((call, {*options})))
    model = ESTIMATORS[kind](hidden_layer_sizes=(5,), max_iter=1)
    known = {"classes": [0, 1, 2]} if (kind, method) == ("classifier", "partial_fit") else {}
    with quietly():
        getattr(model, method)(X, Y, **known)
    ((call, names),) = seen
    assert call == f"{type(model).__name__}.{method}"
    assert names >= inspect.signature(getattr(model, method)).parameters.keys() - {"X", "y"}


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("name", OTHER_OF_ESTIMATORS)
def test_another_parameter_on_one_rank_is_every_ranks_error(kind: str, name: str) -> None:
    if name not in ESTIMATORS[kind]().get_params():
        assert name in ("loss", "loss_options") if kind == "classifier" else name in ("class_weight", "label_smoothing")
        return

    def fitted(rank: int) -> Any:
        other = {name: OTHER_OF_ESTIMATORS[name]} if rank else {}
        return ESTIMATORS[kind](**{"hidden_layer_sizes": (5,), "max_iter": 2, "random_state": 0, **other}).fit(X, Y)

    assert_named(on_ranks(2, fitted), f".fit the same options, but {name} is ")


FITS: dict[str, tuple[Any, str]] = {
    "weights on one": (
        lambda rank: {"sample_weight": np.ones(60) if rank else None},
        "sample_weight is False on rank 0",
    ),
    "other weights": (lambda rank: {"sample_weight": np.ones(60) + rank}, "the same sample_weight;"),
    "validation data on one": (
        lambda rank: {"validation_data": HELD_OUT if rank else None},
        "validation_data is False",
    ),
    "other validation": (lambda rank: {"validation_data": (X[:9] + rank, Y[:9])}, "the same validation_data;"),
    "fewer validation data": (
        lambda rank: {"validation_data": (X[: 9 - rank], Y[: 9 - rank])},
        "same validation_data;",
    ),
}


@pytest.mark.parametrize("name", FITS)
def test_other_data_on_one_rank(name: str) -> None:
    give, told = FITS[name]
    assert_named(on_ranks(2, lambda rank: pm.MLPClassifier((5,), max_iter=2).fit(X, Y, **give(rank))), told)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_models_that_came_apart_do_not_learn_on_together(solver: str) -> None:
    """In their numbers, or in the steps that lie behind them; a model that is refused stays what it is."""
    for calls in (1, 2):
        models = [regressor(solver=solver).partial_fit(X, Y) for _ in range(2)]
        models[1].partial_fit(X + calls % 2, Y)
        if calls == 2:
            models[1].coefs_, models[1].intercepts_ = models[0].coefs_, models[0].intercepts_
        before = models[1].coefs_[0].copy()
        outcomes = on_ranks(2, lambda rank, models=models: models[rank].partial_fit(X, Y))
        assert_named(outcomes, "the same coefs_, intercepts_ and optimizer to go on from; those of rank 1 differ")
        np.testing.assert_array_equal(models[1].coefs_[0], before)


def test_partial_fit_and_fit_are_other_calls() -> None:
    def called(rank: int) -> Any:
        model = regressor(max_iter=2)
        return model.partial_fit(X, Y) if rank else model.fit(X, Y)

    assert_named(on_ranks(2, called), "MLPRegressor.fit on rank 0 and MLPRegressor.partial_fit on rank 1")
    fitted = regressor().partial_fit(X, Y)
    outcomes = on_ranks(2, lambda rank: (fitted if rank else regressor()).partial_fit(X, Y))
    assert_named(outcomes, "fitted before is False on rank 0 and True on rank 1")


def test_other_classes() -> None:
    def learnt(rank: int) -> Any:
        return pm.MLPClassifier((5,), random_state=0).partial_fit(X, Y, classes=[0, 1, 2, 3 + rank])

    assert_named(on_ranks(2, learnt), "classes is (0, 1, 2, 3) on rank 0 and (0, 1, 2, 4) on rank 1")


def test_verbose_may_differ(capsys: pytest.CaptureFixture[str]) -> None:
    with quietly():
        outcomes = on_ranks(2, lambda rank: regressor(max_iter=1, verbose=rank == 0).fit(X, Y))
    assert [type(outcome) for outcome in outcomes] == [pm.MLPRegressor] * 2
    assert "Iteration 1" in capsys.readouterr().out


def test_a_comparison_is_two_small_messages() -> None:
    """Whatever there is to compare: names and values travel only where something differs."""

    def counted(rank: int) -> int:
        from portable_mlp.distributed.group import current_group

        comm: Any = current_group()._comm  # type: ignore[union-attr]
        before = comm.n_calls
        check_same_options("train", dict.fromkeys(map(str, range(1000)), rank // 9))
        n_samples_of_all(7, lambda: b"x", {"params": lambda: bytes(10**6)})
        return int(comm.n_calls - before)

    assert on_ranks(3, counted) == [2, 2, 2]


def test_the_text_of_a_value() -> None:
    for alike in ([1, 1.0, np.float32(1), np.int64(1)], [(9,), [9], np.asarray([9])], [True, np.True_]):
        assert len({comparable_text(value) for value in alike}) == 1
    assert comparable_text({"b": 1, "a": [None, pathlib.Path("x")]}) == comparable_text({"a": [None, "x"], "b": 1.0})
    assert comparable_text(np.zeros((40, 6))) == "ndarray of shape (40, 6)"
    assert comparable_text(np.random.default_rng(3)) == comparable_text(np.random.default_rng(4)) == "Generator"
    assert len({comparable_text(value) for value in (0.1, 0.2, "0.1", None, float("nan"), float("inf"), True, 1)}) == 8


def test_long_texts_are_cut() -> None:
    def check(rank: int) -> None:
        check_same_options("train", {"activation": ["relu"] * 50 + ["tanh" if rank else "é"]})

    assert_named(on_ranks(2, check), "activation is ('relu', 'relu',", "... on rank 0 and (", "... on rank 1")

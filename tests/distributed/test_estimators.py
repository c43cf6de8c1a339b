"""Within `parallel` an estimator's fit is that of one process."""

import contextlib
import copy
import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

import portable_mlp as pm
from tests.distributed.fakes import on_ranks
from tests.estimators.test_among_scikit_learn import Stopper
from tests.selection import one_in, rarely

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(230, 6)), RNG.integers(0, 3, 230)
WEIGHTS = np.where(np.arange(230) % 7 < 4, 0.0, RNG.uniform(size=230))
"""Of a shard of two or three samples all may be 0."""

FITS: dict[str, dict[str, Any]] = {
    "adam": {},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 3, "tol": 0.01},
    "dropout": {"dropout": 0.3},
    "class weights": {"class_weight": "balanced", "solver": "sgd", "learning_rate": "adaptive"},
    "sparse": {},
    "exact loss": {"compat": None},
    "a state": {"random_state": np.random.RandomState(4)},
    "torch": {"backend": "torch"},
    "jax": {"backend": "jax", "batch_size": 46},  # of the same size each: JAX compiles a step for each size
}


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Let fits be short."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def sound(outcomes: list[Any]) -> list[Any]:
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes


def numbers(model: Any) -> np.ndarray:
    home = pm.get_backend("numpy")
    return np.concatenate([home.asarray(x).reshape(-1) for x in (*model.coefs_, *model.intercepts_)])


def assert_same_fit(models: list[Any], alone: Any) -> None:
    for model in models:
        np.testing.assert_array_equal(numbers(model), numbers(models[0]))
        assert model.loss_curve_ == models[0].loss_curve_
        assert model.n_iter_ == alone.n_iter_
    difference = np.linalg.norm(numbers(models[0]) - numbers(alone))
    assert difference <= 1e-12 * np.linalg.norm(numbers(alone))
    np.testing.assert_allclose(models[0].loss_curve_, alone.loss_curve_, rtol=1e-12)


WITHOUT_JAX = [name for name, options in FITS.items() if options.get("backend") != "jax"]


@pytest.mark.parametrize(
    ("name", "weighted"),
    # On JAX, which compiles for seconds, a group trains each time by `pm.train`.
    [*one_in(2, WITHOUT_JAX, [False, True]), *rarely(("jax", False), ("jax", True))],
)
def test_fit(name: str, weighted: bool) -> None:
    options = {"random_state": 0, "max_iter": 10, "batch_size": 16, **FITS[name]}

    def fitted(rank: int) -> Any:
        model = pm.MLPClassifier((9,), **copy.deepcopy(options))
        inputs = sparse.csr_array(X) if name == "sparse" else X
        return model.fit(inputs, Y, sample_weight=WEIGHTS if weighted else None)

    with quietly():
        alone = fitted(0)
        assert_same_fit(sound(on_ranks(5, fitted)), alone)


@pytest.mark.parametrize("targets", [Y * 1.0, np.stack([Y, -Y], axis=1) * 1.0])
def test_a_regressor_learns_on(targets: np.ndarray) -> None:
    def learnt(rank: int) -> Any:
        model = pm.MLPRegressor(hidden_layer_sizes=(9,), random_state=0, batch_size=16)
        return model.partial_fit(X, targets, WEIGHTS).partial_fit(X, 2.0 * targets)

    assert_same_fit(sound(on_ranks(3, learnt)), learnt(0))


def test_a_reproducible_fit() -> None:
    def fitted(rank: int) -> Any:
        return pm.MLPClassifier((9,), random_state=0, max_iter=3, early_stopping=True).fit(X, Y)

    with quietly():
        models = [*on_ranks(2, fitted, reproducible=True), *on_ranks(8, fitted, reproducible=True)]
    for model in sound(models):
        np.testing.assert_array_equal(numbers(model), numbers(models[0]))


def test_without_a_seed_all_draw_the_same() -> None:
    with quietly():
        models = sound(on_ranks(2, lambda rank: pm.MLPClassifier((9,), max_iter=2, dropout=0.5).fit(X, Y)))
    np.testing.assert_array_equal(numbers(models[0]), numbers(models[1]))


def test_rank_0_prints() -> None:
    printed = io.StringIO()
    with quietly(), contextlib.redirect_stdout(printed):
        sound(on_ranks(2, lambda rank: pm.MLPClassifier((9,), max_iter=2, verbose=True).fit(X, Y)))
    assert [line.split(",")[0] for line in printed.getvalue().splitlines()] == ["Iteration 1", "Iteration 2"]


def test_rank_0s_callbacks_stop_all() -> None:
    stoppers = [Stopper(2), Stopper(1)]

    def fitted(rank: int) -> Any:
        return pm.MLPClassifier((9,), max_iter=5).set_callbacks(stoppers[rank]).fit(X, Y)

    with quietly():
        assert [model.n_iter_ for model in sound(on_ranks(2, fitted))] == [2, 2]
    assert stoppers[0].events.count("epoch ends") == 2
    assert stoppers[1].events == []


def test_what_is_refused() -> None:
    def fit(**options: Any) -> Any:
        return lambda rank: pm.MLPClassifier((9,), max_iter=2, **options).fit(X, Y)

    for outcome in on_ranks(2, fit(solver="lbfgs")):
        with pytest.raises(ValueError, match='solver="lbfgs" is for one process'):
            raise outcome
    for outcome in on_ranks(2, fit(), samples="own"):
        with pytest.raises(ValueError, match=r'takes all samples on every process.*samples="own"'):
            raise outcome
    for outcome in on_ranks(2, lambda rank: pm.MLPClassifier((9,)).fit(X[rank::2], np.roll(Y, rank)[:115])):
        with pytest.raises(ValueError, match=r"what they have differs \(\[115, 115\] samples\)"):
            raise outcome

"""The same seed gives scikit-learn's numbers: on NumPy in float64 bit for bit, but for a hidden logistic."""

import functools
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
from sklearn.datasets import load_digits

from tests.estimators.problems import KINDS, assert_same, numbers, ours, problem, quietly, theirs, weights
from tests.selection import one_in

pytestmark = pytest.mark.compiled_steps

SMALL: dict[str, Any] = {"hidden_layer_sizes": (6, 4), "max_iter": 12, "random_state": 3, "learning_rate_init": 0.02}


def rtol_of(activation: str) -> float:
    """What may differ on NumPy: SciPy's logistic is another function than NumPy's exponential makes."""
    return 1e-12 if activation == "logistic" else 0.0


def assert_fits_alike(kind: str, rtol: float = 0.0, sample_weight: Any = None, **parameters: Any) -> tuple[Any, Any]:
    task = problem(kind)
    mine, other = ours(kind, **{**SMALL, **parameters}), theirs(kind, **{**SMALL, **parameters})
    quietly(mine.fit, task.X, task.y, sample_weight)
    quietly(other.fit, task.X, task.y, sample_weight)
    assert_same(mine, other, rtol)
    return mine, other


@pytest.mark.parametrize(
    ("solver", "activation", "kind"),
    one_in(2, ["sgd", "adam", "lbfgs"], ["identity", "logistic", "tanh", "relu"], KINDS),
)
def test_every_solver_activation_and_kind_of_target(solver: str, activation: str, kind: str) -> None:
    rtol = rtol_of(activation) if solver != "lbfgs" else 1e4 * rtol_of(activation)  # the search feeds on last digits
    assert_fits_alike(kind, solver=solver, activation=activation, rtol=rtol)


@pytest.mark.parametrize(
    ("batch_size", "learning_rate", "momentum_and_nesterov"),
    one_in(
        2,
        ["auto", 1, 16, 70],
        ["constant", "invscaling", "adaptive"],
        [(0.0, True), (0.9, False), (0.9, True), (1.0, True)],
    ),
)
def test_every_schedule_and_momentum(
    batch_size: Any, learning_rate: str, momentum_and_nesterov: tuple[float, bool]
) -> None:
    momentum, nesterovs_momentum = momentum_and_nesterov
    # A large tolerance makes every epoch a stall, so that "adaptive" has something to do.
    options = {"batch_size": batch_size, "learning_rate": learning_rate, "power_t": 0.3, "tol": 0.05}
    options |= {"momentum": momentum, "nesterovs_momentum": nesterovs_momentum}
    assert_fits_alike("classes", solver="sgd", n_iter_no_change=2, **options)


@pytest.mark.parametrize(
    ("shuffle", "early_stopping", "weighted", "kind", "solver"),
    one_in(3, *3 * [[False, True]], KINDS, ["sgd", "adam"]),
)
def test_weights_early_stopping_and_order(
    shuffle: bool, early_stopping: bool, weighted: bool, kind: str, solver: str
) -> None:
    options = {"shuffle": shuffle, "early_stopping": early_stopping, "batch_size": 16, "validation_fraction": 0.3}
    assert_fits_alike(kind, solver=solver, sample_weight=weights() if weighted else None, **options)


@pytest.mark.parametrize(("tol", "n_iter_no_change"), [(1e-2, 1), (1e-3, 3), (0.1, 2), (1e-3, np.inf)])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("learning_rate", ["constant", "adaptive"])
@pytest.mark.parametrize("kind", ["classes", "number"])
def test_training_stops_in_the_same_epoch(
    kind: str, learning_rate: str, early_stopping: bool, tol: float, n_iter_no_change: float
) -> None:
    options = {"tol": tol, "n_iter_no_change": n_iter_no_change, "early_stopping": early_stopping, "max_iter": 60}
    mine, _ = assert_fits_alike(kind, solver="sgd", learning_rate=learning_rate, **options)
    assert (mine.n_iter_ < 60) == (n_iter_no_change != np.inf and (learning_rate == "constant" or tol == 0.1)) or (
        learning_rate == "adaptive"
    )


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("hidden_layer_sizes", [(), 3, (5,), [4, 3, 2]])
def test_shapes_and_penalties(hidden_layer_sizes: Any, alpha: float) -> None:
    assert_fits_alike("classes", hidden_layer_sizes=hidden_layer_sizes, alpha=alpha)
    assert_fits_alike("numbers", hidden_layer_sizes=hidden_layer_sizes, alpha=alpha, activation="tanh", solver="lbfgs")


@pytest.mark.parametrize("betas", [(0.0, 0.999, 1e-8), (0.5, 0.0, 1e-3), (0.9, 0.9, 0.1)])
def test_the_constants_of_adam(betas: tuple[float, float, float]) -> None:
    assert_fits_alike("classes", **dict(zip(("beta_1", "beta_2", "epsilon"), betas, strict=True)))


@pytest.mark.parametrize(
    ("learning_rate", "solver", "kind"), one_in(2, ["constant", "invscaling"], ["sgd", "adam"], KINDS)
)
def test_partial_fit_call_by_call(kind: str, solver: str, learning_rate: str) -> None:
    task = problem(kind)
    pair = [make(kind, solver=solver, learning_rate=learning_rate, batch_size=16, **SMALL) for make in (ours, theirs)]
    classes = {"classes": task.classes} if task.estimator == "MLPClassifier" else {}
    for call in range(4):
        for estimator in pair:
            rows = slice(10 * call, 10 * call + 40)
            estimator.partial_fit(task.X[rows], task.y[rows], weights()[rows] if call % 2 else None, **classes)
        assert_same(*pair)


def test_partial_fit_of_a_regressor_with_lbfgs_is_a_fit_as_in_scikit_learn() -> None:
    task = problem("number")
    pair = [make("number", solver="lbfgs", **SMALL) for make in (ours, theirs)]
    for _ in range(2):
        for estimator in pair:
            quietly(estimator.partial_fit, task.X, task.y)
        assert_same(*pair)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("random_state", ["int", "RandomState"])
def test_warm_start(random_state: str, early_stopping: bool, solver: str) -> None:
    task = problem("classes")
    options = {**SMALL, "solver": solver, "early_stopping": early_stopping, "warm_start": True, "max_iter": 5}
    pair = [make("classes", **options) for make in (ours, theirs)]
    for estimator in pair:
        if random_state == "RandomState":
            estimator.set_params(random_state=np.random.RandomState(5))
    for _ in range(3):
        for estimator in pair:
            quietly(estimator.fit, task.X, task.y)
        mine, other = map(numbers, pair)
        for name in set(mine) & set(other) - {"loss_curve_"} if solver == "lbfgs" else other:
            np.testing.assert_array_equal(mine[name], other[name], err_msg=name)


def test_global_random_state_is_drawn_from_as_scikit_learn_does() -> None:
    task = problem("classes")
    for make in (ours, theirs):
        np.random.seed(11)
        quietly(make("classes", **{**SMALL, "random_state": None}).fit, task.X, task.y)
        drawn = np.random.random_sample()
        if make is ours:
            after_ours = drawn
    assert drawn == after_ours


FORMS = {
    "Fortran order": np.asfortranarray,
    "every other row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "data frame": lambda X: pd.DataFrame(X, columns=list("abcde")),
    "Arrow table": lambda X: pa.table(dict(zip("abcde", X.T, strict=True))),
    "list": lambda X: X.tolist(),
    "csr": scipy.sparse.csr_array,
    "csc": scipy.sparse.csc_matrix,
    "int": lambda X: (10 * X).astype(np.int16),
    "float16": lambda X: X.astype(np.float16),
    "text": lambda X: X.round(3).astype(str).astype(object),
}


@pytest.mark.parametrize(
    ("form", "shuffle", "early_stopping", "solver"), one_in(2, FORMS, *2 * [[False, True]], ["adam", "lbfgs"])
)
def test_every_form_of_inputs(form: str, shuffle: bool, early_stopping: bool, solver: str) -> None:
    task = problem("classes")
    X = FORMS[form](np.where(np.abs(task.X) > 0.5, task.X, 0.0))
    options = {"shuffle": shuffle, "early_stopping": early_stopping, "batch_size": 16, "solver": solver}
    mine, other = ours("classes", **SMALL, **options), theirs("classes", **SMALL, **options)
    for estimator in (mine, other):
        quietly(estimator.fit, X, task.y)
    # Columns are turned into rows once, and summed in another order than scikit-learn's.
    rtol = 1e-12 if form == "csc" else 0.0
    assert_same(mine, other, rtol)
    np.testing.assert_allclose(mine.predict_proba(X), other.predict_proba(X), rtol=rtol)
    np.testing.assert_array_equal(mine.predict(X), other.predict(X))
    assert mine.score(X, task.y) == other.score(X, task.y)


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_have_the_same_bits_and_types(kind: str) -> None:
    task = problem(kind)
    mine, other = assert_fits_alike(kind)
    names = ["predict", "predict_proba", "predict_log_proba"] if task.estimator == "MLPClassifier" else ["predict"]
    for name in names:
        found, expected = getattr(mine, name)(task.X), getattr(other, name)(task.X)
        assert (type(found), found.dtype, found.shape) == (type(expected), expected.dtype, expected.shape)
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, rtol=1e-13)
        else:
            np.testing.assert_array_equal(found, expected)
    assert mine.score(task.X, task.y) == other.score(task.X, task.y)


def test_one_class_is_as_odd_as_in_scikit_learn() -> None:
    X = problem("classes").X
    pair = [quietly(make("classes", **SMALL).fit, X, ["only"] * 70) for make in (ours, theirs)]
    assert_same(*pair)
    assert pair[0].predict(X).tolist() == ["only"] * 70
    assert pair[0].predict_proba(X).shape == pair[1].predict_proba(X).shape == (70, 2)


def test_sparse_indicators_of_labels() -> None:
    task = problem("labels")
    pair = [quietly(make("labels", **SMALL).fit, task.X, scipy.sparse.csr_array(task.y)) for make in (ours, theirs)]
    assert_same(*pair)
    found, expected = (estimator.predict(task.X) for estimator in pair)
    assert scipy.sparse.issparse(found)
    np.testing.assert_array_equal(found.toarray(), expected.toarray())


def test_a_wide_network_of_real_data_for_many_steps() -> None:
    X, y = load_digits(return_X_y=True)
    options = {"hidden_layer_sizes": (100,), "max_iter": 40, "random_state": 0}
    pair = [quietly(make("classes", **options).fit, X / 16.0, y) for make in (ours, theirs)]
    assert_same(*pair)


def test_a_saturated_loss_ends_where_scikit_learn_clips_it() -> None:
    X, y = 1e4 * problem("classes").X, problem("classes").y
    options = {**SMALL, "solver": "sgd", "learning_rate_init": 0.5, "activation": "identity", "max_iter": 3}
    pair = [quietly(make("classes", **options).fit, X, y) for make in (ours, theirs)]
    assert pair[1].loss_ > 1.0
    assert_same(*pair)
    exact = quietly(ours("classes", **options, compat=None).fit, X, y)
    assert exact.loss_ > 10 * pair[1].loss_
    np.testing.assert_array_equal(exact.coefs_[0], pair[0].coefs_[0])


# On other libraries the same fit, to 1e-10; float32 to 1e-4.

SLOW_ON_JAX = pytest.mark.thorough_on("jax")  # which compiles each fit
ELSEWHERE = [
    ("sgd", "tanh", "counts"),
    ("adam", "logistic", "labels"),
    pytest.param("sgd", "relu", "classes", marks=SLOW_ON_JAX),
    pytest.param("sgd", "logistic", "number", marks=SLOW_ON_JAX),
    pytest.param("sgd", "identity", "labels", marks=SLOW_ON_JAX),
    pytest.param("adam", "relu", "counts", marks=SLOW_ON_JAX),
    pytest.param("adam", "tanh", "number", marks=SLOW_ON_JAX),
    pytest.param("adam", "identity", "classes", marks=SLOW_ON_JAX),
]


def elsewhere(solver: str, activation: str, kind: str) -> dict[str, Any]:
    options = {"solver": solver, "activation": activation, "early_stopping": activation == "tanh", "batch_size": 16}
    # An exponential output diverges at SMALL's rate.
    return {**SMALL, **options, "learning_rate_init": 0.003 if kind == "counts" else 0.02}


@functools.cache
def expected(solver: str, activation: str, kind: str) -> Any:
    task = problem(kind)
    return quietly(theirs(kind, **elsewhere(solver, activation, kind)).fit, task.X, task.y, weights())


@pytest.mark.parametrize(("solver", "activation", "kind"), ELSEWHERE)
def test_the_same_fit_on_every_library(lib: Any, solver: str, activation: str, kind: str) -> None:
    task = problem(kind)
    mine = ours(kind, **elsewhere(solver, activation, kind), backend=lib.backend.name, device=lib.backend.device_name)
    quietly(mine.fit, task.X.astype(lib.dtype), task.y, weights())
    for x in (*mine.coefs_, *mine.intercepts_):
        lib.assert_home(x)
    mine.coefs_, mine.intercepts_ = ([lib.backend.to_numpy(x) for x in xs] for xs in (mine.coefs_, mine.intercepts_))
    assert_same(mine, expected(solver, activation, kind), 1e-10 if lib.dtype == "float64" else 1e-4)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_lbfgs_on_every_library_ends_at_the_same_loss(lib: Any, kind: str) -> None:
    # Without a hidden layer there is one minimum, wherever rounding leads the search.
    task = problem(kind)
    options = {**SMALL, "solver": "lbfgs", "hidden_layer_sizes": (), "alpha": 0.1, "max_iter": 500, "tol": 1e-6}
    mine = ours(kind, **options, backend=lib.backend.name, device=lib.backend.device_name)
    quietly(mine.fit, task.X.astype(lib.dtype), task.y)
    for x in mine.coefs_:
        lib.assert_home(x)
    other = quietly(theirs(kind, **options).fit, task.X, task.y)
    assert mine.loss_ == pytest.approx(other.loss_, rel=1e-6 if lib.dtype == "float64" else 1e-3)
    assert len(mine.loss_curve_) >= mine.n_iter_ > 5

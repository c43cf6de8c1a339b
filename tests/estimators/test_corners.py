"""Corners: one class, absent classes, labels that a library cannot hold, conversions on the way, refused data."""

import itertools
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import neural_network

import portable_mlp as pm
from tests.estimators.problems import OPTIONS, assert_same, ours, problem, quietly, theirs

X, y = problem("classes").X, problem("classes").y
LABELS = np.unique(y, return_inverse=True)[1]


@pytest.mark.parametrize("seed", range(4))
def test_the_score_of_a_single_class(seed: int) -> None:
    options = {**OPTIONS, "early_stopping": True, "random_state": seed, "n_iter_no_change": 2, "max_iter": 40}
    mine, other = (quietly(make("classes", **options).fit, X, np.full(70, 5)) for make in (ours, theirs))
    assert set(mine.validation_scores_) == {1.0}
    assert_same(mine, other)


def test_a_call_of_partial_fit_need_not_see_every_weighted_class() -> None:
    clf = pm.MLPClassifier(**OPTIONS, class_weight={"red": 3.0})
    other = neural_network.MLPClassifier(**OPTIONS)
    for rows in (slice(None), y != "red", y == "red"):
        clf.partial_fit(X[rows], y[rows], classes=np.unique(y))
        other.partial_fit(X[rows], y[rows], np.where(y[rows] == "red", 3.0, 1.0), classes=np.unique(y))
    assert_same(clf, other)


@pytest.mark.parametrize("dtype", ["uint8", "uint32", "uint64", "int8"])
def test_labels_of_every_integer_type_come_back_equal(lib: Any, dtype: str) -> None:
    clf = quietly(pm.MLPClassifier(**OPTIONS).fit, lib.array(X), LABELS.astype(dtype))
    found = clf.predict(lib.array(X))
    host = found if type(found) is np.ndarray else lib.backend.to_numpy(found)
    expected = quietly(pm.MLPClassifier(**OPTIONS).fit, X.astype(lib.dtype), LABELS).predict(X.astype(lib.dtype))
    np.testing.assert_array_equal(host, expected)


@pytest.mark.parametrize("labels", [("a", "b\0"), ("a", "b\0", "b\0c")])
def test_texts_that_end_in_nul_are_what_numpy_makes_of_them(labels: tuple[str, ...]) -> None:
    """`classes_` has no NUL at the end of a text: such a label was taken for none, or for the class behind it."""
    given = np.array(labels, dtype=object)[LABELS % len(labels)]
    options = {**OPTIONS, "class_weight": {"a": 2.0}}
    clf, other = (
        quietly(pm.MLPClassifier(**options).fit, X, y, validation_data=(X, y)) for y in (given, given.astype(str))
    )
    assert set(clf.predict(X)) <= {"a", "b", "b\0c"}
    assert_same(clf, other)
    assert_same(
        *(quietly(pm.MLPClassifier(**options).partial_fit, X, y, classes=labels) for y in (given, given.astype(str)))
    )


@pytest.mark.thorough  # each time: an example
def test_jax_without_x64() -> None:
    """Large labels keep their value, float64 data become float32 unless they overflow."""
    code = """
import warnings; warnings.simplefilter("ignore")
import jax.numpy as jnp, numpy as np, portable_mlp as pm
X = np.random.default_rng(0).normal(size=(60, 4)); y = np.arange(60) % 3 + 10**10
clf = pm.MLPClassifier((5,), max_iter=5, random_state=0).fit(jnp.asarray(X), y)
assert set(clf.predict(jnp.asarray(X)).tolist()) <= {10**10, 10**10 + 1, 10**10 + 2}
there = pm.MLPClassifier((5,), max_iter=5, random_state=0, backend="jax").fit(X, y)
assert there.coefs_[0].dtype == "float32" and there.predict_proba(X).dtype == "float32"
for call in (lambda: there.predict(X * 1e39), lambda: there.fit(X * 1e39, y)):
    try:
        call()
    except ValueError as error:
        assert "Input X contains infinity or a value too large for dtype('float32')" in str(error)
    else:
        raise AssertionError
"""
    environment = {name: value for name, value in os.environ.items() if name != "JAX_ENABLE_X64"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)


def test_probabilities_of_two_classes_and_of_labels_are_scikit_learns_to_the_last_bit() -> None:
    for kind in ("two classes", "labels"):
        task = problem(kind)
        mine, other = (quietly(make(kind, **OPTIONS).fit, task.X, task.y) for make in (ours, theirs))
        np.testing.assert_array_equal(mine.predict_proba(task.X), other.predict_proba(task.X))
        np.testing.assert_array_equal(mine.predict_log_proba(task.X), other.predict_log_proba(task.X))


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
@pytest.mark.parametrize("hidden_layer_sizes", [(), (1,)])
def test_columns_stay_columns(hidden_layer_sizes: tuple[int, ...], solver: str) -> None:
    options = {**OPTIONS, "hidden_layer_sizes": hidden_layer_sizes, "solver": solver, "shuffle": False}
    columns = np.asfortranarray(X)
    mine, other = (quietly(make("number", **options).fit, columns, X[:, 0]) for make in (ours, theirs))
    assert_same(mine, other)


@pytest.mark.parametrize("seed", range(4))
def test_converted_after_early_stopping_it_goes_on_as_scikit_learn(seed: int) -> None:
    options = {**OPTIONS, "early_stopping": True, "warm_start": True, "n_iter_no_change": 3, "random_state": seed}
    mine, other = (quietly(make("classes", **options).fit, X, y) for make in (ours, theirs))
    converted = mine.to_sklearn()
    for estimator in (mine, other, converted):
        quietly(estimator.fit, X, y)
    assert_same(mine, other)
    assert_same(mine, converted)


@pytest.mark.parametrize("changed", [{"learning_rate_init": 0.5}, {"solver": "sgd"}, {"beta_1": 0.0}])
def test_an_optimizer_older_than_the_parameters_is_converted_as_it_is(changed: dict[str, Any]) -> None:
    other = theirs("classes", **OPTIONS).partial_fit(X, y, classes=np.unique(y)).set_params(**changed)
    mine = pm.MLPClassifier.from_sklearn(other)
    back = mine.to_sklearn()
    for estimator in (other, mine, back):
        estimator.partial_fit(X, y)
    assert_same(mine, other)
    assert_same(mine, back)


def test_a_subclass_converts_too() -> None:
    class Mine(pm.MLPClassifier):
        pass

    other = quietly(theirs("classes", **OPTIONS).fit, X, y)
    assert type(Mine.from_sklearn(other)) is Mine
    assert type(Mine.from_sklearn(other).to_sklearn()) is neural_network.MLPClassifier


def test_subclasses_with_constructors_of_their_own_convert_or_are_refused() -> None:
    class Narrow(pm.MLPClassifier):
        def __init__(self, width: int = 4) -> None:
            super().__init__(hidden_layer_sizes=(width,), max_iter=3, random_state=0, dropout=0.0)
            self.width = width

    class Theirs(neural_network.MLPClassifier):
        def __init__(self, width: int = 4) -> None:
            super().__init__(hidden_layer_sizes=(width,), max_iter=3, random_state=0)
            self.width = width

    mine, other = quietly(Narrow(5).fit, X, y), quietly(Theirs(5).fit, X, y)
    converted = mine.to_sklearn()
    assert type(converted) is neural_network.MLPClassifier
    assert not {"width", "backend", "dropout", "precision"} & vars(converted).keys()
    assert not hasattr(pm.MLPClassifier.from_sklearn(other), "width")
    for estimator in (converted, pm.MLPClassifier.from_sklearn(other)):
        assert (estimator.hidden_layer_sizes, estimator.max_iter) == ((5,), 3)
        np.testing.assert_array_equal(estimator.predict_proba(X), mine.predict_proba(X))
    with pytest.raises(
        TypeError, match=r"Narrow.from_sklearn gives scikit-learn's parameters to the constructor: .*'act"
    ):
        Narrow.from_sklearn(neural_network.MLPClassifier((4,)))


def test_what_scikit_learn_would_train_without_is_said() -> None:
    clf = quietly(pm.MLPClassifier(**OPTIONS, dropout=0.2, class_weight="balanced").fit, X, y)
    with pytest.warns(UserWarning, match="has no class_weight and no dropout: it predicts the same"):
        clf.to_sklearn()


def test_one_sample_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="early_stopping needs at least 2 samples of validation_data to score, got 1"):
        pm.MLPRegressor(**OPTIONS, early_stopping=True).fit(X, X[:, 0], validation_data=(X[:1], X[:1, 0]))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_class_weights_that_leave_nothing(solver: str) -> None:
    with pytest.raises(ValueError, match="must contain at least one non-zero number"):
        pm.MLPClassifier(**OPTIONS, solver=solver, class_weight=dict.fromkeys(np.unique(y), 0.0)).fit(X, y)


@pytest.mark.parametrize("fitted", [True, False])
@pytest.mark.parametrize("by", ["sample_weight", "class_weight"])
def test_a_batch_of_partial_fit_that_counts_nothing_leaves_the_model_as_it_is(by: str, fitted: bool) -> None:
    known, red = {"classes": np.unique(y)}, y == "red"
    class_weight = {"red": 0.0} if by == "class_weight" else None
    clf, other = (pm.MLPClassifier(**OPTIONS, class_weight=class_weight) for _ in range(2))
    if fitted:
        for estimator in (clf, other):
            estimator.partial_fit(X[:50], y[:50], **known)
    clf.partial_fit(X[red], y[red], np.zeros(red.sum()) if by == "sample_weight" else None, **known)
    assert clf.n_iter_ == 0
    if fitted:
        np.testing.assert_array_equal(clf.predict_proba(X), other.predict_proba(X))
        assert (clf.t_, clf.loss_curve_, clf.best_loss_) == (other.t_, other.loss_curve_, other.best_loss_)
        for estimator in (clf, other):
            estimator.partial_fit(X, y)
        assert_same(clf, other)


@pytest.mark.parametrize("make", [pm.MLPClassifier, pm.MLPRegressor])
def test_samples_to_validate_on_that_count_nothing_are_refused_in_words(make: Any) -> None:
    estimator, targets = make(**OPTIONS, early_stopping=True), LABELS if make is pm.MLPClassifier else X[:, 0]
    message = (
        "Sample weights must contain at least one non-zero number. Those of {} sum to zero, so that there is nothing"
    )
    with pytest.raises(ValueError, match=message.format("the samples that early stopping holds out")):
        estimator.fit(X, targets, np.eye(70)[0])
    cancelled = [1.0, -1.0] * 5
    with (
        pytest.warns(UserWarning, match="are negative"),
        pytest.raises(ValueError, match=message.format("validation_data")),
    ):
        estimator.fit(X, targets, validation_data=(X[:10], targets[:10], cancelled))
    with pytest.raises(ValueError, match="at least one non-zero number"):
        estimator.fit(X, targets, validation_data=(X[:10], targets[:10], np.zeros(10)))


REFUSED: dict[str, dict[str, Any]] = {
    "validation data": {"validation_data": (X[:3], ["pink"] * 3)},
    "weights": {"sample_weight": np.zeros(70)},
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_data_leave_a_fitted_model_as_it_was(name: str) -> None:
    clf = quietly(pm.MLPClassifier(**OPTIONS).fit, X, y)
    before, proba = dict(vars(clf)), clf.predict_proba(X)
    with pytest.raises(ValueError, match=r"pink|non-zero"):
        clf.fit(X, y, **REFUSED[name])
    assert vars(clf) == before
    np.testing.assert_array_equal(clf.predict_proba(X), proba)


def test_no_hidden_layer_takes_no_activation_and_transform_copies() -> None:
    clf = quietly(pm.MLPClassifier(**{**OPTIONS, "hidden_layer_sizes": (), "activation": ()}).fit, X, y)
    assert not np.shares_memory(clf.transform(X), X)
    np.testing.assert_array_equal(clf.transform(X), X)
    tensor = torch.asarray(X).requires_grad_()
    follows = quietly(pm.MLPClassifier(**{**OPTIONS, "hidden_layer_sizes": ()}).fit, tensor, y)
    assert not follows.transform(tensor).requires_grad


def test_ctrl_c_within_an_epoch_keeps_parameters_and_optimizer_together(monkeypatch: pytest.MonkeyPatch) -> None:
    from portable_mlp.backends.portable_runner import PortableRunner

    original, n_taken = PortableRunner.take, itertools.count()

    def interrupted(self: Any, *arguments: Any) -> Any:
        if next(n_taken) == 3:
            raise KeyboardInterrupt
        return original(self, *arguments)

    clf = pm.MLPClassifier(**OPTIONS, batch_size=10).partial_fit(X, y, classes=np.unique(y))
    monkeypatch.setattr(PortableRunner, "take", interrupted)
    quietly(clf.partial_fit, X, y)
    assert clf._optimizer.n_steps == 7 + 3


def test_sparse_targets_of_a_regression_are_refused() -> None:
    import scipy.sparse

    with pytest.raises(TypeError, match=r"y must be dense for a regression.*y\.toarray\(\) makes it so"):
        pm.MLPRegressor(**OPTIONS).fit(X, scipy.sparse.csr_array(X[:, :2]))


def test_a_sparse_batch_takes_no_dense_memory() -> None:
    """Dense, the inputs of a batch would be 31 GiB."""
    import scipy.sparse

    rows = np.arange(4_000)
    wide = scipy.sparse.csr_array((np.ones(4_000), (rows, rows)), shape=(4_000, 2**20))
    clf = pm.MLPClassifier((2,), batch_size=4_000, max_iter=1, solver="sgd", momentum=0.0)
    assert quietly(clf.fit, wide, rows % 2).n_iter_ == 1


def test_a_prediction_converts_no_parameter_that_is_as_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    from portable_mlp.backends import Backend

    fits = [quietly(pm.MLPClassifier(**OPTIONS).fit, X, y), quietly(pm.MLPRegressor(**OPTIONS).fit, X, X[:, 0])]
    expected = [model.predict(X[:1]) for model in fits]
    monkeypatch.setattr(Backend, "asarray", lambda *arguments, **options: pytest.fail("converted"))
    for model, answer in zip(fits, expected, strict=True):
        np.testing.assert_array_equal(model.predict(X[:1]), answer)
        model.coefs_[0][:] = 0.0
        model.intercepts_[0][:] = 0.0
        assert np.ptp(model.transform(X)) == 0.0
    monkeypatch.undo()
    clf = quietly(pm.MLPClassifier(**OPTIONS).fit, X, y)
    proba = clf.predict_proba(X)
    clf.coefs_ = [np.asfortranarray(W).astype(">f8") for W in clf.coefs_]
    np.testing.assert_array_equal(clf.predict_proba(X), proba)

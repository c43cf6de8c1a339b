"""What goes further than scikit-learn: weights of classes, validation data, dropout, conversion, and more."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn import neural_network
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss, recall_score
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

import portable_mlp as pm
from tests.estimators.problems import KINDS, OPTIONS, assert_same, ours, problem, quietly, theirs, weights
from tests.selection import one_in


@pytest.mark.parametrize("kind", ["classes", "two classes", "labels"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("class_weight", ["balanced", "dict"])
def test_class_weight_is_a_weight_of_samples(class_weight: str, weighted: bool, kind: str) -> None:
    task = problem(kind)
    given: Any = class_weight
    if given == "dict":
        given = [{0: 1.0, 1: 5.0}, {0: 2.0, 1: 1.0}, {0: 1.0, 1: 1.0}] if kind == "labels" else None
        given = given or dict(zip(task.classes, (1.0, 5.0, 2.0), strict=False))
    sample_weight = weights() if weighted else None
    if class_weight == "balanced":
        expected = np.prod([balanced(column, sample_weight) for column in task.y.reshape(len(task.y), -1).T], axis=0)
    else:
        expected = compute_sample_weight(given, task.y)
    mine = quietly(ours(kind, **OPTIONS, class_weight=given).fit, task.X, task.y, sample_weight)
    product = expected * (1.0 if sample_weight is None else sample_weight)
    assert_same(mine, quietly(theirs(kind, **OPTIONS).fit, task.X, task.y, product))


def balanced(y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray:
    """Return each sample's weight by scikit-learn's ``compute_class_weight``, which counts samples by their weights."""
    classes, numbers = np.unique(y, return_inverse=True)
    if sample_weight is None:
        return compute_class_weight("balanced", classes=classes, y=y)[numbers]
    return compute_class_weight("balanced", classes=classes, y=y, sample_weight=sample_weight)[numbers]


def test_class_weight_finds_the_rare_class() -> None:
    X, y = make_classification(2000, n_informative=5, weights=[0.95], flip_y=0.05, class_sep=0.5, random_state=0)
    recall = {}
    for class_weight in (None, "balanced"):
        clf = quietly(pm.MLPClassifier((20,), max_iter=40, random_state=0, class_weight=class_weight).fit, X, y)
        recall[class_weight] = recall_score(y, clf.predict(X))
    assert recall["balanced"] > recall[None] + 0.2


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("weighted", [False, True])
def test_validation_data_fill_the_curve(weighted: bool, solver: str) -> None:
    task = problem("classes")
    X_val, y_val = task.X[:20], task.y[:20]
    w_val = weights()[:20] if weighted else None
    mine = ours("classes", **OPTIONS, solver=solver)
    quietly(mine.fit, task.X[20:], task.y[20:], validation_data=(X_val, y_val, w_val) if weighted else (X_val, y_val))
    expected = log_loss(y_val, mine.predict_proba(X_val), sample_weight=w_val, labels=mine.classes_)
    assert mine.validation_loss_curve_[-1] == pytest.approx(expected, rel=1e-12)
    assert len(mine.validation_loss_curve_) == len(mine.loss_curve_) == mine.n_iter_
    assert (mine.validation_scores_ if solver != "lbfgs" else None) is None
    assert_same(mine, quietly(theirs("classes", **OPTIONS, solver=solver).fit, task.X[20:], task.y[20:]))


@pytest.mark.parametrize(("compat", "backend"), one_in(2, ["sklearn", None], ["numpy", "torch", "jax", "strict"]))
@pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
def test_a_poisson_loss_that_overflows_is_infinite(compat: str | None, backend: str) -> None:
    task = problem("counts")
    mine = ours("counts", **OPTIONS, backend=backend, compat=compat)
    quietly(mine.fit, task.X, task.y, validation_data=(task.X * 1e6, task.y + 1.0))
    assert mine.validation_loss_curve_ == [np.inf] * 8
    assert np.isfinite(mine.loss_curve_).all()


def test_validation_data_stop_training_early() -> None:
    task = problem("classes")
    mine = ours("classes", **{**OPTIONS, "max_iter": 300}, early_stopping=True, n_iter_no_change=3)
    mine.fit(task.X[30:], task.y[30:], validation_data=(task.X[:30], task.y[:30]))
    assert mine.n_iter_ < 300
    assert len(mine.validation_scores_) == len(mine.validation_loss_curve_) == mine.n_iter_
    assert mine.score(task.X[:30], task.y[:30]) == mine.best_validation_score_ == max(mine.validation_scores_)
    # All of the training data were trained on, in the order that a fit without early stopping takes.
    plain = quietly(ours("classes", **{**OPTIONS, "max_iter": mine.n_iter_}).fit, task.X[30:], task.y[30:])
    assert plain.loss_curve_ == mine.loss_curve_


def test_the_best_epoch_is_that_of_the_parameters_that_early_stopping_keeps() -> None:
    task = problem("classes")
    held_out = (task.X[:30], task.y[:30])
    mine = ours("classes", **{**OPTIONS, "max_iter": 300}, early_stopping=True, n_iter_no_change=3)
    assert not hasattr(mine, "best_epoch_")
    mine.fit(task.X[30:], task.y[30:], validation_data=held_out)
    assert mine.best_epoch_ == np.argmax(mine.validation_scores_) + 1 < mine.n_iter_
    up_to_there = quietly(ours("classes", **{**OPTIONS, "max_iter": mine.best_epoch_}).fit, task.X[30:], task.y[30:])
    np.testing.assert_array_equal(up_to_there.coefs_[0], mine.coefs_[0])


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_without_early_stopping_the_best_epoch_is_that_of_the_validation_loss(solver: str) -> None:
    task = problem("classes")
    mine = ours("classes", **OPTIONS, solver=solver)
    assert quietly(mine.fit, task.X[20:], task.y[20:]).best_epoch_ is None
    quietly(mine.fit, task.X[20:], task.y[20:], validation_data=(task.X[:20], task.y[:20]))
    assert mine.best_epoch_ == np.argmin(mine.validation_loss_curve_) + 1
    assert pm.MLPClassifier.from_sklearn(quietly(theirs("classes", **OPTIONS).fit, task.X, task.y)).best_epoch_ is None


def test_a_fit_has_a_validation_curve_only_where_there_is_something_to_validate() -> None:
    task = problem("number")
    plain, stopping = ours("number", **OPTIONS), ours("number", **OPTIONS, early_stopping=True)
    assert quietly(plain.fit, task.X, task.y).validation_loss_curve_ is None
    assert len(quietly(stopping.fit, task.X, task.y).validation_loss_curve_) == 8


@pytest.mark.parametrize("hidden_layer_sizes", [(4,), (5, 3), ()])
def test_transform_is_the_last_hidden_layer(hidden_layer_sizes: tuple[int, ...]) -> None:
    task = problem("number")
    mine = ours("number", **{**OPTIONS, "hidden_layer_sizes": hidden_layer_sizes})
    hidden = quietly(mine.fit_transform, task.X, task.y)
    assert hidden.shape == (70, hidden_layer_sizes[-1] if hidden_layer_sizes else 5)
    np.testing.assert_allclose(hidden @ mine.coefs_[-1][:, 0] + mine.intercepts_[-1], mine.predict(task.X), rtol=1e-12)
    assert list(mine.get_feature_names_out()) == [f"mlpregressor{i}" for i in range(hidden.shape[1])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_there_and_back_and_on(kind: str, solver: str) -> None:
    """An estimator converted half-way trains on as if it had not been."""
    task = problem(kind)
    kwargs = {"classes": task.classes} if task.estimator == "MLPClassifier" and solver != "lbfgs" else {}
    call = "fit" if solver == "lbfgs" else "partial_fit"
    options = {**OPTIONS, "solver": solver, "learning_rate": "invscaling", "warm_start": solver == "lbfgs"}
    stayed = theirs(kind, **options)
    for _ in range(2):
        quietly(getattr(stayed, call), task.X, task.y, **kwargs)
    became_ours = getattr(pm, task.estimator).from_sklearn(stayed)
    assert_same(became_ours, stayed)
    assert became_ours.get_params().items() >= stayed.get_params().items()
    became_theirs = became_ours.to_sklearn()
    assert type(became_theirs) is type(stayed)
    assert_same(became_ours, became_theirs)
    for estimator in (stayed, became_ours, became_theirs):
        quietly(getattr(estimator, call), task.X, task.y, **kwargs)
    if solver != "lbfgs":  # which keeps a curve, where scikit-learn has none
        assert_same(became_ours, stayed)
    assert_same(became_ours, became_theirs)
    np.testing.assert_array_equal(became_ours.predict(task.X), stayed.predict(task.X))


def test_converted_it_shares_no_memory_and_may_live_elsewhere() -> None:
    task = problem("classes")
    other = quietly(theirs("classes", **OPTIONS).fit, task.X, task.y)
    mine = pm.MLPClassifier.from_sklearn(other, backend="torch")
    assert isinstance(mine.coefs_[0], torch.Tensor)
    np.testing.assert_allclose(mine.predict_proba(task.X), other.predict_proba(task.X), rtol=1e-12)
    back = mine.to_sklearn()
    back.coefs_[0][:] = 0.0
    assert float(mine.coefs_[0].abs().sum()) > 0
    assert np.abs(other.coefs_[0]).sum() > 0


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("kind", ["classes", "number"])
def test_moments_of_both_dtypes_are_converted(kind: str, solver: str) -> None:
    task = problem(kind)
    kwargs = {"classes": task.classes} if kind == "classes" else {}
    X = task.X.astype(np.float32)
    other = theirs(kind, **OPTIONS, solver=solver).partial_fit(X, task.y, weights(), **kwargs)
    mine = getattr(pm, task.estimator).from_sklearn(other)
    mine.to_sklearn()
    for estimator in (mine, other):
        estimator.partial_fit(X, task.y)
    for W, theirs_W in zip(mine.coefs_, other.coefs_, strict=True):
        np.testing.assert_allclose(W, theirs_W, rtol=1e-4, atol=1e-6)


def test_what_cannot_be_converted_says_so() -> None:
    with pytest.raises(ValueError, match="scikit-learn has no such estimator: The 'activation' parameter"):
        pm.MLPRegressor(activation="gelu").to_sklearn()
    with pytest.raises(TypeError, match=r"MLPClassifier\.from_sklearn takes scikit-learn's MLPClassifier, got MLPReg"):
        pm.MLPClassifier.from_sklearn(neural_network.MLPRegressor())
    unfitted = pm.MLPClassifier.from_sklearn(neural_network.MLPClassifier(alpha=0.5), dropout=0.1)
    assert (unfitted.alpha, unfitted.dropout) == (0.5, 0.1)
    assert not hasattr(unfitted, "coefs_")
    assert quietly(unfitted.to_sklearn).alpha == 0.5


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_compat_reports_the_loss_that_is_followed(solver: str) -> None:
    task = problem("numbers")
    as_sklearn, exact = (ours("numbers", **OPTIONS, solver=solver, alpha=0.0, compat=c) for c in ("sklearn", None))
    for estimator in (as_sklearn, exact):
        quietly(estimator.fit, task.X, task.y)
    np.testing.assert_array_equal(as_sklearn.coefs_[0], exact.coefs_[0])
    np.testing.assert_allclose(exact.loss_curve_, 3 * np.asarray(as_sklearn.loss_curve_), rtol=1e-13)


def test_compat_none_gives_lbfgs_the_loss_of_its_gradient() -> None:
    """With several outputs scikit-learn's line search compares a loss with a gradient that is not its own."""
    task = problem("numbers")
    options = {**OPTIONS, "solver": "lbfgs", "hidden_layer_sizes": (), "alpha": 0.0, "max_iter": 500, "tol": 1e-10}
    exact = ours("numbers", **options, compat=None).fit(task.X, task.y)
    X1 = np.column_stack([task.X, np.ones(len(task.X))])
    expected = X1 @ np.linalg.lstsq(X1, task.y, rcond=None)[0]
    np.testing.assert_allclose(exact.predict(task.X), expected, atol=1e-6)


def test_lbfgs_has_a_loss_curve() -> None:
    task = problem("classes")
    mine = quietly(ours("classes", **{**OPTIONS, "solver": "lbfgs", "max_iter": 20}).fit, task.X, task.y)
    assert len(mine.loss_curve_) == mine.n_iter_
    assert mine.loss_curve_[-1] == mine.loss_
    assert all(np.diff(mine.loss_curve_) < 0)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_batch_without_weight_is_skipped(shuffle: bool) -> None:
    task = problem("number")
    w = np.where(np.arange(70) < 20, 0.0, 1.0)
    options = {**OPTIONS, "batch_size": 10, "solver": "sgd", "shuffle": shuffle, "random_state": 3}
    mine = quietly(ours("number", **options).fit, task.X, task.y, w)
    assert np.isfinite(mine.loss_curve_).all()
    if not shuffle:
        with pytest.raises(ZeroDivisionError):
            quietly(theirs("number", **options).fit, task.X, task.y, w)
        without = ours("number", **options)
        quietly(without.fit, task.X[20:], task.y[20:])
        for found, expected in zip(mine.coefs_, without.coefs_, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12)
        np.testing.assert_allclose(mine.loss_curve_, without.loss_curve_, rtol=1e-12)


@pytest.mark.parametrize(
    "activation", ["leaky_relu", "elu", "softplus", "gelu", "silu", ("relu", "tanh"), ["logistic"] * 2]
)
def test_further_activations_and_one_for_each_layer(activation: Any) -> None:
    task = problem("number")
    options = {**OPTIONS, "hidden_layer_sizes": (8, 6), "max_iter": 60, "activation": activation}
    mine = quietly(ours("number", **options).fit, task.X, task.y)
    net = pm.Network((5, 8, 6, 1), activation=activation, output="identity")
    params = tuple(pm.Layer(W, b) for W, b in zip(mine.coefs_, mine.intercepts_, strict=True))
    np.testing.assert_allclose(pm.predict(net, params, task.X)[:, 0], mine.predict(task.X), rtol=1e-12)
    assert mine.loss_curve_[-1] < 0.9 * mine.loss_curve_[0]


def test_names_for_each_layer_start_as_one_name_does() -> None:
    task = problem("number")
    for name in ("logistic", "relu"):
        one, each = (
            quietly(ours("number", **{**OPTIONS, "hidden_layer_sizes": (4, 3), "activation": a}).fit, task.X, task.y)
            for a in (name, [name, name])
        )
        np.testing.assert_array_equal(one.coefs_[0], each.coefs_[0])


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_cosine_falls_to_zero(solver: str) -> None:
    task = problem("classes")
    options = {**OPTIONS, "solver": solver, "learning_rate": "cosine", "momentum": 0.0, "max_iter": 10, "tol": 0.0}
    mine = ours("classes", **options)
    rates = []

    for _ in range(10):
        mine.partial_fit(task.X, task.y, classes=task.classes)
        rates.append(mine._optimizer.rate)
    expected = 0.01 * (1 + np.cos(np.pi * np.arange(1, 11) / 10))
    np.testing.assert_allclose(rates, expected, atol=1e-15)
    before = mine.coefs_[0].copy()
    mine.partial_fit(task.X, task.y)
    np.testing.assert_allclose(mine.coefs_[0], before, atol=1e-15)


def test_adam_follows_the_other_schedules_where_compat_allows() -> None:
    task = problem("classes")
    fits = {
        (learning_rate, compat): quietly(
            ours("classes", **OPTIONS, learning_rate=learning_rate, compat=compat).fit, task.X, task.y
        ).coefs_[0]
        for learning_rate in ("constant", "invscaling")
        for compat in ("sklearn", None)
    }
    np.testing.assert_array_equal(fits["constant", "sklearn"], fits["invscaling", "sklearn"])
    np.testing.assert_array_equal(fits["constant", "sklearn"], fits["constant", None])
    assert np.abs(fits["constant", None] - fits["invscaling", None]).max() > 1e-3


def test_dropout_is_the_same_on_every_library(lib: Any) -> None:
    task = problem("classes")
    options = {**OPTIONS, "hidden_layer_sizes": (8, 6), "activation": "tanh", "dropout": 0.3, "batch_size": 16}
    mine = ours("classes", **options, backend=lib.backend.name, device=lib.backend.device_name)
    quietly(mine.fit, task.X.astype(lib.dtype), task.y)
    on_numpy = quietly(ours("classes", **options).fit, task.X, task.y)
    for found, expected in zip(mine.coefs_, on_numpy.coefs_, strict=True):
        np.testing.assert_allclose(lib.numpy(found), expected, rtol=0, atol=1e-10 if lib.dtype == "float64" else 1e-4)


def test_dropout_drops_in_training_alone() -> None:
    task = problem("number")
    plain, dropping = (quietly(ours("number", **OPTIONS, dropout=p).fit, task.X, task.y) for p in (0.0, 0.5))
    assert np.abs(plain.coefs_[0] - dropping.coefs_[0]).max() > 1e-2
    np.testing.assert_array_equal(dropping.predict(task.X), dropping.predict(task.X))
    again = quietly(ours("number", **OPTIONS, dropout=0.5).fit, task.X, task.y)
    np.testing.assert_array_equal(again.coefs_[0], dropping.coefs_[0])


def test_dropout_masks_have_the_right_share_and_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    from portable_mlp.estimators.stream_order import StreamOrder

    original, drawn = StreamOrder._masks, []

    def kept(self: Any, batches: Any) -> Any:
        for masks in original(self, batches):
            drawn.append(masks)
            yield masks

    monkeypatch.setattr(StreamOrder, "_masks", kept)
    task = problem("number")
    quietly(ours("number", **{**OPTIONS, "hidden_layer_sizes": (50, 20)}, dropout=0.2).fit, task.X, task.y)
    assert [mask.shape for mask in drawn[0]] == [(70, 50), (70, 20)]
    masks = np.concatenate([mask.ravel() for masks in drawn for mask in masks])
    assert set(np.unique(masks)) == {0.0, 1.25}
    assert masks.mean() == pytest.approx(1.0, abs=0.01)

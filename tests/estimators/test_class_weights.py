"""Weights of classes are learnt on the training data, and are the same for every sample that comes later."""

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import log_loss
from sklearn.utils import compute_class_weight
from sklearn.utils.class_weight import compute_sample_weight

import portable_mlp as pm
from tests.estimators.problems import OPTIONS, assert_same, numbers, ours, problem, quietly

X, Y = problem("labels").X, problem("labels").y
RARE = np.where(np.arange(70) % 7 == 0, "rare", "usual").astype(object)
OTHERS = np.where(np.arange(70) % 2 == 0, "rare", "usual").astype(object)
"""The same classes, and other shares of them."""


def as_a_dict(y: np.ndarray) -> dict[Any, float]:
    classes = np.unique(y)
    return dict(zip(classes, compute_class_weight("balanced", classes=classes, y=y), strict=True))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_validation_data_have_the_weights_of_the_training_datas_classes(solver: str) -> None:
    options = {**OPTIONS, "solver": solver}
    balanced, given = (
        quietly(pm.MLPClassifier(**options, class_weight=asked).fit, X, RARE, validation_data=(X[::-1], OTHERS))
        for asked in ("balanced", as_a_dict(RARE))
    )
    assert balanced.validation_loss_curve_ == given.validation_loss_curve_
    counted = np.where(OTHERS == "rare", *as_a_dict(RARE).values())
    expected = log_loss(OTHERS, balanced.predict_proba(X[::-1]), sample_weight=counted)
    assert balanced.validation_loss_curve_[-1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("own", [False, True])
def test_early_stopping_is_that_of_the_same_weights_in_a_dict(own: bool) -> None:
    """The weights are those of all labels that ``fit`` was given: before samples are held out, as in scikit-learn."""
    data = {"validation_data": (X[::-1], OTHERS)} if own else {}
    options = {**OPTIONS, "max_iter": 60, "early_stopping": True, "n_iter_no_change": 2}
    balanced, given = (
        quietly(pm.MLPClassifier(**options, class_weight=asked).fit, X, RARE, **data)
        for asked in ("balanced", as_a_dict(RARE))
    )
    assert balanced.validation_scores_ == given.validation_scores_
    assert_same(balanced, given)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_several_labels_have_the_training_datas_weights_too(form: Any) -> None:
    clf = pm.MLPClassifier(**OPTIONS, class_weight="balanced")
    quietly(clf.fit, X, form(Y), validation_data=(X[:20], form(1 - Y[:20])))
    by_label = [as_a_dict(column) for column in Y.T]
    counted = compute_sample_weight(by_label, 1 - Y[:20])
    proba = clf.predict_proba(X[:20])
    losses = [log_loss(1 - Y[:20, j], proba[:, j], sample_weight=counted, labels=[0, 1]) for j in range(3)]
    assert clf.validation_loss_curve_[-1] == pytest.approx(sum(losses), rel=1e-12)


def test_a_label_that_no_training_sample_carries_is_neither_raised_nor_lowered() -> None:
    never = np.column_stack([Y[:, :2], np.zeros(70, dtype=int)])
    clf = pm.MLPClassifier(**OPTIONS, class_weight="balanced")
    quietly(clf.fit, X, never, validation_data=(X[:20], Y[:20]))
    plain = quietly(pm.MLPClassifier(**OPTIONS, class_weight="balanced").fit, X, never)
    assert_same(clf, plain)
    assert np.isfinite(clf.validation_loss_curve_).all()


def test_a_call_of_partial_fit_need_not_see_every_label_that_is_weighted() -> None:
    weights = [{1: 5.0}, {0: 2.0, 1: 1.0}, {1: 0.5}]
    clf, other = pm.MLPClassifier(**OPTIONS, class_weight=weights), pm.MLPClassifier(**OPTIONS)
    for rows in (Y[:, 0] == 0, Y[:, 0] == 1):
        clf.partial_fit(X[rows], Y[rows], classes=[0, 1, 2])
        counted = np.where(Y[rows], [5.0, 1.0, 0.5], [1.0, 2.0, 1.0]).prod(axis=1)
        other.partial_fit(X[rows], Y[rows], counted, classes=[0, 1, 2])
    assert_same(clf, other)


@pytest.mark.parametrize(
    ("class_weight", "y", "message"),
    [
        ({0: 1.0}, Y, "For multi-output, class_weight should be a list of dicts, or the string 'balanced'"),
        ([{1: 2.0}], Y, r"should match number of outputs. Got 1 element\(s\) while having 3 outputs"),
        ([{"rare": 2.0}], RARE, "class_weight is a list, which is for several labels: a dict weighs the classes"),
    ],
    ids=["a dict", "a short list", "a list for one label"],
)
def test_weights_of_another_kind_of_target_are_refused(class_weight: Any, y: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pm.MLPClassifier(**OPTIONS, class_weight=class_weight).fit(X, y)


def test_texts_that_look_like_numbers_have_their_weights() -> None:
    """scikit-learn's own look-up takes the text "1" for the number."""
    y = np.where(RARE == "rare", "1", "0")
    weighted = quietly(pm.MLPClassifier(**OPTIONS, class_weight={"1": 6.0}).fit, X, y)
    assert_same(weighted, quietly(pm.MLPClassifier(**OPTIONS).fit, X, y, np.where(y == "1", 6.0, 1.0)))
    with pytest.raises(ValueError, match=r"The classes, \['0', '1'\], are not in class_weight"):
        pm.MLPClassifier(**OPTIONS, class_weight={1: 6.0}).fit(X, y)


def test_balance_within_a_list_cannot_be_learnt_call_by_call() -> None:
    with pytest.raises(ValueError, match="class_weight 'balanced' is not supported for partial_fit"):
        pm.MLPClassifier(class_weight=["balanced", {1: 2.0}, {1: 2.0}]).partial_fit(X, Y, classes=[0, 1, 2])


@pytest.mark.parametrize("method", ["validation_data", "partial_fit", "warm_start"])
def test_labels_are_not_taken_for_several_labels(method: str) -> None:
    """scikit-learn's binarizer would make one-hot rows of them."""
    message = r"y must be an indicator matrix of shape \(n_samples, 3\), .*; got labels of shape \(70,\)"
    single = Y.sum(axis=1) % 3
    if method == "validation_data":
        with pytest.raises(ValueError, match=message):
            ours("labels", **OPTIONS).fit(X, Y, validation_data=(X, single))
        return
    clf = quietly(ours("labels", **OPTIONS, warm_start=method == "warm_start").fit, X, Y)
    before = numbers(clf)["parameters[0]"].copy()
    with pytest.raises(ValueError, match=message):
        (clf.fit if method == "warm_start" else clf.partial_fit)(X, single)
    np.testing.assert_array_equal(numbers(clf)["parameters[0]"], before)


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_validation_labels_may_be_a_column() -> None:
    asked = {**OPTIONS, "class_weight": "balanced"}
    column, plain = (
        quietly(pm.MLPClassifier(**asked).fit, X, RARE, validation_data=(X, y)) for y in (OTHERS[:, None], OTHERS)
    )
    assert column.validation_loss_curve_ == plain.validation_loss_curve_

"""The prediction of one row: as fast as scikit-learn's, counted in calls, with all of its checks."""

import copy
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import validate_data

import portable_mlp as pm
from portable_mlp.estimators import inputs
from portable_mlp.estimators.binarizers import binarizer_of, labels_in

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 5))
LABELS = rng.integers(0, 3, 60)
OPTIONS: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}


def fitted(kind: Any, y: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(**OPTIONS).fit(X, y)


CASES = {
    "classes": (pm.MLPClassifier, neural_network.MLPClassifier, LABELS, ("predict", "predict_proba")),
    "two classes": (pm.MLPClassifier, neural_network.MLPClassifier, LABELS > 0, ("predict", "predict_proba")),
    "quantities": (pm.MLPRegressor, neural_network.MLPRegressor, X[:, 0], ("predict",)),
}


def calls_of(function: Callable[..., Any], *arguments: Any) -> int:
    """Return how many functions a call calls, of Python and of C."""
    function(*arguments)  # what is loaded at first is not counted
    n_calls = 0

    def count(frame: Any, event: str, arg: Any) -> None:
        nonlocal n_calls
        n_calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        function(*arguments)
    finally:
        sys.setprofile(before)
    return n_calls


@pytest.mark.parametrize("case", CASES)
def test_one_row_takes_fewer_calls_than_scikit_learns(case: str) -> None:
    kind, theirs, y, methods = CASES[case]
    ours, theirs = fitted(kind, y), fitted(theirs, y)
    for method in methods:
        mine, other = getattr(ours, method), getattr(theirs, method)
        assert calls_of(mine, X[:1]) < calls_of(other, X[:1])
        np.testing.assert_array_equal(mine(X[:1]), other(X[:1]))


def test_a_network_takes_fewer_calls_than_an_estimator() -> None:
    net = pm.Network((5, 8, 3))
    params, theirs = pm.init_params(net, random_state=0), fitted(neural_network.MLPClassifier, LABELS)
    assert calls_of(pm.predict, net, params, X[:1]) < calls_of(theirs.predict_proba, X[:1])


def test_parameters_edited_in_place_are_those_that_predict() -> None:
    ours, theirs = fitted(pm.MLPRegressor, X[:, 0]), fitted(neural_network.MLPRegressor, X[:, 0])
    for estimator in (ours, theirs):
        estimator.predict(X[:1])
        estimator.coefs_[0][2] *= 3.0
        estimator.intercepts_[-1][:] = 1.0
    np.testing.assert_array_equal(ours.predict(X[:1]), theirs.predict(X[:1]))


def altered(value: float) -> np.ndarray:
    x = X.copy()
    x[7, 3] = value
    return x


KINDS = {
    "a row": X[:1],
    "float32": X.astype("float32"),
    "columns": np.asfortranarray(X),
    "strides": np.repeat(X, 2, axis=1)[:, ::2],
    "read-only": np.broadcast_to(X[0], X.shape),
    "not a number": altered(np.nan),
    "infinite": altered(-np.inf),
    "both infinities": np.where(np.arange(5) < 2, [np.inf, -np.inf, 0.0, 0.0, 0.0], X),
    "a sum that overflows": altered(1.7e308) + altered(1.7e308) * 0.0,
    "a column too few": X[:, 1:],
    "a column too many": np.hstack([X, X]),
    "no row": X[:0],
    "no column": X[:, :0],
    "a vector": X[0],
    "three axes": X[None],
    "integers": (10 * X).astype(int),
    "truth values": X > 0,
    "float16": X.astype("float16"),
    "big-endian": X.astype(">f8"),
    "longdouble": X.astype("longdouble"),
    "complex": X + 0j,
    "texts": X.astype(str),
    "objects": X.astype(object),
    "masked": np.ma.masked_greater(X, 1.0),
    "matrix": X.view(np.matrix),
    "list": X.tolist(),
}


def outcome(call: Callable[[], Any]) -> Any:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call()
        except Exception as error:
            return type(error), str(error)
    return result, [str(one.message) for one in caught]


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_validated_scikit_learn_would_return_as_it_is(kind: str, named: bool) -> None:
    x, estimator = KINDS[kind], fitted(pm.MLPClassifier, LABELS)
    if named:
        estimator.feature_names_in_ = np.array(list("abcde"), dtype=object)
    validated = outcome(lambda: validate_data(estimator, x, accept_sparse=["csr", "csc"], reset=False))
    if inputs._is_as_validated(estimator, x):
        assert validated[0] is x
        assert not validated[1]
    elif isinstance(validated[0], type):
        assert outcome(lambda: estimator.predict(x)) == validated


def test_plain_rows_are_not_validated() -> None:
    estimator = fitted(pm.MLPClassifier, LABELS)
    for kind in ("a row", "float32", "columns", "strides", "read-only"):
        assert inputs._is_as_validated(estimator, KINDS[kind])
    without = copy.copy(estimator)
    del without.n_features_in_
    assert not inputs._is_as_validated(without, X[:1])


TARGETS = {
    "labels": LABELS,
    "floats": X[:, 0],
    "float32": X[:, 0].astype("float32"),
    "not a number": altered(np.nan)[:, 3],
    "infinite": altered(np.inf)[:, 3],
    "one too few": LABELS[1:],
    "a column": LABELS[:, None],
    "columns": X,
    "texts": LABELS.astype(str),
    "objects": LABELS.astype(object),
    "truth values": LABELS > 0,
    "bytes": LABELS.astype("uint8"),
    "complex": X[:, 0] + 0j,
    "list": LABELS.tolist(),
    "none": None,
}


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_sees_what_scikit_learns_validation_returns(kind: str, target: str, reset: bool) -> None:
    x, y = KINDS[kind], TARGETS[target]
    options: dict[str, Any] = {"accept_sparse": ["csr", "csc"], "multi_output": True, "dtype": inputs.FLOATS}
    mine, own = pm.MLPRegressor(), pm.MLPRegressor()
    mine.n_features_in_ = own.n_features_in_ = 4 if reset else X.shape[1]
    found = outcome(lambda: inputs.Inputs.to_fit(mine, x, y, inputs.numpy_backend(), reset=reset))
    expected = outcome(lambda: validate_data(own, x, y, reset=reset, **options))
    if isinstance(expected[0], type):
        assert found == expected
        return
    (checked, targets), (own_x, own_y) = found[0], expected[0]
    for one, other in ((checked.checked, own_x), (targets, own_y)):
        assert (type(one), one.dtype, one.flags.f_contiguous) == (type(other), other.dtype, other.flags.f_contiguous)
        np.testing.assert_array_equal(one, other)
    assert vars(mine) == vars(own)


@pytest.mark.parametrize("n_classes", [1, 2, 3, 20])
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool", "float64", "str"])
def test_a_binarizer_is_scikit_learns(dtype: str, n_classes: int) -> None:
    y = (7 * np.random.default_rng(0).permutation(30) % n_classes).astype(dtype)
    found, expected = outcome(lambda: vars(binarizer_of(y))), outcome(lambda: vars(LabelBinarizer().fit(y)))
    assert found[1] == expected[1]
    np.testing.assert_equal(found[0], expected[0])
    assert found[0]["classes_"].dtype == expected[0]["classes_"].dtype
    labels, expected_labels = outcome(lambda: labels_in(y)), outcome(lambda: unique_labels(y))
    assert (labels[1], labels[0].dtype) == (expected_labels[1], expected_labels[0].dtype)
    np.testing.assert_array_equal(labels[0], expected_labels[0])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("labels", ["int64", "int32", "str", "bool"])
def test_a_score_is_scikit_learns(labels: str, weighted: bool) -> None:
    estimator = fitted(pm.MLPClassifier, LABELS)
    w = np.linspace(0.5, 2.0, 60) if weighted else None
    for y in (LABELS, LABELS + 1, LABELS[:, None], LABELS[1:], np.arange(60), LABELS[:0]):
        y = y.astype(labels)
        found = outcome(lambda y=y: estimator.score(X, y, w))
        expected = outcome(lambda y=y: accuracy_score(y, estimator.predict(X), sample_weight=w))
        assert found == expected

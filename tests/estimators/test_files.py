"""Estimators in files: what comes back, on any library; what cannot be kept; what is no estimator's file."""

import copy
import fractions
import json
import pathlib
import re
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

import portable_mlp as pm
from portable_mlp.storage.models import save_ensemble
from tests.estimators import problems
from tests.estimators.problems import KINDS, numbers, ours, problem, quietly, weights
from tests.selection import one_in
from tests.storage.test_hostile_files import JSON, assert_harmless, changed, places, watched

OPTIONS: dict[str, Any] = {"hidden_layer_sizes": (6, 4), "max_iter": 6, "random_state": 0}
INSPECTION = {"builtins.id", "object.__getattr__"}
"""Audit events of scikit-learn's look at a constructor's signature."""

NOT_KEPT = {"_random_state", "_optimizer", "_no_improvement_count", "_skl_callbacks"}


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "estimator.safetensors"


def fitted(kind: str, **options: Any) -> Any:
    task = problem(kind)
    return quietly(ours(kind, **{**OPTIONS, **options}).fit, task.X, task.y)


def assert_came_back(found: Any, expected: Any) -> None:
    """Assert that two estimators have the same parameters and attributes, to the last bit and dtype."""
    assert type(found) is type(expected)
    assert repr(found.get_params()) == repr(expected.get_params())
    assert set(vars(found)) == set(vars(expected)) - NOT_KEPT
    one, other = numbers(found), {k: v for k, v in numbers(expected).items() if k != "rate"}
    assert one.keys() == other.keys()
    for name, value in other.items():
        np.testing.assert_array_equal(one[name], value, err_msg=name, strict=isinstance(value, np.ndarray))
    for name in ("n_features_in_", "n_layers_", "n_outputs_", "out_activation_", "validation_loss_curve_"):
        assert getattr(found, name) == getattr(expected, name)
    for name in ("classes_", "feature_names_in_"):
        if hasattr(expected, name):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), strict=True)


def assert_predicts_the_same(found: Any, expected: Any, X: Any) -> None:
    for method in ("predict", "predict_proba", "predict_log_proba", "transform"):
        if hasattr(expected, method):
            one, other = getattr(found, method)(X), getattr(expected, method)(X)
            assert type(one) is type(other)
            if sparse.issparse(other):
                one, other = one.toarray(), other.toarray()
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other), strict=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_everything_comes_back(path: pathlib.Path, kind: str, solver: str, early_stopping: bool) -> None:
    expected = fitted(kind, solver=solver, early_stopping=early_stopping)
    expected.save(path)
    found = type(expected).load(path)
    assert_came_back(found, expected)
    assert_predicts_the_same(found, expected, problem(kind).X)
    assert found.score(problem(kind).X, problem(kind).y) == expected.score(problem(kind).X, problem(kind).y)


@pytest.mark.parametrize(
    "options",
    [
        {"hidden_layer_sizes": ()},
        {"hidden_layer_sizes": [5], "activation": ["gelu"]},
        {"hidden_layer_sizes": np.array([5, 3]), "activation": ("silu", "identity")},
        {"hidden_layer_sizes": 7, "alpha": np.float64(0.5), "max_iter": np.int64(3), "batch_size": np.int32(10)},
        {"n_iter_no_change": np.inf, "tol": 0.0, "shuffle": np.bool_(False), "verbose": 0},
        {"alpha": 1e-300, "learning_rate_init": np.float32(0.1), "momentum": 1, "solver": "sgd"},
        {"learning_rate": "cosine", "compat": None, "dropout": 0.25, "warm_start": True, "random_state": None},
        {"class_weight": "balanced"},
        {"class_weight": {"red": 1.0, "green": np.float64(2.5), "blue": 3}},
    ],
    ids=str,
)
def test_every_parameter_comes_back_as_plain_python(path: pathlib.Path, options: dict[str, Any]) -> None:
    expected = fitted("classes", **options)
    expected.save(path)
    found = pm.MLPClassifier.load(path)
    for name, value in expected.get_params().items():
        loaded = getattr(found, name)
        np.testing.assert_array_equal(loaded, value)
        assert type(loaded) in (int, float, str, bool, tuple, dict, type(None))
    assert_predicts_the_same(found, expected, problem("classes").X)
    clone(found)


def test_weights_of_several_labels_come_back(path: pathlib.Path) -> None:
    given = [{0: 1.0, 1: 5.0}, {0: 2.0, 1: 1.0}, {0: 1.0, 1: 1.0}]
    fitted("labels", class_weight=given).save(path)
    assert pm.MLPClassifier.load(path).class_weight == given


LABELS: dict[str, list[Any]] = {
    "int64": [3, -7, 2**62],
    "int8": [3, -7, 127],
    "uint64": [0, 1, 2**63 + 1],
    "float64": [-1.0, 2.0, 1e15],
    "float32": [-1.0, 2.0, 4.0],
    "bool": [True, False],
    "U": ["ä", "", "\U0001f600 \u2028\x1b"],
    "U20": ["a", "b"],
    "object": ["red", "green", "blue"],
    "two": [7, 3],
    "one": [5],
    "many": list(range(50)),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_come_back_with_their_dtype(path: pathlib.Path, name: str) -> None:
    labels = np.array(LABELS[name], dtype=None if name in ("two", "one", "many") else name)
    y = np.resize(labels, 100)
    X = np.random.default_rng(0).normal(size=(100, 3))
    expected = quietly(pm.MLPClassifier(**OPTIONS).fit, X, y)
    expected.save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pm.MLPClassifier.load(path)
        found.predict(X)
    assert_came_back(found, expected)
    assert_predicts_the_same(found, expected, X)


def test_sparse_labels_and_inputs_come_back(path: pathlib.Path) -> None:
    task = problem("labels")
    expected = quietly(pm.MLPClassifier(**OPTIONS).fit, sparse.csr_array(task.X), sparse.csr_matrix(task.y))
    expected.save(path)
    found = pm.MLPClassifier.load(path)
    assert_predicts_the_same(found, expected, sparse.csr_array(task.X))
    assert sparse.issparse(found.predict(task.X))


def test_names_of_features_come_back(path: pathlib.Path) -> None:
    task = problem("number")
    X = pd.DataFrame(task.X, columns=["a", "b", "ä\n", "\U0001f600", ""])
    expected = quietly(pm.MLPRegressor(**OPTIONS).fit, X, task.y)
    expected.save(path)
    found = pm.MLPRegressor.load(path)
    assert_came_back(found, expected)
    with pytest.raises(ValueError, match="feature names"):
        found.predict(X[["b", "a", "ä\n", "\U0001f600", ""]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_comes_back(path: pathlib.Path, dtype: str) -> None:
    task = problem("number")
    expected = quietly(pm.MLPRegressor(**OPTIONS).fit, task.X.astype(dtype), task.y)
    expected.save(path)
    found = pm.MLPRegressor.load(path)
    assert found.coefs_[0].dtype == dtype
    assert_predicts_the_same(found, expected, task.X.astype(dtype))


def test_after_partial_fit(path: pathlib.Path) -> None:
    task = problem("classes")
    expected = pm.MLPClassifier(**OPTIONS).partial_fit(task.X[:20], task.y[:20], classes=task.classes)
    expected.save(path)
    found = pm.MLPClassifier.load(path)
    assert_came_back(found, expected)
    np.testing.assert_array_equal(found.predict(task.X), expected.predict(task.X))


@pytest.mark.parametrize("kind", ["classes", "number"])
def test_training_goes_on_from_the_loaded_parameters_with_a_new_optimizer(path: pathlib.Path, kind: str) -> None:
    task = problem(kind)
    stayed = fitted(kind)
    stayed.save(path)
    del stayed._optimizer
    loaded = type(stayed).load(path)
    for estimator in (stayed, loaded):
        estimator.partial_fit(task.X, task.y)
    for one, other in zip(loaded.coefs_, stayed.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    assert loaded.t_ == stayed.t_ == 7 * 70
    stayed = fitted(kind, warm_start=True)
    stayed.save(path)
    loaded = type(stayed).load(path)
    for estimator in (stayed, loaded):
        quietly(estimator.fit, task.X, task.y, weights())
    np.testing.assert_array_equal(loaded.coefs_[0], stayed.coefs_[0])


def test_edited_parameters_are_those_that_are_saved(path: pathlib.Path) -> None:
    expected = fitted("number")
    expected.coefs_[0] = np.asfortranarray(2 * expected.coefs_[0])
    expected.intercepts_[1][:] = 1.0
    expected.save(path)
    found = pm.MLPRegressor.load(path)
    np.testing.assert_array_equal(found.coefs_[0], expected.coefs_[0])
    np.testing.assert_array_equal(found.intercepts_[1], 1.0)


def test_loaded_arrays_are_ones_own(path: pathlib.Path) -> None:
    fitted("number").save(path)
    found = pm.MLPRegressor.load(path)
    found.coefs_[0][:] = 0.0
    assert np.abs(found.intercepts_[0]).sum() > 0
    assert all(x.base is None and x.flags.writeable for x in (*found.coefs_, *found.intercepts_))


def test_a_subclass_comes_back_as_itself(path: pathlib.Path) -> None:
    class Mine(pm.MLPClassifier):
        """Somebody's own."""

    task = problem("classes")
    quietly(Mine(**OPTIONS).fit, task.X, task.y).save(path)
    assert type(Mine.load(path)) is Mine


class Narrow(pm.MLPClassifier):
    """Somebody's own, with a constructor that takes less."""

    def __init__(self, width: int = 4) -> None:
        super().__init__(hidden_layer_sizes=(width,), max_iter=3, backend="torch", random_state=0)
        self.width = width


class Noted(pm.MLPClassifier):
    """Somebody's own, with a parameter more."""

    def __init__(self, hidden_layer_sizes: Any = (3,), note: Any = None) -> None:
        super().__init__(hidden_layer_sizes=hidden_layer_sizes, max_iter=3, random_state=0)
        self.note = note


class Doubled(pm.MLPClassifier):
    """Somebody's own, whose constructor changes a parameter."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=2 * alpha, max_iter=3)


class Centred(pm.MLPClassifier):
    """Somebody's own, which learns something more."""

    def fit(self, X: Any, y: Any) -> Any:
        self.mean_ = X.mean(axis=0)
        return super().fit(X - self.mean_, y)


def trained(estimator: Any) -> Any:
    return quietly(estimator.fit, problem("classes").X, problem("classes").y)


@pytest.mark.parametrize("backend", [None, "numpy", "strict"])
def test_a_subclass_with_a_constructor_of_its_own_comes_back(path: pathlib.Path, backend: str | None) -> None:
    estimator = trained(Narrow(5))
    estimator.save(path)
    found = Narrow.load(path, backend=backend)
    assert type(found) is Narrow
    assert (found.width, found.hidden_layer_sizes, found.backend) == (5, (5,), backend)
    X = problem("classes").X
    np.testing.assert_array_equal(found.predict(X), estimator.predict(X))
    with pytest.raises(pm.ModelFileError, match="has the parameter 'width', which MLPClassifier does not take: the cl"):
        pm.MLPClassifier.load(path)


def test_what_a_subclass_would_lose_is_not_saved(path: pathlib.Path) -> None:
    hidden = trained(Narrow())
    hidden.alpha = 1.0
    cases = [
        (hidden, r"alpha is 1\.0, but the constructor, which takes no alpha, makes it 0\.0001"),
        (trained(Doubled(1.0)), "described anew its alpha is another one"),
        (trained(Centred(max_iter=3)), r"no place for its attribute mean_; del estimator\.mean_ leaves it out"),
    ]
    for estimator, message in cases:
        with pytest.raises(ValueError, match=f"{type(estimator).__name__} cannot be saved, .*: .*{message}"):
            estimator.save(path)
        assert not path.exists()


VALUES: dict[str, tuple[Any, Any]] = {
    "a list in a list": ([1, ["a", None]], (1, ("a", None))),
    "an array of numbers": (np.array([[1, 2], [3, 4]]), ((1, 2), (3, 4))),
    "an array without an axis": (np.array(2.5), 2.5),
    "a tensor": (torch.asarray([3, 2]), (3, 2)),
    "a series": (pd.Series(["a", "b"]), ("a", "b")),
    "a range": (range(3), (0, 1, 2)),
    "NumPy's keys": ({np.int64(1): np.float32(0.5), np.str_("x"): np.array(2)}, {1: 0.5, "x": 2}),
    "keys of several kinds": ({(1, 2): [], 1.5: {}}, {(1, 2): (), 1.5: {}}),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_of_parameters_come_back_as_plain_python(path: pathlib.Path, name: str) -> None:
    given, expected = VALUES[name]
    trained(Noted(note=given)).save(path)
    assert repr(Noted.load(path).note) == repr(expected)


@pytest.mark.parametrize(
    "value",
    [b"ab", bytearray(b"a"), {1, 2}, iter([1]), 1j, np.longdouble(1) / 3, fractions.Fraction(1, 3), np.array([b"a"])],
    ids=lambda value: type(value).__name__,
)
def test_values_that_would_not_come_back_are_refused(path: pathlib.Path, value: Any) -> None:
    estimator = trained(Noted(note=value))
    with pytest.raises(
        TypeError, match=r"note is a .*, or holds one, but a model file holds numbers, texts, and lists"
    ):
        estimator.save(path)
    assert not path.exists()


def test_names_of_features_that_are_no_texts(path: pathlib.Path) -> None:
    estimator = fitted("number")
    estimator.feature_names_in_ = np.arange(5)
    with pytest.raises(ValueError, match=r"MLPRegressor cannot be saved, .*feature names are texts"):
        estimator.save(path)
    assert not path.exists()


# --- Libraries


@pytest.mark.parametrize(
    ("kind", "backend"), one_in(2, ["classes", "labels", "number"], ["numpy", "torch", "jax", "strict"])
)
def test_from_library_to_library(path: pathlib.Path, kind: str, backend: str) -> None:
    task, home = problem(kind), pm.get_backend(backend)
    estimator = quietly(ours(kind, **problems.OPTIONS).fit, home.asarray(task.X), task.y)
    estimator.save(path)
    content = path.read_bytes()
    host = type(estimator).load(path)
    assert host.get_params() == {**estimator.get_params(), "backend": None}
    for back_again in (host, type(estimator).load(path, backend=backend)):
        back_again.save(path)
        assert path.read_bytes() == content
    there = type(estimator).load(path, backend=backend)
    assert there.get_params()["backend"] == backend
    assert type(there.coefs_[0]) is type(estimator.coefs_[0])
    one, other = there.predict(home.asarray(task.X)), estimator.predict(home.asarray(task.X))
    assert type(one) is type(other)
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    np.testing.assert_allclose(
        host.transform(task.X), home.to_numpy(estimator.transform(home.asarray(task.X))), rtol=1e-12
    )


def test_on_a_device(path: pathlib.Path) -> None:
    fitted("number").save(path)
    found = pm.MLPRegressor.load(path, backend="strict", device="device1")
    assert str(found.coefs_[0].device) == "array_api_strict.Device('device1')"
    assert (found.backend, found.device) == ("strict", "device1")
    assert found.predict(problem("number").X).shape == (70,)


def test_where_there_is_no_float64(path: pathlib.Path) -> None:
    fitted("number").save(path)
    found = pm.MLPRegressor.load(path, backend="strict", device="no_float64")
    assert "float32" in str(found.coefs_[0].dtype)


@pytest.mark.parametrize(
    ("place", "kind", "message"),
    [
        ({"backend": "tpu"}, ValueError, "there is no backend 'tpu'"),
        ({"backend": "numpy", "device": "cuda"}, ValueError, "numpy has no device 'cuda'"),
    ],
)
def test_a_place_that_is_not_there(path: pathlib.Path, place: Any, kind: type[Exception], message: str) -> None:
    fitted("number").save(path)
    with pytest.raises(kind, match=message):
        pm.MLPRegressor.load(path, **place)


# --- Other programs


def test_everyone_can_read_the_parameters(path: pathlib.Path) -> None:
    estimator = fitted("classes")
    estimator.save(path)
    tensors = safetensors.numpy.load_file(path)
    for i, (W, b) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True), start=1):
        np.testing.assert_array_equal(tensors[f"W{i}"], W)
        np.testing.assert_array_equal(tensors[f"b{i}"], b)
    net, params, metadata = pm.load_model(path)
    assert net == pm.Network((5, 6, 4, 3))
    np.testing.assert_allclose(
        pm.predict(net, params, problem("classes").X), estimator.predict_proba(problem("classes").X), rtol=1e-12
    )
    assert metadata["estimator"]["targets"]["classes"] == ["blue", "green", "red"]


def test_scikit_learns_estimator_gets_into_a_file_and_out(path: pathlib.Path) -> None:
    from sklearn.neural_network import MLPClassifier

    task = problem("classes")
    theirs = quietly(MLPClassifier(**OPTIONS).fit, task.X, task.y)
    pm.MLPClassifier.from_sklearn(theirs).save(path)
    np.testing.assert_array_equal(
        pm.MLPClassifier.load(path).to_sklearn().predict_proba(task.X), theirs.predict_proba(task.X)
    )


def test_a_file_holds_no_place_and_no_name_of_code(path: pathlib.Path) -> None:
    task = problem("classes")
    quietly(
        pm.MLPClassifier(**OPTIONS, backend="torch", device="cpu").fit, pm.get_backend("torch").asarray(task.X), task.y
    ).save(path)
    content = path.read_bytes()
    for word in (b"torch", b"cpu", b"device", b"backend", b"MLPClassifier", b"module", b"sklearn.", b"float64array"):
        assert word not in content
    assert pm.MLPClassifier.load(path).backend is None


# --- What cannot be kept


def test_an_estimator_that_is_not_fitted(path: pathlib.Path) -> None:
    with pytest.raises(NotFittedError, match="This MLPRegressor instance is not fitted yet"):
        pm.MLPRegressor().save(path)
    assert not path.exists()


@pytest.mark.parametrize("value", [np.random.RandomState(0), np.random.mtrand._rand], ids=["own", "global"])
def test_a_parameter_that_is_no_data(path: pathlib.Path, value: Any) -> None:
    estimator = fitted("number", random_state=value)
    with pytest.raises(TypeError, match=r"random_state is a RandomState, .*\.set_params\(random_state=None\)"):
        estimator.save(path)
    assert not path.exists()
    estimator.set_params(random_state=None).save(path)
    assert pm.MLPRegressor.load(path).random_state is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n_features_in_", 4, "n_features_in_ is 4, but its other attributes say 5"),
        ("out_activation_", "identity", "out_activation_ is 'identity', but its other attributes say 'softmax'"),
        ("classes_", np.array(["x", "y", "z"]), r"classes_ is .*blue.*, but its other attributes say .*'x', 'y', 'z'"),
        ("classes_", np.array(["z", "y", "x"]), "3 class labels, in order, are not of 3 outputs"),
        ("n_iter_", -1, "-1 is not a count"),
        ("loss_", "low", "'low' is not a number"),
        ("loss_curve_", [1.0, "low"], "'low' is not a number"),
        ("feature_names_in_", np.array(["a"], dtype=object), "5 feature names are needed"),
        ("activation", "tanh", None),
        ("loss_", np.nan, None),
        ("loss_curve_", [np.inf, -np.inf, np.nan], None),
    ],
)
def test_an_attribute_that_contradicts_another(path: pathlib.Path, name: str, value: Any, message: str | None) -> None:
    estimator = fitted("classes")
    setattr(estimator, name, value)
    if message is None:
        estimator.save(path)
        assert repr(getattr(pm.MLPClassifier.load(path), name)) == repr(value)
        return
    with pytest.raises(ValueError, match=f"MLPClassifier cannot be saved, for it would not come back: .*{message}"):
        estimator.save(path)
    assert not path.exists()


def test_parameters_that_are_wrong_or_not_finite(path: pathlib.Path) -> None:
    estimator = fitted("number")
    estimator.alpha = -1.0
    with pytest.raises(InvalidParameterError, match="The 'alpha' parameter of MLPRegressor"):
        estimator.save(path)
    estimator.alpha = 0.0
    estimator.coefs_[0][2, 1] = np.nan
    with pytest.raises(ValueError, match=r"params\[0\]\.W\[2, 1\] is nan"):
        estimator.save(path)
    estimator.coefs_[0] = np.zeros((2, 2))
    with pytest.raises(ValueError, match="n_features_in_ is 5, but its other attributes say 2"):
        estimator.save(path)
    estimator.coefs_[0] = np.zeros((5, 2))
    with pytest.raises(ValueError, match="belong to another network"):
        estimator.save(path)
    assert not path.exists()


def test_labels_of_a_kind_that_json_has_not(path: pathlib.Path) -> None:
    estimator = fitted("two classes")
    estimator.classes_ = np.array(["2020-01-01", "2021-01-01"], dtype="M8[D]")
    with pytest.raises(TypeError, match=r"class labels of dtype datetime64\[D\] cannot be kept in a model file"):
        estimator.save(path)


def test_long_curves_and_many_names_come_back(path: pathlib.Path) -> None:
    """Each of them takes more than a megabyte."""
    curve = fitted("number")
    curve.loss_curve_ = np.random.default_rng(0).uniform(size=60_000).tolist()
    curve.save(path)
    assert pm.MLPRegressor.load(path).loss_curve_ == curve.loss_curve_
    frame = pd.DataFrame(np.eye(4, 6_000), columns=[f"measurement {i:0200d}" for i in range(6_000)])
    columns = quietly(pm.MLPRegressor(hidden_layer_sizes=(), solver="sgd", max_iter=1).fit, frame, np.arange(4.0))
    columns.save(path)
    assert_came_back(pm.MLPRegressor.load(path), columns)
    names = np.array([f"{i:0600d}" for i in range(2_000)])
    classes = quietly(pm.MLPClassifier((), solver="sgd", max_iter=1).fit, np.ones((2_000, 1)), names)
    classes.save(path)
    assert_came_back(pm.MLPClassifier.load(path), classes)


def test_a_curve_that_is_too_long_for_a_header(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    estimator = fitted("number")
    estimator.loss_curve_ = np.random.default_rng(0).uniform(size=60_000).tolist()
    monkeypatch.setattr("portable_mlp.storage.tensor_files.MOST_HEADER_BYTES", 1_000_000)
    with pytest.raises(
        ValueError,
        match=r"the header, .* would have 1,\d{3},\d{3} bytes; .* have 1,000,000: shorten metadata\['estimator'\]"
        r"\['record'\]\['loss_curve_'\], which takes 1,\d{3},\d{3} of them",
    ):
        estimator.save(path)
    assert not path.exists()
    estimator.loss_curve_ = estimator.loss_curve_[-100:]
    estimator.save(path)


def test_labels_that_would_take_all_memory(path: pathlib.Path) -> None:
    """NumPy gives each the room of the longest."""
    net = pm.Network((1, 100))
    labels = [f"{i:02d}" for i in range(99)] + ["x" * 900_000]
    fitted("classes").save(path)
    said = with_targets(classes=labels)(pm.load_model(path)[2]["estimator"])
    pm.save_model(path, net, pm.init_params(net), {"estimator": said})
    with pytest.raises(pm.ModelFileError, match="100 labels as long as the longest have more than 67108864 characters"):
        pm.MLPClassifier.load(path)


# --- What is no estimator's file


def test_another_kind_of_file(path: pathlib.Path) -> None:
    fitted("number").save(path)
    with pytest.raises(
        pm.ModelFileError,
        match=r"estimator\.safetensors: its estimator is of the kind 'regressor', .*; MLPRegressor\.load",
    ):
        pm.MLPClassifier.load(path)
    net = pm.Network((2, 2))
    pm.save_model(path, net, pm.init_params(net), {"classes": ["a", "b"]})
    with pytest.raises(
        pm.ModelFileError,
        match=r"a model of portable_mlp\.save_model, and not an estimator's: portable_mlp\.load",
    ):
        pm.MLPClassifier.load(path)
    for columns, advice in ((None, "; "), ([], ", and so does what TableClassifier.load or TableRegressor.load")):
        pm.save_model(path, net, pm.init_params(net), {"preparation": {"columns": columns}})
        with pytest.raises(
            pm.ModelFileError, match=f"a model of portable-mlp train, .* takes rows as they are{advice}"
        ):
            pm.MLPClassifier.load(path)
    path.write_bytes(b"\x80\x04")
    with pytest.raises(pm.ModelFileError, match="a pickle"):
        pm.MLPClassifier.load(path)
    with pytest.raises(FileNotFoundError):
        pm.MLPClassifier.load(path.with_name("none"))


def test_an_ensemble_is_no_estimator(path: pathlib.Path) -> None:
    fitted("number").save(path)
    net, params, metadata = pm.load_model(path)
    save_ensemble(path, net, tuple(pm.Layer(*(np.stack([x, x]) for x in layer)) for layer in params), metadata)
    with pytest.raises(pm.ModelFileError, match="a model of 2 networks, but MLPRegressor is one"):
        pm.MLPRegressor.load(path)


def rewritten(path: pathlib.Path, change: Any) -> None:
    """Save a classifier whose description ``change`` has altered, in a file that is sound otherwise."""
    fitted("classes").save(path)
    net, params, metadata = pm.load_model(path)
    pm.save_model(path, net, params, {"estimator": change(copy.deepcopy(metadata["estimator"]))})


def with_parameters(**changes: Any) -> Any:
    return lambda said: {**said, "parameters": {**said["parameters"], **changes}}


def with_targets(**changes: Any) -> Any:
    return lambda said: {**said, "targets": {**said["targets"], **changes}}


def with_record(**changes: Any) -> Any:
    return lambda said: {**said, "record": {**said["record"], **changes}}


CHANGES: dict[str, tuple[Any, str]] = {
    "no dict": (lambda said: "estimator", "of the kind None"),
    "a name of a class": (lambda said: {**said, "kind": "os.system"}, "of the kind 'os.system'"),
    "nothing but the kind": (lambda said: {"kind": "classifier"}, "the name 'parameters' is missing or unknown"),
    "a field too many": (lambda said: {**said, "module": "os"}, "described anew it is another one"),
    "unknown parameter": (with_parameters(n_jobs=3), "has the parameter 'n_jobs', which MLPClassifier does not take"),
    "a place": (with_parameters(backend="torch"), "has the parameter 'backend', which MLPClassifier does not take"),
    "no constructor's": (
        with_parameters(__class__="os.system"),
        "has the parameter '__class__', which MLPClassifier does not take",
    ),
    "wrong parameter": (with_parameters(alpha=-1.0), "The 'alpha' parameter of MLPClassifier must be a float"),
    "parameter of another type": (with_parameters(solver=["adam"]), "The 'solver' parameter"),
    "another activation": (with_parameters(activation="tanh"), "it makes another network"),
    "a number spelt as a special one": (with_parameters(alpha={"float": "0.5"}), "described anew"),
    "a special number of a parameter": (with_parameters(momentum={"float": "nan"}), "The 'momentum' parameter"),
    "a dict without a mark": (with_parameters(class_weight={"red": 2.0}), "InvalidParameterError|ValueError|TypeError"),
    "a dict with keys that are none": (with_parameters(class_weight={"dict": [[{"dict": []}, 2.0]]}), "TypeError"),
    "no labels": (with_targets(classes=[]), "ValueError"),
    "no targets": (lambda said: {**said, "targets": None}, "AttributeError"),
    "labels out of order": (with_targets(classes=["red", "green", "blue"]), "in order"),
    "labels twice": (with_targets(classes=["blue", "blue", "red"]), "in order"),
    "labels of another number": (with_targets(classes=["blue", "red"]), "2 class labels, in order, are not of 3"),
    "labels of another dtype": (with_targets(dtype="int64"), "ValueError"),
    "labels of objects": (with_targets(dtype="object"), "class labels have no dtype 'object'"),
    "labels of a dtype that is none": (with_targets(dtype="os.system"), "class labels have no dtype"),
    "labels that are numbers": (with_targets(classes=[1, 2, 3]), "TypeError"),
    "labels of all memory": (with_targets(classes=["a", "b", "c" * 900_000]), None),
    "labels in a table": (
        with_targets(classes=[["a"], ["b"], ["c"]], dtype="str"),
        "class labels are texts or numbers",
    ),
    "labels too large": (with_targets(classes=[1, 2, 2**70], dtype="int64"), "OverflowError"),
    "labels too large for float32": (with_targets(classes=[1.0, 2.0, 1e300], dtype="float32"), "not JSON compliant"),
    "labels that are rounded": (with_targets(classes=[0.1, 0.2, 0.3], dtype="float32"), "described anew"),
    "several labels": (with_targets(multilabel=True), "it makes another network"),
    "truth in numbers": (with_targets(multilabel=0), "described anew"),
    "sparse text": (with_targets(sparse="no"), "described anew"),
    "a record too many": (with_record(coefs_=[1.0]), "the name 'coefs_' is missing or unknown"),
    "a record of dunders": (with_record(__dict__={"float": "nan"}), "the name '__dict__' is missing or unknown"),
    "a count of another type": (with_record(n_iter_=3.0), "3.0 is not a count"),
    "a count that is true": (with_record(n_iter_=True), "True is not a count"),
    "a negative count": (with_record(t_=-1), "-1 is not a count"),
    "a loss in words": (with_record(loss_="low"), "'low' is not a number"),
    "a curve that is none": (with_record(loss_curve_=3.0), "TypeError"),
    "too few names": (lambda said: {**said, "feature_names": ["a"]}, "5 feature names are needed"),
    "names in a text": (lambda said: {**said, "feature_names": "abcde"}, "5 feature names are needed"),
    "names that are numbers": (lambda said: {**said, "feature_names": [1, 2, 3, 4, 5]}, "feature names are texts"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_description_that_no_estimator_has(path: pathlib.Path, name: str) -> None:
    change, message = CHANGES[name]
    rewritten(path, change)
    assert pm.load_model(path)
    if message is None:
        assert pm.MLPClassifier.load(path)
        return
    with pytest.raises(pm.ModelFileError, match=f"^{re.escape(str(path))}: .*(?:{message})") as caught:
        pm.MLPClassifier.load(path)
    assert str(caught.value).isprintable()


def test_a_description_without_a_parameter_of_a_later_release(path: pathlib.Path) -> None:
    def without_dropout(said: dict[str, Any]) -> dict[str, Any]:
        del said["parameters"]["dropout"]
        return said

    rewritten(path, without_dropout)
    assert pm.MLPClassifier.load(path).dropout == 0.0


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("fuzz") / "estimator.safetensors"


@pytest.fixture(scope="module")
def sound(scratch: pathlib.Path) -> tuple[Any, Any, Any]:
    fitted("classes", n_iter_no_change=np.inf, class_weight={"red": 1.0, "green": 2.0, "blue": 3.0}).save(scratch)
    return pm.load_model(scratch)


@given(data=st.data())
def test_a_changed_description_is_refused_or_an_estimator(
    scratch: pathlib.Path, sound: tuple[Any, Any, Any], data: st.DataObject
) -> None:
    net, params, metadata = sound
    said = metadata["estimator"]
    for _ in range(data.draw(st.integers(1, 2))):
        change = data.draw(st.sampled_from(["replace", "leave out", "double", "wrap"]))
        said = changed(said, data.draw(st.sampled_from(places(said))), change, data.draw(JSON))
    try:
        pm.save_model(scratch, net, params, {"estimator": said})
    except ValueError:
        return  # not JSON
    content = scratch.read_bytes()
    estimator, message = None, ""
    try:
        estimator = pm.MLPClassifier.load(scratch)
    except pm.ModelFileError as error:
        message = str(error)
    assert message.isprintable()
    if estimator is not None and said["parameters"].keys() == metadata["estimator"]["parameters"].keys():
        estimator.save(scratch)
        assert scratch.read_bytes() == content


@pytest.mark.thorough  # each time: tests/storage/test_hostile_files.py
def test_nothing_else_is_done_for_them(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Python's audit events are the opening of the file, to read, and no other, with 1 GB of address space."""
    names = [name for name in CHANGES if CHANGES[name][1] is not None]
    paths = [tmp_path / f"{i}.safetensors" for i in range(len(names))]
    for name, other in zip(names, paths, strict=True):
        rewritten(other, CHANGES[name][0])
    fitted("classes").save(path)
    found = watched("classifier", path, paths[0], paths)
    assert len(found) == len(paths)
    for other in paths:
        assert_harmless(found[other.name], other.stat().st_size, INSPECTION)


def test_a_file_is_loaded_in_another_process(path: pathlib.Path) -> None:
    estimator = fitted("classes")
    estimator.save(path)
    code = (
        "import sys, json, numpy as np, portable_mlp as pm\n"
        f"clf = pm.MLPClassifier.load({str(path)!r})\n"
        "print(json.dumps(clf.predict_proba(np.array(json.load(sys.stdin))).tolist()))"
    )
    X = problem("classes").X
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(X.tolist()),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    np.testing.assert_array_equal(json.loads(done.stdout), estimator.predict_proba(X))


def test_what_was_loaded_goes_on_as_scikit_learns(tmp_path: pathlib.Path) -> None:
    """Also where the loss does not improve: scikit-learn then counts on from a number that files do not keep."""
    X, y = np.linspace(-1.0, 1.0, 40)[:, None], np.arange(40) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pm.MLPClassifier((4,), max_iter=2, tol=1e9, random_state=0).fit(X, y).save(tmp_path / "model")
    theirs = pm.MLPClassifier.load(tmp_path / "model").to_sklearn()
    theirs.partial_fit(X, y)
    assert theirs._no_improvement_count == 1

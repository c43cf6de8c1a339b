"""Any array in, the same kind out: with and without scikit-learn's dispatch, and wherever a backend says."""

import copy
import functools
import pickle
from typing import Any

import array_api_compat
import array_api_strict
import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import portable_mlp as pm
from tests.estimators.problems import KINDS, OPTIONS, ours, problem, quietly
from tests.kernels.tiny_library import to_tiny
from tests.selection import one_in

METHODS = {
    "MLPClassifier": ("predict", "predict_proba", "predict_log_proba", "transform"),
    "MLPRegressor": ("predict", "transform"),
}

SOME_ON_JAX = one_in(6, KINDS, on="jax")  # which compiles each


def numeric(kind: str) -> np.ndarray:
    """Return targets that any library can hold."""
    y = problem(kind).y
    return np.unique(y, return_inverse=True)[1] if y.dtype == object else y


@functools.cache
def on_numpy(kind: str, dtype: str) -> Any:
    """Return the fit that others are compared with."""
    return quietly(ours(kind, **OPTIONS).fit, problem(kind).X.astype(dtype), numeric(kind))


@pytest.mark.parametrize("kind", SOME_ON_JAX)
@pytest.mark.parametrize("dispatch", [False, True])
def test_everything_follows_x(lib: Any, dispatch: bool, kind: str) -> None:
    host, y = problem(kind).X.astype(lib.dtype), numeric(kind)
    X = lib.array(host)
    labels = lib.backend.asarray(y if y.dtype.kind == "i" else y.astype(lib.dtype))
    mine, plain = ours(kind, **OPTIONS), on_numpy(kind, lib.dtype)
    # scikit-learn refuses to dispatch to libraries it does not know; estimators of ours do not ask it.
    with config_context(array_api_dispatch=dispatch):
        quietly(mine.fit, X, labels)
        for x in (*mine.coefs_, *mine.intercepts_):
            lib.assert_home(x)
        for name in METHODS[type(mine).__name__]:
            result = getattr(mine, name)(X)
            lib.assert_here(result)
            expected = getattr(plain, name)(host)
            assert tuple(result.shape) == expected.shape
            np.testing.assert_allclose(lib.backend.to_numpy(result), expected, rtol=1e-3, atol=100 * lib.rtol)
        score = mine.score(X, labels)
    assert type(score) is float
    assert score == pytest.approx(plain.score(host, y), rel=1e-3)


@pytest.mark.parametrize("kind", SOME_ON_JAX)
def test_a_backend_takes_numpy_and_gives_numpy(lib: Any, kind: str) -> None:
    host, y = problem(kind).X.astype(lib.dtype), problem(kind).y
    mine = ours(kind, **OPTIONS, backend=lib.backend.name, device=lib.backend.device_name)
    quietly(mine.fit, host, y)
    plain = quietly(ours(kind, **OPTIONS).fit, host, y)
    for x in (*mine.coefs_, *mine.intercepts_):
        lib.assert_home(x)
    for name in METHODS[type(mine).__name__]:
        result, expected = getattr(mine, name)(host), getattr(plain, name)(host)
        assert type(result) is np.ndarray
        assert result.flags.writeable
        assert result.dtype == expected.dtype
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(result, expected, rtol=1e-3, atol=100 * lib.rtol)
        else:
            np.testing.assert_array_equal(result, expected)


def test_a_backend_takes_arrays_of_another_library_and_gives_them_back(lib: Any) -> None:
    X, y = problem("classes").X.astype(lib.dtype), numeric("classes")
    place = {"backend": lib.backend.name, "device": lib.backend.device_name}
    clf = quietly(
        pm.MLPClassifier(**OPTIONS, **place, early_stopping=True).fit,
        torch.asarray(X),
        torch.asarray(y),
        torch.ones(len(X)),
    )
    lib.assert_here(clf.coefs_[0])
    for result in (clf.predict(torch.asarray(X)), clf.predict_proba(torch.asarray(X)), clf.transform(torch.asarray(X))):
        assert isinstance(result, torch.Tensor)
        assert result.device == torch.device("cpu")
    assert type(clf.predict_proba(X)) is np.ndarray


def test_text_labels_come_back_as_numpy(lib: Any) -> None:
    X, y = lib.array(problem("classes").X), problem("classes").y
    clf = quietly(pm.MLPClassifier(**OPTIONS).fit, X, y)
    assert clf.predict(X).dtype.kind in "OU"
    assert set(clf.predict(X)) <= {"red", "green", "blue"}
    assert type(clf.score(X, y)) is float


def test_odd_labels_keep_their_type(lib: Any) -> None:
    X, y = lib.array(problem("classes").X), numeric("classes")
    for labels in (y - 5, y.astype(lib.dtype) * 2, y == 1):
        clf = quietly(pm.MLPClassifier(**OPTIONS).fit, X, lib.backend.asarray(labels))
        found = lib.backend.to_numpy(clf.predict(X))
        assert found.dtype.kind == labels.dtype.kind
        assert set(found.tolist()) <= set(labels.tolist())
    only = quietly(pm.MLPClassifier(**OPTIONS).fit, X, lib.backend.asarray(np.full(len(y), 4)))
    assert set(lib.backend.to_numpy(only.predict(X)).tolist()) == {4}


def test_weights_and_targets_of_any_library_are_brought_to_x(lib: Any) -> None:
    X, y = problem("number").X.astype(lib.dtype), problem("number").y
    w = np.linspace(0.5, 2.0, len(X))
    expected = quietly(pm.MLPRegressor(**OPTIONS).fit, lib.array(X), lib.array(y), lib.array(w))
    for others in ((y, w), (torch.asarray(y), torch.asarray(w))):
        mine = quietly(pm.MLPRegressor(**OPTIONS).fit, lib.array(X), *others)
        np.testing.assert_allclose(
            lib.numpy(mine.coefs_[0]), lib.numpy(expected.coefs_[0]), rtol=0, atol=100 * lib.rtol
        )


@pytest.mark.parametrize("dispatch", [False, True])
@pytest.mark.parametrize("method", ["predict", "predict_proba", "transform", "partial_fit"])
def test_another_library_than_that_of_the_fit_is_refused(method: str, dispatch: bool) -> None:
    X, y = problem("classes").X, numeric("classes")
    arguments = (y,) if method == "partial_fit" else ()
    homes = {"torch": torch.asarray(X), "strict": pm.get_backend("strict").asarray(X), "numpy": X}
    homes["device1"] = pm.get_backend("strict", "device1").asarray(X)
    with config_context(array_api_dispatch=dispatch):
        for name, home in homes.items():
            clf = quietly(pm.MLPClassifier(**OPTIONS).fit, home, y)
            for other, elsewhere in homes.items():
                if other == name:
                    continue
                message = rf"Inputs passed to MLPClassifier.{method}\(\) must use the same namespace and the same dev"
                with pytest.raises(ValueError, match=message):
                    getattr(clf, method)(elsewhere, *arguments)


def test_a_library_without_a_name_here_is_not_named_as_a_remedy() -> None:
    X, y = problem("classes").X, numeric("classes")
    clf = quietly(pm.MLPClassifier(**OPTIONS).fit, to_tiny(X), y)
    with pytest.raises(
        ValueError, match=r"must use the same namespace and the same device.* is not compatible [^.]*\.$"
    ):
        clf.predict(X)


def test_lists_and_sparse_matrices_belong_to_numpy() -> None:
    X, y = problem("classes").X, numeric("classes")
    clf = quietly(pm.MLPClassifier(**OPTIONS).fit, torch.asarray(X), y)
    for other in (X.tolist(), scipy.sparse.csr_array(X)):
        with pytest.raises(ValueError, match=r"is not compatible with the .* input passed to predict"):
            clf.predict(other)


def test_a_sparse_matrix_on_every_library(lib: Any) -> None:
    X = scipy.sparse.csr_array(np.where(np.abs(problem("classes").X) > 1, problem("classes").X, 0.0).astype(lib.dtype))
    mine = pm.MLPClassifier(**OPTIONS, backend=lib.backend.name, device=lib.backend.device_name, early_stopping=True)
    quietly(mine.fit, X, problem("classes").y)
    dense = quietly(pm.MLPClassifier(**OPTIONS, early_stopping=True).fit, X.toarray(), problem("classes").y)
    np.testing.assert_allclose(lib.backend.to_numpy(mine.coefs_[0]), dense.coefs_[0], rtol=0, atol=100 * lib.rtol)
    np.testing.assert_allclose(mine.predict_proba(X), dense.predict_proba(X.toarray()), rtol=0, atol=100 * lib.rtol)


def test_sparse_inputs_are_never_made_dense_on_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = scipy.sparse.random_array((70, 40), density=0.1, format="csr", random_state=0), numeric("classes")

    original = scipy.sparse.csr_array.toarray

    def dense(self: Any, *args: Any, **kwargs: Any) -> Any:
        assert self.shape[1] != 40, "the inputs were made dense"
        return original(self, *args, **kwargs)

    monkeypatch.setattr(scipy.sparse.csr_array, "toarray", dense)
    for solver in ("adam", "lbfgs"):
        clf = quietly(pm.MLPClassifier(**OPTIONS, solver=solver, early_stopping=True).fit, X, y)
        assert clf.predict_proba(X).shape == (70, 3)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_pickled_between_two_calls_it_goes_on_as_if_nothing_happened(lib: Any, solver: str) -> None:
    if lib.backend.name == "dpnp" or (lib.backend.name, lib.dtype) == ("mlx", "float64"):
        return  # dpnp's arrays have no pickles, and MLX's come back as float32
    X, y = lib.array(problem("classes").X), numeric("classes")
    one, other = (pm.MLPClassifier(**OPTIONS, solver=solver) for _ in range(2))
    for call in range(3):
        one.partial_fit(X, y, classes=[0, 1, 2])
        other = pickle.loads(pickle.dumps(other)).partial_fit(X, y, classes=[0, 1, 2])
        other = copy.deepcopy(other) if call == 1 else other
    np.testing.assert_array_equal(lib.numpy(one.coefs_[0]), lib.numpy(other.coefs_[0]))
    assert one.loss_curve_ == other.loss_curve_


def test_a_pickle_holds_the_parameters_once() -> None:
    X, y = torch.asarray(problem("classes").X), numeric("classes")
    clf = quietly(pm.MLPClassifier((500, 100), max_iter=1, solver="lbfgs").fit, X, y)
    n_parameters = sum(x.numel() for x in (*clf.coefs_, *clf.intercepts_))
    assert len(pickle.dumps(clf)) < 8 * n_parameters + 50_000


def test_coefs_can_be_edited_and_replaced(lib: Any) -> None:
    X, y = lib.array(problem("number").X), lib.array(problem("number").y)
    regressor = quietly(pm.MLPRegressor(**OPTIONS).fit, X, y)
    before = lib.backend.to_numpy(regressor.predict(X))
    regressor.intercepts_[-1] = regressor.intercepts_[-1] + 10.0
    np.testing.assert_allclose(lib.backend.to_numpy(regressor.predict(X)), before + 10.0, rtol=1e-5)
    if lib.backend.name in ("numpy", "torch", "cupy"):
        regressor.intercepts_[-1][:] -= 10.0
        np.testing.assert_allclose(lib.backend.to_numpy(regressor.predict(X)), before, rtol=1e-4, atol=1e-5)
    regressor.coefs_ = [lib.xp.zeros_like(W) for W in regressor.coefs_]
    regressor.partial_fit(X, y)
    assert float(lib.xp.max(lib.xp.abs(regressor.coefs_[0]))) < 0.1
    assert float(lib.xp.max(lib.xp.abs(regressor.coefs_[1]))) > 0


def test_nothing_of_the_users_is_written_to(lib: Any) -> None:
    host, y = problem("classes").X, numeric("classes")
    X, labels = lib.array(host), lib.backend.asarray(y)
    quietly(pm.MLPClassifier(**OPTIONS, early_stopping=True).fit, X, labels, lib.array(np.ones(len(y))))
    np.testing.assert_array_equal(lib.numpy(X), host.astype(lib.dtype))
    np.testing.assert_array_equal(lib.backend.to_numpy(labels), y)


def test_a_tensor_that_records_its_gradient_is_taken_as_numbers() -> None:
    X, y = torch.asarray(problem("number").X).requires_grad_(), torch.asarray(problem("number").y).requires_grad_()
    regressor = quietly(pm.MLPRegressor(**OPTIONS).fit, X, y)
    assert not regressor.coefs_[0].requires_grad
    assert not regressor.predict(X).requires_grad


def test_auto_is_the_backend_of_that_name_and_float32_stays() -> None:
    X, home = problem("classes").X.astype(np.float32), pm.get_backend("auto")
    for solver in ("adam", "sgd", "lbfgs"):
        clf = quietly(pm.MLPClassifier(**OPTIONS, backend="auto", solver=solver).fit, X, problem("classes").y)
        for x in (*clf.coefs_, *clf.intercepts_):
            assert array_api_compat.array_namespace(x) is home.xp
            assert home.to_numpy(x).dtype == np.float32
        assert clf.predict_proba(X).dtype == np.float32
        assert clf.predict_proba(X.astype(np.float64)).dtype == np.float64
        assert isinstance(clf.loss_, np.float64)


# --- The labels themselves, with scikit-learn's dispatch


@pytest.mark.parametrize("dispatch", [False, True])
def test_the_classes_are_of_the_library_of_y_where_scikit_learn_dispatches(lib: Any, dispatch: bool) -> None:
    X, y = lib.array(problem("classes").X), numeric("classes")
    labels = lib.backend.asarray(y)
    with config_context(array_api_dispatch=dispatch):
        clf = quietly(pm.MLPClassifier(**OPTIONS, warm_start=True).fit, X, labels)
        for _ in range(2):
            if dispatch and lib.backend.name != "numpy":
                lib.assert_here(clf.classes_)
                np.testing.assert_array_equal(lib.backend.to_numpy(clf.classes_), [0, 1, 2])
            else:
                assert type(clf.classes_) is np.ndarray
            quietly(clf.fit, X, labels)  # which compares the labels with those
        clf.partial_fit(X, labels, classes=lib.backend.asarray(np.arange(3)))
        for others, message in (
            (labels + 1, "warm_start can only be used where"),
            (labels * 2, "has the same classes"),
        ):
            with pytest.raises(ValueError, match=message):
                clf.fit(X, others)
        with pytest.raises(ValueError, match="is not the same as on last call to partial_fit"):
            clf.partial_fit(X, labels, classes=[0, 1])
        assert type(quietly(pm.MLPClassifier(**OPTIONS).fit, X, problem("classes").y).classes_) is np.ndarray


def test_classes_of_another_library_leave_as_they_always_did(lib: Any, tmp_path: Any) -> None:
    X, y = lib.array(problem("classes").X), numeric("classes")
    path, plain = tmp_path / "model", quietly(pm.MLPClassifier(**OPTIONS).fit, X, lib.backend.asarray(y))
    with config_context(array_api_dispatch=True):
        clf = quietly(pm.MLPClassifier(**OPTIONS).fit, X, lib.backend.asarray(y))
        assert clf.score(X, lib.backend.asarray(y)) == plain.score(X, lib.backend.asarray(y))
    plain.save(path)
    content = path.read_bytes()
    clf.save(path)
    assert path.read_bytes() == content
    assert type(pm.MLPClassifier.load(path).classes_) is type(clf.to_sklearn().classes_) is np.ndarray
    clf.to_onnx(path)
    content = path.read_bytes()
    plain.to_onnx(path)
    assert path.read_bytes() == content
    if lib.backend.name == "dpnp":
        return  # its arrays have no pickles
    copied = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(copied._labels, plain.classes_)
    assert type(copied.classes_) is type(clf.classes_)


@pytest.mark.parametrize(
    ("library", "method"), one_in(2, ["torch", "strict"], ["predict", "predict_proba", "predict_log_proba"])
)
def test_a_cross_validation_predicts_with_arrays_of_a_library(library: str, method: str) -> None:
    home, y = pm.get_backend(library), numeric("classes")
    clf = make_pipeline(StandardScaler(), pm.MLPClassifier(**OPTIONS))
    expected = quietly(cross_val_predict, clf, problem("classes").X, y, cv=3, method=method)
    # scikit-learn's own tools need what the standard leaves optional.
    optional = array_api_strict.ArrayAPIStrictFlags(data_dependent_shapes=True, boolean_indexing=True)
    with config_context(array_api_dispatch=True), optional:
        X, labels = home.asarray(problem("classes").X), home.asarray(y)
        found = quietly(cross_val_predict, clf, X, labels, cv=3, method=method)
        search = quietly(GridSearchCV(clf, {"mlpclassifier__alpha": [1e-4, 1.0]}, cv=3).fit, X, labels)
        calibrated = quietly(CalibratedClassifierCV(clf, cv=3, method="temperature").fit, X, labels)
        for result in (found, search.classes_, search.predict_proba(X), calibrated.predict_proba(X)):
            assert array_api_compat.array_namespace(result) is home.xp
    np.testing.assert_allclose(home.to_numpy(found), expected, rtol=1e-9)

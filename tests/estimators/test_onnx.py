"""Fitted estimators as ONNX files: onnxruntime answers what ``predict_proba`` and ``predict`` answer."""

import json
import pathlib
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

import portable_mlp as pm
from tests.estimators.problems import KINDS, OPTIONS, ours, problem, quietly

RTOL = {"float32": 1e-6, "float64": 1e-12}


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "model.onnx"


def fitted(kind: str, dtype: str = "float64", **parameters: Any) -> Any:
    task = problem(kind)
    estimator = ours(kind, hidden_layer_sizes=(8, 5), max_iter=5, random_state=0, **parameters)
    return quietly(estimator.fit, task.X.astype(dtype), task.y)


def asked(path: pathlib.Path, X: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    session = onnxruntime.InferenceSession(path)
    (answer,) = session.run(None, {"X": X})
    kept = session.get_modelmeta().custom_metadata_map
    return answer, {name: json.loads(value) for name, value in kept.items()}


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("kind", KINDS)
def test_onnxruntime_answers_the_same(kind: str, dtype: str, path: pathlib.Path) -> None:
    estimator = fitted(kind, dtype)
    X = problem(kind).X.astype(dtype)
    estimator.to_onnx(path)
    answer, metadata = asked(path, X)
    if hasattr(estimator, "classes_"):
        expected = estimator.predict_proba(X)
        assert metadata["classes"] == estimator.classes_.tolist()
    else:
        expected = estimator.predict(X).reshape(len(X), -1)
        assert "classes" not in metadata
    assert (answer.shape, answer.dtype) == (expected.shape, np.dtype(dtype))
    np.testing.assert_allclose(answer, expected, rtol=0, atol=RTOL[dtype] * float(np.abs(expected).max()))


def test_two_classes_have_a_column_each(path: pathlib.Path) -> None:
    """The network has one logistic unit; its graph has softmax(0, z), and no node more than for three classes."""
    fitted("two classes").to_onnx(path)
    proba, metadata = asked(path, problem("two classes").X)
    assert metadata["classes"] == [3, 7]
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-15)
    labels = np.asarray(metadata["classes"])[proba.argmax(axis=1)]
    np.testing.assert_array_equal(labels, fitted("two classes").predict(problem("two classes").X))


@pytest.mark.parametrize("backend", ["torch", "jax", "strict"])
def test_from_every_library(backend: str, path: pathlib.Path) -> None:
    X, y = problem("classes").X, problem("classes").y
    estimator = quietly(pm.MLPClassifier(**OPTIONS, backend=backend).fit, X, y)
    estimator.to_onnx(path)
    np.testing.assert_allclose(asked(path, X)[0], estimator.predict_proba(X), rtol=0, atol=1e-12)


def test_column_names_go_along(path: pathlib.Path) -> None:
    task = problem("number")
    table = pd.DataFrame(task.X, columns=["a", "b", "c", "d", "ä"])
    quietly(pm.MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=0).fit, table, task.y).to_onnx(path)
    assert asked(path, task.X)[1]["feature_names"] == ["a", "b", "c", "d", "ä"]


def test_what_the_user_made_of_the_weights_is_written(path: pathlib.Path) -> None:
    estimator = fitted("number")
    estimator.coefs_[0] *= 2.0
    estimator.intercepts_ = [b + 1.0 for b in estimator.intercepts_]
    estimator.to_onnx(path)
    X = problem("number").X
    np.testing.assert_allclose(asked(path, X)[0][:, 0], estimator.predict(X), rtol=0, atol=1e-12)


def test_only_a_fitted_estimator_is_written(path: pathlib.Path) -> None:
    with pytest.raises(NotFittedError):
        pm.MLPClassifier().to_onnx(path)
    assert not path.exists()

"""Predictions and validation hold a layer and the next, however many there are."""

import pathlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import neural_network

import portable_mlp as pm
from portable_mlp.backends._numpy_primitives import NumpyPrimitives
from portable_mlp.kernels.activations import ACTIVATIONS
from portable_mlp.tables.model import TableModel
from portable_mlp.tables.preparation import Preparation
from tests.memory import peak_memory

N_SAMPLES, N_UNITS = 2_000, 100
LAYER = 8 * N_SAMPLES * N_UNITS
X = np.random.default_rng(0).normal(size=(N_SAMPLES, 20))
Y = (X[:, 0] > 0) + (X[:, 1] > 0).astype(int)


@pytest.fixture(autouse=True)
def few_numbers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the temporaries of an activation as small beside these layers as they are beside large ones."""
    monkeypatch.setattr(NumpyPrimitives, "numbers_at_once", 2**11)


def peak_of(call: Callable[[], Any]) -> int:
    call()  # what is loaded or compiled at first is not counted
    return peak_memory(call)


def fitted(kind: Any, depth: int, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(hidden_layer_sizes=(N_UNITS,) * depth, max_iter=1, random_state=0, **options).fit(X[:40], Y[:40])


@pytest.mark.parametrize("output", ["softmax", "logistic"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_predict_holds_two_layers_at_a_time(activation: str, output: str) -> None:
    net = pm.Network((20, *(N_UNITS,) * 4), activation=activation, output=output)
    params = pm.init_params(net, random_state=0)
    assert peak_of(lambda: pm.predict(net, params, X)) < 2.1 * LAYER
    np.testing.assert_array_equal(pm.predict(net, params, X), pm.forward(net, params, X)[-1])


def test_predict_of_a_mapped_file_holds_two_layers_too(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    net = pm.Network((20, *(N_UNITS,) * 4), activation="tanh")
    params = pm.init_params(net, random_state=0)
    assert peak_of(lambda: pm.predict(net, params, mapped)) < 2.1 * LAYER
    np.testing.assert_array_equal(pm.predict(net, params, mapped), pm.forward(net, params, X)[-1])


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "transform"])
@pytest.mark.parametrize("activation", ["relu", "logistic", "gelu"])
def test_estimators_hold_two_layers_at_a_time(activation: str, method: str) -> None:
    classifier = fitted(pm.MLPClassifier, 3, activation=activation)
    assert peak_of(lambda: getattr(classifier, method)(X)) < 2.1 * LAYER


def test_estimators_hold_what_scikit_learns_hold() -> None:
    ours, theirs = (fitted(kind, 8) for kind in (pm.MLPRegressor, neural_network.MLPRegressor))
    assert peak_of(lambda: ours.score(X, Y)) < peak_of(lambda: theirs.score(X, Y)) + 0.1 * LAYER


def test_a_table_holds_as_much_through_six_layers_as_through_two() -> None:
    def peak(depth: int) -> int:
        net = pm.Network((20, *(N_UNITS,) * depth, 3), activation="gelu")
        params = tuple(pm.Layer(np.stack([W, W]), np.stack([b, b])) for W, b in pm.init_params(net, random_state=0))
        preparation = Preparation([], None, [], [], classes=["a", "b", "c"])
        return peak_of(lambda: TableModel(preparation, net, params, {}).outputs_of_inputs(X))

    assert peak(6) < peak(2) + 0.1 * LAYER


def test_a_validation_holds_as_much_through_eight_layers_as_through_two() -> None:
    def peak(depth: int) -> int:
        net = pm.Network((20, *(N_UNITS,) * depth, 3))
        params = pm.init_params(net, random_state=0)
        few = {"epochs": 1, "batch_size": 40}
        validated = peak_of(lambda: pm.train(net, params, X[:40], Y[:40], validation=(X, Y), **few))
        return validated - peak_of(lambda: pm.train(net, params, X[:40], Y[:40], **few))

    assert peak(8) < peak(2) + 0.1 * LAYER


def test_samples_held_out_need_as_much_for_eight_layers_as_for_two() -> None:
    def peak(depth: int) -> int:
        def fit(**data: Any) -> int:
            classifier = pm.MLPClassifier((N_UNITS,) * depth, max_iter=1, random_state=0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return peak_of(lambda: classifier.fit(X[:40], Y[:40], **data))

        return fit(validation_data=(X, Y)) - fit()

    assert peak(8) < peak(2) + 0.1 * LAYER

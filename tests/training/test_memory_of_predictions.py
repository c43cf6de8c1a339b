"""Who does not go back through the network holds a layer and the next, however many there are."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import neural_network

import portable_mlp as pm
from tests.memory import peak_memory

N_SAMPLES, N_UNITS = 2_000, 200
LAYER = 8 * N_SAMPLES * N_UNITS
X = np.random.default_rng(0).normal(size=(N_SAMPLES, 20))
Y = (X[:, 0] > 0) + (X[:, 1] > 0).astype(int)


def peak_of(call: Callable[[], Any]) -> int:
    call()  # what is loaded or compiled at first is not counted
    return peak_memory(call)


def fitted(kind: Any, depth: int, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind((N_UNITS,) * depth, max_iter=1, random_state=0, **options).fit(X[:40], Y[:40])


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "gelu"])
def test_predict_holds_as_much_through_eight_layers_as_through_two(activation: str) -> None:
    def peak(depth: int) -> int:
        net = pm.Network((20, *(N_UNITS,) * depth, 3), activation=activation)
        params = pm.init_params(net, random_state=0)
        np.testing.assert_array_equal(pm.predict(net, params, X), pm.forward(net, params, X)[-1])
        return peak_of(lambda: pm.predict(net, params, X))

    assert peak(8) < peak(2) + 0.1 * LAYER


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "transform"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_estimators_hold_what_scikit_learns_hold(activation: str, method: str) -> None:
    ours = getattr(fitted(pm.MLPClassifier, 8, activation=activation), method)
    theirs = fitted(neural_network.MLPClassifier, 8, activation=activation).predict_proba
    assert peak_of(lambda: ours(X)) < peak_of(lambda: theirs(X)) + 0.1 * LAYER


@pytest.mark.parametrize("activation", ["logistic", "gelu"])
def test_other_activations_take_no_more_for_more_layers(activation: str) -> None:
    two, eight = (fitted(pm.MLPClassifier, depth, activation=activation) for depth in (2, 8))
    assert peak_of(lambda: eight.score(X, Y)) < peak_of(lambda: two.score(X, Y)) + 0.1 * LAYER


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

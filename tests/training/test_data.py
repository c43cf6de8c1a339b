"""What `train` refuses in the data: values that kernels trust."""

import functools
from collections.abc import Callable

import numpy as np
import pytest

import portable_mlp as pm

X = np.zeros((4, 2))


def train(output: str, y: np.ndarray, X: np.ndarray = X, n_outputs: int = 3) -> None:
    net = pm.Network((2, n_outputs), output=output)
    pm.train(net, pm.init_params(net), X, y, epochs=1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_inputs_must_be_finite(lib, value: float) -> None:
    bad = X.copy()
    bad[2, 1] = value
    net = pm.Network((2, 3))
    params = pm.init_params(net, backend=lib.backend, dtype=lib.dtype)
    with pytest.raises(ValueError, match=rf"X\[2, 1\] is {value}; every value must be finite"):
        pm.train(net, params, lib.array(bad), lib.array([0, 1, 2, 0]))


@pytest.mark.parametrize(
    ("output", "y", "message"),
    [
        ("softmax", [0, 1, 3, 0], "y must hold labels from 0 to 2, for 3 outputs; got labels from 0 to 3"),
        ("softmax", [0, -1, 2, 0], "y must hold labels from 0 to 2, for 3 outputs; got labels from -1 to 2"),
        ("softmax", np.ones((4, 3)), "each row of y must hold probabilities .* row sums from 3 to 3"),
        ("softmax", [[2, -1, 0]] * 4, "each row of y must hold probabilities .* values from -1 to 2"),
        ("logistic", np.full((4, 3), 2), "y must lie in 0 to 1 .*binary_cross_entropy; got values from 2 to 2"),
        ("exp", np.full((4, 3), -0.5), "y must not be negative for the loss poisson; got -0.5"),
        ("identity", np.full((4, 3), np.nan), r"y\[0, 0\] is nan; every value must be finite"),
    ],
    ids=["label-high", "label-low", "row-sums", "negative-probability", "binary", "poisson", "nan"],
)
def test_targets_must_fit_the_loss(output: str, y: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(output, np.asarray(y))


def test_validation_data_are_named() -> None:
    net = pm.Network((2, 3))
    y = np.asarray([0, 1, 2, 0])
    with pytest.raises(ValueError, match=r"in the validation data: X\[0, 0\] is nan"):
        pm.train(net, pm.init_params(net), X, y, validation=(X * np.nan, y))
    with pytest.raises(ValueError, match="in the validation data: y must hold labels from 0 to 2"):
        pm.train(net, pm.init_params(net), X, y, validation=(X, y + 1))


@pytest.mark.parametrize("y", [[True, False, True, True], [0, 1, 1, 0]], ids=["bool", "int"])
def test_binary_targets_of_any_integer_kind(y: list[int]) -> None:
    train("logistic", np.asarray(y), n_outputs=1)
    train("softmax", np.asarray(y), n_outputs=2)


def test_boolean_rows_are_checked_too() -> None:
    with pytest.raises(ValueError, match="row sums from 3 to 3"):
        train("softmax", np.ones((4, 3), dtype=bool))
    with pytest.raises(ValueError, match=r'labels from 0 to 0, .* from 1 to 1; two classes .* output="logistic"'):
        train("softmax", np.ones(4, dtype=bool), n_outputs=1)


def test_one_label_for_each_model_and_sample_where_the_samples_are_as_many_as_the_classes() -> None:
    """Labels (n_models, n_samples) are no one-hot rows, though the last axis is as long."""
    net = pm.Network((2, 4))
    params = tuple(pm.Layer(np.stack([W, W]), np.stack([b, b])) for W, b in pm.init_params(net))
    labels = np.asarray([[0, 1, 2, 3], [3, 2, 1, 0]])
    losses = pm.train(net, params, X, labels, epochs=1).history["loss"][0]
    assert losses == pytest.approx([np.log(4), np.log(4)])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: X.astype(object), "X must hold real numbers, got object"),
        (lambda: X.astype(complex), "X must hold real numbers, got complex128"),
        (lambda: X.astype(str), "X must hold real numbers, got <U32"),
        (lambda: np.ma.masked_array(X), "X must be a plain array, got a MaskedArray"),
        (lambda: np.asmatrix(X), "X must be a plain array, got a matrix"),
    ],
    ids=["object", "complex", "text", "masked", "matrix"],
)
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_inputs_must_be_plain_arrays_of_real_numbers(bad: Callable[[], np.ndarray], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        train("softmax", np.asarray([0, 1, 2, 0]), X=bad())


def test_numbers_that_the_parameters_cannot_hold_are_named() -> None:
    net = pm.Network((2, 3))
    with np.errstate(over="ignore"), pytest.raises(ValueError, match=r"in float32, X\[0, 0\] is inf"):
        pm.train(net, pm.init_params(net, dtype="float32"), X + 1e300, np.asarray([0, 1, 2, 0]))


def test_parameters_are_trained_in_float32_or_float64() -> None:
    net = pm.Network((2, 3))
    params = tuple(pm.Layer(W.astype(np.float16), b.astype(np.float16)) for W, b in pm.init_params(net))
    with pytest.raises(TypeError, match="trained and kept in float32 or float64, got float16"):
        pm.train(net, params, X, np.asarray([0, 1, 2, 0]))


def test_what_is_no_array_is_named() -> None:
    net = pm.Network((2, 3))
    y = np.asarray([0, 1, 2, 0])
    with pytest.raises(TypeError, match=r"params\[0\].W must be an array .*got list"):
        pm.train(net, [([[0.0] * 3] * 2, [0.0] * 3)], X, y)
    with pytest.raises(TypeError, match=r"X must be an array .*got list"):
        pm.train(net, pm.init_params(net), X.tolist(), y)
    for function in (pm.train, pm.loss_and_grad, pm.check_gradient):
        with pytest.raises(TypeError, match=r"y must be an array .*got NoneType"):
            function(net, pm.init_params(net), X, None)
    for call in (pm.forward, pm.predict, functools.partial(pm.train, y=y), functools.partial(pm.loss_and_grad, y=y)):
        with pytest.raises(TypeError, match=r"net must be a Network, got tuple"):
            call((2, 3), pm.init_params(net), X)
    with pytest.raises(TypeError, match=r"net must be a Network, got tuple"):
        pm.init_params((2, 3))


def test_soft_labels_are_taken() -> None:
    train("softmax", np.full((4, 3), 1 / 3))

"""The five systems that the project grew out of: every figure they print, and what they got wrong put right."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from tests.selection import one_in

METHODS = ("forward", "central", "backward")
XOR = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
XOR_ONE_HOT = np.array([[1, 0], [0, 1], [0, 1], [1, 0]])


def assert_prints(lib: Any, actual: Any, figures: Any) -> None:
    """NumPy prints eight decimals, and no zeros at the end: 7.93 stands for 7.93000000."""
    np.testing.assert_allclose(lib.numpy(actual), figures, rtol=lib.rtol, atol=5e-9)


def assert_same(lib: Any, actual: pm.Params, expected: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    for layer, layer_expected in zip(actual, expected, strict=True):
        for got, want in zip(layer, layer_expected, strict=True):
            np.testing.assert_allclose(lib.numpy(got), want, rtol=lib.rtol, atol=lib.rtol * np.max(np.abs(want)))


def on_host(lib: Any, params: pm.Params) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(lib.numpy(W).astype("float64"), lib.numpy(b).astype("float64")) for W, b in params]


def softmax_of(Z: np.ndarray) -> np.ndarray:
    E = np.exp(Z - Z.max(axis=1, keepdims=True))
    return E / E.sum(axis=1, keepdims=True)


def output_layer_alone(lib: Any, n: int, **options: str) -> tuple[pm.Network, pm.Params]:
    """A network whose logits are its inputs."""
    return pm.Network((n, n), **options), lib.params([(np.eye(n), np.zeros(n))])


# ---- 000: tanh, softmax, summed cross-entropy, Xavier normal -------------------------------------------------------


def test_000_xavier_variance_is_two_over_n_plus_m_and_biases_are_zero(lib: Any) -> None:
    net = pm.Network((300, 200, 100), activation="tanh", output="softmax")
    params = pm.init_params(net, scheme="glorot_normal", random_state=0, backend=lib.backend, dtype=lib.dtype)
    for (W, b), n, m in zip(on_host(lib, params), net.sizes[:-1], net.sizes[1:], strict=True):
        assert np.var(W) == pytest.approx(2 / (n + m), rel=0.03)
        assert abs(np.mean(W)) < 4 * math.sqrt(2 / (n + m) / W.size)
        assert np.all(b == 0.0)


def test_000_a_seed_belongs_to_a_call_not_to_every_call(lib: Any) -> None:
    net = pm.Network((5, 5, 5))
    np.random.seed(7)
    state = np.random.get_state()[1].copy()
    drawn = [
        on_host(lib, pm.init_params(net, scheme="glorot_normal", random_state=s, backend=lib.backend, dtype=lib.dtype))
        for s in (0, 0, 1, None, None)
    ]
    assert np.array_equal(state, np.random.get_state()[1])
    first_weights = [layers[0][0] for layers in drawn]
    assert np.array_equal(first_weights[0], first_weights[1])
    assert len({W.tobytes() for W in first_weights}) == 4
    assert not np.array_equal(drawn[0][0][0], drawn[0][1][0])


@pytest.mark.thorough_on("jax")
def test_000_gradients_of_the_sum_follow_the_equations(lib: Any) -> None:
    rng = np.random.RandomState(0)
    net = pm.Network((4, 5, 3), activation="tanh", output="softmax")
    params = pm.init_params(net, scheme="glorot_normal", random_state=0, backend=lib.backend, dtype=lib.dtype)
    X, Y = rng.normal(size=(6, 4)).astype("float32").astype("float64"), np.eye(3, dtype="int64")[rng.randint(3, size=6)]

    (W1, b1), (W2, b2) = on_host(lib, params)
    H = np.tanh(X @ W1 + b1)
    P = softmax_of(H @ W2 + b2)
    delta3 = P - Y
    delta2 = (1 - H**2) * (delta3 @ W2.T)

    loss, grads = pm.loss_and_grad(net, params, lib.array(X), lib.array(Y), reduction="sum")
    assert_prints(lib, loss, -np.sum(Y * np.log(P)))
    assert_same(lib, grads, [(X.T @ delta2, delta2.sum(axis=0)), (H.T @ delta3, delta3.sum(axis=0))])


def test_000_the_softmax_is_shifted_and_overflows_for_no_logit(lib: Any) -> None:
    net, params = output_layer_alone(lib, 2, output="softmax")
    X, Y = lib.array(np.array([[1000.0, 0.0], [-1000.0, 0.0]])), lib.array(np.array([[0, 1], [0, 1]]))
    assert_prints(lib, pm.predict(net, params, X), [[1.0, 0.0], [0.0, 1.0]])
    loss, grads = pm.loss_and_grad(net, params, X, Y, reduction="sum")
    assert_prints(lib, loss, 1000.0)
    assert_prints(lib, grads[0].b, [1.0, -1.0])


# ---- 001: TwoLayerNet ----------------------------------------------------------------------------------------------


def two_layer_net(lib: Any, n_samples: int = 450) -> tuple[pm.Network, pm.Params, np.ndarray, np.ndarray]:
    """Return a network as small at first as the seed's, and samples of ten classes that can be told apart."""
    rng = np.random.RandomState(1)
    net = pm.Network((20, 30, 10), activation="relu", output="softmax")
    params = pm.init_params(net, scheme="normal", std=4e-3, random_state=0, backend=lib.backend, dtype=lib.dtype)
    y = rng.randint(10, size=n_samples)
    X = rng.normal(size=(10, 20))[y] + 0.3 * rng.normal(size=(n_samples, 20))
    return net, params, X, y


@pytest.mark.thorough_on("jax")
def test_001_first_weights_are_small_and_the_first_loss_is_log_k(lib: Any) -> None:
    net, params, X, y = two_layer_net(lib)
    for W, b in on_host(lib, params):
        assert np.std(W) == pytest.approx(4e-3, rel=0.1)
        assert np.all(b == 0.0)
    loss, _ = pm.loss_and_grad(net, params, lib.array(X), lib.array(y))
    assert float(lib.numpy(loss)) == pytest.approx(math.log(10), abs=1e-3)


@pytest.mark.thorough_on("jax")
def test_001_the_hidden_relu_has_an_effect(lib: Any) -> None:
    net = pm.Network((2, 2, 2), activation="relu", output="softmax")
    params = lib.params([(np.array([[1.0, -1.0], [1.0, -1.0]]), np.zeros(2)), (np.eye(2), np.zeros(2))])
    X, y = lib.array(np.array([[1.0, 2.0]])), lib.array(np.array([1]))
    assert_prints(lib, pm.forward(net, params, X)[0], [[3.0, 0.0]])
    _, grads = pm.loss_and_grad(net, params, X, y)
    assert np.all(lib.numpy(grads[0].W)[:, 0] != 0.0)
    assert np.all(lib.numpy(grads[0].W)[:, 1] == 0.0)


@pytest.mark.thorough_on("jax")
def test_001_loss_and_gradients_from_labels_with_the_penalty(lib: Any) -> None:
    net, params, X, y = two_layer_net(lib, 40)
    params = tuple(pm.Layer(50.0 * W, b + 0.1) for W, b in params)  # large enough for the penalty to count
    X, reg = X.astype("float32").astype("float64"), 0.1

    (W1, b1), (W2, b2) = on_host(lib, params)
    Z1 = X @ W1 + b1
    H = np.maximum(Z1, 0.0)
    P = softmax_of(H @ W2 + b2)
    penalty = 0.5 * reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    dZ2 = (P - np.eye(10)[y]) / 40
    dZ1 = (dZ2 @ W2.T) * (Z1 > 0)

    loss, grads = pm.loss_and_grad(net, params, lib.array(X), lib.array(y), l2=reg)
    assert_prints(lib, loss, -np.mean(np.log(P[np.arange(40), y])) + penalty)
    assert_same(lib, grads, [(X.T @ dZ1 + reg * W1, dZ1.sum(axis=0)), (H.T @ dZ2 + reg * W2, dZ2.sum(axis=0))])
    check = pm.check_gradient(net, params, lib.array(X), lib.array(y), l2=reg)
    assert check.passed, str(check)


@pytest.mark.thorough_on("jax")
def test_001_train_takes_the_arguments_of_the_seed(lib: Any) -> None:
    net, params, X, y = two_layer_net(lib)
    seen = []
    result = pm.train(
        net, params, lib.array(X[:400]), lib.array(y[:400]), validation=(lib.array(X[400:]), lib.array(y[400:])),
        solver="sgd", learning_rate=1e-4, schedule="exponential", decay=0.95, l2=5e-6, batch_size=200, epochs=6,
        callbacks=[lambda end: seen.append((end.epoch, len(end.history["loss"])))],
    )  # fmt: skip
    assert result.history["learning_rate"] == pytest.approx([1e-4 * 0.95**epoch for epoch in range(6)], rel=1e-12)
    assert {name: len(values) for name, values in result.history.items()} == dict.fromkeys(
        ("loss", "learning_rate", "samples_per_second", "validation_loss", "validation_score"), 6
    )
    assert (result.n_epochs, result.stopped_because) == (6, "max_epochs")
    assert seen == [(epoch, epoch + 1) for epoch in range(6)]
    for W, b in result.params:
        lib.assert_home(W)
        lib.assert_home(b)


@pytest.mark.thorough_on("jax")
def test_001_train_takes_one_step_for_every_200_samples_and_decays_once_an_epoch(lib: Any) -> None:
    net, params, X, y = two_layer_net(lib)
    X = X.astype("float32").astype("float64")
    result = pm.train(
        net, params, lib.array(X), lib.array(y), solver="sgd", momentum=0.0, learning_rate=0.5, schedule="exponential",
        decay=0.95, l2=1e-3, batch_size=200, epochs=3, shuffle=False,
    )  # fmt: skip
    expected = tuple(pm.Layer(W, b) for W, b in on_host(lib, params))
    for epoch in range(3):
        rate = 0.5 * 0.95**epoch
        for batch in (slice(0, 200), slice(200, 400), slice(400, 450)):
            _, grads = pm.loss_and_grad(net, expected, X[batch], y[batch], l2=1e-3)
            expected = tuple(
                pm.Layer(W - rate * dW, b - rate * db) for (W, b), (dW, db) in zip(expected, grads, strict=True)
            )
    assert_same(lib, result.params, expected)


@pytest.mark.thorough_on("jax")
def test_001_train_learns(lib: Any) -> None:
    net, params, X, y = two_layer_net(lib)
    result = pm.train(
        net, params, lib.array(X[:400]), lib.array(y[:400]), validation=(lib.array(X[400:]), lib.array(y[400:])),
        solver="sgd", learning_rate=0.5, schedule="exponential", decay=0.95, l2=5e-6, batch_size=200, epochs=20,
    )  # fmt: skip
    assert result.history["loss"][0] == pytest.approx(math.log(10), rel=0.02)
    assert result.history["loss"][-1] < 0.1
    assert result.history["validation_score"][-1] > 0.95


# ---- 002: 3-4-2, worked by hand ------------------------------------------------------------------------------------


def worked_by_hand(lib: Any) -> tuple[pm.Network, pm.Params, Any, Any]:
    """Rows here are the seed's columns, so its weights are transposed."""
    W1 = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9], [1.0, 1.1, 1.2]])
    W2 = np.array([[0.2, 0.4, 0.7, 0.3], [0.3, 0.5, 0.2, 0.9]])
    net = pm.Network((3, 4, 2), activation="relu", output="relu", loss="squared_error")
    params = lib.params([(W1.T, np.array([0.1, 0.2, 0.3, 0.4])), (W2.T, np.array([0.4, 0.6]))])
    return net, params, lib.array(np.array([[1.0, 2.0, 3.0]])), lib.array(np.array([[0.5, 0.8]]))


def test_002_every_number_worked_by_hand(lib: Any) -> None:
    net, params, X, Y = worked_by_hand(lib)
    hidden, y_pred = pm.forward(net, params, X)
    assert_prints(lib, hidden, [[1.5, 3.4, 5.3, 7.2]])
    assert_prints(lib, y_pred, [[7.93, 10.29]])
    loss, ((dW1, db1), (dW2, db2)) = pm.loss_and_grad(net, params, X, Y, reduction="sum")
    assert_prints(lib, loss, 72.6325)
    assert_prints(lib, db2, [7.43, 9.49])  # of a single sample: dL/dz2 too
    assert_prints(lib, dW2.T, [[11.145, 25.262, 39.379, 53.496], [14.235, 32.266, 50.297, 68.328]])
    assert_prints(lib, db1, [4.333, 7.717, 7.099, 10.77])
    assert_prints(lib, dW1.T, np.outer([4.333, 7.717, 7.099, 10.77], [1.0, 2.0, 3.0]))


def test_002_the_hidden_relu_is_derived_at_its_own_pre_activation(lib: Any) -> None:
    net, ((W1, b1), output), X, Y = worked_by_hand(lib)
    signs = lib.array(np.array([-1.0, 1.0, 1.0, 1.0]))  # z1 = -1.5 3.4 5.3 7.2, while both z2 stay positive
    params = (pm.Layer(W1 * signs, b1 * signs), output)
    (hidden, y_pred), (_, grads) = pm.forward(net, params, X), pm.loss_and_grad(net, params, X, Y, reduction="sum")
    assert_prints(lib, hidden, [[0.0, 3.4, 5.3, 7.2]])
    assert_prints(lib, y_pred, [[7.63, 9.84]])
    # dL/dz2 = 7.13 9.04; times W2 transposed, and 0 where z1 < 0
    db1 = [0.0, 0.4 * 7.13 + 0.5 * 9.04, 0.7 * 7.13 + 0.2 * 9.04, 0.3 * 7.13 + 0.9 * 9.04]
    assert_prints(lib, grads[0].b, db1)
    assert_prints(lib, grads[0].W.T, np.outer(db1, [1.0, 2.0, 3.0]))


# ---- 003: logistic units, softmax, mean cross-entropy, gradient check ----------------------------------------------


@pytest.mark.parametrize(
    ("Z", "figures"),
    [
        ([[1.0, 2.0]], [[0.26894142, 0.73105858]]),
        ([[1001.0, 1002.0], [3.0, 4.0]], [[0.26894142, 0.73105858], [0.26894142, 0.73105858]]),
        ([[-1001.0, -1002.0]], [[0.73105858, 0.26894142]]),
    ],
)
def test_003_softmax(lib: Any, Z: list[list[float]], figures: list[list[float]]) -> None:
    net, params = output_layer_alone(lib, 2, output="softmax")
    assert_prints(lib, pm.predict(net, params, lib.array(np.array(Z))), figures)


def test_003_logistic_and_its_derivative(lib: Any) -> None:
    net, params = output_layer_alone(lib, 2, output="logistic", loss="squared_error")
    Z = lib.array(np.array([[1.0, 2.0], [-1.0, -2.0]]))
    value = pm.predict(net, params, Z)
    assert_prints(lib, value, [[0.73105858, 0.88079708], [0.26894142, 0.11920292]])
    for i in range(2):
        # Where the error is 1, the gradient of half its square is the derivative alone.
        _, grads = pm.loss_and_grad(net, params, Z[i : i + 1, :], value[i : i + 1, :] - 1.0)
        np.testing.assert_allclose(lib.numpy(grads[0].b), [0.19661193, 0.10499359], rtol=lib.rtol, atol=5e-9)


def test_003_logistic_saturates_and_overflows_for_no_input(lib: Any) -> None:
    net, params = output_layer_alone(lib, 2, output="logistic")
    assert_prints(lib, pm.predict(net, params, lib.array(np.array([[1000.0, -1000.0]]))), [[1.0, 0.0]])


def test_003_parameters_are_packed_layer_by_layer_weights_first(lib: Any) -> None:
    net = pm.Network((10, 5, 10), activation="logistic", output="softmax")
    numbers = np.arange(11.0 * 5 + 6 * 10)
    (W1, b1), (W2, b2) = pm.unpack(net, lib.array(numbers))
    for part, start, shape in ((W1, 0, (10, 5)), (b1, 50, (5,)), (W2, 55, (5, 10)), (b2, 105, (10,))):
        assert np.array_equal(lib.numpy(part), np.arange(start, start + math.prod(shape)).reshape(shape))
    assert np.array_equal(lib.numpy(pm.pack((pm.Layer(W1, b1), pm.Layer(W2, b2)))), numbers)


@pytest.mark.thorough_on("jax")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(), (3,), (4, 5)], ids=["scalar", "vector", "matrix"])
def test_003_check_of_a_sum_of_squares(lib: Any, shape: tuple[int, ...], method: str) -> None:
    host = np.random.RandomState(0).normal(size=shape) if shape else np.asarray(123.456)
    x, xp = lib.array(host), lib.xp
    check = pm.check_gradient_of(lambda x: (xp.sum(x * x), 2.0 * x), x, method=method)
    assert check.passed
    assert (check.n_checked, check.n_skipped) == (host.size, 0)
    last = lib.array(np.arange(host.size).reshape(shape) == host.size - 1)
    wrong = pm.check_gradient_of(lambda x: (xp.sum(x * x), xp.where(last, 1.0 + 3.0 * x, 2.0 * x)), x, method=method)
    assert not wrong.passed
    assert wrong.worst == tuple(size - 1 for size in shape)


def logistic_net(lib: Any) -> tuple[pm.Network, Any, Any, Any]:
    """Return the network that the seed checks, its parameters in one vector, and data with one-hot targets."""
    rng = np.random.RandomState(0)
    net = pm.Network((10, 5, 10), activation="logistic", output="softmax")
    X, Y = rng.normal(size=(20, 10)), np.eye(10)[rng.randint(10, size=20)]
    return net, lib.array(rng.normal(size=115)), lib.array(X), lib.array(Y)


@pytest.mark.thorough_on("jax")
@pytest.mark.parametrize("method", METHODS)
def test_003_the_right_gradient_of_the_network_passes(lib: Any, method: str) -> None:
    net, flat, X, Y = logistic_net(lib)
    check = pm.check_gradient(net, pm.unpack(net, flat), X, Y, method=method)
    assert check.passed, str(check)
    assert (check.n_checked, check.n_skipped) == (115, 0)


@pytest.mark.thorough_on("jax")
def test_003_the_network_can_be_checked_as_a_function_of_its_packed_parameters(lib: Any) -> None:
    net, flat, X, Y = logistic_net(lib)

    def f(flat: Any, error: Any = 0.0) -> tuple[Any, Any]:
        loss, grads = pm.loss_and_grad(net, pm.unpack(net, flat), X, Y)
        return loss, pm.pack(grads) + error

    assert pm.check_gradient_of(f, flat).passed
    wrong = pm.check_gradient_of(lambda flat: f(flat, lib.array(0.5 * (np.arange(115) == 7))), flat)
    assert not wrong.passed
    assert wrong.worst == (7,)


def test_003_mean_cross_entropy_from_labels_equals_that_from_one_hot(lib: Any) -> None:
    net, flat, X, Y = logistic_net(lib)
    params = pm.unpack(net, flat)
    labels = lib.array(lib.numpy(Y).argmax(axis=1))
    (from_labels, grads_from_labels), (from_one_hot, grads) = (pm.loss_and_grad(net, params, X, y) for y in (labels, Y))
    P = lib.numpy(pm.predict(net, params, X)).astype("float64")
    assert_prints(lib, from_labels, -np.mean(np.log(P[np.arange(20), lib.numpy(Y).argmax(axis=1)])))
    assert_prints(lib, from_labels, lib.numpy(from_one_hot))
    assert_same(lib, grads_from_labels, on_host(lib, grads))


# ---- 004: XOR, Glorot uniform, any depth ---------------------------------------------------------------------------


def xor_net(lib: Any, *sizes: int) -> tuple[pm.Network, pm.Params, Any, Any]:
    net = pm.Network(sizes, activation="relu", output="softmax")
    rng = np.random.RandomState(0)
    params = pm.init_params(net, scheme="glorot_uniform", random_state=rng, backend=lib.backend, dtype=lib.dtype)
    return net, params, lib.array(XOR), lib.array(XOR_ONE_HOT)


def test_004_forward_of_the_untrained_network(lib: Any) -> None:
    net, params, X, _ = xor_net(lib, 2, 3, 2)
    proba = pm.predict(net, params, X)
    assert_prints(
        lib, proba, [[0.5, 0.5], [0.52153874, 0.47846126], [0.65079658, 0.34920342], [0.62154818, 0.37845182]]
    )
    assert lib.numpy(proba).argmax(axis=1).tolist() == [0, 0, 0, 0]


def test_004_weights_are_drawn_layer_by_layer_from_one_stream(lib: Any) -> None:
    _, params, _, _ = xor_net(lib, 2, 3, 4, 2)
    rng = np.random.RandomState(0)
    for (W, b), n, m in zip(params, (2, 3, 4), (3, 4, 2), strict=True):
        a = math.sqrt(6 / (n + m))
        assert np.array_equal(lib.numpy(W), rng.uniform(-a, a, (n, m)).astype(lib.dtype))
        assert np.all(lib.numpy(b) == 0.0)


@pytest.mark.parametrize("sizes", one_in(3, [(2, 4, 4, 2), (2, 3, 2), (2, 8, 8, 8, 2)], on="jax"), ids=str)
def test_004_xor_is_learnt_at_any_depth(lib: Any, sizes: tuple[int, ...]) -> None:
    net, params, X, Y = xor_net(lib, *sizes)
    result = pm.train(net, params, X, Y, solver="adam", learning_rate=0.05, epochs=200)
    proba = lib.numpy(pm.predict(net, result.params, X))
    assert proba.argmax(axis=1).tolist() == [0, 1, 1, 0]
    assert result.history["loss"][-1] < 0.05


@pytest.mark.thorough_on("jax")
def test_004_back_propagation_through_three_layers(lib: Any) -> None:
    net, params, X, Y = xor_net(lib, 2, 4, 3, 2)
    params = tuple(pm.Layer(W, b + 0.1) for W, b in params)  # off the kink of the ReLU at X = 0
    (W1, b1), (W2, b2), (W3, b3) = on_host(lib, params)
    Z1 = XOR @ W1 + b1
    X2 = np.maximum(Z1, 0.0)
    Z2 = X2 @ W2 + b2
    X3 = np.maximum(Z2, 0.0)
    delta3 = (softmax_of(X3 @ W3 + b3) - XOR_ONE_HOT) / 4
    delta2 = (delta3 @ W3.T) * (Z2 > 0)
    delta1 = (delta2 @ W2.T) * (Z1 > 0)
    _, grads = pm.loss_and_grad(net, params, X, Y)
    inputs_and_deltas = ((XOR, delta1), (X2, delta2), (X3, delta3))
    assert_same(lib, grads, [(inputs.T @ delta, delta.sum(axis=0)) for inputs, delta in inputs_and_deltas])

"""The gradient check of networks: right gradients pass, each kind of wrong one fails, the worst entry is named."""

import math

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.backends import backend_of
from portable_mlp.kernels import step as training_step
from portable_mlp.kernels.activations import ACTIVATIONS
from portable_mlp.training import network_gradient_check
from portable_mlp.training.network_gradient_check import _gradient, _OnHost
from tests.kernels.tiny_library import to_tiny
from tests.reference import HIDDEN, PAIRS, assert_close, random_problem
from tests.selection import one_in

METHODS = ("forward", "central", "backward")

# --- right gradients pass ------------------------------------------------------------------------------


def problem(activation="tanh", output="softmax", loss=None, *, sizes=(5, 5, 3), **options):
    return random_problem(pm.Network(sizes, activation, output, loss), seed=1, l2=0.1, **options)


def arguments(lib, p):
    return p.net, lib.params(p.params), lib.array(p.X), lib.array(p.y)


@pytest.mark.parametrize("lib", ["numpy-float64", "numpy-float32", "strict-no_float64"], indirect=True)
@pytest.mark.parametrize("activation", HIDDEN)
def test_right_gradients_pass_for_every_output_and_method(lib, activation):
    for i, (output, loss) in enumerate(PAIRS):
        p = problem(activation, output, loss, reduction=("mean", "sum")[i % 2])
        for method in METHODS:
            check = pm.check_gradient(*arguments(lib, p), method=method, **p.options)
            assert check.passed is True, (output, loss, method, str(check))
            assert check.max_relative_error <= check.tolerance
            assert check.n_checked + check.n_skipped == 5 * 5 + 5 + 5 * 3 + 3
            assert check.n_skipped == 0


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_right_gradients_pass_on_every_library(lib, activation):
    p = problem(activation, target="int64-vector")
    check = pm.check_gradient(*arguments(lib, p), **p.options)
    assert check.passed is True, str(check)
    assert all(type(x) is float for x in (check.max_relative_error, check.analytic, check.numerical, check.tolerance))


def error_along_a_random_direction(net, params, X, y, *, seed=0, **options):
    """Return ``|g . v - (f(p + h v) - f(p - h v)) / (2 h)| / |g|`` for a unit vector v: two losses in all."""
    gradient = pm.pack(_gradient(net, params, X, y, **options))
    gradient = backend_of(gradient).to_numpy(gradient).astype(np.float64)
    objective = _OnHost(net, params, X, y, **options)
    v = np.random.default_rng(seed).normal(size=objective.flat.shape)
    v /= np.linalg.norm(v)
    h = 1e-5
    plus, minus = (float(objective.loss(objective.flat + s * h * v)) for s in (1.0, -1.0))
    return abs(float(gradient @ v) - (plus - minus) / (2.0 * h)) / np.linalg.norm(gradient)


@pytest.mark.parametrize("activation", one_in(3, HIDDEN, on="jax"))
def test_right_gradients_agree_along_a_random_direction(lib, activation):
    i = HIDDEN.index(activation)
    # A relu output has kinks, over which a step may fall.
    output, loss = [pair for pair in PAIRS if pair[0] != "relu"][i % 6]
    p = problem(activation, output, loss, reduction=("mean", "sum")[i % 2])
    error = error_along_a_random_direction(*arguments(lib, p), seed=i, **p.options)
    assert error <= (1e-8 if lib.dtype == "float64" else 1e-5)


def test_a_wrong_gradient_shows_along_a_random_direction(monkeypatch):
    p = problem()
    wrong = ACTIVATIONS["tanh"]._replace(backward=WRONG_DERIVATIVES["factor 1.01"])
    monkeypatch.setitem(ACTIVATIONS, "tanh", wrong)
    assert error_along_a_random_direction(p.net, tuple(map(pm.Layer._make, p.params)), p.X, p.y, **p.options) > 1e-6


@pytest.mark.parametrize("sizes", [(3, 2), (3, 4, 4, 2)])
def test_any_depth_passes(sizes):
    p = problem("gelu", sizes=sizes)
    assert pm.check_gradient(*on_numpy(p), **p.options).passed


def test_a_numpy_scalar_as_l2_passes(lib):
    p = problem()
    assert pm.check_gradient(*arguments(lib, p), l2=np.float64(p.l2), reduction=p.reduction).passed


def test_many_parameters_are_moved_in_several_passes(monkeypatch):
    p = problem()
    whole = pm.check_gradient(*on_numpy(p), **p.options)
    monkeypatch.setattr(network_gradient_check, "_ELEMENTS_AT_ONCE", 100)
    parts = pm.check_gradient(*on_numpy(p), **p.options)
    assert parts.n_checked == whole.n_checked == 48
    assert parts.worst == whole.worst
    assert_close(parts.numerical, whole.numerical, rtol=1e-12)


def test_a_library_without_a_backend_file_can_be_checked():
    p = problem("relu")
    params = tuple(pm.Layer(*map(to_tiny, layer)) for layer in p.params)
    assert pm.check_gradient(p.net, params, to_tiny(p.X), to_tiny(p.y), **p.options).passed


def test_arguments_are_left_alone():
    p = problem("relu")
    _, params, X, y = given = on_numpy(p)
    for x in (*(x for layer in params for x in layer), X, y):
        x.flags.writeable = False
    assert pm.check_gradient(*given, **p.options).passed


# --- kinks -------------------------------------------------------------------------------------------------------

XOR = np.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_xor_with_zero_biases_passes_at_the_kink(lib, activation):
    net = pm.Network((2, 4, 2), activation=activation)
    params = pm.init_params(net, random_state=0, backend=lib.backend, dtype=lib.dtype)
    for method in METHODS:
        check = pm.check_gradient(net, params, lib.array(XOR), lib.array(np.asarray([0, 1, 1, 0])), method=method)
        assert check.passed, (method, str(check))
        assert (check.n_checked, check.n_skipped) == (2 * 4 + 4 + 4 * 2 + 2, 0)


@pytest.mark.parametrize("method", METHODS)
def test_a_relu_output_at_its_kink_passes(method):
    net = pm.Network((2, 3), output="relu")
    params = (pm.Layer(np.asarray([[1.0, -1.0, 2.0], [0.5, 0.5, -0.5]]), np.zeros(3)),)
    assert pm.check_gradient(net, params, XOR, np.ones((4, 3)), method=method).passed


def test_a_step_over_a_kink_is_taken_on_the_free_side():
    # The unit sits 1e-9 above its kink, closer than any step: only steps up are free.
    net = pm.Network((1, 1, 1), activation="relu", output="identity")
    params = (pm.Layer(np.asarray([[1.0]]), np.zeros(1)), pm.Layer(np.asarray([[1.0]]), np.zeros(1)))
    check = pm.check_gradient(net, params, np.asarray([[1e-9]]), np.asarray([2.0]))
    assert check.passed, str(check)
    assert (check.n_checked, check.n_skipped) == (4, 0)


def test_entries_without_a_free_side_are_skipped_and_counted():
    # Two samples, x and -x, sit on the kink: moving W either way carries one of them over.
    net = pm.Network((1, 1, 1), activation="relu", output="identity")
    params = (pm.Layer(np.zeros((1, 1)), np.zeros(1)), pm.Layer(np.asarray([[1.0]]), np.zeros(1)))
    check = pm.check_gradient(net, params, np.asarray([[1.0], [-1.0]]), np.asarray([1.0, 1.0]))
    assert check.passed, str(check)
    assert (check.n_checked, check.n_skipped) == (3, 1)
    assert "3 entries compared, 1 skipped" in str(check)


def test_a_check_that_compared_nothing_fails():
    # Moving W or b either way carries one of three samples over the kink of the output.
    net = pm.Network((1, 1), output="relu")
    params = (pm.Layer(np.asarray([[1e-12]]), np.asarray([1.5e-12])),)
    check = pm.check_gradient(net, params, np.asarray([[1.0], [-1.0], [-2.0]]), np.ones(3))
    assert check.passed is False
    assert (check.n_checked, check.n_skipped) == (0, 2)


# --- wrong gradients fail ------------------------------------------------------------------------------


def on_numpy(p):
    return p.net, tuple(pm.Layer(W.copy(), b.copy()) for W, b in p.params), p.X.copy(), p.y.copy()


def break_entry(monkeypatch, layer, part, index, change):
    """Make the backward pass return one changed entry."""
    right = training_step.backward_pass

    def wrong(*given):
        grads = right(*given)
        getattr(grads[layer], part)[index] = change(getattr(grads[layer], part)[index])
        return grads

    monkeypatch.setattr(training_step, "backward_pass", wrong)


ENTRIES = [(0, "W", (0, 0)), (0, "W", (2, 1)), (0, "b", (2,)), (1, "W", (1, 0)), (1, "W", (2, 1)), (1, "b", (1,))]
CHANGES = {
    "sign": lambda g: -g,
    "1.01": lambda g: 1.01 * g,
    "zero": lambda g: 0.0,
    "nan": lambda g: math.nan,
    "inf": lambda g: math.inf,
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_one_wrong_entry_fails_and_is_named(monkeypatch, entry, change, method):
    p = problem("softplus")
    break_entry(monkeypatch, *entry, CHANGES[change])
    check = pm.check_gradient(*on_numpy(p), method=method, **p.options)
    assert check.passed is False
    assert check.worst == entry
    assert "FAILED" in str(check)
    assert str(entry) in str(check)


@pytest.mark.parametrize("lib", ["numpy-float32", "torch-cpu", "strict-no_float64"], indirect=True)
def test_a_wrong_derivative_fails_on_other_libraries(lib, monkeypatch):
    p = problem("softplus")
    monkeypatch.setitem(ACTIVATIONS, "softplus", ACTIVATIONS["softplus"]._replace(backward=lambda xp, dh, z, h: dh))
    check = pm.check_gradient(*arguments(lib, p), **p.options)
    assert not check.passed
    assert check.worst[0] == 0


WRONG_DERIVATIVES = {
    "sign": lambda xp, dh, z, h: -dh * (1.0 - h * h),
    "factor 1.01": lambda xp, dh, z, h: 1.01 * dh * (1.0 - h * h),
    "of z instead of h": lambda xp, dh, z, h: dh * (1.0 - h),
    "forgotten": lambda xp, dh, z, h: dh,
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", WRONG_DERIVATIVES)
def test_a_wrong_derivative_fails_in_the_layer_below(monkeypatch, name, method):
    p = problem("tanh", sizes=(3, 4, 2))
    monkeypatch.setitem(ACTIVATIONS, "tanh", ACTIVATIONS["tanh"]._replace(backward=WRONG_DERIVATIVES[name]))
    check = pm.check_gradient(*on_numpy(p), method=method, **p.options)
    assert not check.passed
    assert check.worst[0] == 0


@pytest.mark.parametrize(
    ("method", "l2"),
    # A one-sided difference has a tolerance of 1e-3, too wide for a small penalty.
    [("central", 1e-4), *((method, l2) for method in METHODS for l2 in (0.1, 10.0))],
)
def test_a_missing_l2_fails_in_a_weight(monkeypatch, method, l2):
    p = problem()
    without = pm.loss_and_grad

    def forgetful(*given, l2, **options):
        return without(*given, l2=l2, **options)[0], without(*given, l2=0.0, **options)[1]

    monkeypatch.setattr(network_gradient_check, "loss_and_grad", forgetful)
    check = pm.check_gradient(*on_numpy(p), method=method, l2=l2)
    assert not check.passed
    assert check.worst[1] == "W"


def test_a_penalty_on_biases_fails_in_a_bias(monkeypatch):
    p = problem()
    right = pm.loss_and_grad

    def greedy(net, params, *given, l2, **options):
        loss, grads = right(net, params, *given, l2=l2, **options)
        return loss, tuple(g._replace(b=g.b + l2 * layer.b) for g, layer in zip(grads, params, strict=True))

    monkeypatch.setattr(network_gradient_check, "loss_and_grad", greedy)
    check = pm.check_gradient(*on_numpy(p), **p.options)
    assert not check.passed
    assert check.worst[1] == "b"


def test_a_missing_divisor_fails(monkeypatch):
    p = problem()
    right = pm.loss_and_grad

    def undivided(*given, reduction, **options):
        return right(*given, reduction="mean", **options)[0], right(*given, reduction="sum", **options)[1]

    monkeypatch.setattr(network_gradient_check, "loss_and_grad", undivided)
    assert not pm.check_gradient(*on_numpy(p), reduction="mean").passed


@pytest.mark.parametrize("layer", [0, 1])
def test_a_transposed_gradient_of_a_square_layer_fails(monkeypatch, layer):
    p = problem("gelu", sizes=(3, 3, 3))
    right = training_step.backward_pass

    def wrong(*given):
        return [g._replace(W=g.W.T) if i == layer else g for i, g in enumerate(right(*given))]

    monkeypatch.setattr(training_step, "backward_pass", wrong)
    check = pm.check_gradient(*on_numpy(p), **p.options)
    assert not check.passed
    assert check.worst[:2] == (layer, "W")
    assert check.worst[2][0] != check.worst[2][1]


def test_nan_everywhere_fails():
    net, params, X, y = on_numpy(problem())
    params[0].W[0, 0] = math.nan
    check = pm.check_gradient(net, params, X, y)
    assert check.passed is False
    assert math.isnan(check.max_relative_error)


def test_the_step_of_a_network_is_the_one_given():
    net = pm.Network((1, 1), output="identity")
    params = (pm.Layer(np.asarray([[0.0]]), np.asarray([0.0])),)
    for method, expected in (("forward", -0.75), ("central", -1.0), ("backward", -1.25)):
        # Of 1/2 (W + b - 1)^2 at 0, by either of the two.
        check = pm.check_gradient(net, params, np.asarray([[1.0]]), np.asarray([1.0]), method=method, step=0.5)
        assert_close(check.numerical, expected, rtol=1e-14)
        assert check.passed == (method == "central")


# --- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0.0, -1e-3, math.nan, math.inf])
def test_a_step_must_be_positive(step):
    p = problem()
    with pytest.raises(ValueError, match=f"step must be positive and finite, got {step}"):
        pm.check_gradient(*on_numpy(p), step=step)


def test_a_method_must_be_known():
    with pytest.raises(ValueError, match="method must be one of 'forward', 'central', 'backward'; got 'complex'"):
        pm.check_gradient(*on_numpy(problem()), method="complex")


def test_one_model_at_a_time():
    net, params, X, y = on_numpy(problem())
    models = tuple(pm.Layer(np.stack([W, W]), np.stack([b, b])) for W, b in params)
    with pytest.raises(ValueError, match="a gradient check takes one model at a time"):
        pm.check_gradient(net, models, X, y)


def test_a_network_call_is_checked():
    net, params, X, y = on_numpy(problem())
    with pytest.raises(ValueError, match=r"l2 must be a finite number, not negative; got -1\.0"):
        pm.check_gradient(net, params, X, y, l2=-1.0)
    with pytest.raises(ValueError, match="X has 2 features"):
        pm.check_gradient(net, params, X[:, :2], y)

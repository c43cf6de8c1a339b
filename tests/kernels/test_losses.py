"""Each loss beside a loop over floats, its gradient beside two autograd engines, its digits beside mpmath."""

import functools

import mpmath
import numpy as np
import pytest
import torch

import portable_mlp as pm
from portable_mlp.kernels.activations import OUTPUTS
from portable_mlp.kernels.losses import LOSSES, natural_loss
from tests import reference
from tests.reference import PAIRS, WRITEABLE, assert_close, float32_exact, random_problem
from tests.selection import one_in


def logits_problem(output, loss, n_outputs=3):
    """Return a problem whose inputs are the logits: one layer, W the identity, b zero."""
    net = pm.Network((n_outputs, n_outputs), output=output, loss=loss)
    return random_problem(net, n_samples=6)._replace(params=[(np.eye(n_outputs), np.zeros(n_outputs))])


def usual_constants(name):
    return {constant: entry.default for constant, entry in LOSSES[name].constants.items()}


def call(lib, name, z, Y, output):
    """Return the losses and the gradient on the host."""
    losses, dz = LOSSES[name].formula(
        lib.xp, lib.array(np.asarray(z)), lib.array(np.asarray(Y)), output, **usual_constants(name)
    )
    return lib.numpy(losses), lib.numpy(dz)


def test_tables_hold_every_pair_once():
    assert {(output, name) for name, loss in LOSSES.items() for output in loss.outputs} == set(PAIRS)
    assert all((output, natural_loss(output)) in PAIRS for output in OUTPUTS)


@pytest.mark.parametrize(("output", "loss"), PAIRS)
def test_values_equal_the_loop(lib, output, loss):
    p = logits_problem(output, loss)
    losses, _ = call(lib, loss, p.X, p.Y, output)
    y_hats = reference.forward(p.net, p.params, p.X)[-1]
    expected = [
        sum(reference.loss_of_unit(loss, y, y_hat) for y, y_hat in zip(*rows, strict=True))
        for rows in zip(p.Y.tolist(), y_hats.tolist(), strict=True)
    ]
    assert_close(losses, expected, rtol=10 * lib.rtol)


@pytest.mark.parametrize(("output", "loss"), PAIRS)
def test_gradient_equals_autograd(lib, output, loss):
    # With one sample and W = 1 x identity the gradient at b is the gradient at the logits.
    p = logits_problem(output, loss)
    _, dz = call(lib, loss, p.X, p.Y, output)
    for s in range(len(p.X)):
        one = p._replace(X=p.X[s : s + 1], Y=p.Y[s : s + 1])
        assert_close(dz[s], reference.torch_gradient(one)[0][1], rtol=10 * lib.rtol)


@pytest.mark.parametrize(("output", "loss"), PAIRS)
def test_gradient_equals_jax(output, loss):
    p = logits_problem(output, loss)
    _, dz = LOSSES[loss].formula(np, p.X, p.Y, output, **usual_constants(loss))
    assert_close(np.sum(dz, axis=0) / len(p.X), reference.jax_gradient(p)[0][1], rtol=1e-12)


@pytest.mark.parametrize("pair", one_in(3, PAIRS, on="jax"))  # which compiles each
def test_models_share_targets_or_have_their_own(lib, pair):
    output, loss = pair
    p = logits_problem(output, loss)
    models = float32_exact(np.stack([p.X, -0.5 * p.X, p.X[::-1], p.X]))
    for Y in (p.Y, np.stack([p.Y, p.Y[::-1], p.Y, p.Y])):
        losses, dz = call(lib, loss, models, Y, output)
        assert losses.shape == (4, 6)
        for m in range(4):
            alone = call(lib, loss, models[m], Y[m] if Y.ndim == 3 else Y, output)
            assert_close(losses[m], alone[0], rtol=lib.rtol)
            assert_close(dz[m], alone[1], rtol=lib.rtol)


@pytest.mark.parametrize("lib", WRITEABLE, indirect=True)
@pytest.mark.parametrize(("output", "loss"), PAIRS)
def test_arguments_are_left_alone(lib, output, loss):
    p = logits_problem(output, loss)
    z, Y = lib.array(p.X.copy()), lib.array(p.Y.copy())
    LOSSES[loss].formula(lib.xp, z, Y, output, **usual_constants(loss))
    assert_close(lib.numpy(z), p.X, rtol=0)
    assert_close(lib.numpy(Y), p.Y, rtol=0)


@pytest.mark.parametrize(("output", "delta"), one_in(3, LOSSES["huber"].outputs, [0.25, 1.0, 3.0]))
def test_huber_equals_torch_and_jax_for_any_delta(lib, output, delta):
    """Of a network with a hidden layer, through its public function; on both sides of delta, and at it."""
    p, expected_loss, gradients = huber_elsewhere(output, delta)
    loss, grads = pm.loss_and_grad(p.net, lib.params(p.params), lib.array(p.X), lib.array(p.Y), reduction="sum")
    assert_close(lib.numpy(loss), expected_loss, rtol=10 * lib.rtol)
    for expected in gradients:
        for found, (dW, db) in zip(grads, expected, strict=True):
            assert_close(lib.numpy(found.W), len(p.X) * dW, rtol=30 * lib.rtol)
            assert_close(lib.numpy(found.b), len(p.X) * db, rtol=30 * lib.rtol)


@functools.cache
def huber_elsewhere(output, delta):
    """Return a problem, its loss by PyTorch, and its mean gradient by PyTorch and by JAX."""
    p = random_problem(pm.Network((4, 5, 3), "tanh", output, "huber", {"delta": delta}), n_samples=40)
    z = np.tanh(p.X @ p.params[0][0] + p.params[0][1]) @ p.params[1][0] + p.params[1][1]
    loss = torch.nn.HuberLoss(reduction="sum", delta=delta)(reference.TORCH[output](torch.tensor(z)), torch.tensor(p.Y))
    return p, loss.numpy(), (reference.torch_gradient(p), reference.jax_gradient(p))


def test_huber_at_delta_and_far_out(lib):
    losses, dz = call(lib, "huber", [[0.0, 1.0, -1e18]] * 6, [[0.0, 0.0, 0.0]] * 6, "identity")
    assert_close(losses, [0.5 + (1e18 - 0.5)] * 6, rtol=lib.rtol)
    assert_close(dz, [[0.0, 1.0, -1.0]] * 6, rtol=0)


HUGE_LOGITS = [
    # output, logits, targets, loss, probabilities
    ("softmax", [1e4, -1e4, 0.0], [1.0, 0.0, 0.0], 0.0, [1.0, 0.0, 0.0]),
    ("softmax", [1e4, -1e4, 0.0], [0.0, 1.0, 0.0], 2e4, [1.0, 0.0, 0.0]),
    ("softmax", [-1e4, 1e4, 1e4], [0.0, 0.0, 1.0], np.log(2.0), [0.0, 0.5, 0.5]),
    ("softmax", [-1e4, -1e4, -1e4], [1.0, 0.0, 0.0], np.log(3.0), [1 / 3, 1 / 3, 1 / 3]),
    ("logistic", [1e4, -1e4, 1e4], [1.0, 0.0, 1.0], 0.0, [1.0, 0.0, 1.0]),
    ("logistic", [1e4, -1e4, 1e4], [0.0, 1.0, 1.0], 2e4, [1.0, 0.0, 1.0]),
    ("logistic", [1e4, 0.0, -1e4], [0.0, 1.0, 0.0], 1e4 + np.log(2.0), [1.0, 0.5, 0.0]),
]


@pytest.mark.parametrize(("output", "z", "Y", "loss", "proba"), HUGE_LOGITS)
def test_huge_logits_stay_finite_and_right(lib, output, z, Y, loss, proba):
    losses, dz = call(lib, natural_loss(output), [z] * 6, [Y] * 6, output)
    assert_close(losses, [loss] * 6, rtol=lib.rtol)
    assert_close(dz, [np.subtract(proba, Y)] * 6, rtol=lib.rtol)


# --- digits ------------------------------------------------------------------------------------------------------


def exact_cross_entropy(z, label):
    return mpmath.log1p(mpmath.fsum(mpmath.exp(mpmath.mpf(v) - z[label]) for j, v in enumerate(z) if j != label))


def exact_binary_cross_entropy(z, Y):
    return mpmath.fsum(mpmath.log1p(mpmath.exp(-v if y else v)) for v, y in zip(map(mpmath.mpf, z), Y, strict=True))


def ulps(got, exact):
    """Return the error in units of the last place of the exact value."""
    return abs(float((mpmath.mpf(float(got)) - exact) / mpmath.mpf(float(np.spacing(float(exact))))))


EXTREME = [[10.0, -10.0], [40.0, 0.0], [0.0, 0.0], [-40.0, 40.0, -40.0], [700.0, 0.0], [1e-9, 0.0], [3.0, 3.0, -30.0]]


def rows_of_logits(n=200):
    rng = np.random.default_rng(5)
    return [rng.uniform(-scale, scale, rng.integers(2, 9)).tolist() for scale in rng.uniform(0.0, 40.0, n)]


def test_cross_entropy_keeps_its_digits():
    """Within 4 ulp, where the differences of logits are exact: a multiple of 2**-40 each."""
    with mpmath.workdps(50):
        for row in EXTREME + rows_of_logits():
            z = np.round(np.asarray(row) * 2.0**40) / 2.0**40
            for label in range(len(z)):
                losses, _ = LOSSES["cross_entropy"].formula(np, z[None, :], np.eye(len(z))[[label]], "softmax")
                assert ulps(losses[0], exact_cross_entropy(z.tolist(), label)) <= 4.0, (row, label)


def test_cross_entropy_of_any_logits_is_limited_by_their_differences():
    """Rounding the largest difference d of two logits costs up to spacing(d) / 2 of the loss, besides the 4 ulp."""
    with mpmath.workdps(50):
        for row in EXTREME + rows_of_logits():
            z = np.asarray(row)
            for label in range(len(z)):
                losses, _ = LOSSES["cross_entropy"].formula(np, z[None, :], np.eye(len(z))[[label]], "softmax")
                exact = exact_cross_entropy(row, label)
                allowed = 4.0 * np.spacing(float(exact)) + 0.5 * np.spacing(np.ptp(z)) * float(exact)
                assert abs(float(losses[0] - exact)) <= allowed, (row, label)


def test_binary_cross_entropy_keeps_its_digits():
    with mpmath.workdps(50):
        for i, row in enumerate(EXTREME + rows_of_logits()):
            z = np.asarray([row])
            for Y in (np.ones(len(row)), np.zeros(len(row)), (np.arange(len(row)) + i) % 2.0):
                losses, _ = LOSSES["binary_cross_entropy"].formula(np, z, Y[None, :], "logistic")
                assert ulps(losses[0], exact_binary_cross_entropy(row, Y)) <= 4.0, (row, Y)


def test_poisson_is_zero_at_its_target_and_takes_zero_counts(lib):
    losses, dz = call(lib, "poisson", [[0.0, 0.0, -30.0]] * 6, [[1.0, 1.0, 0.0]] * 6, "exp")
    assert_close(losses, [np.exp(-30.0)] * 6, rtol=lib.rtol)
    assert_close(dz, [[0.0, 0.0, np.exp(-30.0)]] * 6, rtol=lib.rtol)


@pytest.mark.parametrize("y", [10.0, 1e3, 1e6])
def test_a_good_poisson_fit_has_a_small_loss_in_float32(y):
    """The terms of the deviance are large and nearly cancel; d = 1e-3 off, it is y (e^d - 1 - d)."""
    d = np.float32(np.log(y)) + np.float32(1e-3) - np.log(y)
    z, Y = np.asarray([[np.float32(np.log(y)) + np.float32(1e-3)]], np.float32), np.asarray([[y]], np.float32)
    losses, _ = LOSSES["poisson"].formula(np, z, Y)
    # The logit itself is rounded to 6e-8 of its size, up to 1e-6 here, of a d of 1e-3.
    np.testing.assert_allclose(losses[0], y * (np.expm1(d) - d), rtol=5e-3)

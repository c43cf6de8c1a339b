"""Each activation beside a loop over floats, PyTorch's and JAX's function of the same name, and its own derivative."""

import functools
import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import torch

from portable_mlp.kernels.activations import ACTIVATIONS, ELEMENTWISE_OUTPUTS, OUTPUTS, softmax
from tests import reference
from tests.reference import WRITEABLE, assert_close, float32_exact

FUNCTIONS = {**ACTIVATIONS, **ELEMENTWISE_OUTPUTS}
KINKS = {"relu", "leaky_relu"}

Z = float32_exact(np.linspace(-9.0, 9.0, 36).reshape(4, 9))  # no zero among them
DH = float32_exact(np.random.default_rng(0).normal(size=Z.shape))


def test_tables_name_what_the_interface_promises():
    assert set(ACTIVATIONS) == set(reference.HIDDEN)
    assert list(OUTPUTS) == ["softmax", "identity", "relu", "logistic", "exp"]
    assert {name for name, f in FUNCTIONS.items() if f.has_kink} == KINKS


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_equal_the_loop(lib, name):
    h = FUNCTIONS[name].value(lib.xp, lib.array(Z))
    expected = [[reference.ACTIVATIONS[name](float(z)) for z in row] for row in Z]
    np.testing.assert_allclose(lib.numpy(h), expected, rtol=lib.rtol, atol=lib.rtol)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_and_gradient_equal_torch_and_jax(lib, name):
    f = FUNCTIONS[name]
    for scale in (1.0, 10.0, 1e-3):
        at = points(name, scale)
        z, dh = lib.array(at), lib.array(DH)
        h = f.value(lib.xp, z)
        dz = f.backward(lib.xp, dh, z, h)
        for theirs_h, theirs_dz in autograd(name, scale):
            assert_close(lib.numpy(h), theirs_h, rtol=lib.rtol)
            assert_close(lib.numpy(dz), theirs_dz, rtol=10 * lib.rtol)


def points(name, scale):
    return np.minimum(float32_exact(scale * Z), 9.0 if name == "exp" else 90.0)


@functools.cache
def autograd(name, scale):
    at = points(name, scale)
    return by_torch(name, at), by_jax(name, at)


def by_torch(name, at):
    z = torch.tensor(at, requires_grad=True)
    h = reference.TORCH[name](z)
    h.backward(torch.tensor(DH))
    return h.detach().numpy(), z.grad.numpy()


def by_jax(name, at):
    h, pull_back = jax.vjp(reference.JAX[name], jnp.asarray(at))
    return h, pull_back(jnp.asarray(DH))[0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivative_needs_z_only_where_it_says_so(name):
    f = FUNCTIONS[name]
    h = f.value(np, Z)
    assert_close(f.backward(np, DH, Z if f.needs_z else None, h), by_torch(name, Z)[1], rtol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_overflows_where_the_function_itself_does_not(lib, name):
    f = FUNCTIONS[name]
    extremes = [-1e4, -1e3, -100.0, 80.0, *([1e3, 1e4] if name != "exp" else [])]
    z = lib.array(np.resize(extremes, Z.shape))
    h = f.value(lib.xp, z)
    dz = f.backward(lib.xp, lib.array(DH), z, h)
    assert np.all(np.isfinite(lib.numpy(h)))
    assert np.all(np.isfinite(lib.numpy(dz)))


@pytest.mark.parametrize(("name", "slope"), [("relu", 0.0), ("leaky_relu", 0.01)])
def test_slope_at_a_kink_is_the_left_one(lib, name, slope):
    f = ACTIVATIONS[name]
    zeros = lib.array(np.asarray([0.0, -0.0]))
    h = f.value(lib.xp, zeros)
    assert np.all(lib.numpy(h) == 0.0)
    assert_close(lib.numpy(f.backward(lib.xp, lib.array(np.ones(2)), zeros, h)), [slope] * 2, rtol=1e-7)


def test_logistic_known_values(lib):
    z = lib.array(np.asarray([[1.0, 2.0], [-1.0, -2.0]]))
    f = ACTIVATIONS["logistic"]
    h = f.value(lib.xp, z)
    dz = f.backward(lib.xp, lib.xp.ones_like(z), z, h)
    assert_close(lib.numpy(h), [[0.73105858, 0.88079708], [0.26894142, 0.11920292]], rtol=max(1e-7, lib.rtol))
    assert_close(lib.numpy(dz), [[0.19661193, 0.10499359]] * 2, rtol=max(1e-7, lib.rtol))


@pytest.mark.parametrize("logits", [[1.0, 2.0], [1001.0, 1002.0], [-1001.0, -1002.0]])
def test_softmax_known_values_whatever_the_offset(lib, logits):
    expected = sorted([0.26894142, 0.73105858], reverse=logits[0] > logits[1])
    assert_close(lib.numpy(softmax(lib.xp, lib.array(np.asarray([logits])))), [expected], rtol=max(1e-7, lib.rtol))


def test_softmax_equals_mpmath(lib):
    z = float32_exact(np.random.default_rng(1).normal(0, 3, (2, 5, 4)))
    with mpmath.workdps(50):
        e = [[[mpmath.exp(float(v)) for v in row] for row in matrix] for matrix in z]
        expected = [[[float(v / mpmath.fsum(row)) for v in row] for row in matrix] for matrix in e]
    proba = lib.numpy(softmax(lib.xp, lib.array(z)))
    np.testing.assert_allclose(proba, expected, rtol=lib.rtol)
    assert_close(proba.sum(axis=-1), np.ones((2, 5)), rtol=lib.rtol)


@pytest.mark.parametrize("lib", WRITEABLE, indirect=True)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_are_left_alone(lib, name):
    f = FUNCTIONS[name]
    z, dh = lib.array(Z.copy()), lib.array(DH.copy())
    h = f.value(lib.xp, z)
    h_before = lib.numpy(h).copy()
    f.backward(lib.xp, dh, z, h)
    assert_close(lib.numpy(z), Z, rtol=0)
    assert_close(lib.numpy(dh), DH, rtol=0)
    assert_close(lib.numpy(h), h_before, rtol=0)


def test_small_terms_keep_their_digits():
    z = np.asarray([1e-12, -1e-12])
    assert_close(ACTIVATIONS["elu"].value(np, z), [1e-12, math.expm1(-1e-12)], rtol=1e-15)
    line = np.asarray([20.5, 25.0])
    assert_close(ACTIVATIONS["softplus"].value(np, line) - line, np.exp(-line), rtol=1e-5)
    far = np.asarray([-40.0])
    h = ACTIVATIONS["softplus"].value(np, far)
    assert_close(h, [math.exp(-40.0)], rtol=1e-14)
    assert_close(ACTIVATIONS["softplus"].backward(np, np.ones(1), far, h), [math.exp(-40.0)], rtol=1e-14)

"""The gradient check of plain functions: right slopes pass, wrong ones fail, and the worst entry is named."""

import math

import numpy as np
import pytest

import portable_mlp as pm
from tests.reference import assert_close

METHODS = ("forward", "central", "backward")

POINTS = {
    "float": 123.456,
    "scalar": np.asarray(123.456),
    "NumPy scalar": np.float64(-0.5),
    "vector": np.asarray([1.0, -2.0, 0.0]),
    "matrix": np.linspace(-3.0, 3.0, 20).reshape(4, 5),
    "cube": np.linspace(-3.0, 3.0, 24).reshape(2, 3, 4),
}


def square(x):
    """Return the sum of squares, and its gradient."""
    return np.sum(x**2) if np.ndim(x) else x**2, 2.0 * x


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("point", POINTS)
def test_the_square_passes_at_a_point_of_any_shape(point, method):
    check = pm.check_gradient_of(square, POINTS[point], method=method)
    assert check.passed is True, str(check)
    assert check.n_checked == np.size(POINTS[point])
    assert len(check.worst) == np.ndim(POINTS[point])


def test_functions_of_every_library_are_checked(lib):
    for host in (np.asarray(123.456), np.asarray([1.0, -2.0, 0.5]), np.linspace(-3.0, 3.0, 20).reshape(4, 5)):
        x = lib.array(host)
        check = pm.check_gradient_of(lambda x: (lib.xp.sum(x**2), 2.0 * x), x)
        assert check.passed, str(check)
        wrong = pm.check_gradient_of(lambda x: (lib.xp.sum(x**2), 3.0 * x), x)
        assert not wrong.passed


def test_a_numpy_scalar_may_be_the_step(lib):
    for host in (np.asarray(1.5), np.asarray([1.0, -2.0, 0.5])):
        x = lib.array(host)
        assert pm.check_gradient_of(lambda x: (lib.xp.sum(x**2), 2.0 * x), x, step=np.float64(0.01)).passed


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("index", [(0, 0), (1, 4), (3, 2)])
def test_one_wrong_entry_of_a_function_is_named(method, index):
    def wrong(x):
        gradient = 2.0 * x
        gradient[index] *= 1.01
        return np.sum(x**2), gradient

    check = pm.check_gradient_of(wrong, np.linspace(-3.0, 3.1, 20).reshape(4, 5), method=method)
    assert not check.passed
    assert check.worst == index
    assert_close(check.analytic, 1.01 * check.numerical, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_passes_with_a_gradient_of_zero(method):
    check = pm.check_gradient_of(lambda x: (5.0, np.zeros_like(x)), np.ones(3), method=method)
    assert check.passed is True, str(check)
    assert (check.n_checked, check.n_skipped) == (3, 0)
    assert not pm.check_gradient_of(lambda x: (5.0, np.ones_like(x)), np.ones(3), method=method).passed


@pytest.mark.parametrize("point", ["float", "scalar"])
@pytest.mark.parametrize("slope", [-2.0, 1.98, 0.0, math.nan, math.inf])
def test_a_wrong_slope_of_a_scalar_fails(point, slope):
    check = pm.check_gradient_of(lambda x: (x**2, slope * x), POINTS[point])
    assert check.passed is False
    assert check.worst == ()


def test_the_differences_have_their_formulas():
    steps = {"forward": 3.5, "central": 3.0, "backward": 2.5}  # of x^2 + x at 1, with a step of 1/2
    for method, expected in steps.items():
        check = pm.check_gradient_of(lambda x: (x * x + x, 2.0 * x + 1.0), 1.0, method=method, step=0.5)
        assert_close(check.numerical, expected, rtol=1e-14)
        assert_close(check.analytic, 3.0, rtol=1e-14)
        assert check.passed == (method == "central")


@pytest.mark.parametrize("step", [0.0, -1e-3, math.nan, math.inf])
def test_a_step_must_be_positive(step):
    with pytest.raises(ValueError, match=f"step must be positive and finite, got {step}"):
        pm.check_gradient_of(square, 1.0, step=step)
    with pytest.raises(TypeError, match="step must be a number, got '1e-3'"):
        pm.check_gradient_of(square, 1.0, step="1e-3")


def test_a_method_must_be_known():
    with pytest.raises(ValueError, match="method must be one of 'forward', 'central', 'backward'; got 'complex'"):
        pm.check_gradient_of(square, 1.0, method="complex")


@pytest.mark.parametrize(
    ("error", "f", "x", "message"),
    [
        (ValueError, lambda x: (np.sum(x), np.ones(2)), np.ones(3), r"gradient of the shape of x, \(3,\); got \(2,\)"),
        (ValueError, lambda x: (np.sum(x), 1.0), np.ones(3), r"gradient of the shape of x, \(3,\); got \(\)"),
        (ValueError, lambda x: (x, np.ones(1)), 1.0, r"gradient of the shape of x, \(\); got \(1,\)"),
        (ValueError, square, np.ones((0, 3)), r"x is empty: its shape is \(0, 3\)"),
        (TypeError, square, np.ones(3, dtype=int), "x must be real floating, got int64"),
        (TypeError, square, np.ones(3, dtype=complex), "x must be real floating, got complex128"),
        (TypeError, lambda x: (sum(x), [1.0] * len(x)), [1.0, 2.0], "x must be .*float.*"),
    ],
    ids=["short gradient", "a number", "a vector", "empty", "integers", "complex", "a list"],
)
def test_a_point_and_its_gradient_must_fit(error, f, x, message):
    with pytest.raises(error, match=message):
        pm.check_gradient_of(f, x)


def test_what_rounding_hides_is_not_passed():
    check = pm.check_gradient_of(lambda x: (1e10 + np.sum(x**2), 3 * x), np.ones(3))
    assert not check.passed
    assert (check.n_checked, check.n_skipped) == (0, 3)


def test_a_gradient_in_reused_memory_is_read_in_time():
    memory = np.zeros(3)

    def f(x):
        memory[:] = 2 * x
        return np.sum(x**2), memory

    assert pm.check_gradient_of(f, np.ones(3), step=1e-2).passed


def test_an_int_is_a_point():
    assert pm.check_gradient_of(lambda x: (x**2, 2 * x), 3).passed

"""Optimizers beside torch.optim: fifty steps on random gradients, with a learning rate that changes."""

import functools

import jax
import numpy as np
import pytest
import torch
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from portable_mlp.kernels import optimizers
from portable_mlp.kernels.optimizers import adam, sgd
from tests.reference import assert_close, float32_exact

N_STEPS = 50
P0 = float32_exact(np.random.default_rng(0).normal(size=11))
GRADIENTS = float32_exact(np.random.default_rng(1).normal(size=(N_STEPS, 11)))

OPTIMIZERS = {
    "plain": (lambda: sgd(momentum=0.0), functools.partial(torch.optim.SGD)),
    "plain, nesterov": (lambda: sgd(momentum=0.0, nesterov=True), functools.partial(torch.optim.SGD)),
    "momentum": (lambda: sgd(momentum=0.8, nesterov=False), functools.partial(torch.optim.SGD, momentum=0.8)),
    "nesterov": (lambda: sgd(), functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True)),
    "adam": (lambda: adam(), functools.partial(torch.optim.Adam)),
    "adam, other constants": (
        lambda: adam(beta_1=0.5, beta_2=0.7, epsilon=0.1),
        functools.partial(torch.optim.Adam, betas=(0.5, 0.7), eps=0.1),
    ),
}

RATES = {
    "constant": [0.05] * N_STEPS,
    "changing": [0.05 * 0.9**t for t in range(20)] + [0.1] * 20 + [1e-4] * 10,
}


def by_torch(name, rates):
    p = torch.tensor(P0, requires_grad=True)
    optimizer = OPTIMIZERS[name][1]([p], lr=rates[0])
    for rate, g in zip(rates, GRADIENTS, strict=False):
        optimizer.param_groups[0]["lr"] = rate
        p.grad = torch.tensor(g)
        optimizer.step()
    return p.detach().numpy()


def steps(xp, optimizer, p, gradients, rates):
    """Take all steps; return the parameters and the state."""
    state = optimizer.init(xp, p)
    for t, (rate, g) in enumerate(zip(rates, gradients, strict=False), start=1):
        p, state = optimizer.update(xp, p, g, state, optimizer.scalars(t, rate))
    return p, state


def test_every_formula_is_compared_with_torch():
    compared = {make().formula for make, _ in OPTIMIZERS.values()}
    assert {entry.make().formula for entry in optimizers.OPTIMIZERS.values()} <= compared


@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fifty_steps_equal_torch(lib, name, rates):
    p, state = steps(lib.xp, OPTIMIZERS[name][0](), lib.array(P0), [lib.array(g) for g in GRADIENTS], RATES[rates])
    rtol = 1e-13 if lib.dtype == "float64" else lib.rtol
    assert_close(lib.numpy(p), by_torch(name, RATES[rates]), rtol=rtol)
    for x in state:
        assert lib.numpy(x).shape == P0.shape


AS_SCIKIT_LEARN = {
    "momentum": (
        lambda: sgd(0.8, False, rate_in_velocity=True),
        lambda p: SGDOptimizer([p], momentum=0.8, nesterov=False),
    ),
    "nesterov": (lambda: sgd(0.9, True, rate_in_velocity=True), lambda p: SGDOptimizer([p], momentum=0.9)),
    "plain": (lambda: sgd(0.0, True, rate_in_velocity=True), lambda p: SGDOptimizer([p], momentum=0.0)),
    "adam": (lambda: adam(0.8, 0.95, 1e-3, correct_epsilon=False), lambda p: AdamOptimizer([p], 1.0, 0.8, 0.95, 1e-3)),
}


@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("name", AS_SCIKIT_LEARN)
def test_fifty_steps_equal_scikit_learn(lib, name, rates):
    """The velocity that keeps old rates, and the epsilon that is not corrected; on NumPy to the last bit."""
    optimizer, theirs = AS_SCIKIT_LEARN[name][0](), AS_SCIKIT_LEARN[name][1](P0)
    expected = P0.copy()
    for rate, g in zip(RATES[rates], GRADIENTS, strict=True):
        theirs.learning_rate = theirs.learning_rate_init = rate
        theirs.update_params([expected], [g])
    p, _ = steps(lib.xp, optimizer, lib.array(P0), [lib.array(g) for g in GRADIENTS], RATES[rates])
    bitwise = lib.backend.name in ("numpy", "strict") and lib.dtype == "float64"
    assert_close(lib.numpy(p), expected, rtol=0.0 if bitwise else 10 * lib.rtol)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_scalars_are_plain_floats(name):
    optimizer = OPTIMIZERS[name][0]()
    assert all(type(x) is float for t in (1, 2, 10_000) for x in optimizer.scalars(t, 0.1))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_rate_of_zero_stands_still_and_goes_on_as_in_torch(name):
    rates = [0.1, 0.1, 0.0]
    optimizer = OPTIMIZERS[name][0]()
    assert_close(steps(np, optimizer, P0, GRADIENTS, rates[:2])[0], by_torch(name, rates[:2]), rtol=1e-13)
    assert_close(steps(np, optimizer, P0, GRADIENTS, rates)[0], by_torch(name, rates[:2]), rtol=1e-13)
    rates += [0.1, 0.05]
    assert_close(steps(np, optimizer, P0, GRADIENTS, rates)[0], by_torch(name, rates), rtol=1e-13)
    rates = [0.0, 0.0, *rates]
    assert_close(steps(np, optimizer, P0, GRADIENTS, rates)[0], by_torch(name, rates), rtol=1e-13)


@pytest.mark.parametrize(
    "optimizer",
    [
        # Made when the test runs, and of numbers that no other test takes: equal arguments may share an optimizer.
        lambda: sgd(momentum=np.float64(0.37)),
        lambda: sgd(momentum=np.float64(0.37), nesterov=False),
        lambda: adam(beta_1=np.float64(0.37), beta_2=np.float64(0.73), epsilon=np.float64(1e-7)),
    ],
    ids=["nesterov", "momentum", "adam"],
)
def test_numpy_scalars_do_not_widen_float32(optimizer):
    p, state = steps(np, optimizer(), P0.astype(np.float32), GRADIENTS[:3].astype(np.float32), [0.1, 0.1, 0.1])
    assert {x.dtype for x in (p, *state)} == {np.dtype("float32")}


@pytest.mark.parametrize("make", [lambda x: sgd(momentum=x), lambda x: adam(beta_1=x)], ids=["sgd", "adam"])
def test_an_optimizer_does_not_depend_on_those_made_before(make):
    make(np.float64(0.61))
    p, _ = steps(np, make(0.61), P0.astype(np.float32), GRADIENTS[:3].astype(np.float32), [0.1, 0.1, 0.1])
    assert p.dtype == np.float32


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_jit_compiles_one_update_for_all_steps(name):
    optimizer = OPTIMIZERS[name][0]()
    n_traces = 0

    def update(p, g, state, scalars):
        nonlocal n_traces
        n_traces += 1
        return optimizer.update(jax.numpy, p, g, state, scalars)

    p, compiled = jax.numpy.asarray(P0), jax.jit(update)
    state = optimizer.init(jax.numpy, p)
    for t in range(1, 6):
        p, state = compiled(p, jax.numpy.asarray(GRADIENTS[t]), state, optimizer.scalars(t, 0.1 / t))
    assert n_traces == 1
    uncompiled = P0
    state = optimizer.init(np, uncompiled)
    for t in range(1, 6):
        uncompiled, state = optimizer.update(np, uncompiled, GRADIENTS[t], state, optimizer.scalars(t, 0.1 / t))
    assert_close(p, uncompiled, rtol=1e-13)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_arguments_are_left_alone_and_not_shared(lib, name):
    optimizer = OPTIMIZERS[name][0]()
    p, g = lib.array(P0.copy()), lib.array(GRADIENTS[0].copy())
    state = optimizer.init(lib.xp, p)
    _, state = optimizer.update(lib.xp, p, g, state, optimizer.scalars(1, 0.1))
    before = [lib.numpy(x).copy() for x in (p, g, *state)]
    moved = optimizer.update(lib.xp, p, g, state, optimizer.scalars(2, 0.1))
    for x, y in zip((p, g, *state), before, strict=True):
        assert_close(lib.numpy(x), y, rtol=0)
    if lib.backend.name == "numpy":
        for new in (moved[0], *moved[1]):
            assert not any(np.shares_memory(new, old) for old in (p, g, *state))

"""PyTorch's own primitives beside the portable ones: the same numbers, to a few units in the last place."""

import itertools
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import pytest
import torch

import portable_mlp as pm
from portable_mlp.backends._torch_primitives import _IN_PLACE, torch_primitives
from portable_mlp.kernels.activations import ACTIVATIONS
from portable_mlp.kernels.optimizers import adam, sgd
from portable_mlp.kernels.primitives import GradientSums, portable
from portable_mlp.kernels.workspace import make_workspace

from .optimizers import OPTIMIZERS

OPS, PORTABLE = torch_primitives(), portable(xp)
RNG = np.random.default_rng(0)
SHAPES = [(1, 1), (9, 4), (3, 6, 5)]


def numbers(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.asarray(RNG.normal(size=shape)).to(dtype)


def close(found: Any, expected: Any) -> None:
    assert found.dtype == expected.dtype
    eps = torch.finfo(found.dtype).eps
    torch.testing.assert_close(found, expected, rtol=16 * eps, atol=4 * eps)


@pytest.mark.parametrize(("activation", "shape"), list(itertools.product(ACTIVATIONS, SHAPES)))
def test_activations(activation: str, shape: tuple[int, ...]) -> None:
    z, b, dh = numbers(*shape), numbers(*shape[:-2], shape[-1]), numbers(*shape)
    expected_h, expected_z = PORTABLE.activate(activation, z, b)
    h, kept = OPS.activate(activation, z.clone(), b)
    close(h, expected_h)
    close(OPS.d_activate(activation, dh.clone(), kept, h), PORTABLE.d_activate(activation, dh, expected_z, expected_h))


@pytest.mark.parametrize(("output", "shape"), list(itertools.product(["softmax", "logistic", "identity"], SHAPES)))
def test_losses(output: str, shape: tuple[int, ...]) -> None:
    net = pm.Network((2, shape[-1]), output=output)
    labels = torch.asarray(RNG.integers(0, shape[-1], size=(*shape[:-1], 1)))
    Y = torch.full(shape, torch.nan, dtype=torch.float64)
    assert OPS.one_hot(labels, shape[-1], Y.dtype, Y) is Y
    close(Y, PORTABLE.one_hot(labels, shape[-1], Y.dtype))
    close(OPS.one_hot(labels, shape[-1], Y.dtype), Y)
    for scale in (1.0, 40.0):  # a sure network's loss is tiny
        z = scale * numbers(*shape)
        for found, expected in zip(
            OPS.sample_losses(net, z.clone(), Y), PORTABLE.sample_losses(net, z, Y), strict=True
        ):
            close(found, expected)
        close(OPS.total(z[..., 0]), PORTABLE.total(z[..., 0]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("strength", "divisor"), [(0.0, 1.0), (0.3, 7.0)])
@pytest.mark.parametrize("models", [(), (3,)])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_descents(optimizer: str, models: tuple[int, ...], strength: float, divisor: float, dtype: torch.dtype) -> None:
    chosen, net = OPTIMIZERS[optimizer], pm.Network((5, 4, 3))
    expected = numbers(*models, 39, dtype=dtype)
    parameters = expected.clone()
    workspace = make_workspace(xp, net, parameters, 6)
    state, expected_state = chosen.init(xp, parameters), chosen.init(xp, parameters)
    for t in range(1, 6):
        sums, scalars = numbers(*models, 39, dtype=dtype), chosen.scalars(t, 0.01 * t)
        workspace.gradient.copy_(sums)
        alone = GradientSums(pm.unpack(net, expected), pm.unpack(net, sums.clone()), strength, divisor)
        expected, expected_state = PORTABLE.reduce_and_update(chosen, expected, alone, expected_state, scalars)
        in_workspace = GradientSums(workspace.params, workspace.grads, strength, divisor)
        returned, state = OPS.reduce_and_update(chosen, parameters, in_workspace, state, scalars, workspace)
        assert returned is parameters
        close(parameters, expected)
        for found, wanted in zip(state, expected_state, strict=True):
            close(found, wanted)


def test_samples_products_and_sums_are_written_into_memory() -> None:
    x, rows = numbers(9, 4), torch.asarray([3, 8, 0, 3])
    for write, expected in (
        (lambda out: OPS.take(x, rows, -2, out), x[rows]),
        (lambda out: OPS.matmul(x, x.mT, out), x @ x.T),
        (lambda out: OPS.sum_samples(x, out), x.sum(0)),
    ):
        memory = torch.full_like(expected, torch.nan)
        assert write(memory) is memory
        close(memory, expected)
    close(OPS.take(x, rows, 0), x[rows])


def test_every_portable_formula_that_torch_users_meet_is_written_in_place() -> None:
    in_train = {sgd(0.0).formula, sgd(0.9, nesterov=False).formula, sgd(0.9).formula, adam().formula}
    assert set(_IN_PLACE) == in_train

"""PyTorch's own primitives beside the portable ones: the same numbers, to a few units in the last place."""

import itertools
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import pytest
import torch

import portable_mlp as pm
from portable_mlp.backends._torch_activations import own_activation
from portable_mlp.backends._torch_optimizers import _FUSED, _IN_PLACE, recordable
from portable_mlp.backends._torch_primitives import torch_primitives
from portable_mlp.estimators.losses import REPORTED
from portable_mlp.kernels.activations import ACTIVATIONS
from portable_mlp.kernels.losses import LOSSES
from portable_mlp.kernels.optimizers import adam, sgd
from portable_mlp.kernels.primitives import GradientSums, portable
from portable_mlp.kernels.step import Objective, Program
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


@pytest.mark.parametrize("kind", ["labels", "labels that models share", "rows"])
@pytest.mark.parametrize("divisor", [1.0, 9.0, torch.tensor(7.5, dtype=torch.float64)], ids=["sum", "mean", "weight"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(9, 4), (3, 9, 4)])
def test_the_loss_of_labels(shape: tuple[int, ...], weighted: bool, divisor: Any, kind: str) -> None:
    net = pm.Network((2, 4))
    labels = torch.asarray(RNG.integers(0, 4, size=(*(shape[-2:-1] if "share" in kind else shape[:-1]), 1)))
    rows = PORTABLE.one_hot(labels, 4, torch.float64)
    weights = torch.asarray(RNG.uniform(0.5, 2.0, size=9)) if weighted else None
    z, b = numbers(*shape), numbers(*shape[:-2], 4)
    loss, dz, _ = PORTABLE.output_losses(net, z, b, rows, weights, divisor)
    found, found_dz, _ = OPS.output_losses(net, z.clone(), b, rows if kind == "rows" else labels, weights, divisor)
    close(found_dz, dz)
    close(OPS.averaged(found, divisor), PORTABLE.averaged(loss, divisor))
    assert OPS.takes_labels(net)
    assert not OPS.takes_labels(pm.Network((2, 4), output="logistic"))


@pytest.mark.parametrize("loss", REPORTED)
@pytest.mark.parametrize("weighted", [False, True])
def test_reported_losses(loss: str, weighted: bool) -> None:
    net = pm.Network((2, 4), output=LOSSES[loss].outputs[0], loss=loss)
    z, b, Y = numbers(9, 4), numbers(4), torch.asarray(RNG.dirichlet(np.ones(4), size=9))
    labels = torch.asarray(RNG.integers(0, 4, size=(9, 1)))
    if net.output == "softmax":
        z[:2] = torch.eye(4)[:2] * 100.0  # a sure prediction that is right, and one that is wrong
        labels[:2, 0] = torch.asarray([0, 2])
    weights = torch.asarray(RNG.uniform(0.5, 2.0, size=9)) if weighted else None
    for targets in [Y, labels] if OPS.takes_labels(net, REPORTED[loss]) else [Y]:
        rows = PORTABLE.one_hot(targets, 4, torch.float64) if targets is labels else targets
        expected, expected_dz, _ = PORTABLE.reported_losses(REPORTED[loss], z, b, rows, weights, 9.0)
        found, dz, _ = OPS.reported_losses(REPORTED[loss], z.clone(), b, targets, weights, 9.0)
        close(OPS.averaged(found, 9.0), expected.mean)
        close(dz, expected_dz)


@pytest.mark.parametrize("how", ["plain", "recorded", "without fused optimizers"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("strength", "divisor"), [(0.0, 1.0), (0.3, 7.0), (0.3, 7.1)])
@pytest.mark.parametrize("models", [(), (3,)])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_descents(
    optimizer: str,
    models: tuple[int, ...],
    strength: float,
    divisor: float,
    dtype: torch.dtype,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fused where it can be, as a recorded step takes its numbers from the device, and in place."""
    if how == "without fused optimizers":
        monkeypatch.delattr(torch, "_fused_adam_")
    net = pm.Network((5, 4, 3))
    formula = OPTIMIZERS[optimizer]
    chosen = recordable(Program(Objective(net), formula)).optimizer if how == "recorded" else formula
    expected = numbers(*models, 39, dtype=dtype)
    parameters = OPS.from_flat(net, expected)
    workspace = make_workspace(xp, net, parameters, 6, layers=OPS.layers)
    state, expected_state = chosen.init(xp, parameters), chosen.init(xp, parameters)
    for t in range(1, 6):
        sums, scalars = numbers(*models, 39, dtype=dtype), formula.scalars(t, 0.01 * t)
        workspace.gradient.copy_(OPS.from_flat(net, sums))
        alone = GradientSums(pm.unpack(net, expected), pm.unpack(net, sums.clone()), strength, divisor)
        expected, expected_state = PORTABLE.reduce_and_update(formula, expected, alone, expected_state, scalars)
        in_workspace = GradientSums(workspace.params, workspace.grads, strength, divisor)
        given: Any = chosen.scalars(t, 0.01 * t)
        if how == "recorded":
            given = torch.tensor(given, dtype=dtype)
        returned, state = OPS.reduce_and_update(chosen, parameters, in_workspace, state, given, workspace)
        assert returned is parameters
        close(OPS.to_flat(net, parameters), expected)
        for found, wanted in zip(state, expected_state, strict=True):
            close(OPS.to_flat(net, found), wanted)


def test_parameters_are_kept_weights_first() -> None:
    net, flat = pm.Network((2, 3, 1)), torch.arange(13.0)
    kept = OPS.from_flat(net, flat)
    assert kept.tolist() == [0, 1, 2, 3, 4, 5, 9, 10, 11, 6, 7, 8, 12]
    assert torch.equal(OPS.to_flat(net, kept), flat)
    layers = OPS.layers(net, kept)
    layers[1].W.zero_()
    assert kept[6:9].tolist() == [0, 0, 0]
    for found, expected in zip(OPS.layers(net, OPS.from_flat(net, flat)), pm.unpack(net, flat), strict=True):
        assert torch.equal(found.W, expected.W)
        assert torch.equal(found.b, expected.b)


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


def test_every_formula_is_written_in_place_and_those_of_torch_are_fused() -> None:
    assert set(_IN_PLACE) == {optimizer.formula for optimizer in OPTIMIZERS.values()}
    assert set(_FUSED) == {sgd(0.0).formula, sgd(0.9, nesterov=False).formula, sgd(0.9).formula, adam().formula}


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"identity", "softplus"}))
def test_a_name_with_another_formula_is_computed_by_it(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_activation(activation) is not None
    entry = ACTIVATIONS[activation]
    monkeypatch.setitem(ACTIVATIONS, activation, entry._replace(value=lambda xp, z: 2.0 * z))
    assert own_activation(activation) is None
    h, _ = OPS.activate(activation, torch.ones(1, 1), torch.ones(1))
    assert h.item() == 4.0


def test_far_from_zero_derivatives_are_finite() -> None:
    z = torch.tensor([[-1e30, -200.0, 0.0, 200.0, 1e30]])
    for name, entry in ACTIVATIONS.items():
        h, kept = OPS.activate(name, z.clone(), torch.zeros(5))
        found = OPS.d_activate(name, torch.ones_like(z), kept, h)
        close(found, entry.backward(xp, torch.ones_like(z), z, entry.value(xp, z)))

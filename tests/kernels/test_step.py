"""The objective of a step beside PyTorch's autograd: weights, dropout masks, and both places for the penalty."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import portable_mlp as pm
from portable_mlp.estimators.losses import REPORTED
from portable_mlp.kernels.primitives import portable
from portable_mlp.kernels.step import Objective, make_objective
from portable_mlp.training.batches import Data
from tests.reference import assert_close, float32_exact
from tests.selection import one_in

RNG = np.random.default_rng(0)
NETS = {
    "softmax": pm.Network((4, 6, 5, 3), ("tanh", "relu")),
    "logistic": pm.Network((4, 6, 5, 3), ("gelu", "silu"), output="logistic"),
    "identity": pm.Network((4, 6, 5, 3), ("relu", "logistic"), output="identity"),
    "exp": pm.Network((4, 6, 5, 3), ("elu", "softplus"), output="exp"),
}
X = float32_exact(RNG.normal(size=(9, 4)))
WEIGHTS = float32_exact(RNG.uniform(0.2, 2.0, size=9))
MASKS = [float32_exact(RNG.integers(0, 2, size=(9, units)) * 1.25) for units in (6, 5)]
TARGETS = {
    "softmax": np.eye(3)[RNG.integers(0, 3, size=9)],
    "logistic": RNG.integers(0, 2, size=(9, 3)).astype(float),
    "identity": float32_exact(RNG.normal(size=(9, 3))),
    "exp": RNG.integers(0, 4, size=(9, 3)).astype(float),
}
L2 = 0.25

ACTIVATIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": lambda z: torch.nn.functional.gelu(z, approximate="tanh"),
    "silu": torch.nn.functional.silu,
    "logistic": torch.sigmoid,
    "elu": torch.nn.functional.elu,
    "softplus": torch.nn.functional.softplus,
}
LOSSES = {
    "softmax": lambda z, Y: -(Y * torch.log_softmax(z, dim=1)).sum(dim=1),
    "logistic": lambda z, Y: torch.nn.functional.binary_cross_entropy_with_logits(z, Y, reduction="none").sum(dim=1),
    "identity": lambda z, Y: 0.5 * ((z - Y) ** 2).sum(dim=1),
    "exp": lambda z, Y: (torch.xlogy(Y, Y) - Y * z - Y + torch.exp(z)).sum(dim=1),
}


FLAGS = [(False, False, False), (True, False, True), (False, True, True), (True, True, False)]
"""Whether samples have weights, units are dropped, the penalty is of a batch: any two of them in all combinations."""


def by_torch(
    output: str, weighted: bool, masked: bool, per_batch: bool, divided: float = 1.0
) -> tuple[float, np.ndarray]:
    """Return the objective and its gradient; the loss of the samples, not the penalty, may be divided."""
    net = NETS[output]
    flat = torch.tensor(flat_of(net), requires_grad=True)
    h, start, penalty = torch.tensor(X), 0, 0.0
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(net.sizes)):
        W = flat[start : start + fan_in * fan_out].reshape(fan_in, fan_out)
        start += (fan_in + 1) * fan_out
        z = h @ W + flat[start - fan_out : start]
        penalty = penalty + (W**2).sum()
        if i < 2:
            h = ACTIVATIONS[net.activations[i]](z) * (torch.tensor(MASKS[i]) if masked else 1.0)
    weights = torch.tensor(WEIGHTS) if weighted else torch.ones(9, dtype=torch.float64)
    loss = (weights * LOSSES[output](z, torch.tensor(TARGETS[output]))).sum() / weights.sum() / divided
    loss = loss + 0.5 * L2 * penalty / (1.0 if per_batch else weights.sum())
    loss.backward()
    return float(loss.detach()), flat.grad.numpy()


def flat_of(net: pm.Network) -> np.ndarray:
    return float32_exact(pm.pack(pm.init_params(net)) + 0.01)


def data_of(lib: Any, output: str, weighted: bool, masked: bool) -> Data:
    masks = [lib.array(mask) for mask in MASKS] if masked else None
    return Data(lib.array(X), lib.array(TARGETS[output]), lib.array(WEIGHTS) if weighted else None, masks)


@pytest.mark.parametrize(("output", "flags"), one_in(4, NETS, FLAGS, on="jax"))
def test_loss_and_gradient_equal_autograd(lib: Any, output: str, flags: tuple[bool, bool, bool]) -> None:
    weighted, masked, per_batch = flags
    evaluate = lib.backend.compile(make_objective(portable(lib.xp), Objective(NETS[output], L2, per_batch)))
    loss, gradient = evaluate(lib.array(flat_of(NETS[output])), data_of(lib, output, weighted, masked))
    expected_loss, expected_gradient = by_torch(output, weighted, masked, per_batch)
    assert_close(lib.backend.to_numpy(loss), expected_loss, rtol=lib.rtol)
    assert_close(lib.numpy(gradient), expected_gradient, rtol=100 * lib.rtol)


@pytest.mark.parametrize(("output", "weighted"), one_in(2, NETS, [False, True], on="jax"))
def test_a_report_changes_the_loss_alone(lib: Any, output: str, weighted: bool) -> None:
    objective = Objective(NETS[output], L2, report=REPORTED[str(NETS[output].loss)])
    evaluate = lib.backend.compile(make_objective(portable(lib.xp), objective))
    reported, gradient = evaluate(lib.array(flat_of(NETS[output])), data_of(lib, output, weighted, masked=False))
    divided = 3.0 if output == "identity" else 1.0  # scikit-learn's squared error is a mean over the outputs too
    expected, _ = by_torch(output, weighted, masked=False, per_batch=True, divided=divided)
    _, expected_gradient = by_torch(output, weighted, masked=False, per_batch=True)
    assert_close(lib.backend.to_numpy(reported), expected, rtol=10 * lib.rtol)
    assert_close(lib.numpy(gradient), expected_gradient, rtol=100 * lib.rtol)

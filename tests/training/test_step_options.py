"""What a step adds to its optimizer, beside PyTorch: decoupled weight decay, clipping, label smoothing, warm-up."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import portable_mlp as pm
from portable_mlp.kernels.step import Objective, Program
from portable_mlp.training.options import TRAINING_OPTIONS
from tests.reference import assert_close, float32_exact

RNG = np.random.default_rng(0)
N_SAMPLES, BATCH_SIZE, EPOCHS = 20, 8, 3
X, Y = float32_exact(RNG.normal(size=(N_SAMPLES, 4))), RNG.integers(0, 3, N_SAMPLES)
NET = pm.Network((4, 6, 3), activation="tanh")
START = [tuple(map(float32_exact, layer)) for layer in pm.init_params(NET)]

SOLVERS: dict[str, dict[str, Any]] = {
    "adamw": {"solver": "adamw", "learning_rate": 0.02, "weight_decay": 0.3},
    "nesterov": {"solver": "sgd", "learning_rate": 0.1, "momentum": 0.9},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "clipped": {"clip_norm": 0.3},
    "clipped, with a penalty": {"clip_norm": 0.3, "l2": 0.1},
    "with a penalty": {"l2": 0.1},
    "smoothed": {"label_smoothing": 0.2},
    "warmed up": {"warmup_steps": 7},
    "all": {"clip_norm": 0.5, "l2": 0.05, "label_smoothing": 0.1, "warmup_steps": 5},
}


def test_whatever_a_step_adds_is_compared() -> None:
    added = {name for kind in (Objective, Program) for name in kind._fields if name in TRAINING_OPTIONS}
    assert {name for options in OPTIONS.values() for name in options} == added


def trained(lib: Any, **options: Any) -> np.ndarray:
    given = {"batch_size": BATCH_SIZE, "epochs": EPOCHS, "shuffle": False, **options}
    result = pm.train(NET, lib.params(START), lib.array(X), lib.array(Y), **given)
    return lib.numpy(pm.pack(result.params))


def by_torch(options: dict[str, Any]) -> np.ndarray:
    layers = [torch.nn.Linear(*W.shape, dtype=torch.float64) for W, _ in START]
    weights, biases = [layer.weight for layer in layers], [layer.bias for layer in layers]
    with torch.no_grad():
        for layer, (W, b) in zip(layers, START, strict=True):
            layer.weight.copy_(torch.tensor(W.T))
            layer.bias.copy_(torch.tensor(b))
    optimizer = torch_optimizer(weights, biases, options)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=options.get("label_smoothing", 0.0))
    # LinearLR of PyTorch starts from a fraction and so gives the same factors.
    n = options.get("warmup_steps", 0)
    warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / n, total_iters=n - 1) if n else None
    for _, start in itertools.product(range(EPOCHS), range(0, N_SAMPLES, BATCH_SIZE)):
        optimizer.zero_grad()
        hidden = torch.tanh(layers[0](torch.tensor(X[start : start + BATCH_SIZE])))
        loss = loss_of(layers[1](hidden), torch.tensor(Y[start : start + BATCH_SIZE]))
        (loss + 0.5 * options.get("l2", 0.0) * sum((W**2).sum() for W in weights)).backward()
        if "clip_norm" in options:
            # PyTorch's own clip_grad_norm_ adds 1e-6 to the norm.
            norm = torch.nn.utils.get_total_norm([p.grad for p in (*weights, *biases)])
            for p in (*weights, *biases):
                p.grad *= min(1.0, options["clip_norm"] / float(norm))
        optimizer.step()
        if warm_up is not None:
            warm_up.step()
    pieces = [x.detach().numpy() for layer in layers for x in (layer.weight.T, layer.bias)]
    return np.concatenate([x.ravel() for x in pieces])


def torch_optimizer(weights: list[Any], biases: list[Any], options: dict[str, Any]) -> torch.optim.Optimizer:
    rate = options["learning_rate"]
    if options["solver"] == "sgd":
        return torch.optim.SGD([*weights, *biases], lr=rate, momentum=options["momentum"], nesterov=True)
    decays = {"params": weights, "weight_decay": options["weight_decay"]}
    return torch.optim.AdamW([decays, {"params": biases, "weight_decay": 0.0}], lr=rate)


@pytest.mark.parametrize(
    ("solver", "added"),
    [
        pytest.param(solver, added, marks=() if (solver, added) == ("adamw", "all") else pytest.mark.thorough_on("jax"))
        for solver, added in itertools.product(SOLVERS, OPTIONS)
    ],
)
def test_a_run_equals_pytorchs(lib: Any, solver: str, added: str) -> None:
    options = SOLVERS[solver] | OPTIONS[added]
    rtol = 1e-12 if lib.dtype == "float64" else 2e-4
    assert_close(trained(lib, **options), by_torch(options), rtol=rtol)


@pytest.mark.parametrize("added", ["clip_norm", "label_smoothing", "warmup_steps", "weight_decay"])
def test_each_of_them_changes_the_run(added: str) -> None:
    """What is compared above would be equal, too, if nobody had asked for it."""
    lib = Host()
    options = SOLVERS["adamw"] | {added: {"warmup_steps": 5}.get(added, 0.07)}
    assert np.abs(trained(lib, **options) - trained(lib, **SOLVERS["adamw"])).max() > 1e-4


@pytest.mark.parametrize("added", OPTIONS)
def test_models_of_an_axis_are_each_as_alone(added: str) -> None:
    options = SOLVERS["adamw"] | OPTIONS[added] | {"batch_size": BATCH_SIZE, "epochs": EPOCHS}
    alone = [pm.init_params(NET, random_state=seed, scheme="normal", std=0.1 + seed) for seed in range(3)]
    together = tuple(pm.Layer(*(np.stack(x) for x in zip(*layers, strict=True))) for layers in zip(*alone, strict=True))
    result = pm.train(NET, together, X, Y, **options)
    for i, params in enumerate(alone):
        expected = pm.pack(pm.train(NET, params, X, Y, **options).params)
        assert_close(pm.pack([pm.Layer(W[i], b[i]) for W, b in result.params]), expected, rtol=1e-12)


@pytest.mark.parametrize("added", OPTIONS)
def test_shards_of_a_group_add_up_to_the_same(added: str) -> None:
    options = SOLVERS["adamw"] | OPTIONS[added]
    with pm.parallel("serial", reproducible=True):
        in_shards = trained(Host(), **options)
    assert_close(in_shards, trained(Host(), **options), rtol=1e-12)


def test_a_run_that_goes_on_warms_up_where_it_stands(tmp_path: Any) -> None:
    options = SOLVERS["adamw"] | OPTIONS["all"] | {"batch_size": BATCH_SIZE}
    begun = {"checkpoint": tmp_path, "epochs": 1}
    pm.train(NET, Host().params(START), X, Y, **options, **begun)
    whole = pm.train(NET, Host().params(START), X, Y, **options, epochs=3)
    result = pm.train(NET, Host().params(START), X, Y, **options, **(begun | {"epochs": 3}), resume=True)
    assert np.array_equal(pm.pack(result.params), pm.pack(whole.params))
    with pytest.raises(ValueError, match="clip_norm"):
        pm.train(NET, Host().params(START), X, Y, **(options | {"clip_norm": 1.0}), **begun, resume=True)


def test_a_logistic_output_has_two_classes() -> None:
    net = pm.Network((4, 5, 2), output="logistic")
    targets = RNG.integers(0, 2, size=(N_SAMPLES, 2)).astype(float)
    options = {"epochs": 3, "learning_rate": 0.05}
    smoothed = pm.train(net, pm.init_params(net), X, targets, label_smoothing=0.2, **options)
    by_hand = pm.train(net, pm.init_params(net), X, 0.8 * targets + 0.1, **options)
    assert_close(pm.pack(smoothed.params), pm.pack(by_hand.params), rtol=1e-12)


def test_smoothing_is_of_training_not_of_validation() -> None:
    options = {"epochs": 1, "learning_rate": 1e-9, "batch_size": N_SAMPLES, "validation": (X, Y)}
    plain = pm.train(NET, Host().params(START), X, Y, **options).history
    smoothed = pm.train(NET, Host().params(START), X, Y, label_smoothing=0.3, **options).history
    assert smoothed["validation_loss"] == pytest.approx(plain["validation_loss"], rel=1e-6)
    assert abs(smoothed["loss"][0] - plain["loss"][0]) > 1e-3


def test_smoothing_leaves_the_targets_alone() -> None:
    one_hot = np.eye(3)[Y]
    before = one_hot.copy()
    options = {"label_smoothing": 0.2, "epochs": 1, "shuffle": False, "batch_size": N_SAMPLES}
    pm.train(NET, Host().params(START), X, one_hot, **options)
    assert np.array_equal(one_hot, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip_norm": 0.0}, "clip_norm must be positive"),
        ({"weight_decay": -1.0}, "weight_decay must be a finite number, not negative"),
        ({"label_smoothing": 1.0}, r"label_smoothing must lie in \[0, 1\)"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pm.train(NET, Host().params(START), X, Y, **options)


def test_a_norm_that_overflows_is_no_gradient_of_zero() -> None:
    net = pm.Network((4, 1), output="identity")
    params = tuple(pm.Layer(W.astype("float32"), b.astype("float32")) for W, b in pm.init_params(net))
    huge = X.astype("float32") * np.float32(1e15)
    with pytest.raises(pm.NonFiniteError, match="epoch 1"):
        pm.train(net, params, huge, huge[:, 0], epochs=2, clip_norm=1.0)


def test_smoothing_is_for_classes() -> None:
    net = pm.Network((4, 1), output="identity")
    with pytest.raises(ValueError, match="but the network's is 'squared_error'"):
        pm.train(net, pm.init_params(net), X, X[:, 0], label_smoothing=0.1)


class Host:
    """NumPy in float64, with the methods of the fixture ``lib``."""

    def params(self, layers: Any) -> pm.Params:
        return tuple(pm.Layer(W, b) for W, b in layers)

    def array(self, x: Any) -> np.ndarray:
        return np.asarray(x)

    def numpy(self, x: Any) -> np.ndarray:
        return x

"""Whole steps on PyTorch, by its fused operations: the numbers of NumPy's steps, and of autograd with `torch.optim`."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import portable_mlp as pm
from portable_mlp.bench.candidates import Candidate, ours_on
from portable_mlp.bench.cases import CASES
from portable_mlp.bench.peers import TorchEager
from portable_mlp.estimators.losses import REPORTED
from portable_mlp.kernels.losses import LOSSES
from portable_mlp.kernels.optimizers import adam, adamw, sgd
from portable_mlp.kernels.step import Objective, Program
from portable_mlp.training.batches import Data, spans
from portable_mlp.training.loop import make_loop
from portable_mlp.training.shuffle import Shuffle
from tests.selection import and_rarely_others

RNG = np.random.default_rng(0)
X, LABELS, WEIGHTS = RNG.normal(size=(53, 6)), RNG.integers(0, 3, size=(53, 1)), RNG.uniform(0.5, 2.0, size=53)
ROWS = RNG.dirichlet(np.ones(3), size=53)
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "a penalty": {"l2": 0.1},
    "a penalty of all samples": {"l2": 0.1, "l2_per_batch": False},
    "weights": {"l2": 0.1, "weighted": True},
    "models": {"l2": 0.1, "n_models": 3},
    "models and weights": {"l2": 0.1, "n_models": 3, "weighted": True},
    "smoothed": {"l2": 0.1, "smoothing": 0.2},
    "clipped": {"l2": 0.1, "clip_norm": 0.5},
    "decaying": {"l2": 0.1, "optimizer": adamw(weight_decay=0.5)},
    "sgd": {"l2": 0.1, "optimizer": sgd(0.9)},
    "as scikit-learn": {"l2": 0.1, "optimizer": adam(correct_epsilon=False), "reported": True},
    "rows": {"l2": 0.1, "rows": True},
    "in their own order": {"l2": 0.1, "shuffle": False},
}


def trained(
    name: str,
    net: pm.Network,
    l2: float = 0.0,
    l2_per_batch: bool = True,
    optimizer: Any = None,
    n_models: int = 0,
    weighted: bool = False,
    smoothing: float = 0.0,
    clip_norm: float | None = None,
    reported: bool = False,
    rows: bool = False,
    shuffle: bool = True,
) -> list[np.ndarray]:
    """Return the mean losses of some epochs, the parameters and the moments."""
    backend = pm.get_backend(name)
    smoothing = smoothing if LOSSES[net.loss].targets.are_probabilities else 0.0
    objective = Objective(net, l2, l2_per_batch, smoothing, REPORTED.get(net.loss) if reported else None)
    flat = pm.pack(pm.init_params(net))
    flat = np.stack([flat * (1.0 + 0.1 * i) for i in range(n_models)]) if n_models else flat
    Y = LABELS if net.output == "softmax" and not rows else ROWS
    with backend.running():
        some = Data(*(x if x is None else backend.asarray(x) for x in (X, Y, WEIGHTS if weighted else None)))
        loop = make_loop(backend, Program(objective, optimizer or adam(), clip_norm), backend.asarray(flat))
        losses = [
            loop.epoch(some, spans(53, 10), lambda step: 0.01, order=Shuffle(0).order(epoch, 53) if shuffle else None)
            for epoch in range(4)
        ]
        return [backend.to_numpy(x) for x in (*losses, loop.flat, *loop.state)]


@pytest.mark.parametrize(
    ("options", "loss"), and_rarely_others([(name, "cross_entropy") for name in OPTIONS], OPTIONS, LOSSES)
)
def test_steps_are_numpys(options: str, loss: str) -> None:
    net = pm.Network((6, 5, 4, 3), "tanh", LOSSES[loss].outputs[0], loss)
    for found, expected in zip(
        trained("torch", net, **OPTIONS[options]), trained("numpy", net, **OPTIONS[options]), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_steps_are_those_of_autograd(optimizer: str) -> None:
    net = pm.Network((6, 5, 3), "relu")
    params = pm.init_params(net, backend="torch")
    program = Program(Objective(net, 0.1), {"adam": adam(), "sgd": sgd(0.9)}[optimizer])
    ours = make_loop(pm.get_backend("torch"), program, pm.pack(params))
    theirs = [x.clone().requires_grad_() for layer in params for x in layer]
    step = {
        "adam": lambda: torch.optim.Adam(theirs, lr=0.01),
        "sgd": lambda: torch.optim.SGD(theirs, lr=0.01, momentum=0.9, nesterov=True),
    }[optimizer]()
    some = Data(torch.asarray(X), torch.asarray(LABELS))
    for _ in range(3):
        found = ours.epoch(some, spans(53, 53), lambda step: 0.01)
        W1, b1, W2, b2 = theirs
        logits = torch.relu(some.X @ W1 + b1) @ W2 + b2
        penalty = 0.05 * sum((W * W).sum() for W in (W1, W2))
        loss = torch.nn.functional.cross_entropy(logits, some.Y[:, 0]) + penalty
        step.zero_grad()
        loss.backward()
        step.step()
        torch.testing.assert_close(found, loss.detach(), rtol=1e-13, atol=0.0)
    torch.testing.assert_close(
        ours.flat, pm.pack([pm.Layer(*(x.detach() for x in theirs[i : i + 2])) for i in (0, 2)]), rtol=1e-12, atol=1e-15
    )


class _Counting(TorchDispatchMode):
    """Counts the operations that compute or copy; views, and the marks of a profiler, do neither."""

    n = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        is_view = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
        self.n += not is_view and func.namespace == "aten"
        return func(*args, **(kwargs or {}))


def operations_of_a_step(candidate: Candidate, n_steps: int = 20) -> int:
    """Return them without the few of an epoch."""
    candidate.run(4)
    with _Counting() as counting:
        candidate.run(n_steps)
    return counting.n // n_steps


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("case", CASES[:3], ids=lambda case: case.name)
def test_a_step_on_a_cpu_is_no_more_operations_than_its_users_write(case: Any, solver: str) -> None:
    """Of PyTorch: autograd and a fused optimizer."""
    case = case._replace(solver=solver)
    ours, theirs = ours_on("torch")(case, "float32"), TorchEager(case, "float32")
    assert operations_of_a_step(ours) <= operations_of_a_step(theirs)

"""Dropout in `train`, beside a loop of PyTorch's that is given the same masks."""

import pathlib
from typing import Any

import numpy as np
import pytest
import torch

import portable_mlp as pm
from portable_mlp.kernels.step import Objective, make_objective
from portable_mlp.training.batches import Data, spans
from portable_mlp.training.dropout import Dropout
from portable_mlp.training.shuffle import Shuffle
from tests.distributed.fakes import on_ranks
from tests.reference import assert_close, float32_exact

RNG = np.random.default_rng(0)
N, BATCH_SIZE, EPOCHS, RATE = 30, 8, 3, 0.05
X, Y = float32_exact(RNG.normal(size=(N, 4))), RNG.integers(0, 3, N)
NET = pm.Network((4, 7, 6, 3), activation="tanh")
START = [tuple(map(float32_exact, layer)) for layer in pm.init_params(NET)]
OPTIONS: dict[str, Any] = {"batch_size": BATCH_SIZE, "epochs": EPOCHS, "learning_rate": RATE, "dropout": 0.4}


def train(**options: Any) -> pm.TrainResult:
    return pm.train(NET, [pm.Layer(*layer) for layer in START], X, Y, **{**OPTIONS, **options})


def numbers(result: pm.TrainResult) -> np.ndarray:
    return np.asarray(pm.pack(result.params))


def drawn(epoch: int, batch: int, n: int, dropout: float, key: int) -> list[np.ndarray]:
    """Return what Philox gives for the batch of an epoch."""
    counter = np.asarray([0, 0, batch, 2**64 - 1], dtype=np.uint64)
    rng = np.random.Generator(np.random.Philox(key=np.asarray([key, epoch], dtype=np.uint64), counter=counter))
    return [(rng.random((n, units)) >= dropout) / (1 - dropout) for units in NET.sizes[1:-1]]


def by_torch(dropout: float) -> np.ndarray:
    key = int(np.random.RandomState(0).randint(0, 2**63 - 1, dtype=np.int64))
    layers = [[torch.tensor(x, requires_grad=True) for x in layer] for layer in START]
    optimizer = torch.optim.SGD([x for layer in layers for x in layer], lr=RATE, momentum=0.9, nesterov=True)
    for epoch in range(EPOCHS):
        for batch, start in enumerate(range(0, N, BATCH_SIZE)):
            h = torch.tensor(X[start : start + BATCH_SIZE])
            masks = drawn(epoch, batch, len(h), dropout, key)
            for (W, b), mask in zip(layers[:-1], masks, strict=True):
                h = torch.tanh(h @ W + b) * torch.tensor(mask)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(
                h @ layers[-1][0] + layers[-1][1], torch.tensor(Y[start : start + BATCH_SIZE])
            )
            loss.backward()
            optimizer.step()
    return np.concatenate([x.detach().numpy().ravel() for layer in layers for x in layer])


@pytest.mark.thorough_on("jax")
def test_a_run_equals_pytorchs(lib: Any) -> None:
    options = {**OPTIONS, "solver": "sgd", "shuffle": False}
    result = pm.train(NET, lib.params(START), lib.array(X), lib.backend.asarray(Y), **options)
    rtol = 1e-12 if lib.dtype == "float64" else 2e-4
    assert_close(lib.numpy(pm.pack(result.params)), by_torch(0.4), rtol=rtol)


def test_shares_and_scale() -> None:
    backend = pm.get_backend("numpy")
    dropout = Dropout(backend, pm.Network((4, 200, 3)), 0.3, Shuffle(0), "float64")
    masks = [mask for (mask,) in dropout.masks(0, spans(500, 50), 0)]
    assert {0.0, 1 / 0.7} == set(np.unique(masks))
    assert np.mean(masks) == pytest.approx(1.0, abs=0.01)
    assert len({mask.tobytes() for epoch in (0, 1) for (mask,) in dropout.masks(epoch, spans(500, 50), 0)}) == 20


def test_the_order_stays() -> None:
    """The units are drawn apart from the order, which is that of a run without dropout."""
    plain = train(dropout=0.0, random_state=3)
    almost = train(dropout=1e-12, random_state=3)
    assert_close(numbers(almost), numbers(plain), rtol=1e-9)
    assert np.abs(numbers(train(random_state=3)) - numbers(plain)).max() > 1e-3


def test_gradients_with_masks_are_differences() -> None:
    backend, objective = pm.get_backend("numpy"), Objective(NET, l2=0.1)
    masks = drawn(0, 0, N, 0.4, 1)
    evaluate = make_objective(backend.primitives, objective)
    data, flat = Data(X, Y[:, None], None, masks), np.asarray(pm.pack([pm.Layer(*layer) for layer in START]))
    _, gradient = evaluate(flat, data)
    for _ in range(5):
        direction = RNG.normal(size=flat.shape)
        difference = evaluate(flat + 1e-6 * direction, data)[0] - evaluate(flat - 1e-6 * direction, data)[0]
        assert float(difference) / 2e-6 == pytest.approx(float(gradient @ direction), rel=1e-7)


@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"random_state": None}], ids=str)
def test_a_run_goes_on_to_the_last_bit(options: dict[str, Any], tmp_path: pathlib.Path) -> None:
    """From within an epoch too, and where the key was drawn afresh."""
    whole = train(**options, checkpoint=tmp_path, checkpoint_every=1)
    kept, *_ = sorted(tmp_path.glob("step-*"))
    newest = sorted(tmp_path.glob("step-*"))[-1]
    newest.unlink()  # the end of the run: one batch before it is left
    resumed = train(**options, checkpoint=tmp_path, checkpoint_every=1, resume=True)
    assert kept.exists()
    np.testing.assert_array_equal(numbers(resumed), numbers(whole))
    with pytest.raises(ValueError, match=r"another training: dropout was 0\.4, now None"):
        train(**options, dropout=0.0, checkpoint=tmp_path, resume=True)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("samples", ["all", "own"])
def test_a_group_drops_what_one_process_drops(samples: str, shuffle: bool) -> None:
    def work(rank: int) -> pm.TrainResult:
        rows = slice(None) if samples == "all" else slice(0, 13) if rank == 0 else slice(13, None)
        return pm.train(NET, [pm.Layer(*layer) for layer in START], X[rows], Y[rows], shuffle=shuffle, **OPTIONS)

    for outcome in on_ranks(2, work, samples=samples):
        assert_close(numbers(outcome), numbers(train(shuffle=shuffle)), rtol=1e-12)


def test_models_drop_the_same() -> None:
    alone = [pm.init_params(NET, random_state=seed) for seed in range(2)]
    together = tuple(pm.Layer(*(np.stack(x) for x in zip(*layers, strict=True))) for layers in zip(*alone, strict=True))
    result = pm.train(NET, together, X, Y, **OPTIONS)
    for i, params in enumerate(alone):
        expected = numbers(pm.train(NET, params, X, Y, **OPTIONS))
        assert_close(pm.pack([pm.Layer(W[i], b[i]) for W, b in result.params]), expected, rtol=1e-12)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match='"lbfgs" needs the same loss in every step'):
        train(solver="lbfgs")
    with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\), got 1.0"):
        train(dropout=1.0)

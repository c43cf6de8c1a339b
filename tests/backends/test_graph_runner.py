"""Steps that are recorded and replayed: the same parameters as steps that are launched one by one."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import portable_mlp as pm
from portable_mlp.backends._graph_runner import GraphRunner
from portable_mlp.backends._torch import TorchBackend
from portable_mlp.backends._torch_optimizers import recordable
from portable_mlp.backends._torch_precision import multiplying_at
from portable_mlp.backends.runner import STEPS_A_CALL
from portable_mlp.estimators.losses import REPORTED
from portable_mlp.kernels.optimizers import Optimizer, adam, adamw, sgd
from portable_mlp.kernels.step import Objective, Program
from portable_mlp.training.batches import Data, spans
from portable_mlp.training.loop import Loop, make_loop
from portable_mlp.training.shuffle import Shuffle

from .recorded_torch import TorchOnPaper

NET = pm.Network((4, 6, 3), activation="tanh")
RNG = np.random.default_rng(0)
DATA = Data(torch.asarray(RNG.normal(size=(203, 4))), torch.asarray(RNG.integers(0, 3, size=(203, 1))))
WEIGHTED = DATA._replace(weights=torch.asarray(RNG.uniform(0.5, 2.0, size=203)))
OPTIMIZERS = {
    "plain": sgd(0.0),
    "momentum": sgd(0.9, nesterov=False),
    "nesterov": sgd(0.9),
    "velocity": sgd(0.9, rate_in_velocity=True),
    "adam": adam(),
}


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> TorchOnPaper:
    """Let PyTorch on the CPU record its steps."""
    recorder = TorchOnPaper()
    record_with(recorder, monkeypatch)
    return recorder


def record_with(recorder: TorchOnPaper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PyTorch on the CPU record its steps, as it does on CUDA."""
    monkeypatch.setattr(TorchBackend, "runner", lambda self, program: GraphRunner(self, recordable(program), recorder))


def loop(
    net: pm.Network = NET,
    optimizer: Optimizer | None = None,
    l2: float = 0.01,
    n_models: int = 0,
    clip_norm: float | None = None,
    smoothing: float = 0.0,
) -> Loop:
    flat = pm.pack(pm.init_params(net, backend="torch", random_state=0))
    if n_models:
        flat = torch.stack([flat * (1.0 + 0.1 * i) for i in range(n_models)])
    objective = Objective(net, l2, label_smoothing=smoothing)
    return make_loop(pm.get_backend("torch"), Program(objective, optimizer or adam(), clip_norm, warmup_steps=5), flat)


def epochs(the_loop: Loop, some: Data = DATA, n: int = 4, batch_size: int = 10, shuffle: bool = True) -> list[float]:
    """Train with another rate in each epoch; return the mean losses."""
    losses = []
    for epoch in range(n):
        order = Shuffle(0).order(epoch, 203) if shuffle else None
        batches = spans(some.n_samples, batch_size)
        losses.append(the_loop.epoch(some, batches, lambda step, epoch=epoch: 0.01 / (1 + epoch), order=order).tolist())
    return losses


def both(run: Callable[[Loop], Any], monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[Any, Any]:
    """Run with recordings, and one by one."""
    recorded = loop(**options)
    found = run(recorded), recorded
    monkeypatch.setattr(TorchBackend, "runner", pm.Backend.runner)
    plain = loop(**options)
    return found, (run(plain), plain)


def assert_same(found: tuple[Any, Loop], expected: tuple[Any, Loop]) -> None:
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-13)
    for ours, theirs in zip((found[1].flat, *found[1].state), (expected[1].flat, *expected[1].state), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_replayed_steps_are_the_steps(optimizer: str, recorder: TorchOnPaper, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same(*both(epochs, monkeypatch, optimizer=OPTIMIZERS[optimizer]))
    # 20 batches of 10 and one of 3: calls of 16, 4 and 1 steps, recorded once each, in the third epoch.
    assert len(recorder.n_recorded) == 3


@pytest.mark.parametrize("activation", ["relu", "gelu", "logistic"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_other_networks_orders_and_weights(
    activation: str, shuffle: bool, recorder: TorchOnPaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = pm.Network((4, 5, 6, 3), activation=activation)
    assert_same(*both(lambda the: epochs(the, WEIGHTED, shuffle=shuffle), monkeypatch, net=net))
    assert recorder.n_recorded


def test_what_a_step_adds(recorder: TorchOnPaper, monkeypatch: pytest.MonkeyPatch) -> None:
    added = {"optimizer": adamw(weight_decay=0.5), "clip_norm": 0.1, "smoothing": 0.2}
    assert_same(*both(epochs, monkeypatch, **added))
    assert_same(*both(epochs, monkeypatch, n_models=3, **added))
    assert recorder.n_recorded


def test_many_models(recorder: TorchOnPaper, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same(*both(epochs, monkeypatch, n_models=3))
    assert recorder.n_recorded


def test_batches_in_any_order(recorder: TorchOnPaper, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = [(60, 70), (0, 10), (10, 20), (0, 10)]
    order = Shuffle(0).order(0, 203)
    assert_same(
        *both(
            lambda the: [the.epoch(DATA, batches, lambda step: 0.01, order=order).tolist() for _ in range(4)],
            monkeypatch,
        )
    )
    assert recorder.n_recorded


def test_long_epochs_are_many_calls_of_one_recording(recorder: TorchOnPaper) -> None:
    the_loop = loop()
    epochs(the_loop, n=1, batch_size=1)
    assert the_loop.n_steps == 203
    (n_operations,) = recorder.n_recorded  # of 64 steps, twice, after the first call; 8, 2 and 1 come once an epoch
    assert n_operations > 10 * STEPS_A_CALL


@pytest.mark.parametrize(("n", "batch_size", "n_recorded", "n_launched"), [(1, 1, 1, 2), (2, 10, 0, 0), (4, 10, 3, 6)])
def test_what_comes_again_is_recorded(
    n: int, batch_size: int, n_recorded: int, n_launched: int, recorder: TorchOnPaper
) -> None:
    """In the same epoch at its second call, else at its third."""
    epochs(loop(), n=n, batch_size=batch_size)
    assert (len(recorder.n_recorded), recorder.n_launched) == (n_recorded, n_launched)


def test_a_training_that_is_over_leaves_nothing(recorder: TorchOnPaper) -> None:
    """Without the garbage collector: what it held on a GPU may be most of its memory."""
    the_loop, some = loop(), DATA._replace(X=DATA.X.clone())
    epochs(the_loop, some)
    assert recorder.n_recorded
    left = weakref.ref(the_loop), weakref.ref(some.X)
    gc.disable()
    try:
        del the_loop, some
        assert [ref() for ref in left] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
@pytest.mark.parametrize("newer", [None, "tf32", "ieee"])
def test_the_precision_of_torch_is_put_back(newer: str | None, precision: str) -> None:
    """Whichever of PyTorch's two ways it was set."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    try:
        if newer is not None:
            matmul.fp32_precision = newer
        with multiplying_at(precision):
            exact = {"ieee"} if newer is not None else {"ieee", before}  # as it was, where nobody has set it
            assert matmul.fp32_precision in ({"tf32"} if precision == "tf32" else exact)
        assert matmul.fp32_precision == (before if newer is None else newer)
    finally:
        matmul.fp32_precision = before


def test_what_a_call_returned_stays_as_it_was(recorder: TorchOnPaper) -> None:
    the_loop = loop()
    means = [the_loop.epoch(DATA, spans(203, 10), lambda step: 0.01) for _ in range(5)]
    assert len({mean.item() for mean in means}) == 5
    assert the_loop.total.item() == pytest.approx(means[-1].item() * 203)


@pytest.mark.parametrize("batch_size", [10, 1])
def test_the_first_bad_batch_is_found_in_replayed_calls(batch_size: int, recorder: TorchOnPaper) -> None:
    the_loop, some = loop(), DATA._replace(X=DATA.X.clone())
    epochs(the_loop, some, n=3, batch_size=batch_size, shuffle=False)
    assert recorder.n_recorded
    some.X[125] = torch.nan
    the_loop.epoch(some, spans(203, batch_size), lambda step: 0.01)
    assert the_loop.first_bad_batch() == 125 // batch_size + 1


def test_other_memory_is_not_touched_by_old_recordings(recorder: TorchOnPaper, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(the_loop: Loop) -> list[float]:
        losses = epochs(the_loop)
        host = [x.numpy().copy() for x in (the_loop.flat, *the_loop.state)]
        kept = the_loop.flat, the_loop.flat.clone()
        the_loop.restore(0.5 * host[0], host[1:], np.zeros(()), n_steps=0)
        losses += epochs(the_loop)
        torch.testing.assert_close(*kept, rtol=0, atol=0)
        other = Data(DATA.X + 1.0, DATA.Y)
        return losses + epochs(the_loop, other)

    assert_same(*both(run, monkeypatch))
    assert len(recorder.n_recorded) == 9


class Refusing(TorchOnPaper):
    """Fails in the middle of a recording."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        super().record(work)
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")


def test_what_cannot_be_recorded_is_launched_one_by_one_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Refusing()
    record_with(recorder, monkeypatch)
    with pytest.warns(RuntimeWarning, match=r"could not be recorded.*NotImplementedError: calling cuBLAS") as warned:
        found, expected = both(epochs, monkeypatch)
    assert_same(found, expected)
    assert len(warned) == len(recorder.n_recorded) == 1


def test_training_stops_and_resumes_within_a_call(
    recorder: TorchOnPaper, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A checkpoint in the middle of an epoch, and a run that goes on from it, with recordings throughout."""
    params = pm.init_params(NET, backend="torch")
    some = DATA.X, DATA.Y[:, 0]
    options: dict[str, Any] = {"batch_size": 10, "checkpoint_every": 7}
    whole = pm.train(NET, params, *some, epochs=6, checkpoint=tmp_path / "a", **options)
    pm.train(NET, params, *some, epochs=3, checkpoint=tmp_path / "b", **options)
    resumed = pm.train(NET, params, *some, epochs=6, checkpoint=tmp_path / "b", resume=True, **options)
    torch.testing.assert_close(pm.pack(resumed.params), pm.pack(whole.params), rtol=1e-13, atol=1e-15)
    monkeypatch.setattr(TorchBackend, "runner", pm.Backend.runner)
    plain = pm.train(NET, params, *some, epochs=6, batch_size=10)
    torch.testing.assert_close(pm.pack(whole.params), pm.pack(plain.params), rtol=1e-12, atol=1e-15)
    assert recorder.n_recorded


ONE_HIDDEN = pm.Network((6, 5, 3))
N_NODES: dict[str, tuple[pm.Network, int, dict[str, Any]]] = {
    # Inputs and labels; 2 products with bias, an activation; log p, its mean, p, p - Y; 3 products, the derivative of
    # the activation, 2 sums of biases; the loss into its place, and into that of the epoch; the update.
    "one hidden layer": (ONE_HIDDEN, 18, {}),
    # In the loss, which has its place then, and in the gradient.
    "and a penalty": (ONE_HIDDEN, 19, {"l2": 0.01}),
    "scikit-learn's adam": (ONE_HIDDEN, 19, {"l2": 0.01, "optimizer": adam(correct_epsilon=False)}),
    "sgd": (ONE_HIDDEN, 19, {"l2": 0.01, "optimizer": sgd(0.9)}),
    "in float64": (ONE_HIDDEN, 28, {"l2": 0.01, "dtype": "float64"}),
    "two hidden layers": (pm.Network((6, 5, 4, 3)), 25, {"l2": 0.01}),
    "no hidden layer": (pm.Network((6, 3)), 13, {"l2": 0.01}),
    "several models": (ONE_HIDDEN, 26, {"l2": 0.01, "n_models": 3}),
    "weighted samples": (ONE_HIDDEN, 30, {"l2": 0.01, "weighted": True}),
    "smoothed labels": (ONE_HIDDEN, 37, {"l2": 0.01, "smoothing": 0.1}),
    "clipped": (ONE_HIDDEN, 42, {"l2": 0.01, "clip_norm": 1.0}),
    "decaying weights": (ONE_HIDDEN, 19, {"optimizer": adamw()}),
    "quantities": (pm.Network((6, 5, 3), output="identity"), 21, {"l2": 0.01}),
    "yes or no": (pm.Network((6, 5, 3), output="logistic"), 33, {"l2": 0.01}),
    # As the estimators have them.
    "reported": (ONE_HIDDEN, 20, {"l2": 0.01, "reported": True}),
    "reported, of smoothed labels": (ONE_HIDDEN, 25, {"l2": 0.01, "reported": True, "smoothing": 0.1}),
    "reported quantities": (pm.Network((6, 5, 3), output="identity"), 19, {"l2": 0.01, "reported": True}),
}


@pytest.mark.parametrize("case", N_NODES)
def test_a_step_is_few_operations(case: str, recorder: TorchOnPaper) -> None:
    net, n_nodes, options = N_NODES[case]
    # For all steps together: the epoch's loss is put into its place.
    assert operations_of_steps(recorder, net, **options) == 8 * n_nodes + 1


def operations_of_steps(
    recorder: TorchOnPaper,
    net: pm.Network,
    l2: float = 0.0,
    optimizer: Optimizer | None = None,
    n_models: int = 0,
    dtype: str = "float32",
    weighted: bool = False,
    smoothing: float = 0.0,
    reported: bool = False,
    clip_norm: float | None = None,
) -> int:
    """Return how many operations a recording of 8 steps has."""
    X, Y = DATA.X[:64, :].repeat(1, 2)[:, : net.sizes[0]], DATA.Y[:64, :]
    some = Data(X.to(getattr(torch, dtype)), Y, WEIGHTED.weights[:64] if weighted else None)
    if net.output != "softmax":
        some = some._replace(Y=torch.zeros(64, 3))
    some = Data(*(x.to(some.X.dtype) if x is not None and x.is_floating_point() else x for x in some))
    flat = pm.pack(pm.init_params(net, backend="torch", dtype=dtype, random_state=0))
    objective = Objective(net, l2, label_smoothing=smoothing, report=REPORTED[net.loss] if reported else None)
    program = Program(objective, optimizer or adam(), clip_norm)
    with torch.no_grad():
        the_loop = make_loop(pm.get_backend("torch"), program, torch.stack([flat] * n_models) if n_models else flat)
        for epoch in range(3):
            the_loop.epoch(some, spans(64, 8), lambda step: 0.01, order=Shuffle(0).order(epoch, 64))
    (n_operations,) = recorder.n_recorded
    return n_operations

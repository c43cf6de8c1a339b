"""The CuPy backend without a GPU: its kernels compiled for the CPU, its graphs written down and repeated."""

import gc
import importlib
import itertools
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.estimators.losses import REPORTED
from portable_mlp.kernels.activations import ACTIVATIONS, Activation
from portable_mlp.kernels.losses import LOSSES
from portable_mlp.kernels.optimizers import Optimizer, adam, adamw, sgd
from portable_mlp.kernels.parameters import pack
from portable_mlp.kernels.primitives import portable
from portable_mlp.kernels.step import Objective, Program
from portable_mlp.training.batches import Data, spans
from portable_mlp.training.loop import make_loop
from portable_mlp.training.shuffle import Shuffle
from tests.selection import one_in, rarely

from . import paper_cupy
from .paper_cupy import FREED, GRAPHS, NAMESPACE, OURS, STATE, forget

RNG = np.random.default_rng(0)


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Put the stand-ins for CuPy and for NVIDIA's bindings in their places; give the modules loaded with them."""
    import array_api_compat

    from portable_mlp.backends import _cublas

    monkeypatch.setitem(sys.modules, "cupy", paper_cupy.fake_cupy())
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", NAMESPACE)
    monkeypatch.setattr(array_api_compat, "cupy", NAMESPACE, raising=False)
    cublas = paper_cupy.Cublas()
    monkeypatch.setattr(_cublas, "_bindings", lambda: cublas)
    forget()
    GRAPHS.clear()
    loaded = {name: importlib.import_module(f"portable_mlp.backends.{name}") for name in OURS}
    loaded["cublas"] = cublas
    yield type("Loaded", (), loaded)
    forget()


def on_device(x: Any) -> Any:
    return paper_cupy.asarray(np.asarray(x))


def close(found: Any, expected: Any) -> None:
    expected = np.asarray(expected)
    found = paper_cupy.asnumpy(found) if hasattr(found, "host") else found
    assert found.dtype == expected.dtype
    eps = np.finfo(expected.dtype).eps
    np.testing.assert_allclose(found, expected, rtol=32 * eps, atol=32 * eps)


def extremes(*shape: int, dtype: str = "float64") -> np.ndarray:
    x = RNG.normal(size=shape).astype(dtype) * 3
    x.reshape(-1)[:8] = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e4, -1e4, 1e-30]
    return x


@pytest.mark.parametrize(("name", "dtype"), one_in(2, ACTIVATIONS, ["float32", "float64"]))
def test_kernels_of_activations_are_the_formulas(name: str, dtype: str, cupy: Any) -> None:
    import array_api_compat.numpy as xp

    ops, plain = cupy._cupy_primitives.CupyPrimitives(), portable(xp)
    for shape in [(9, 5), (2, 9, 5)]:
        z, dh, b = (
            extremes(*shape, dtype=dtype),
            RNG.normal(size=shape).astype(dtype),
            RNG.normal(size=(*shape[:-2], 5)),
        )
        b = b.astype(dtype)
        with np.errstate(all="ignore"):
            expected_h, expected_z = plain.activate(name, z, b)
            expected_dz = plain.d_activate(name, dh, expected_z, expected_h)
        before = STATE.n_launched
        h, kept = ops.activate(name, on_device(z), on_device(b))
        dz = ops.d_activate(name, on_device(dh), kept, h)
        assert STATE.n_launched == before + 2
        close(h, expected_h)
        close(dz, expected_dz)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_classes", [1, 2, 10, 128, 129, 1000])
@pytest.mark.parametrize("shared", [False, True])
def test_the_kernel_of_cross_entropy_is_the_formula(n_classes: int, dtype: str, shared: bool, cupy: Any) -> None:
    """With one thread a row, and with one block."""
    import array_api_compat.numpy as xp

    net = pm.Network((2, n_classes))
    z = (RNG.normal(size=(3, 7, n_classes)) * [[[1.0]], [[40.0]], [[1e4]]]).astype(dtype)
    b = RNG.normal(size=(3, n_classes + 2)).astype(dtype)[:, 1:-1]  # as in a flat vector
    Y = RNG.dirichlet(np.ones(n_classes), size=(7,) if shared else (3, 7)).astype(dtype)
    (expected, _), expected_dz, _ = portable(xp).output_losses(net, z, b, Y, None, 7.0)
    ops = cupy._cupy_primitives.CupyPrimitives()
    before = STATE.n_launched
    (found, _), dz, _ = ops.output_losses(net, on_device(z), paper_cupy.ndarray(b), on_device(Y), None, 7.0)
    assert STATE.n_launched == before + 1
    close(found, expected)
    close(dz, expected_dz)
    with_nan = z.copy()
    with_nan[1, 4, -1] = np.nan
    (losses, _), *_ = ops.output_losses(net, on_device(with_nan), paper_cupy.ndarray(b), on_device(Y), None, 7.0)
    np.testing.assert_array_equal(np.isnan(paper_cupy.asnumpy(losses)), np.arange(21).reshape(3, 7) == 11)


@pytest.mark.parametrize("n_outputs", [3, 200])
@pytest.mark.parametrize(
    ("loss", "reported"), [*((loss, False) for loss in LOSSES), *((loss, True) for loss in REPORTED)]
)
def test_kernels_of_losses_are_the_formulas(loss: str, reported: bool, n_outputs: int, cupy: Any) -> None:
    """Every loss of the kernels and of the estimators is traced, for one thread a row and for one block."""
    import array_api_compat.numpy as xp

    net = pm.Network((2, n_outputs), output=LOSSES[loss].outputs[0], loss=loss)
    z, b = RNG.normal(size=(7, n_outputs)) * 3, RNG.normal(size=n_outputs)
    Y, weights = RNG.uniform(size=(7, n_outputs)), RNG.uniform(0.5, 2.0, size=7)
    Y[:, :2] = [0.0, 1.0]
    if net.output == "softmax":
        Y /= Y.sum(axis=1, keepdims=True)
        z[0, 0] = 1e3  # its probability is 1, and those of others are 0
    ours, plain = cupy._cupy_primitives.CupyPrimitives(), portable(xp)
    before = STATE.n_launched
    there = on_device(z), on_device(b), on_device(Y)
    with np.errstate(all="ignore"):
        if reported:
            found, dz, _ = ours.reported_losses(REPORTED[loss], *there, None, 7.0)
            assert STATE.n_launched == before + 1
            expected, expected_dz, _ = plain.reported_losses(REPORTED[loss], z, b, Y, None, 7.0)
            np.testing.assert_allclose(paper_cupy.asnumpy(found.each).sum() / 7.0, expected.mean, rtol=1e-12)
            there = on_device(z), on_device(b), on_device(Y)
            found, *_ = ours.reported_losses(REPORTED[loss], *there, on_device(weights), 7.0)
            expected, *_ = plain.reported_losses(REPORTED[loss], z, b, Y, weights, 7.0)
            np.testing.assert_allclose(paper_cupy.asnumpy(found.each).sum() / 7.0, expected.mean, rtol=1e-12)
        else:
            (losses, _), dz, _ = ours.output_losses(net, *there, None, 7.0)
            assert STATE.n_launched == before + 1
            (expected_losses, _), expected_dz, _ = plain.output_losses(net, z, b, Y, None, 7.0)
            np.testing.assert_allclose(paper_cupy.asnumpy(losses), expected_losses, rtol=1e-12)
    np.testing.assert_allclose(paper_cupy.asnumpy(dz), expected_dz, rtol=1e-12, atol=1e-15)


def test_samples_are_gathered_by_one_kernel(cupy: Any) -> None:
    ops = cupy._cupy_primitives.CupyPrimitives()
    X, labels, targets = RNG.normal(size=(9, 3)), RNG.integers(0, 4, size=(9, 1)), RNG.normal(size=(9, 2))
    rows = np.asarray([3, 8, 0, 3, 5])
    for Y, expected in (
        (labels, np.eye(4)[labels[rows, 0]]),
        (labels.astype("int32"), np.eye(4)[labels[rows, 0]]),
        (targets, targets[rows]),
    ):
        out = paper_cupy.empty((5, 3)), paper_cupy.empty(expected.shape)
        before = STATE.n_launched
        found = ops.gathered(on_device(X), on_device(Y), on_device(rows), expected.shape[1], *out)
        assert STATE.n_launched == before + 1
        assert found == out
        close(found[0], X[rows])
        close(found[1], expected)
    alone = ops.gathered(on_device(X), on_device(labels), on_device(rows), 4)
    np.testing.assert_array_equal(paper_cupy.asnumpy(alone[1]), labels[rows])


@pytest.mark.parametrize("dtype", ["float64", *rarely("float32")])
@pytest.mark.parametrize("n_models", [0, 3])
@pytest.mark.parametrize("n_samples", [1, 8, 50, 300])
def test_biases_of_all_layers_are_summed_by_one_kernel(n_samples: int, n_models: int, dtype: str, cupy: Any) -> None:
    net, models = pm.Network((2, 33, 64, 5)), (n_models,) if n_models else ()
    ops = cupy._cupy_primitives.CupyPrimitives()
    n = sum((a + 1) * b for a, b in itertools.pairwise(net.sizes))
    # In a group the gradient is a part of a message.
    gradient = on_device(np.zeros((*models, n + 1), dtype=dtype))[..., :n]
    workspace = types.SimpleNamespace(gradient=gradient, grads=None)
    dzs = [RNG.normal(size=(*models, n_samples, width)).astype(dtype) for width in net.sizes[1:]]
    before = STATE.n_launched
    ops.sum_samples_of_layers(net, list(map(on_device, dzs)), workspace)
    assert STATE.n_launched == before + 1
    for dz, (_, db) in zip(dzs, pm.unpack(net, paper_cupy.asnumpy(gradient)), strict=True):
        rtol = 1e-12 if dtype == "float64" else 1e-4
        np.testing.assert_allclose(db, dz.sum(-2), rtol=rtol, atol=rtol)
    for W, _ in pm.unpack(net, paper_cupy.asnumpy(gradient)):
        assert not W.any()


def test_bfloat16_is_the_nearest(cupy: Any) -> None:
    x = np.concatenate([RNG.normal(size=1000) * 10.0 ** RNG.integers(-40, 38, size=1000), [0.0, -0.0, np.inf, -np.inf]])
    ties = (np.arange(2000, dtype=np.uint32) * 0x8000 + 0x3F800000).view(np.float32)
    x = np.concatenate([x.astype(np.float32), ties]).reshape(4, -1).T  # columns are contiguous
    found = cupy._cupy_primitives.CupyPrimitives("bfloat16").factor(on_device(x.T).mT)
    assert found.strides == (2, 2 * len(x))
    np.testing.assert_array_equal(paper_cupy.asnumpy(found), x.astype(ml_dtypes.bfloat16).view(np.uint16))
    nan = cupy._cupy_primitives.CupyPrimitives("bfloat16").factor(on_device(np.asarray([np.nan], dtype=np.float32)))
    assert np.isnan(paper_cupy.asnumpy(nan).view(ml_dtypes.bfloat16)).all()


OPTIMIZERS = {
    "plain": sgd(0.0),
    "momentum": sgd(0.9, nesterov=False),
    "nesterov": sgd(0.9),
    "velocity": sgd(0.9, rate_in_velocity=True),
    "adam": adam(),
}
NETS = {
    "digits": pm.Network((5, 7, 4)),
    "deep": pm.Network((5, 6, 7, 3), activation=["gelu", "logistic"], output="identity"),
    "logistic": pm.Network((5, 3), output="logistic"),
    "wide": pm.Network((5, 300, 4)),  # its parameters take several blocks of threads
}


def problem(net: pm.Network, dtype: str, weighted: bool = False, n_samples: int = 57) -> Data:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n_samples, net.sizes[0])).astype(dtype)
    Y = rng.integers(0, net.sizes[-1], size=(n_samples, 1))
    if net.output != "softmax":
        Y = rng.uniform(size=(n_samples, net.sizes[-1])).astype(dtype)
    return Data(X, Y, rng.uniform(0.5, 2, size=n_samples).astype(dtype) if weighted else None)


def trained(
    name: str, net: pm.Network, data: Data, optimizer: Any, n_models: int, n_epochs: int, clip_norm: float | None = None
) -> tuple[Any, ...]:
    """Train with a loop of its own; return the losses, the parameters and the moments."""
    backend = pm.get_backend(name)
    flat = pack(pm.init_params(net, dtype=data.X.dtype.name))
    flat = np.stack([flat * (1 + 0.1 * i) for i in range(n_models)]) if n_models else flat
    with backend.running():
        there = Data(*(None if x is None else backend.asarray(x) for x in data))
        loop = make_loop(backend, Program(Objective(net, 0.01), optimizer, clip_norm), backend.asarray(flat))
        losses = []
        for epoch in range(n_epochs):
            order = Shuffle(0).order(epoch, 57)
            losses.append(
                backend.to_numpy(
                    loop.epoch(there, spans(57, 8), lambda step, epoch=epoch: 0.01 / (1 + epoch), order=order)
                )
            )
        return np.stack(losses), *map(backend.to_numpy, (loop.flat, *loop.state))


@pytest.mark.parametrize("dtype", ["float64", *rarely("float32")])
@pytest.mark.parametrize(
    ("net", "optimizer", "weighted", "n_models"),
    [
        ("digits", "momentum", False, 0),
        ("deep", "nesterov", True, 2),
        ("logistic", "adam", True, 0),
        ("wide", "adam", False, 0),
        *rarely(
            *(("digits", optimizer, False, 0) for optimizer in OPTIMIZERS if optimizer != "momentum"),
            ("deep", "adam", False, 0),
            ("digits", "adam", False, 3),
        ),
    ],
)
def test_recorded_training_equals_numpy(
    net: str, optimizer: str, weighted: bool, n_models: int, dtype: str, cupy: Any
) -> None:
    data = problem(NETS[net], dtype, weighted)
    found = trained("cupy", NETS[net], data, OPTIMIZERS[optimizer], n_models, 4)
    expected = trained("numpy", NETS[net], data, OPTIMIZERS[optimizer], n_models, 4)
    # 7 batches of 8 and one of 1, so calls of 4, 2, 1 and 1 steps, which come once an epoch: graphs from the third on.
    assert len(GRAPHS) == 2 * 4
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        rtol = 1e-10 if dtype == "float64" else 2e-4
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * 1e-2)


def untraceable(p: Any, g: Any, total: Any, rate: float) -> tuple[Any, Any]:
    """Adagrad with a power, which symbols do not take."""
    total = total + g * g
    return p - rate * g / (total**0.5 + 0.01), total


@pytest.mark.parametrize("n_models", [0, *rarely(3)])
def test_formulas_that_are_no_kernel_train_all_the_same(
    n_models: int, cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    squares = Activation(lambda xp, z: z**2.0, lambda xp, dh, z, h: 2.0 * dh * z**1.0, needs_z=True)
    monkeypatch.setitem(ACTIVATIONS, f"squares of {n_models}", squares)
    net = pm.Network((5, 6, 3), f"squares of {n_models}", "identity", "huber", {"delta": 0.25})
    optimizer = Optimizer(untraceable, lambda t, rate, sqrt=None: (rate,), moments=("total",))
    data = problem(net, "float64", weighted=True)
    found, expected = (trained(name, net, data, optimizer, n_models, 4) for name in ("cupy", "numpy"))
    assert cupy._cupy_kernels.activate(f"squares of {n_models}") is None
    assert cupy._cupy_kernels.conclusion((5, 6, 3), optimizer, "float64", "none", "number", "number") is None
    assert len(GRAPHS) == 2 * 4
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n_models", [3, *rarely(0)])
def test_clipped_and_decaying_steps_are_recorded_too(n_models: int, cupy: Any) -> None:
    data = problem(NETS["digits"], "float64", weighted=True)
    found, expected = (
        trained(name, NETS["digits"], data, adamw(weight_decay=0.5), n_models, 4, clip_norm=0.1)
        for name in ("cupy", "numpy")
    )
    assert len(GRAPHS) == 2 * 4
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


ONE_HIDDEN = pm.Network((6, 5, 3))
N_NODES: dict[str, tuple[pm.Network, int, dict[str, Any]]] = {
    # Samples; 5 products; bias and activation, and their derivative; losses; the sums of biases; update and loss.
    "one hidden layer": (ONE_HIDDEN, 11, {}),
    "and a penalty": (ONE_HIDDEN, 11, {"l2": 0.01}),
    "two hidden layers": (pm.Network((6, 5, 4, 3)), 16, {"l2": 0.01}),
    "no hidden layer": (pm.Network((6, 3)), 6, {"l2": 0.01}),
    "many classes": (pm.Network((6, 5, 150)), 11, {"l2": 0.01}),
    "several models": (ONE_HIDDEN, 11, {"l2": 0.01, "n_models": 3}),
    "in tf32": (ONE_HIDDEN, 11, {"l2": 0.01, "precision": "tf32"}),
    # Each factor is rounded once, the two of weights too.
    "in bfloat16": (ONE_HIDDEN, 17, {"l2": 0.01, "precision": "bfloat16"}),
    # The weights, their sum, the penalty's strength; and they scale the losses and the derivatives.
    "weighted samples": (ONE_HIDDEN, 16, {"l2": 0.01, "weighted": True}),
    "quantities": (pm.Network((6, 5, 3), output="identity"), 11, {"l2": 0.01}),
    "yes or no": (pm.Network((6, 5, 3), output="logistic"), 11, {"l2": 0.01}),
    # As the estimators have them.
    "reported": (ONE_HIDDEN, 11, {"l2": 0.01, "reported": True}),
    "reported quantities": (pm.Network((6, 5, 3), output="identity"), 11, {"l2": 0.01, "reported": True}),
    "reported yes or no": (pm.Network((6, 5, 3), output="logistic"), 11, {"l2": 0.01, "reported": True}),
}


@pytest.mark.parametrize("case", N_NODES)
def test_a_step_is_few_kernels(case: str, cupy: Any) -> None:
    net, n_nodes, options = N_NODES[case]
    options = dict(options)
    data = problem(net, "float32", options.pop("weighted", False), n_samples=64)
    trained_once = trained_on_spans(net, data, **options)
    assert np.isfinite(trained_once).all()
    (graph,) = set(GRAPHS)
    # For all 8 steps nothing else.
    assert len(graph.work) == 8 * n_nodes


def trained_on_spans(
    net: pm.Network,
    data: Data,
    l2: float = 0.0,
    n_models: int = 0,
    precision: str = "float32",
    reported: bool = False,
) -> np.ndarray:
    backend = pm.get_backend("cupy").at_precision(precision)
    with backend.running():
        there = Data(*(None if x is None else backend.asarray(x) for x in data))
        flat = pack(pm.init_params(net, dtype="float32"))
        flat = backend.asarray(np.stack([flat] * n_models) if n_models else flat)
        report = REPORTED[net.loss] if reported else None
        loop = make_loop(backend, Program(Objective(net, l2, report=report), adam()), flat)
        for epoch in range(3):
            loop.epoch(there, spans(64, 8), lambda step: 0.01, order=Shuffle(0).order(epoch, 64))
        return backend.to_numpy(loop.flat)


NET = NETS["digits"]


def fitted(**options: Any) -> pm.TrainResult:
    """Call `train` with CuPy's arrays."""
    data = problem(NET, "float32")
    params = pm.init_params(NET, backend="cupy", dtype="float32")
    return pm.train(NET, params, on_device(data.X), on_device(data.Y[:, 0]), batch_size=8, epochs=4, **options)


def flat(result: pm.TrainResult) -> np.ndarray:
    return paper_cupy.asnumpy(pack(result.params))


def test_train_end_to_end(cupy: Any) -> None:
    data = problem(NET, "float32")
    on_host = pm.train(NET, pm.init_params(NET, dtype="float32"), data.X, data.Y[:, 0], batch_size=8, epochs=4)
    found = fitted()
    np.testing.assert_allclose(flat(found), pack(on_host.params), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.history["loss"], on_host.history["loss"], rtol=1e-5)
    assert GRAPHS


def test_replayed_and_launched_steps_have_the_same_bits(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    replayed = flat(fitted())
    n_graphs = len(GRAPHS)

    def refuse(self: Any, work: Any) -> Any:
        raise RuntimeError("not now")

    monkeypatch.setattr(cupy._cupy_graph.CupyRecorder, "record", refuse)
    with pytest.warns(RuntimeWarning, match="could not be recorded as a graph"):
        launched = flat(fitted())
    assert len(GRAPHS) == n_graphs > 0
    np.testing.assert_array_equal(replayed, launched)


def test_a_recording_that_fails_is_closed(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever breaks in the middle of a capture, the stream and the collector are as before, and training goes on."""
    expected = flat(fitted())
    GRAPHS.clear()
    streams = []
    d_activate = cupy._cupy_primitives.CupyPrimitives.d_activate

    def reads_back(self: Any, name: str, dh: Any, z: Any, h: Any) -> Any:
        if STATE.stream.capturing:
            streams.append(STATE.stream)
            float(dh[0, 0])
        return d_activate(self, name, dh, z, h)

    monkeypatch.setattr(cupy._cupy_primitives.CupyPrimitives, "d_activate", reads_back)
    with pytest.warns(RuntimeWarning, match="D2H transfers are disallowed") as warned:
        found = flat(fitted())
    assert len(warned) == len(streams) == 1
    assert not streams[0].capturing
    assert gc.isenabled()
    assert STATE.stream is not streams[0]
    assert not GRAPHS
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_ctrl_c_while_recording_closes_the_capture(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    streams = []
    gathered = cupy._cupy_primitives.CupyPrimitives.gathered

    def interrupted(self: Any, *args: Any) -> Any:
        if STATE.stream.capturing:
            streams.append(STATE.stream)
            raise KeyboardInterrupt
        return gathered(self, *args)

    monkeypatch.setattr(cupy._cupy_primitives.CupyPrimitives, "gathered", interrupted)
    assert fitted().stopped_because == "interrupted"
    assert not streams[0].capturing
    assert gc.isenabled()


def test_the_memory_of_recordings_is_given_back(cupy: Any) -> None:
    FREED.clear()
    fitted()
    assert GRAPHS
    assert len(FREED) == 1


def test_handles_are_made_once_and_never_destroyed(cupy: Any) -> None:
    """A fit takes the stream, handle and workspace of an earlier one, unless that is still training."""
    calls = cupy.cublas.calls
    for _ in range(3):
        fitted()
    assert [calls.count(name) for name in ("create", "set_stream", "set_workspace", "destroy")] == [1, 1, 1, 0]
    with cupy._cupy_streams.cublas_stream() as one, cupy._cupy_streams.cublas_stream() as other:
        assert one is not other
        with one.current(), other.current():
            assert STATE.stream is other.stream
            assert one.counters(3) is not other.counters(3)  # each filled on the stream that reads it
    assert calls.count("create") == 2
    thread = threading.Thread(target=fitted)
    thread.start()
    thread.join()
    assert calls.count("create") == 2
    assert "destroy" not in calls


def test_a_stream_waits_for_what_its_last_user_launched_elsewhere(cupy: Any) -> None:
    elsewhere = paper_cupy.Stream()
    with cupy._cupy_streams.cublas_stream() as first, elsewhere:
        first.launched()
    with cupy._cupy_streams.cublas_stream() as second:
        assert second is first
    assert first.stream.waited_for[-1] is elsewhere


def test_nothing_is_made_where_nothing_is_recorded(cupy: Any) -> None:
    fitted(dropout=0.5)
    assert not cupy.cublas.calls


def test_the_stream_of_recordings_waits_and_is_waited_for(cupy: Any) -> None:
    recorder = cupy._cupy_graph.CupyRecorder()
    caller = STATE.stream
    with recorder.aside():
        assert STATE.stream.non_blocking
        inner = STATE.stream
    assert inner.waited_for == [caller]
    assert caller.waited_for[-1] is inner
    assert STATE.stream is caller


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("_bindings", r"cannot be loaded: No module named 'nvmath'; pip install nvmath-python$"),
        ("get_property", r"cannot load cuBLAS itself: libcublas.so.13 is not found$"),
    ],
)
def test_without_cublas_steps_are_launched_one_by_one(
    missing: str, message: str, cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = flat(fitted())
    GRAPHS.clear()

    def fails(*arguments: Any) -> Any:
        raise RuntimeError(message.rpartition(": ")[2].partition(";")[0].removesuffix("$"))

    from portable_mlp.backends import _cublas

    monkeypatch.setattr(_cublas if missing == "_bindings" else cupy.cublas, missing, fails)
    cupy._cupy._why_no_graphs.cache_clear()
    with pytest.warns(RuntimeWarning, match=f"kernel by kernel: .*{message}") as warned:
        found = flat(fitted()), flat(fitted())
    assert len(warned) == 1
    assert not GRAPHS
    for x in found:
        np.testing.assert_allclose(x, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="'tf32' is for the tensor cores of a GPU; cupy on cuda:0 has 'float32'"):
        fitted(precision="tf32")
    monkeypatch.setenv("CUPY_TF32", "1")
    with pytest.raises(pm.BackendUnavailable, match=f"CUPY_TF32=1 lets CuPy multiply in TF32; unset it: .*{message}"):
        fitted()


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("precision", ["float32", *rarely("tf32")])
def test_another_gpu_than_the_current_one(precision: str, cupy: Any) -> None:
    """All that is done with its arrays is done there, and the current one stays."""
    second, data, host = paper_cupy.Device(1), problem(NET, "float32"), pm.init_params(NET, dtype="float32")
    backend = pm.get_backend("cupy", "cuda:1")
    params = pm.init_params(NET, backend=backend, dtype="float32")
    X, labels = backend.asarray(data.X), backend.asarray(data.Y[:, 0])
    found = pm.predict(NET, params, X)
    close(found, pm.predict(NET, host, data.X))
    loss, _ = pm.loss_and_grad(NET, params, X, labels)
    options: dict[str, Any] = {"batch_size": 8, "epochs": 4, "class_weight": "balanced", "l2": 0.01}
    weights = np.ones(57, dtype="float32")
    weighted = {"sample_weight": backend.asarray(weights), "precision": precision}
    result = pm.train(NET, params, X, labels, validation=(X, labels), **weighted, **options)
    expected = pm.train(NET, host, data.X, data.Y[:, 0], sample_weight=weights, **options)
    assert GRAPHS
    np.testing.assert_allclose(result.history["loss"], expected.history["loss"], rtol=1e-5)
    given = pm.MLPClassifier((6,), max_iter=4, batch_size=8, random_state=0, precision=precision).fit(X, labels)
    named = pm.MLPClassifier((6,), max_iter=4, random_state=0, backend="cupy", device="cuda:1").fit(X, data.Y[:, 0])
    answers = [
        getattr(clf, method)(X)
        for clf in (given, named)
        for method in ("predict", "predict_proba", "predict_log_proba", "transform")
    ]
    everywhere = [found, loss, *answers, *named.coefs_, *(x for layer in result.params for x in layer)]
    assert all(x.device == second for x in everywhere)
    assert STATE.devices == [0]
    backend.synchronize()


@pytest.mark.parametrize(("precision", "rtol"), [("tf32", 1e-5), *rarely(("float32", 1e-5), ("bfloat16", 3e-2))])
def test_precision_is_asked_of_cublas(precision: str, rtol: float, cupy: Any) -> None:
    compute = type(cupy.cublas).ComputeType
    expected = flat(fitted())
    assert set(cupy.cublas.compute_types) == {compute.COMPUTE_32F}
    cupy.cublas.compute_types.clear()
    found = flat(fitted(precision=precision))
    # Sums over samples are no products: they stay in float32.
    asked = compute.COMPUTE_32F_FAST_TF32 if precision == "tf32" else compute.COMPUTE_32F
    assert set(cupy.cublas.compute_types) == {asked}
    assert found.dtype == np.float32
    difference = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert difference < rtol
    assert (difference > 1e-4) == (precision == "bfloat16")  # the stand-in multiplies tf32 in float32


def test_precision_is_refused_where_it_is_not(cupy: Any) -> None:
    data = problem(NET, "float32")
    with pytest.raises(ValueError, match="'bfloat16' is for the tensor cores of a GPU; numpy on cpu has 'float32'"):
        pm.train(NET, pm.init_params(NET, dtype="float32"), data.X, data.Y[:, 0], precision="bfloat16")
    with pytest.raises(ValueError, match="precision must be one of 'float32', 'tf32', 'bfloat16'; got 'half'"):
        pm.train(NET, pm.init_params(NET), data.X, data.Y[:, 0], precision="half")
    clf = pm.MLPClassifier((6,), backend="cupy", precision="tf32")
    with pytest.raises(ValueError, match="precision 'tf32' is for float32 parameters, got float64"):
        clf.fit(data.X.astype("float64"), data.Y[:, 0])
    with pytest.raises(ValueError, match="numpy on cpu has 'float32'"):
        pm.MLPClassifier((6,), precision="tf32").fit(data.X, data.Y[:, 0])
    doubles = problem(NET, "float64")
    params = pm.init_params(NET, backend="cupy")
    with pytest.raises(ValueError, match="precision 'tf32' is for float32 parameters, got float64"):
        pm.train(NET, params, on_device(doubles.X), on_device(doubles.Y[:, 0]), precision="tf32")


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer", "ignore:lbfgs failed to converge")
@pytest.mark.parametrize(
    ("options", "recorded"),
    [
        ({"solver": "sgd", "activation": "logistic"}, True),
        ({"early_stopping": True}, True),
        ({"dropout": 0.3}, False),
        ({"solver": "lbfgs", "activation": "gelu"}, False),
    ],
)
def test_estimators_are_numpys(options: dict[str, Any], recorded: bool, cupy: Any) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 5)), rng.integers(0, 3, size=90)
    here, there = (
        pm.MLPClassifier((6,), max_iter=4, batch_size=16, random_state=0, backend=backend, **options).fit(X, y)
        for backend in ("numpy", "cupy")
    )
    np.testing.assert_allclose(there.loss_curve_, here.loss_curve_, rtol=1e-10)
    np.testing.assert_allclose(there.predict_proba(X), here.predict_proba(X), rtol=1e-8)
    assert bool(GRAPHS) == recorded


@pytest.mark.parametrize(("precision", "of_cupy"), [("float32", None), ("float32", "1"), ("tf32", None)])
def test_products_that_are_not_recorded_have_the_precision_too(
    precision: str, of_cupy: str | None, cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CuPy's own take TF32 where CUPY_TF32 says so: they are used where it does not."""
    if of_cupy is not None:
        monkeypatch.setenv("CUPY_TF32", of_cupy)
    backend = pm.get_backend("cupy").at_precision(precision)
    x = on_device(np.ones((3, 3), dtype="float32"))
    with backend.running():
        backend.primitives.matmul(x, x)
    compute = type(cupy.cublas).ComputeType
    asked = {
        ("float32", None): [],
        ("float32", "1"): [compute.COMPUTE_32F],
        ("tf32", None): [compute.COMPUTE_32F_FAST_TF32],
    }
    assert cupy.cublas.compute_types == asked[precision, of_cupy]


def test_an_override_in_the_environment_is_told(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    with pytest.warns(RuntimeWarning, match="NVIDIA_TF32_OVERRIDE in the environment is stronger"):
        pm.get_backend("cupy").at_precision("float32")
    assert pm.get_backend("numpy").at_precision("float32").precision == "float32"


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_estimators_train_at_a_precision(cupy: Any) -> None:
    data = problem(NET, "float32")
    clf = pm.MLPClassifier((6,), max_iter=3, batch_size=16, random_state=0, backend="cupy", precision="tf32")
    clf.fit(data.X, data.Y[:, 0])
    assert type(cupy.cublas).ComputeType.COMPUTE_32F_FAST_TF32 in cupy.cublas.compute_types
    assert GRAPHS

"""MLX, beside what is tested on every library: devices, laziness, its own arrays in kernels, and a model's way."""

import contextlib
import functools
import io
import pathlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.backends import backend_of
from portable_mlp.backends.portable_runner import PortableRunner
from portable_mlp.cli.app import run
from portable_mlp.kernels.optimizers import adam
from portable_mlp.kernels.step import Objective, Program
from portable_mlp.training.batches import Data, spans
from portable_mlp.training.loop import Loop

pytestmark = pytest.mark.optional("mlx")

NET = pm.Network((6, 5, 3), activation="tanh")
RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(40, 6)), RNG.integers(0, 3, 40)


def start(backend: Any = "numpy", dtype: str = "float64") -> tuple[pm.Params, Any, Any]:
    """Return parameters, inputs and labels on a backend."""
    backend = pm.get_backend(backend)
    params = pm.init_params(NET, random_state=0, backend=backend, dtype=dtype)
    return params, backend.asarray(X, dtype=dtype), backend.asarray(LABELS)


def test_devices_by_name() -> None:
    import mlx.core as mx

    cpu = pm.get_backend("mlx", "cpu")
    assert cpu.device == pm.get_backend("mlx", "cpu:0").device == pm.get_backend("mlx", mx.Device(mx.cpu)).device
    assert cpu.device_name == "cpu"
    assert pm.get_backend("mlx").device == mx.default_device()
    with pytest.raises(pm.BackendUnavailable, match=r"device 'gpu:77' of mlx does not answer \(devices here: 'cpu'"):
        pm.get_backend("mlx", "gpu:77")
    with pytest.raises(ValueError, match=r"mlx has no device 'abacus'; here it has 'cpu'"):
        pm.get_backend("mlx", "abacus")


def test_a_gpu_has_no_float64() -> None:
    import mlx.core as mx

    cpu = pm.get_backend("mlx", "cpu")
    gpu = type(cpu)(cpu.xp, mx.Device(mx.gpu))
    assert gpu.dtype("float32") == mx.float32
    with pytest.raises(ValueError, match=r"'float64' is not available with mlx on gpu; choose one of float32"):
        gpu.dtype("float64")


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Make a GPU the default device, which refuses float64 as Apple's do, and computes all else on the CPU.

    Tells whether it is the current device.
    """
    import mlx.core as mx

    from portable_mlp.backends._mlx_namespace import xp

    current = [mx.Device(mx.gpu)]

    @contextlib.contextmanager
    def stream(device: Any) -> Iterator[None]:
        current.append(device if isinstance(device, mx.Device) else mx.Device(device))
        try:
            yield
        finally:
            current.pop()

    def refusing(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def computed(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            arrays = [x for x in (result, *args, *kwargs.values()) if isinstance(x, mx.array)]
            if current[-1] == mx.Device(mx.gpu) and any(x.dtype == mx.float64 for x in arrays):
                raise ValueError("float64 is not supported on the GPU")
            return result

        return computed

    monkeypatch.setattr(mx, "stream", stream)
    monkeypatch.setattr(mx, "default_device", lambda: current[-1])
    for name, function in vars(mx).items():
        if type(function).__name__ == "nb_func" and name not in ("eval", "async_eval"):
            monkeypatch.setitem(vars(xp), name, refusing(vars(xp)[name]))
    for name in ("add", "sub", "mul", "truediv", "neg", "getitem", "radd", "rsub", "rmul", "rtruediv", "gt", "lt"):
        monkeypatch.setattr(mx.array, f"__{name}__", refusing(getattr(mx.array, f"__{name}__")))
    return lambda: current == [mx.Device(mx.gpu)]


def test_arrays_of_float64_are_computed_on_the_cpu_where_a_gpu_is_the_default(
    on_gpu: Callable[[], bool], tmp_path: pathlib.Path
) -> None:
    import mlx.core as mx

    host = pm.init_params(NET, random_state=0)
    params = tuple(pm.Layer(*(mx.array(x, mx.float64) for x in layer)) for layer in host)
    x, labels, weights = mx.array(X, mx.float64), mx.array(LABELS), mx.array(np.ones(40), mx.float64)
    with pytest.raises(ValueError, match="float64 is not supported on the GPU"):
        x + x
    np.testing.assert_allclose(pm.predict(NET, params, x), pm.predict(NET, host, X), rtol=1e-12)
    assert pm.check_gradient(NET, params, x, labels).passed
    options: dict[str, Any] = {"epochs": 3, "l2": 0.01, "class_weight": "balanced"}
    found = pm.train(NET, params, x, labels, sample_weight=weights, validation=(x, labels), **options)
    expected = pm.train(NET, host, X, LABELS, validation=(X, LABELS), **options)
    np.testing.assert_allclose(found.history["loss"], expected.history["loss"], rtol=1e-10)
    pm.save_model(tmp_path / "model", NET, found.params)
    assert pm.load_model(tmp_path / "model", backend="mlx", dtype="float32")[1][0].W.dtype == mx.float32
    with pytest.raises(ValueError, match="'float64' is not available with mlx on gpu; choose one of float32"):
        pm.load_model(tmp_path / "model", backend="mlx")
    assert on_gpu()


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_estimators_take_both_dtypes_where_a_gpu_is_the_default(dtype: str, on_gpu: Callable[[], bool]) -> None:
    import mlx.core as mx

    x, other = (mx.array(X.astype(name), getattr(mx, name)) for name in (dtype, "float32"))
    clf = pm.MLPClassifier((4,), max_iter=2, random_state=0).fit(x, mx.array(LABELS))
    assert clf.coefs_[0].dtype == getattr(mx, dtype)
    for inputs in (x, other):
        for method in (clf.predict, clf.predict_proba, clf.predict_log_proba, clf.transform):
            assert type(method(inputs)) is mx.array
    reg = pm.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, random_state=0).fit(x, X[:, 0])
    assert reg.predict(x).shape == (40,)
    there = pm.MLPClassifier((4,), max_iter=2, random_state=0, backend="mlx", device="cpu").fit(X, LABELS)
    assert there.predict_proba(X).dtype == np.float64
    assert on_gpu()


def test_arrays_of_mlx_go_straight_into_kernels_and_training() -> None:
    import mlx.core as mx

    params, _, _ = start("mlx", "float32")
    x, labels = mx.array(X.astype(np.float32)), mx.array(LABELS)
    assert backend_of(x).name == "mlx"
    expected = start()
    loss, grads = pm.loss_and_grad(NET, params, x, labels, l2=0.1)
    expected_loss, expected_grads = pm.loss_and_grad(NET, *expected, l2=0.1)
    assert type(loss) is type(grads[0].W) is mx.array
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-6)
    np.testing.assert_allclose(pm.pack(grads), pm.pack(expected_grads), rtol=1e-5, atol=1e-7)
    options = {"epochs": 5, "batch_size": 8, "learning_rate": 0.01, "l2": 0.01, "random_state": 0}
    found, expected = pm.train(NET, params, x, labels, **options), pm.train(NET, *expected, **options)
    np.testing.assert_allclose(found.history["loss"], expected.history["loss"], rtol=1e-6)
    np.testing.assert_allclose(pm.pack(found.params), pm.pack(expected.params), rtol=1e-4, atol=1e-6)


def test_arrays_of_two_libraries_are_named_in_an_error() -> None:
    params, _, labels = start("mlx", "float32")
    with pytest.raises(
        ValueError, match=r"X is a numpy array on cpu but params\[0\].W is a mlx array; arrays are never"
    ):
        pm.loss_and_grad(NET, params, X, labels)
    assert repr(params[0]) == "Layer(W=<float32 (6, 5)>, b=<float32 (5,)>)"


def n_operations(x: Any) -> int:
    """Return how many operations MLX has noted down to compute an array."""
    import mlx.core as mx

    dot = io.StringIO()
    mx.export_to_dot(dot, x)
    return dot.getvalue().count("label")


@pytest.mark.parametrize("evaluated", [True, False])
def test_the_graph_of_steps_does_not_grow(evaluated: bool) -> None:
    """Nothing asks for a number before an epoch is over: a graph of all its steps would hold all their arrays."""
    backend, program = pm.get_backend("mlx", "cpu"), Program(Objective(NET, 0.01), adam())
    runner = backend.runner(program) if evaluated else PortableRunner(backend, program)
    params, x, labels = start("mlx", "float32")
    loop = Loop(backend, runner, pm.pack(params))
    with backend.running():
        loop.epoch(Data(x, labels[:, None]), spans(40, 1), lambda step: 0.01)
    graph = max(map(n_operations, (loop.flat, *loop.state, loop.total)))
    assert graph < 10 if evaluated else graph > 1000


def test_numbers_come_to_numpy_without_a_copy_and_leave_it_with_one() -> None:
    import mlx.core as mx

    backend = pm.get_backend("mlx", "cpu")
    x = mx.array([1.0, 2.0])
    assert np.shares_memory(backend.to_numpy(x), np.asarray(memoryview(x)))
    assert backend.to_numpy(mx.array([1.5], dtype=mx.bfloat16)).tolist() == [1.5]
    assert backend.asarray(x) is backend.asarray(x, dtype="float32") is x


def test_settings_of_the_process_stay() -> None:
    import mlx.core as mx

    device, stream = mx.default_device(), mx.default_stream(mx.cpu)
    pm.train(NET, *start("mlx", "float32"), epochs=1)
    assert (mx.default_device(), mx.default_stream(mx.cpu)) == (device, stream)


def test_a_model_from_its_fit_to_a_file_and_back(tmp_path: pathlib.Path) -> None:
    options: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_iter": 10, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged
        mine = pm.MLPClassifier(**options, backend="mlx", device="cpu").fit(X, LABELS)
        plain = pm.MLPClassifier(**options).fit(X, LABELS)
        several = pm.fit_many([pm.MLPClassifier(**options, backend="mlx") for _ in range(3)], X, LABELS, n_jobs=2)
    expected = plain.predict_proba(X)
    for clf in (mine, *several):
        np.testing.assert_allclose(clf.predict_proba(X), expected, rtol=1e-9)
    mine.save(tmp_path / "estimator")
    for backend in ("mlx", "numpy", None):
        loaded = pm.MLPClassifier.load(tmp_path / "estimator", backend=backend)
        np.testing.assert_allclose(loaded.predict_proba(X), expected, rtol=1e-9)
    params, x, _ = start("mlx")
    pm.save_model(tmp_path / "model", NET, params)
    pm.save_model(tmp_path / "plain", NET, start()[0])
    assert (tmp_path / "model").read_bytes() == (tmp_path / "plain").read_bytes()
    net, loaded, _ = pm.load_model(tmp_path / "model", backend="mlx")
    np.testing.assert_array_equal(pm.predict(net, loaded, x), pm.predict(NET, params, x))


def test_a_run_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path: pathlib.Path) -> None:
    params, x, labels = start("mlx", "float32")
    options: dict[str, Any] = {"batch_size": 16, "random_state": 0, "dropout": 0.2}
    whole = pm.train(NET, params, x, labels, epochs=6, **options)
    pm.train(NET, params, x, labels, epochs=3, checkpoint=tmp_path, **options)
    resumed = pm.train(NET, params, x, labels, epochs=6, checkpoint=tmp_path, resume=True, **options)
    np.testing.assert_array_equal(pm.pack(resumed.params), pm.pack(whole.params))


def test_the_command_line_trains_and_predicts(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = np.column_stack([X, LABELS])
    np.savetxt("table.csv", rows, delimiter=",", header="a,b,c,d,e,f,y", comments="", fmt="%.6g")
    assert run(["train", "table.csv", "--backend", "mlx", "--epochs", "3", "--save", "model.safetensors"]) == 0
    capfd.readouterr()
    answers = []
    for backend in ("mlx", "numpy"):
        assert run(["predict", "model.safetensors", "table.csv", "--backend", backend]) == 0
        answers.append(capfd.readouterr().out)
    assert answers[0] == answers[1]
    assert run(["backends"]) == 0
    assert "mlx" in capfd.readouterr().out

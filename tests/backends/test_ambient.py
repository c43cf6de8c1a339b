"""What a library is set to for the whole process or thread has no say in the numbers, whichever door is used."""

import contextlib
import functools
import pathlib
import pickle
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import array_api_strict
import jax
import numpy as np
import pytest
import torch

import portable_mlp as pm
from portable_mlp.backends import ambient, backend_of
from tests.selection import rarely

RNG = np.random.default_rng(0)
X, LABELS, VALUES = RNG.normal(size=(40, 5)), RNG.integers(0, 3, 40), RNG.normal(size=40)
NET = pm.Network((5, 16, 3))
DTYPES = {"torch": "float32", "jax": "float64", "strict": "float64", "numpy": "float64"}
OPTIONS: dict[str, Any] = {"hidden_layer_sizes": (16,), "max_iter": 2, "random_state": 0}


@contextlib.contextmanager
def changed(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextlib.contextmanager
def called(set_to: Callable[[Any], Any], value: Any, before: Any) -> Iterator[None]:
    set_to(value)
    try:
        yield
    finally:
        set_to(before)


@contextlib.contextmanager
def strict_flags(**flags: Any) -> Iterator[None]:
    before = array_api_strict.get_array_api_strict_flags()
    array_api_strict.set_array_api_strict_flags(**flags)
    try:
        yield
    finally:
        array_api_strict.set_array_api_strict_flags(**before)


class Passing(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*args, **(kwargs or {}))


SETTINGS: dict[tuple[str, str], Callable[[], contextlib.AbstractContextManager[Any]]] = {
    ("numpy", "errors raise"): lambda: np.errstate(all="raise"),
    ("torch", "autocast to bfloat16"): lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    ("torch", "autocast to float16"): lambda: torch.autocast("cpu", dtype=torch.float16),
    ("torch", "default dtype float64"): lambda: called(torch.set_default_dtype, torch.float64, torch.float32),
    ("torch", "default dtype float16"): lambda: called(torch.set_default_dtype, torch.float16, torch.float32),
    ("torch", "matmul precision medium"): lambda: called(torch.set_float32_matmul_precision, "medium", "highest"),
    ("torch", "matmul in bf16"): lambda: changed(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
    ("torch", "inference mode"): torch.inference_mode,
    ("torch", "gradients"): torch.enable_grad,
    ("torch", "deterministic"): lambda: called(torch.use_deterministic_algorithms, True, False),
    ("torch", "subnormal numbers are zero"): lambda: called(torch.set_flush_denormal, True, False),
    ("torch", "anomaly mode"): lambda: torch.autograd.set_detect_anomaly(True),
    ("torch", "a function mode"): Passing,
    ("jax", "matmul precision"): lambda: jax.default_matmul_precision("F16_F16_F32"),  # there is none on a CPU
    ("jax", "no broadcasting"): lambda: jax.numpy_rank_promotion("raise"),
    ("jax", "no promotion"): lambda: jax.numpy_dtype_promotion("strict"),
    ("jax", "no transfers"): lambda: jax.transfer_guard("disallow"),
    ("jax", "NaNs raise"): lambda: jax.debug_nans(True),
    ("strict", "version 2023.12"): lambda: strict_flags(api_version="2023.12"),
    ("strict", "no extensions"): lambda: strict_flags(enabled_extensions=()),
    ("numpy", "printing"): lambda: np.printoptions(precision=1),
}
# Of each library one at least.
EACH_TIME = [
    ("numpy", "errors raise"),
    ("torch", "autocast to bfloat16"),
    ("torch", "default dtype float64"),
    ("torch", "matmul in bf16"),
    ("torch", "a function mode"),
    ("jax", "no promotion"),
    ("strict", "version 2023.12"),
]


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, tuple[Callable[[], Any], Any]]]:
    """Return a function of a library: calls by their names, each with what it returns where nothing is set."""

    @functools.cache
    def of(name: str) -> dict[str, tuple[Callable[[], Any], Any]]:
        calls = make_doors(name, tmp_path_factory.mktemp(name))
        return {door: (call, on_host(quiet(call))) for door, call in calls.items()}

    return of


def make_doors(name: str, folder: pathlib.Path) -> dict[str, Callable[[], Any]]:
    backend, dtype = pm.get_backend(name), DTYPES[name]
    params = pm.init_params(NET, random_state=0, backend=backend, dtype=dtype)
    rows, labels, values = backend.asarray(X, dtype=dtype), backend.asarray(LABELS), backend.asarray(VALUES, dtype)
    host = X.astype(dtype)

    def trained(**options: Any) -> Any:
        result = pm.train(NET, params, rows, labels, epochs=2, batch_size=16, validation=(rows, labels), **options)
        return result.params, result.history["loss"], result.history["validation_loss"]

    def learnt(estimator: Any) -> Any:
        return estimator.coefs_, estimator.intercepts_, estimator.loss_curve_

    def stepped() -> Any:
        classifier = pm.MLPClassifier(**OPTIONS).partial_fit(rows, labels, classes=[0, 1, 2])
        return learnt(classifier.partial_fit(rows, labels))

    def saved() -> Any:
        pm.save_model(folder / "model.safetensors", NET, params)
        return pm.load_model(folder / "model.safetensors", backend=backend)[1]

    def exported() -> Any:
        pm.export_onnx(folder / "model.onnx", NET, params)
        return np.fromfile(folder / "model.onnx", dtype=np.uint8)

    classifier = quiet(lambda: pm.MLPClassifier(**OPTIONS).fit(rows, labels))
    regressor = quiet(lambda: pm.MLPRegressor(**OPTIONS).fit(rows, values))
    guest = quiet(lambda: pm.MLPClassifier(backend=name, **OPTIONS).fit(host, LABELS))
    calls: dict[str, Callable[[], Any]] = {
        "init_params": lambda: pm.init_params(NET, random_state=0, backend=backend, dtype=dtype),
        "forward": lambda: pm.forward(NET, params, rows),
        "predict": lambda: pm.predict(NET, params, rows),
        "loss_and_grad": lambda: pm.loss_and_grad(NET, params, rows, labels, l2=0.1),
        "check_gradient": lambda: pm.check_gradient(NET, params, rows, labels).max_relative_error,
        "train, adam": trained,
        "train, sgd": lambda: trained(solver="sgd", l2=0.1),
        "train, lbfgs": lambda: trained(solver="lbfgs"),
        "fit": lambda: learnt(pm.MLPClassifier(**OPTIONS).fit(rows, labels)),
        "fit, held out": lambda: learnt(pm.MLPRegressor(early_stopping=True, **OPTIONS).fit(rows, values)),
        "fit, rows of the host": lambda: learnt(pm.MLPClassifier(backend=name, **OPTIONS).fit(host, LABELS)),
        "partial_fit": stepped,
        "predict, classes": lambda: classifier.predict(rows),
        "predict_proba": lambda: classifier.predict_proba(rows),
        "predict_log_proba": lambda: classifier.predict_log_proba(rows),
        "transform": lambda: classifier.transform(rows),
        "score": lambda: (classifier.score(rows, labels), regressor.score(rows, values)),
        "predict, values": lambda: regressor.predict(rows),
        "rows of the host": lambda: (guest.predict(host), guest.predict_proba(host), guest.transform(host)),
        "save_model": saved,
        "export_onnx": exported,
    }
    return calls


def quiet(call: Callable[[], Any]) -> Any:
    """Call without scikit-learn's warning of few epochs, which is beside the point."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Stochastic Optimizer: Maximum iterations|lbfgs failed to converge")
        return call()


def on_host(result: Any) -> list[np.ndarray]:
    if isinstance(result, tuple | list):
        return [x for part in result for x in on_host(part)]
    if isinstance(result, float | np.generic):
        return [np.asarray(result)]
    return [np.array(backend_of(result).to_numpy(result))]


@pytest.mark.parametrize(("name", "setting"), [*EACH_TIME, *rarely(*(one for one in SETTINGS if one not in EACH_TIME))])
def test_settings_have_no_say(name: str, setting: str, doors: Any) -> None:
    for door, (call, expected) in doors(name).items():
        with SETTINGS[name, setting]():
            found = on_host(quiet(call))
        assert len(found) == len(expected), door
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype, door
            np.testing.assert_array_equal(one, other, err_msg=door)


@pytest.mark.parametrize(
    ("owner", "value"), [(torch.backends.mkldnn.matmul, "bf16"), (torch.backends.cuda.matmul, "tf32")]
)
def test_the_settings_are_put_back(owner: Any, value: str) -> None:
    backend = pm.get_backend("torch")
    before = torch.get_float32_matmul_precision()
    with changed(owner, "fp32_precision", value), torch.autocast("cpu", dtype=torch.bfloat16):
        with backend.running():
            assert (owner.fp32_precision, torch.is_autocast_enabled("cpu")) == ("ieee", False)
        assert (owner.fp32_precision, torch.is_autocast_enabled("cpu")) == (value, True)
    assert torch.get_float32_matmul_precision() == before


def test_trainings_in_threads_end_in_any_order_at_full_precision() -> None:
    backend, a_began, b_began = pm.get_backend("torch"), threading.Event(), threading.Event()

    def a() -> None:
        with backend.running():
            a_began.set()
            assert b_began.wait(60)

    with called(torch.set_float32_matmul_precision, "medium", "highest"):
        thread = threading.Thread(target=a)
        thread.start()
        assert a_began.wait(60)
        with backend.running():
            b_began.set()
            thread.join()
            assert torch.get_float32_matmul_precision() == "highest"
            with backend.undisturbed():
                pass
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"


def test_jax_settings_are_put_back() -> None:
    with jax.numpy_rank_promotion("raise"), jax.debug_nans(True):
        with pm.get_backend("jax").running():
            assert (jax.config.jax_numpy_rank_promotion, jax.config.jax_debug_nans) == ("allow", False)
        assert (jax.config.jax_numpy_rank_promotion, jax.config.jax_debug_nans) == ("raise", True)


def test_float64_that_jax_has_switched_off_is_an_error() -> None:
    """JAX would go on in float32."""
    backend = pm.get_backend("jax")
    params, rows, labels = pm.init_params(NET, backend=backend), backend.asarray(X), backend.asarray(LABELS)
    for call in (pm.predict, pm.forward, pm.loss_and_grad, pm.train, pm.check_gradient):
        arguments = (rows,) if call in (pm.predict, pm.forward) else (rows, labels)
        with jax.enable_x64(False), pytest.raises(ValueError, match=r"jax\.config\.update\('jax_enable_x64', True\)"):
            call(NET, params, *arguments)


def test_autograd_goes_through_in_autocast() -> None:
    params = pm.init_params(NET, random_state=0, backend="torch", dtype="float32")
    rows, labels = torch.tensor(X, dtype=torch.float32), torch.tensor(LABELS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        W = params[0].W.requires_grad_()
        proba = pm.predict(NET, (pm.Layer(W, params[0].b), *params[1:]), rows)
    torch.nn.functional.nll_loss(torch.log(proba), labels).backward()
    _, grads = pm.loss_and_grad(NET, tuple(pm.Layer(*(x.detach() for x in layer)) for layer in params), rows, labels)
    np.testing.assert_allclose(W.grad.numpy(), grads[0].W.numpy(), rtol=1e-4, atol=1e-7)


def test_what_was_trained_in_inference_mode_can_be_trained_on() -> None:
    params = pm.init_params(NET, backend="torch", dtype="float32")
    rows, labels = torch.tensor(X, dtype=torch.float32), torch.tensor(LABELS)
    with torch.inference_mode():
        trained = pm.train(NET, params, rows, labels, epochs=1).params
        classifier = quiet(lambda: pm.MLPClassifier(**OPTIONS).fit(rows, labels))
    assert not any(x.is_inference() for layer in trained for x in layer)
    assert not any(x.is_inference() for x in classifier.coefs_)
    classifier.partial_fit(rows, labels)
    torch.sum(pm.predict(NET, [(W.requires_grad_(), b) for W, b in trained], rows)[:, 0]).backward()


@pytest.mark.parametrize("kernel", ["forward", "predict", "loss_and_grad"])
def test_doors_are_the_kernels_with_a_name_of_their_own(kernel: str) -> None:
    door = getattr(pm, kernel)
    assert "Parameters\n    ----------\n    net : Network" in door.__doc__
    assert pickle.loads(pickle.dumps(door)) is door


@pytest.mark.parametrize("kind", [np.ndarray, np.memmap])
@pytest.mark.parametrize("kernel", ["forward", "predict", "loss_and_grad"])
def test_numpy_goes_straight_to_the_kernel(kernel: str, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ambient, "backend_of", lambda x: pytest.fail("asked for a backend"))
    arguments = (LABELS,) if kernel == "loss_and_grad" else ()
    getattr(pm, kernel)(NET, pm.init_params(NET), X.view(kind), *arguments)


@pytest.mark.parametrize("name", ["torch", *rarely("jax")])
def test_bfloat16_is_taken_wherever_a_number_is(name: str) -> None:
    """NumPy does not have it: what comes to the host is float32."""
    backend = pm.get_backend(name)

    def narrow(x: np.ndarray) -> Any:
        return torch.tensor(x).bfloat16() if name == "torch" else jax.numpy.asarray(x).astype("bfloat16")

    rows, labels, values, ones = map(narrow, (X, LABELS, VALUES, np.ones(40)))
    rounded = [np.asarray(backend.to_numpy(x)) for x in (rows, values)]
    assert rounded[0].dtype == np.float32
    regressor = quiet(lambda: pm.MLPRegressor(**OPTIONS).fit(rows, values, ones, validation_data=(rows, values, ones)))
    expected = quiet(lambda: pm.MLPRegressor(**OPTIONS).fit(*(x.astype(float) for x in rounded), np.ones(40)))
    np.testing.assert_allclose(regressor.loss_curve_, expected.loss_curve_, rtol=1e-9)
    assert np.isfinite(regressor.score(rows, values, ones))
    quiet(lambda: pm.MLPClassifier(**OPTIONS).fit(rows, labels, ones)).score(rows, labels, ones)
    quiet(lambda: pm.MLPRegressor(**OPTIONS)).partial_fit(rows, values, ones)
    net = pm.Network((5, 4, 1), output="identity")
    params = pm.init_params(net, backend=backend, dtype="float32")
    pm.train(net, params, rows, values, epochs=1, validation=(rows, values))
    pm.loss_and_grad(net, params, rows, values, sample_weight=ones)
    assert pm.check_gradient(net, params, rows, values).passed

"""dpnp, beside what is tested on every library: devices, its own arrays in kernels, and a model's way."""

import pathlib
import warnings
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.backends import backend_of

pytestmark = pytest.mark.optional("dpnp")

NET = pm.Network((6, 5, 3), activation="tanh")
RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(40, 6)), RNG.integers(0, 3, 40)


def test_devices_by_name() -> None:
    cpu = pm.get_backend("dpnp", "cpu")
    assert cpu.device_name == "opencl:cpu:0"
    assert cpu.device == pm.get_backend("dpnp", "opencl:cpu").device == pm.get_backend("dpnp", cpu.device).device
    with pytest.raises(pm.BackendUnavailable, match=r"device 'gpu:77' of dpnp does not answer \(devices here: '"):
        pm.get_backend("dpnp", "gpu:77")
    with pytest.raises(ValueError, match=r"dpnp has no device 'abacus'; here it has 'opencl:cpu:0'"):
        pm.get_backend("dpnp", "abacus")


def test_without_a_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import dpctl

    monkeypatch.setattr(dpctl, "get_devices", list)
    with pytest.raises(pm.BackendUnavailable, match=r"no driver .*\[dpnp\].*pip install intel-opencl-rt"):
        pm.get_backend("dpnp")
    assert not next(info for info in pm.backends() if info.name == "dpnp").available


def test_arrays_in_memory_that_numpy_cannot_read_go_straight_into_kernels_and_training() -> None:
    import dpnp

    host = pm.init_params(NET, random_state=0)
    params = tuple(pm.Layer(*map(dpnp.asarray, layer)) for layer in host)
    x, labels = dpnp.asarray(X), dpnp.asarray(LABELS)
    assert backend_of(x).name == "dpnp"
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(x)
    loss, grads = pm.loss_and_grad(NET, params, x, labels, l2=0.1)
    expected_loss, expected_grads = pm.loss_and_grad(NET, host, X, LABELS, l2=0.1)
    assert type(loss) is type(grads[0].W) is dpnp.ndarray
    np.testing.assert_allclose(loss.asnumpy(), expected_loss, rtol=1e-12)
    np.testing.assert_allclose(pm.pack(grads).asnumpy(), pm.pack(expected_grads), rtol=1e-11, atol=1e-15)
    options = {"epochs": 5, "batch_size": 8, "learning_rate": 0.01, "l2": 0.01, "random_state": 0}
    found, expected = pm.train(NET, params, x, labels, **options), pm.train(NET, host, X, LABELS, **options)
    np.testing.assert_allclose(found.history["loss"], expected.history["loss"], rtol=1e-11)
    np.testing.assert_allclose(pm.pack(found.params).asnumpy(), pm.pack(expected.params), rtol=1e-9)


def test_a_model_from_its_fit_to_a_file_and_back(tmp_path: pathlib.Path) -> None:
    import dpnp

    options: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged
        mine = pm.MLPClassifier(**options).fit(dpnp.asarray(X), dpnp.asarray(LABELS))
        plain = pm.MLPClassifier(**options).fit(X, LABELS)
    expected = plain.predict_proba(X)
    np.testing.assert_allclose(mine.predict_proba(dpnp.asarray(X)).asnumpy(), expected, rtol=1e-9)
    mine.save(tmp_path / "estimator")
    for backend in ("dpnp", "numpy"):
        loaded = pm.MLPClassifier.load(tmp_path / "estimator", backend=backend)
        np.testing.assert_allclose(loaded.predict_proba(X), expected, rtol=1e-9)

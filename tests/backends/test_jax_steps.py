"""Steps on JAX whose state is donated, as on a GPU: nothing that is needed later is given away."""

import pathlib
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.backends import _jax
from portable_mlp.backends._jax import JaxBackend
from portable_mlp.backends._scan_runner import ScanRunner
from tests.selection import rarely

NET = pm.Network((4, 6, 3))
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(203, 4)), RNG.integers(0, 3, size=203)


def train(folder: pathlib.Path, **options: Any) -> pm.TrainResult:
    backend = pm.get_backend("jax")
    params = pm.init_params(NET, backend=backend)
    data = backend.asarray(X), backend.asarray(Y)
    chosen: dict[str, Any] = {"epochs": 5, "batch_size": 10, "validation": data, "patience": 3, "checkpoint_every": 7}
    return pm.train(NET, params, *data, checkpoint=folder, **{**chosen, **options})


def flat(result: pm.TrainResult) -> np.ndarray:
    return pm.get_backend("jax").to_numpy(pm.pack(result.params))


@pytest.mark.parametrize("solver", ["adam", *rarely("sgd")])
def test_a_donated_state_changes_nothing(solver: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = train(tmp_path / "kept", solver=solver)
    calls = []

    class Donating(ScanRunner):
        def take(self, carry: Any, *rest: Any) -> Any:
            result = super().take(carry, *rest)
            calls.append(carry.total.is_deleted())
            return result

    monkeypatch.setattr(JaxBackend, "runner", lambda self, program: Donating(self, program, donated=True))
    params = []
    donated = train(tmp_path / "donated", solver=solver, callbacks=[lambda event: params.append(event.params)])
    assert all(calls)
    np.testing.assert_array_equal(flat(donated), flat(kept))
    assert donated.history["validation_loss"] == kept.history["validation_loss"]
    assert all(np.isfinite(np.asarray(W)).all() for layers in params for W, _ in layers)
    train(tmp_path / "resumed", solver=solver, epochs=2)
    resumed = train(tmp_path / "resumed", solver=solver, resume=True)
    np.testing.assert_array_equal(flat(resumed), flat(kept))


def test_on_the_cpu_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(_jax, "ScanRunner", lambda backend, program, donated: asked.append(donated))
    pm.get_backend("jax").runner(None)
    assert asked == [False]

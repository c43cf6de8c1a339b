"""Steps on JAX whose state is donated, as on a GPU: nothing that is needed later is given away."""

import functools
import pathlib
from typing import Any

import jax
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


def test_what_was_moved_is_independent_of_the_memory_on_the_host() -> None:
    memory = np.zeros(1040, dtype=np.float32)
    start = -memory.ctypes.data % 64 // 4
    host = memory[start : start + 1024]  # at a place that JAX's array could share
    moved = pm.get_backend("jax", "cpu").asarray(host)
    host += 1.0
    assert float(moved[0]) == 0.0


def test_a_state_is_packed_and_unpacked_in_one_call() -> None:
    """By single operations of JAX they took most of a short epoch."""
    backend = pm.get_backend("jax", "cpu")
    ops, flat = backend.primitives, backend.asarray(np.arange(4 * 6 + 6 + 6 * 3 + 3, dtype=np.float32))
    layers = ops.from_flat(NET, flat)
    for call, argument in ((ops.from_flat, flat), (ops.to_flat, layers)):
        assert len(jax.make_jaxpr(functools.partial(call, NET))(argument).eqns) == 1
    np.testing.assert_array_equal(ops.to_flat(NET, layers), flat)

"""Steps on JAX whose state is donated, as on a GPU: nothing that is needed later is given away."""

import functools
import pathlib
from typing import Any

import jax
import numpy as np
import pytest
from sklearn.base import clone

import portable_mlp as pm
from portable_mlp.backends import _jax_programs, _loop_runner, _scan_runner
from portable_mlp.backends._jax import JaxBackend
from portable_mlp.backends._loop_runner import LoopRunner
from portable_mlp.backends._scan_runner import ScanRunner
from portable_mlp.kernels.optimizers import sgd
from portable_mlp.kernels.step import Objective, Program
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

    monkeypatch.setattr(JaxBackend, "runner", lambda self, program: Donating(self, program))
    params = []
    donated = train(tmp_path / "donated", solver=solver, callbacks=[lambda event: params.append(event.params)])
    assert all(calls)
    np.testing.assert_array_equal(flat(donated), flat(kept))
    assert donated.history["validation_loss"] == kept.history["validation_loss"]
    assert all(np.isfinite(np.asarray(W)).all() for layers in params for W, _ in layers)
    train(tmp_path / "resumed", solver=solver, epochs=2)
    resumed = train(tmp_path / "resumed", solver=solver, resume=True)
    np.testing.assert_array_equal(flat(resumed), flat(kept))


def test_on_the_cpu_it_is_kept() -> None:
    assert isinstance(pm.get_backend("jax", "cpu").runner(Program(Objective(NET), sgd())), LoopRunner)


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


NUMBERS: list[dict[str, Any]] = [
    {"l2": 0.1, "learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3, "weight_decay": 0.1},
    {"l2": 0.7, "learning_rate": 0.02, "beta_1": 0.7, "beta_2": 0.8, "epsilon": 1e-2, "weight_decay": 0.2},
]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_runs_that_differ_in_numbers_are_compiled_once(dropout: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits of a search do; of each run the numbers are its own."""
    traced, trained = [], []
    portable = _jax_programs.step

    def noted(*arguments: Any) -> Any:
        traced.append(1)
        return portable(*arguments)

    for module in (_jax_programs, _loop_runner, _scan_runner):
        monkeypatch.setattr(module, "step", noted)
    net = pm.Network((4, 9, 3), "tanh")  # of no other test: nothing is compiled yet
    for numbers in NUMBERS:
        n_before = len(traced)
        options = {"solver": "adamw", "clip_norm": numbers["l2"], "warmup_steps": 9, "epochs": 2, "batch_size": 29}
        for name in ("numpy", "jax"):
            backend = pm.get_backend(name)
            params = pm.init_params(net, backend=backend)
            data = backend.asarray(X), backend.asarray(Y)
            trained.append(pm.train(net, params, *data, dropout=dropout, **options, **numbers))
    assert n_before == len(traced) > 0
    for on_numpy, on_jax in zip(trained[::2], trained[1::2], strict=True):
        np.testing.assert_allclose(on_jax.history["loss"], on_numpy.history["loss"], rtol=1e-12)


JOINED: dict[str, dict[str, Any]] = {
    "a short batch": {},
    "equal batches": {"batch_size": 29},
    "one batch": {"batch_size": 203},
    "in order": {"shuffle": False, "schedule": "cosine", "warmup_steps": 9},
    "weights": {"sample_weight": np.linspace(0.0, 2.0, 203), "l2": 0.1, "solver": "sgd"},
}


@pytest.mark.parametrize("dtype", ["float32", *rarely("float64")])
@pytest.mark.parametrize("options", JOINED.values(), ids=JOINED)
def test_epochs_in_one_call_are_those_of_one_at_a_time(
    options: dict[str, Any], dtype: str, joined: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On JAX as elsewhere to the bit, the losses too: a run with checkpoints takes its epochs alone."""
    backend, results = pm.get_backend("jax"), []
    chosen: dict[str, Any] = {"batch_size": 40, "epochs": 7, **options}
    if "sample_weight" in chosen:
        chosen["sample_weight"] = backend.asarray(chosen["sample_weight"], dtype)
    for joins in (True, False):
        monkeypatch.setattr(LoopRunner, "joins_epochs", joins)
        params = pm.init_params(NET, backend=backend, dtype=dtype)
        results.append(pm.train(NET, params, backend.asarray(X, dtype), backend.asarray(Y), **chosen))
    assert (max(joined, default=0) > 1) is ("sample_weight" not in chosen)
    assert results[0].history["loss"] == results[1].history["loss"]
    np.testing.assert_array_equal(flat(results[0]), flat(results[1]))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fits_side_by_side_join_their_epochs(joined: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their penalties, rates, seeds, rows and rules for stopping; each as if it took one epoch at a time."""
    options: list[dict[str, Any]] = [
        {"alpha": 0.1},
        {"alpha": 1.0, "learning_rate_init": 0.1, "tol": 0.05, "n_iter_no_change": 3},
        {"beta_1": 0.5, "early_stopping": True},
        {"solver": "sgd", "learning_rate_init": 1e300},  # diverges
    ]
    rows, fits = [None, np.arange(150), np.arange(60, 203), None], []
    for joins in (True, False):
        monkeypatch.setattr(LoopRunner, "joins_epochs", joins)
        made = [
            pm.MLPClassifier((6,), random_state=i, backend="jax", device="cpu", max_iter=30, batch_size=40, **some)
            for i, some in enumerate(options)
        ]
        with pytest.raises(ExceptionGroup, match=r"1 of 4 could not be fitted: estimators\[3\]"):
            pm.fit_many(made, X, Y, rows=rows)
        fits.append(made)
        if joins:
            assert {one > 1 for one in joined} == {True, False}
    for together, apart, some in list(zip(*fits, rows, strict=True))[:3]:
        assert together.loss_curve_ == apart.loss_curve_
        for ours, theirs in zip(together.coefs_, apart.coefs_, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        on_numpy = clone(together).set_params(backend=None, device=None)
        on_numpy.fit(X if some is None else X[some], Y if some is None else Y[some])
        np.testing.assert_allclose(together.loss_curve_, on_numpy.loss_curve_, rtol=1e-10)


def test_a_call_of_large_batches_has_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory for its row numbers is allocated for all steps that a call may have."""
    results = []
    for rows_a_call in (_loop_runner.ROWS_A_CALL, 100, 1):
        monkeypatch.setattr(_loop_runner, "ROWS_A_CALL", rows_a_call)
        runner = pm.get_backend("jax", "cpu").runner(Program(Objective(NET), sgd()))
        calls = list(runner.calls([(0, 40), (40, 80), (80, 120), (120, 123)], 5, None))
        assert [len(call) for call in calls] == {100: [2, 2], 1: [1] * 4}.get(rows_a_call, [4])
        backend = pm.get_backend("jax")
        data = backend.asarray(X), backend.asarray(Y)
        results.append(flat(pm.train(NET, pm.init_params(NET, backend=backend), *data, batch_size=40, epochs=3)))
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-12)

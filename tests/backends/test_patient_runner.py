"""Steps of plain NumPy at first, compiled ones later: the same bits, and no compiler for short runs."""

import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.backends import _patient_runner
from portable_mlp.backends._numba_primitives import NumbaPrimitives
from portable_mlp.backends._numpy import NumpyBackend, plain_primitives
from portable_mlp.backends._patient_runner import PatientRunner, PlainSteps
from portable_mlp.backends.portable_runner import PortableRunner

SHORT = """
import os, sys, warnings
import numpy as np, portable_mlp as pm
warnings.simplefilter("ignore")
X, y = np.random.default_rng(0).normal(size=(60, 5)), np.arange(60) % 3
classifier = pm.MLPClassifier(max_iter=3, early_stopping=True, random_state=0).fit(X, y)
classifier.predict(X), classifier.predict_proba(X[:1])
net = pm.Network((5, 4, 3))
params = pm.train(net, pm.init_params(net), X, y, epochs=2, validation=(X, y)).params
pm.predict(net, params, X)
print("numba" in sys.modules, os.path.exists(os.environ["NUMBA_CACHE_DIR"]))
pm.get_backend("numpy").load()
print("numba" in sys.modules, os.path.exists(os.environ["NUMBA_CACHE_DIR"]))
"""


def test_a_short_run_imports_and_compiles_nothing(tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHORT],
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "compiled")},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.splitlines() == ["False False", "True True"]


class Clock:
    """Each step takes a second."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def runners(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the runners that take over from plain steps, as they are made."""
    made: list[Any] = []

    def runner(self: NumpyBackend, program: Any) -> PatientRunner:
        def make(program: Any) -> Any:
            made.append(self._compiled_runner(program))
            return made[-1]

        return PatientRunner(self, program, plain_primitives(), make)

    monkeypatch.setattr(NumpyBackend, "runner", runner)
    return made


def train(solver: str) -> tuple[list[float], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(70, 5)), np.arange(70) % 3
    net = pm.Network((5, 8, 3))
    result = pm.train(net, pm.init_params(net, random_state=0), X, y, solver=solver, epochs=4, batch_size=16, l2=0.1)
    return result.history["loss"], [x for layer in result.params for x in layer]


@pytest.mark.compiled_steps
@pytest.mark.parametrize("seconds", [0.0, 2.5, 5.0, 7.5])  # of five steps an epoch
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_compiled_steps_go_on_where_plain_ones_ended(
    solver: str, seconds: float, runners: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_patient_runner, "plain_steps", PlainSteps(Clock()))
    monkeypatch.setattr(_patient_runner, "SECONDS_OF_PLAIN_STEPS", 100.0)
    losses, parameters = train(solver)
    assert runners == []
    monkeypatch.setattr(_patient_runner, "plain_steps", PlainSteps(Clock()))
    monkeypatch.setattr(_patient_runner, "SECONDS_OF_PLAIN_STEPS", seconds)
    others, other_parameters = train(solver)
    assert [type(one._ops) for one in runners] == [NumbaPrimitives]
    assert losses == others
    for x, other in zip(parameters, other_parameters, strict=True):
        np.testing.assert_array_equal(x, other)


@pytest.mark.compiled_steps
def test_later_runs_are_compiled_from_their_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = pm.get_backend("numpy")
    assert not isinstance(backend.runner(None), PatientRunner)  # Numba is imported here
    monkeypatch.delitem(sys.modules, NumbaPrimitives.__module__)
    assert isinstance(backend.runner(None), PatientRunner)
    monkeypatch.setattr(_patient_runner, "SECONDS_OF_PLAIN_STEPS", 0.0)
    later = backend.runner(None)
    assert isinstance(later, PortableRunner)
    assert not isinstance(later, PatientRunner)

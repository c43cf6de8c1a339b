"""Steps of plain NumPy at first, compiled ones later: the same bits, and no compiler for short runs."""

import os
import pathlib
import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import pytest

import portable_mlp as pm
from portable_mlp.backends import _patient_runner
from portable_mlp.backends import runner as runners_module
from portable_mlp.backends._numba_primitives import NumbaPrimitives
from portable_mlp.backends._numpy import NumpyBackend, plain_primitives
from portable_mlp.backends._patient_runner import PatientRunner, PlainSteps
from portable_mlp.backends._recording import Recording
from portable_mlp.backends.portable_runner import PortableRunner
from tests.selection import rarely

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
assert "dask" not in sys.modules
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


rng = np.random.default_rng(0)
X, Y = rng.normal(size=(70, 5)), np.arange(70) % 3


def train(**options: Any) -> tuple[Any, list[np.ndarray]]:
    net = pm.Network((5, 8, 3))
    params = pm.init_params(net, random_state=0)
    result = pm.train(net, params, X, Y, **{"epochs": 4, "batch_size": 16, "l2": 0.1, **options})
    history = {name: numbers for name, numbers in result.history.items() if name != "samples_per_second"}
    return history, [x for layer in result.params for x in layer]


def plain_for(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a new process begin, in which a plain step takes a second, and compiled ones begin after some."""
    monkeypatch.setattr(_patient_runner, "plain_steps", PlainSteps(Clock()))
    monkeypatch.setattr(_patient_runner, "SECONDS_OF_PLAIN_STEPS", seconds)


OPTIONS: dict[str, dict[str, Any]] = {
    "adam": {},
    "sgd": {"solver": "sgd"},
    "adamw": {"solver": "adamw", "weight_decay": 0.1},
    "dropout": {"dropout": 0.3},
    "clipping": {"clip_norm": 0.5},
    "smoothing": {"label_smoothing": 0.1},
    "weights": {"sample_weight": 1.0 + np.arange(70) % 4},
    "validation": {"validation": (X[:20], Y[:20]), "patience": 2},
    "warm-up": {"warmup_steps": 12},
    "in order": {"shuffle": False},
}


@pytest.mark.compiled_steps
@pytest.mark.parametrize(
    ("name", "seconds"),  # of five steps an epoch
    [
        *((name, seconds) for name in ("adam", "sgd") for seconds in (0.0, 2.5, 5.0, 7.5)),
        *rarely(*((name, seconds) for name in list(OPTIONS)[2:] for seconds in (2.5, 5.0))),
    ],
)
def test_compiled_steps_go_on_where_plain_ones_ended(
    name: str, seconds: float, runners: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_for(100.0, monkeypatch)
    history, parameters = train(**OPTIONS[name])
    assert runners == []
    plain_for(seconds, monkeypatch)
    other_history, other_parameters = train(**OPTIONS[name])
    assert [type(one._ops) for one in runners] == [NumbaPrimitives]
    assert history == other_history
    for x, other in zip(parameters, other_parameters, strict=True):
        np.testing.assert_array_equal(x, other)


@pytest.mark.compiled_steps
@pytest.mark.usefixtures("runners")
def test_the_memory_of_plain_steps_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled steps have memory of their own for each of the two sizes of batches."""
    made: list[Any] = []
    n_there: list[int] = []
    honest, bound_to = runners_module.make_workspace, Recording.bound_to

    def noted(*arguments: Any, **options: Any) -> Any:
        made.append(weakref.ref((workspace := honest(*arguments, **options)).logits))
        return workspace

    def noted_steps(self: Recording, given: Any) -> Any:
        made.append(weakref.ref((steps := bound_to(self, given)).memory[0]))  # type: ignore[union-attr]
        return steps

    monkeypatch.setattr(runners_module, "make_workspace", noted)
    monkeypatch.setattr(Recording, "bound_to", noted_steps)
    plain_for(7.5, monkeypatch)
    train(callbacks=[lambda event: n_there.append(sum(array() is not None for array in made))])
    assert len(made) == 4
    assert n_there == [2, 2, 2, 2]


ACROSS = """
import hashlib, signal, sys
import numpy as np, portable_mlp as pm
from portable_mlp.backends._patient_runner import plain_steps
folder, interrupted = sys.argv[1:]
rng = np.random.default_rng(0)
X, y = rng.normal(size=(2_000, 100)), rng.integers(0, 5, 2_000)
net = pm.Network((100, 300, 300, 5))

def interrupt(event):
    if interrupted == ("before" if plain_steps.suffice else "after"):
        signal.raise_signal(signal.SIGINT)

result = pm.train(net, pm.init_params(net, random_state=0), X, y, epochs=30, validation=(X[:300], y[:300]),
                  callbacks=[interrupt], checkpoint=folder, resume=True)
numbers = [result.history["loss"], result.history["validation_loss"]]
digest = hashlib.sha256(b"".join(W.tobytes() + b.tobytes() for W, b in result.params) + repr(numbers).encode())
print(result.stopped_because, "numba" in sys.modules, digest.hexdigest())
"""


@pytest.mark.thorough
@pytest.mark.parametrize("interrupted", ["before", "after"])
def test_a_run_is_interrupted_and_resumed_beside_the_change_to_compiled_steps(
    interrupted: str, tmp_path: pathlib.Path
) -> None:
    def run(folder: str, interrupted: str, **variables: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", ACROSS, str(tmp_path / folder), interrupted],
            env={**os.environ, **variables},
            check=True,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done.stdout.split()

    reason, compiled, expected = run("plain", "never", NUMBA_DISABLE_JIT="1")
    assert (reason, compiled) == ("max_epochs", "False")
    reason, compiled, _ = run("resumed", interrupted)
    assert (reason, compiled) == ("interrupted", str(interrupted == "after"))
    assert run("resumed", "never") == ["max_epochs", "True", expected]


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

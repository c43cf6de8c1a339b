"""A name that nobody knows, of a user, a file or the environment, is told as such: never a bare KeyError."""

import copy
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import portable_mlp as pm
from portable_mlp.distributed.supervision import mpi_environment, rank

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 4)), RNG.integers(0, 3, 20)
NET = pm.Network((4, 5, 3))
PARAMS = pm.init_params(NET)

NAMES: dict[str, Any] = {
    "unknown": "nope",
    "none": None,
    "number": 3,
    "list": ["relu"],
    "dict": {"a": 1},
    "bytes": b"relu",
    "nan": float("nan"),
    "array": np.asarray(["relu", "tanh"]),
}


def entered(**options: Any) -> None:
    with pm.parallel(**options):
        pass


def predicted(estimator: type[Any], name: str, value: Any) -> None:
    """Predict with a fitted estimator one of whose attributes was set afterwards."""
    with pytest.warns(ConvergenceWarning):
        fitted = estimator(hidden_layer_sizes=(3,), max_iter=1).fit(X, Y)
    changed = copy.deepcopy(fitted)
    setattr(changed, name, value)
    changed.predict(X)


CALLS: dict[str, Callable[[Any], Any]] = {
    "get_backend": pm.get_backend,
    **{
        f"device of {name}": lambda x, name=name: pm.get_backend(name, x or "nope")
        for name in ("numpy", "torch", "jax")
    },
    **{
        f"dtype of {name}": lambda x, name=name: pm.get_backend(name).asarray([1.0], dtype=x or "nope")
        for name in ("numpy", "torch", "jax", "strict")
    },
    "precision": lambda x: pm.get_backend("numpy").at_precision(x),
    "activation": lambda x: pm.Network((4, 5, 3), activation=x),
    "output": lambda x: pm.Network((4, 5, 3), output=x),
    "loss": lambda x: pm.Network((4, 5, 3), loss=x or "nope"),
    "loss_options": lambda x: pm.Network((4, 3), output="identity", loss="huber", loss_options=x or "nope"),
    "scheme": lambda x: pm.init_params(NET, scheme=x),
    "reduction": lambda x: pm.loss_and_grad(NET, PARAMS, X, Y, reduction=x),
    "method": lambda x: pm.check_gradient(NET, PARAMS, X, Y, method=x),
    "solver": lambda x: pm.train(NET, PARAMS, X, Y, solver=x),
    "schedule": lambda x: pm.train(NET, PARAMS, X, Y, schedule=x),
    "engine": lambda x: entered(engine=x),
    "samples": lambda x: entered(engine="serial", samples=x),
    "solver of a training graph": lambda x: pm.export_onnx_training("no.onnx", NET, PARAMS, solver=x),
    "out_activation_ of a classifier": lambda x: predicted(pm.MLPClassifier, "out_activation_", x),
    "out_activation_ of a regressor": lambda x: predicted(pm.MLPRegressor, "out_activation_", x),
    "loss of a fitted regressor": lambda x: predicted(pm.MLPRegressor, "loss", x),
    "activation of a fitted classifier": lambda x: predicted(pm.MLPClassifier, "activation", x or "nope"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("call", CALLS)
def test_a_name_that_nobody_knows(call: str, name: str) -> None:
    """The error is the package's own, and none that Python raises for a value of another type."""
    if call.startswith("activation") and name == "list":
        return  # one name for each layer
    with pytest.raises((ValueError, TypeError, pm.BackendUnavailable)) as caught:
        CALLS[call](NAMES[name])
    told = str(caught.value)
    assert len(told) > 20
    for words in ("unhashable", "not iterable", "has no attribute", "unexpected keyword", "KeyError"):
        assert words not in told


@pytest.mark.parametrize("name", [*mpi_environment.STARTED, *mpi_environment.SIZE_VARIABLES])
@pytest.mark.parametrize("value", ["", "x", "-1", "1.5"])
def test_an_environment_variable_without_a_number(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in (*mpi_environment.STARTED, *mpi_environment.SIZE_VARIABLES):
        monkeypatch.delenv(other, raising=False)
    assert (mpi_environment.rank_started(), mpi_environment.n_started()) == (0, 1)
    monkeypatch.setenv(name, value)
    read = mpi_environment.rank_started if name in mpi_environment.STARTED else mpi_environment.n_started
    with pytest.raises(ValueError, match=f"the environment variable {name}, .* is '{value}'"):
        read()


def test_a_launcher_that_numbers_no_process(tmp_path: pathlib.Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in rank.RANK_VARIABLES}
    command = [sys.executable, "-S", str(rank.__file__), str(tmp_path), sys.executable, "-V"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert (
        done.stderr
        == "mpiexec told this process no number: none of " + ", ".join(rank.RANK_VARIABLES) + " is in its environment\n"
    )


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (lambda described: described["record"].update(nope=1), "nope"),
        (lambda described: described.pop("parameters"), "parameters"),
        (lambda described: described.pop("feature_names"), "feature_names"),
    ],
)
def test_names_in_an_estimators_file(spoil: Any, name: str, tmp_path: pathlib.Path) -> None:
    with pytest.warns(ConvergenceWarning):
        fitted = pm.MLPClassifier((3,), max_iter=1).fit(X, Y)
    fitted.save(tmp_path / "model.safetensors")
    net, params, metadata = pm.load_model(tmp_path / "model.safetensors")
    (described,) = metadata.values()
    spoil(described)
    pm.save_model(tmp_path / "spoilt.safetensors", net, params, metadata)
    with pytest.raises(pm.ModelFileError, match=rf"not one that was saved: the name '{name}' is missing or unknown"):
        pm.MLPClassifier.load(tmp_path / "spoilt.safetensors")

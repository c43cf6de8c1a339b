"""Files written by earlier releases load for ever, and predict what they predicted.

Beside each file of ``golden/`` a JSON file says what it holds and what came out of it when it was made: by
`save_model` ("network"), by an estimator's ``save`` ("estimator") or by ``portable-mlp train --save`` ("command
line"). A release that changes the format adds files and leaves these alone.
"""

import json
import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pytest

import portable_mlp as pm
from portable_mlp.cli.app import run
from portable_mlp.storage.models import read_model_file, save_ensemble
from tests.storage.crafting import crafted, description

GOLDEN = pathlib.Path(__file__).with_name("golden")
EXPECTED = {path.stem: json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*.json"))}


def of_kind(kind: str) -> Any:
    return pytest.mark.parametrize("name", [name for name, what in EXPECTED.items() if what["kind"] == kind])


def golden(name: str) -> pathlib.Path:
    return GOLDEN / f"{name}.safetensors"


def assert_close(found: Any, expected: Any, dtype: str = "float64") -> None:
    """Assert equality but for the rounding of another machine's matrix product and exponential."""
    np.testing.assert_allclose(found, expected, rtol=2e-5 if dtype == "float32" else 1e-12)


def test_every_file_has_its_expectation_and_is_small() -> None:
    assert {path.stem for path in GOLDEN.glob("*.safetensors")} == set(EXPECTED)
    assert len(EXPECTED) >= 13
    assert all(path.stat().st_size <= 5000 for path in GOLDEN.iterdir())


@of_kind("network")
@pytest.mark.parametrize("backend", ["numpy", "torch", "jax", "strict"])
def test_networks(name: str, backend: str) -> None:
    what, home = EXPECTED[name], pm.get_backend(backend)
    net, params, metadata = pm.load_model(golden(name), backend=home)
    activation = what["activation"]
    activation = tuple(activation) if isinstance(activation, list) else activation
    expected = pm.Network(tuple(what["sizes"]), activation, what["output"], what["loss"], what.get("loss_options", {}))
    assert net == expected
    assert metadata == what["metadata"]
    outputs = pm.predict(net, params, home.asarray(what["X"], dtype=what["dtype"]))
    assert_close(home.to_numpy(outputs), what["outputs"], what["dtype"])


@of_kind("estimator")
@pytest.mark.parametrize("backend", [None, "torch"])
def test_estimators(name: str, backend: str | None) -> None:
    what = EXPECTED[name]
    estimator = getattr(pm, what["cls"]).load(golden(name), backend=backend)
    X = np.array(what["X"]) if what["columns"] is None else pd.DataFrame(what["X"], columns=what["columns"])
    assert (estimator.n_iter_, estimator.loss_, estimator.loss_curve_) == (
        what["n_iter"],
        what["loss"],
        what["loss_curve"],
    )
    if "classes" in what:
        assert estimator.predict(X).tolist() == what["predictions"]
        assert estimator.classes_.tolist() == what["classes"]
        assert estimator.classes_.dtype.kind == what["dtype"]
        assert_close(estimator.predict_proba(X), what["proba"], str(np.asarray(estimator.coefs_[0]).dtype))
    else:
        assert_close(estimator.predict(X), what["predictions"])


@of_kind("command line")
def test_the_command_line(name: str, tmp_path: pathlib.Path) -> None:
    what = EXPECTED[name]
    table, answer = tmp_path / "new.csv", tmp_path / "answer.csv"
    table.write_text(what["table"], encoding="utf-8")
    options = ["--proba"] if "proba" in what["answer"] else []
    assert run(["predict", str(golden(name)), str(table), "--output", str(answer), *options]) == 0
    found = [line.split(",") for line in answer.read_text(encoding="utf-8").splitlines()]
    expected = [line.split(",") for line in what["answer"].splitlines()]
    assert found[0] == expected[0]
    texts = 1 if options else 0
    assert [row[:texts] for row in found] == [row[:texts] for row in expected]
    assert_close(
        np.array([row[texts:] for row in found[1:]], float),
        np.array([row[texts:] for row in expected[1:]], float),
        "float32",
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_written_is_what_was_written(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the format's version is the same, every release writes the same bytes for the same model."""
    monkeypatch.setattr("portable_mlp.version.__version__", read_model_file(golden(name)).described.library_version)
    save_ensemble(tmp_path / "again", *pm.load_model(golden(name)))
    assert (tmp_path / "again").read_bytes() == golden(name).read_bytes()


def test_a_later_format_is_refused_and_says_so(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(crafted(description(format_version=3, library_version="9.0", quantised=True)))
    with pytest.raises(
        pm.ModelFileError, match=r"its format version is 3, but .* reads versions 1 and 2: a newer release may"
    ):
        pm.load_model(path)


def test_a_later_release_with_the_same_format_is_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(crafted(description(library_version="9.12.0rc1+local")))
    assert read_model_file(path).described.library_version == "9.12.0rc1+local"

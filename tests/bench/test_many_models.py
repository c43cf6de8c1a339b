"""The benchmark of many models: its calls run for real, its table by hand."""

import json
import pathlib

import many_models
import numpy as np
import pytest
from many_models import Cost

import portable_mlp as pm

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 3


def test_the_models_that_a_caller_receives() -> None:
    models = many_models.called("fit_many", 6, X, Y, "numpy")
    assert len(models) == 6
    one = pm.MLPClassifier((64,), max_iter=10, random_state=5).fit(X[10:], Y[10:])
    np.testing.assert_array_equal(models[5].coefs_[0], one.coefs_[0])
    n_parameters = 3 * 64 + 64 + 64 * 3 + 3
    size = sum(array.nbytes for array in many_models.arrays_of(one))
    assert 3 * 8 * n_parameters <= size < 3 * 8 * n_parameters + 5000  # the parameters and two moments
    assert many_models.called("GridSearchCV", 2, X, Y, "numpy") == []


def test_the_table(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: pathlib.Path) -> None:
    mib, seconds = 2**20, iter([0.2, 0.4, 0.9])

    def cost(call: str, n: int, backend: str) -> Cost:
        assert backend == "strict"
        taken = next(seconds) if (call, n) == ("fit_many", 2) else 1.0
        return Cost(call, n, taken, 2 * taken, 300 * mib, 3 * n * mib, 2 * n * mib)

    monkeypatch.setattr(many_models, "measured_elsewhere", cost)
    many_models.main(["--most", "3", "--backend", "strict", "--json", str(tmp_path / "costs.json")])
    out, err = capfd.readouterr()
    lines, at_once = ([line.split() for line in text.splitlines()] for text in (out, err))
    assert [line[2] for line in at_once if line[:2] == ["fit_many", "2"]] == ["100.0", "200.0", "450.0"]
    assert lines[2] == ["fit_many", "2", "200.0", "400.0", "300.0", "6.0", "4.0"]
    assert [line[:2] for line in lines[3:]] == [["GridSearchCV", "1"], ["GridSearchCV", "2"]]
    assert len(json.loads((tmp_path / "costs.json").read_text())["costs"]) == 12


def test_the_peak_of_memory() -> None:
    many_models.reset_peak()
    before = many_models.peak_bytes()
    np.ones(10_000_000)
    assert many_models.peak_bytes() > before + 70_000_000
    many_models.reset_peak()
    assert many_models.peak_bytes() < before + 10_000_000

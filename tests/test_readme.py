"""What README.md says, done."""

import pathlib

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.datasets import load_digits

import portable_mlp as pm
from tests.pages import README, code_of


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax", "strict"])
def test_the_eight_lines_run_on_every_library(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The second block's one word is all that changes."""
    eight, change = code_of(README, "python")[:2]
    assert len([line for line in eight.splitlines() if line]) == 8
    assert change.strip() == 'backend = pm.get_backend("cupy")'
    assert eight.count('get_backend("numpy")') == 1
    exec(eight.replace('get_backend("numpy")', f'get_backend("{backend}")'), {})
    loss = float(capsys.readouterr().out.split()[0])
    assert 0.0 < loss < 1.0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_estimators_are_swapped_as_shown(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    X, y = (part[:100] for part in load_digits(return_X_y=True))
    names = {"X": X, "y": y}
    exec(code_of(README, "python")[2], names)
    theirs = neural_network.MLPClassifier((100,), random_state=0).fit(X / 16, y)
    np.testing.assert_array_equal(names["clf"].coefs_[0], theirs.coefs_[0])
    np.testing.assert_array_equal(pm.MLPClassifier.load("digits.safetensors").coefs_[0], theirs.coefs_[0])


def test_the_two_commands_come_first() -> None:
    first, second = code_of(README, "bash")[:2]
    assert first.strip().endswith("python -m portable_mlp demo")
    assert second.strip().endswith("nox -s tests")


def test_it_is_one_page() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 130

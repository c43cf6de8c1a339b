"""What README.md says, done."""

import pathlib
import re
import shlex
from typing import Any

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.datasets import load_digits

import portable_mlp as pm
from portable_mlp.cli.app import run

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax", "strict"])
def test_the_eight_lines_run_on_every_library(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The second block's one word is all that changes."""
    eight, change = blocks("python")[:2]
    assert len([line for line in eight.splitlines() if line]) == 8
    assert change.strip() == 'backend = pm.get_backend("cupy")'
    assert eight.count('get_backend("numpy")') == 1
    exec(eight.replace('get_backend("numpy")', f'get_backend("{backend}")'), {})
    loss = float(capsys.readouterr().out.split()[0])
    assert 0.0 < loss < 1.0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_estimators_run_as_shown(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    swap, one_word, imbalanced, side_by_side, _, _, onnx, together = blocks("python")[2:]
    X, y = (part[:300] for part in load_digits(return_X_y=True))
    clf = neural_network.MLPClassifier((100,), random_state=0).fit(X / 16, y)
    names: dict[str, Any] = {"X": X, "y": y, "pm": pm}
    exec(swap, names)
    np.testing.assert_array_equal(names["clf"].coefs_[0], clf.coefs_[0])
    exec(one_word.replace('backend="cupy"', 'backend="torch"'), names)
    assert names["clf"].coefs_[0].__class__.__module__ == "torch"
    exec(imbalanced, names)
    assert (names["clf"].class_weight, names["clf"].backend) == ("balanced", "torch")
    assert [path.name for path in tmp_path.iterdir()] == ["digits.safetensors"]
    exec(side_by_side.replace("cv=5", "cv=2").replace("range(8)", "range(2)"), names)
    assert names["search"].best_score_ > 0.8
    assert [member.score(X / 16, y) > 0.8 for member in names["members"]] == [True] * 2
    exec(onnx, names)
    np.testing.assert_allclose(names["proba"], names["clf"].predict_proba(X / 16), rtol=0, atol=1e-12)
    assert capsys.readouterr().out == "0 is 0\n"
    single = neural_network.MLPClassifier((100,), max_iter=20, random_state=0).fit((X / 16).astype("float32"), y)
    narrow = pm.MLPClassifier.from_sklearn(single)
    exec(onnx, {**names, "clf": narrow})
    assert capsys.readouterr().out == "0 is 0\n"
    exec(together, names)  # a group of one
    assert names["group"].size == 1
    assert (tmp_path / "model.safetensors").exists()


def test_a_table_becomes_a_matrix_as_shown(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{500 + 10 * i},{1 + i % 4},{('north', '', 'south', 'east')[i % 4]}\n" for i in range(40)]
    pathlib.Path("flats.csv").write_text("rent,rooms,district\n" + "".join(rows))
    names: dict[str, Any] = {"pm": pm}
    exec(blocks("python")[6], names)
    assert "district category 4 3 categories, gaps as one of their own\n" in capsys.readouterr().out
    exec(blocks("python")[7], names)
    assert -1.0 < float(capsys.readouterr().out) < 1.0
    assert (tmp_path / "flats.safetensors").exists()


def test_the_two_commands_come_first() -> None:
    first, second = blocks("bash")[:2]
    assert first.strip().endswith("python -m portable_mlp demo")
    assert second.strip().endswith("nox -s tests")


def test_every_command_it_shows_exists(capfd: pytest.CaptureFixture[str]) -> None:
    lines = [line for block in blocks("text") for line in block.splitlines() if line.startswith("portable-mlp ")]
    assert len(lines) >= 6
    for line in lines:
        name, *arguments = shlex.split(line.split("  ")[0].replace("portable-mlp ", "", 1))
        assert run([name, "--help"]) == 0
        shown = capfd.readouterr().out
        for argument in arguments:
            assert not argument.startswith("--") or argument in shown, (name, argument)


def test_links_lead_somewhere() -> None:
    targets: list[Any] = re.findall(r"\]\(([^)]+)\)", README)
    for target in targets:
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target

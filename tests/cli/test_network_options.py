"""What network ``train`` makes of its options."""

import inspect
import json
import pathlib
from typing import Any

import numpy as np
import pytest
from typer.models import OptionInfo

import portable_mlp as pm
from portable_mlp.cli.app import run
from portable_mlp.cli.train import train

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))


@pytest.fixture(autouse=True)
def data(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("counts.npz", X=X, y=RNG.poisson(np.exp(X[:, 0])).astype(float))
    np.savez("classes.npz", X=X, y=(X[:, 0] > 1).astype(int))


def trained(*arguments: Any, capfd: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], pm.Network]:
    capfd.readouterr()
    code = run(["train", *map(str, arguments), "--save", "m.safetensors", "--json", "--epochs", "2"])
    out, err = capfd.readouterr()
    assert code == 0, err
    return json.loads(out), pm.load_model("m.safetensors")[0]


def test_a_loss_brings_its_output_and_its_constants(capfd: pytest.CaptureFixture[str]) -> None:
    _, net = trained("counts.npz", "--task", "regression", "--loss", "huber", "--loss-options", "delta=2", capfd=capfd)
    assert (net.output, net.loss, dict(net.loss_options)) == ("identity", "huber", {"delta": 2.0})
    _, net = trained("classes.npz", "--loss", "cross_entropy", capfd=capfd)
    assert (net.output, net.loss) == ("softmax", "cross_entropy")


def test_counts_are_not_scaled(capfd: pytest.CaptureFixture[str]) -> None:
    options = (
        "--task",
        "regression",
        "--loss",
        "poisson",
        "--batch-size",
        5,
        "--learning-rate",
        0.02,
        "--validation",
        0.1,
    )
    summary, net = trained("counts.npz", *options, "--hidden", "", capfd=capfd)
    assert (net.output, net.loss) == ("exp", "poisson")
    assert run(["predict", "m.safetensors", "counts.npz"]) == 0
    predicted = np.asarray([float(line) for line in capfd.readouterr().out.split()[1:]])
    assert (predicted > 0).all()
    assert abs(predicted.mean() - np.load("counts.npz")["y"].mean()) < 1.0
    assert summary["validation_loss"] < 5.0


def test_layers_may_have_an_activation_each(capfd: pytest.CaptureFixture[str]) -> None:
    _, net = trained("classes.npz", "--hidden", "5,4", "--activation", "relu, tanh", capfd=capfd)
    assert net.activations == ("relu", "tanh")


def test_rare_classes_count_as_much(capfd: pytest.CaptureFixture[str]) -> None:
    options = ("classes.npz", "--validation", 0, "--hidden", "", "--learning-rate", 0.1, "--batch-size", 60)
    plain, _ = trained(*options, capfd=capfd)
    balanced, _ = trained(*options, "--class-weight", "balanced", capfd=capfd)
    assert plain["loss"] != balanced["loss"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("classes.npz", "--loss", "huber"), "--loss must be one of 'cross_entropy'; got 'huber'"),
        (("counts.npz", "--task", "regression", "--loss", "hubr"), "got 'hubr', did you mean 'huber'?"),
        (
            ("classes.npz", "--loss-options", "two"),
            "--loss-options takes names and numbers, such as delta=2",
        ),
        (
            ("classes.npz", "--class-weight", "even"),
            "class_weight must be a dict from classes to numbers",
        ),
        (("classes.npz", "--hidden", "8,4", "--activation", "relu,tanh,elu"), "one for each of the 2 hidden layers"),
    ],
)
def test_mistakes(arguments: Any, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["train", *arguments]) == 2
    assert message in capfd.readouterr().err


def test_every_option_stands_in_a_panel() -> None:
    """But those that every command has, which are listed first."""
    described = {
        name: one.annotation.__metadata__[0]
        for name, one in inspect.signature(train).parameters.items()
        if hasattr(one.annotation, "__metadata__")
    }
    assert len(described) > 40
    without = [name for name, one in described.items() if isinstance(one, OptionInfo) and one.rich_help_panel is None]
    assert without == ["as_json"], "give it rich_help_panel, one of cli/options.py"

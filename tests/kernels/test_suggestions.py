"""Which known name a mistaken one is led to."""

import pytest

from portable_mlp.cli.commands import COMMANDS
from portable_mlp.kernels.options import check_choice
from portable_mlp.kernels.suggestions import did_you_mean, nearest

OPTIONS = [
    *("--target", "--task", "--delimiter", "--max-rows", "--hidden", "--activation", "--solver", "--learning-rate"),
    *(
        "--schedule",
        "--batch-size",
        "--epochs",
        "--l2",
        "--validation",
        "--patience",
        "--seed",
        "--backend",
        "--device",
    ),
    *("--dtype", "--precision", "--procs", "--restarts", "--timeout", "--save", "--checkpoint", "--checkpoint-every"),
    *("--resume", "--reproducible", "--json", "--help"),
]

LED_TO = {
    "--learning-rate": ("--lr", "--rate", "--learning_rate", "--learning-rate-init", "--learnig-rate", "--eta"),
    "--batch-size": ("--batch", "--bs", "--batchsize", "--batch_size", "--size"),
    "--hidden": ("--hidden-layers", "--hidden-layer-sizes", "--layers", "--hiden"),
    "--epochs": ("--epoch", "--n-epochs", "--num_epochs", "--max-iter", "--iterations"),
    "--l2": ("--alpha", "--l2-penalty"),
    "--save": ("--out", "--output", "--save-model", "--model"),
    "--seed": ("--random-state", "--seeds"),
    "--target": ("--label", "--target-column", "--taget"),
    "--validation": ("--val", "--validation-split", "--test-size"),
    "--checkpoint": ("--checkpoints", "--checkpoint-dir"),
    "--solver": ("--optimizer", "--solvr"),
    None: ("--dropout-rate", "--colour", "--", "", "--x"),
}


@pytest.mark.parametrize(("name", "meant"), [(name, meant) for meant, names in LED_TO.items() for name in names])
def test_options_that_one_guesses(name: str, meant: str | None) -> None:
    assert nearest(name, OPTIONS) == meant


def test_a_name_that_becomes_known_is_led_to() -> None:
    assert nearest("--dropout-rate", [*OPTIONS, "--dropout"]) == "--dropout"
    assert nearest("--out", ["--proba", "--output"]) == "--output"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("trian", "train"),
        ("fit", "train"),
        ("pred", "predict"),
        ("benchmark", "bench"),
        ("check", "gradcheck"),
        ("search", "tune"),
    ],
)
def test_commands(name: str, meant: str) -> None:
    assert nearest(name, COMMANDS) == meant


def test_names_of_classes() -> None:
    assert nearest("MlpClassifier", ["MLPRegressor", "MLPClassifier"]) == "MLPClassifier"
    assert nearest("learningRate", ["learning_rate", "epochs"]) == "learning_rate"


def test_the_nearest_choice_is_named() -> None:
    with pytest.raises(ValueError, match=r"^solver must be one of 'adam', 'sgd'; got 'adm', did you mean 'adam'\?$"):
        check_choice("solver", "adm", ("adam", "sgd"))
    with pytest.raises(ValueError, match=r"^solver must be one of 'adam', 'sgd'; got None$"):
        check_choice("solver", None, ("adam", "sgd"))
    assert did_you_mean("sigmoid", ["relu", "logistic"]) == ", did you mean 'logistic'?"
    assert did_you_mean("colour", ["relu", "logistic"]) == ""

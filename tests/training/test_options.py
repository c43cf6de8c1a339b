"""Every training option is described once, and every door has it: `train`, the estimators and the command line."""

import inspect
import pathlib
import re
from collections.abc import Callable
from typing import Any

import click
import pytest
from sklearn import neural_network

import portable_mlp as pm
from portable_mlp.cli.app import app, run
from portable_mlp.estimators.parameters import PARAMETER_OF
from portable_mlp.kernels.optimizers import SOLVERS
from portable_mlp.kernels.options import Choice, OrNone, Whole, flag
from portable_mlp.kernels.step import Objective, Program
from portable_mlp.tables import fitting
from portable_mlp.training import options as training_options
from portable_mlp.training.options import (
    IN_EVERY_STATE,
    NOT_OF_ESTIMATORS,
    OF_OPTIMIZERS,
    TRAINING_OPTIONS,
    checked,
    class_weights,
    identity_of_options,
)
from portable_mlp.training.schedules import SCHEDULES
from portable_mlp.training.stopping import RULES

NO_OPTIONS = {
    "sample_weight": "belongs to the samples",
    "random_state": "--seed on the command line, where it is of the first parameters too",
    "validation": "samples; --validation holds some out",
    "callbacks": "functions",
    "progress": "changes nothing",
    "checkpoint": "where states are",
    "checkpoint_every": "where states are",
    "resume": "where states are",
}
"""Arguments of `train` that are no options of a training, and why."""

ESTIMATORS = {pm.MLPClassifier: neural_network.MLPClassifier, pm.MLPRegressor: neural_network.MLPRegressor}


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in parameters if one.default is not one.empty}


def documented(thing: Any) -> set[str]:
    """Return the parameters that a numpydoc docstring has entries for."""
    section = re.search(
        r"^Parameters\n-+\n(.*?)^\S+\n-+\n", inspect.getdoc(thing) or "", flags=re.DOTALL | re.MULTILINE
    )
    assert section is not None
    heads: list[str] = re.findall(r"^(\w[\w, ]*) : ", section[1], flags=re.MULTILINE)
    return {name for head in heads for name in head.split(", ")}


def test_train_has_the_options_with_their_defaults_and_says_what_they_are() -> None:
    found = defaults(pm.train)
    options = {name: option.default for name, option in TRAINING_OPTIONS.items()}
    assert {name: default for name, default in found.items() if name not in NO_OPTIONS} == options
    assert [name for name in found if name in options] == list(options)
    assert set(inspect.signature(pm.train).parameters) <= documented(pm.train)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_estimators_have_the_options_with_their_defaults_and_say_what_they_are(estimator: Any) -> None:
    found, theirs = defaults(estimator), defaults(ESTIMATORS[estimator])
    assert {name: found[name] for name in theirs} == theirs
    for name, parameter in PARAMETER_OF.items():
        option = TRAINING_OPTIONS[name]
        if option.for_classes and estimator is pm.MLPRegressor:
            assert parameter not in found
        elif parameter not in theirs:
            assert found[parameter] == option.default, parameter
    assert set(found) <= documented(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_scikit_learns_parameters_keep_its_constraints(estimator: Any) -> None:
    ours, theirs = (kind._parameter_constraints for kind in (estimator, ESTIMATORS[estimator]))
    choices = {"activation", "solver", "learning_rate", "loss"}  # of which there are more here
    for name in theirs.keys() & inspect.signature(ESTIMATORS[estimator]).parameters.keys() - choices:
        assert list(map(str, ours[name])) == list(map(str, theirs[name])), name


def test_every_option_does_something() -> None:
    """By a table, or where `train` reads it."""
    of_schedules = {name for entry in SCHEDULES.values() for name in entry.options}
    by_tables = {*Objective._fields, *Program._fields, *OF_OPTIMIZERS, *of_schedules, *RULES}
    files = pathlib.Path(training_options.__file__).parent.glob("*.py")
    read = {name for file in files for name in re.findall(r'options\["(\w+)"\]', file.read_text(encoding="utf-8"))}
    assert TRAINING_OPTIONS.keys() <= by_tables | read


def test_what_the_estimators_lack_has_a_reason() -> None:
    assert NOT_OF_ESTIMATORS.keys() == TRAINING_OPTIONS.keys() - PARAMETER_OF.keys()


def test_the_command_line_has_the_options_with_their_help() -> None:
    command = app_command("train")
    shown = {one.name: one for one in command.params}
    of_recipe = {"solver": "adam", "learning_rate": "0.002", "schedule": "cosine"}
    of_recipe |= dict.fromkeys(("batch_size", "epochs", "l2", "patience"), "depends on the table")
    for name, option in TRAINING_OPTIONS.items():
        turned_off = option.default is True
        one = shown[f"no_{name}" if turned_off else name]
        assert option.help[1:] in one.help, name
        assert one.opts == [f"--{'no-' if turned_off else ''}{name.replace('_', '-')}"]
        assert one.secondary_opts == []
        # What is not typed has no value: the recipe of the table, or `train`, has the default.
        assert one.default is (False if option.check is flag else None)
        usual = of_recipe.get(name, option.default is not None and str(option.default))
        assert one.show_default == (False if turned_off else usual)


def test_what_is_typed_reaches_the_training(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    received: dict[str, Any] = {}

    def fit(*arguments: Any, **options: Any) -> pm.TrainResult:
        received.update(options)
        raise ValueError("enough")

    monkeypatch.setattr(fitting, "train", fit)
    typed = {name: other(name) for name in TRAINING_OPTIONS}
    words = [
        f"--{'' if value else 'no-'}{name.replace('_', '-')}" if isinstance(value, bool)
        else f"--{name.replace('_', '-')}={value}"
        for name, value in typed.items()
    ]  # fmt: skip
    assert run(["train", "digits", "--hidden=8,9", "--activation=relu,tanh", *words]) == 2
    assert {name: received[name] for name in typed} == typed


def app_command(name: str) -> Any:
    group: Any = __import__("typer").main.get_command(app)
    return group.get_command(click.Context(group), name)


def other(name: str) -> Any:
    """Return another value than the default."""
    option = TRAINING_OPTIONS[name]
    match option.check:
        case OrNone() | Whole():
            return 7
        case Choice():
            return list(option.check.choices)[-1]
    if option.check is class_weights:
        return "balanced"
    return not option.default if option.check is flag else 0.5


@pytest.mark.parametrize("name", TRAINING_OPTIONS)
def test_another_value_is_another_run(name: str) -> None:
    """So that none goes on from the states of another: an option that is new is in the identity by itself."""
    usual = {name: option.default for name, option in TRAINING_OPTIONS.items()}
    runs = [usual, usual | {"schedule": "cosine"}, *(usual | {"solver": solver} for solver in SOLVERS)]
    assert any(identity_of_options(run) != identity_of_options(checked(run | {name: other(name)})) for run in runs)


def test_states_of_the_first_version_name_what_they_named() -> None:
    usual = {name: option.default for name, option in TRAINING_OPTIONS.items()}
    told = identity_of_options(usual)
    assert told == {
        "solver": ["adam", 0.9, 0.999, 1e-8],
        "schedule": "constant",
        "epochs": None,
        **{name: TRAINING_OPTIONS[name].default for name in IN_EVERY_STATE},
    }
    assert identity_of_options(usual | {"solver": "sgd"})["solver"] == ["sgd", 0.9, 1.0]
    assert set(IN_EVERY_STATE) < set(TRAINING_OPTIONS)
    assert set(TRAINING_OPTIONS) > OF_OPTIMIZERS

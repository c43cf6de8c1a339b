"""Docstrings that list the names of a table list all of them, and none that is not there; a guide lists all."""

import ast
import inspect
import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

import portable_mlp as pm
from portable_mlp.backends import BACKENDS
from portable_mlp.kernels.activations import ACTIVATIONS, OUTPUTS
from portable_mlp.kernels.initializers import SCHEMES
from portable_mlp.kernels.losses import LOSSES, REGRESSION_LOSSES, SMOOTHED_LOSSES
from portable_mlp.kernels.optimizers import OPTIMIZERS, SOLVERS
from portable_mlp.training.schedules import SCHEDULES

LISTED: dict[tuple[Any, str], Iterable[str]] = {
    (pm.Network, "activation"): ACTIVATIONS,
    (pm.Network, "output"): OUTPUTS,
    (pm.Network, "loss"): LOSSES,
    (pm.Network, "loss_options"): {
        *(name for name, loss in LOSSES.items() if loss.constants),
        *(constant for loss in LOSSES.values() for constant in loss.constants),
    },
    (pm.init_params, "scheme"): (*SCHEMES, "normal"),
    (pm.train, "solver"): SOLVERS,
    (pm.get_backend, "name"): {"auto", *BACKENDS},
    (pm.MLPClassifier, "backend"): {"auto", *BACKENDS},
    (pm.MLPRegressor, "backend"): {"auto", *BACKENDS},
    (pm.train, "schedule"): SCHEDULES,
    (pm.train, "label_smoothing"): SMOOTHED_LOSSES,
    (pm.export_onnx_training, "solver"): OPTIMIZERS,
    (pm.MLPClassifier, "activation"): ACTIVATIONS,
    (pm.MLPClassifier, "solver"): SOLVERS,
    (pm.MLPClassifier, "learning_rate"): {*SCHEDULES, "adam", "adamw", "sgd"},
    (pm.MLPRegressor, "activation"): ACTIVATIONS,
    (pm.MLPRegressor, "solver"): SOLVERS,
    (pm.MLPRegressor, "learning_rate"): {*SCHEDULES, "adam", "adamw", "sgd"},
    (pm.MLPRegressor, "loss"): REGRESSION_LOSSES,
}
"""A parameter, and the table of which its description names every entry."""


def described(thing: Any, parameter: str) -> str:
    """Return what a numpydoc docstring says of a parameter, its type included."""
    (found,) = re.findall(rf"^{parameter} : (.*?)(?=^\S|\Z)", inspect.getdoc(thing) or "", re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.mark.parametrize(("thing", "parameter"), LISTED, ids=[f"{one.__name__}-{name}" for one, name in LISTED])
def test_every_name_is_there(thing: Any, parameter: str) -> None:
    assert set(re.findall(r'"(\w+)"', described(thing, parameter))) == set(LISTED[thing, parameter])


def test_the_guide_names_them_all() -> None:
    guide = (pathlib.Path(__file__).parents[1] / "docs" / "guides" / "networks.md").read_text(encoding="utf-8")
    missing = [name for name in itertools.chain(ACTIVATIONS, OUTPUTS, LOSSES) if f"`{name}`" not in guide]
    assert not missing


def test_descriptions_have_more_than_three_words() -> None:
    """A description says role, shape, unit or range; an entry whose name and type say all has none."""
    package = pathlib.Path(pm.__file__).parent
    short = [
        f"{path.relative_to(package)}: {entry}: {description}"
        for path in package.rglob("*.py")
        for docstring in docstrings(path)
        for entry, description in entries(docstring)
        if 0 < len(description.split()) <= 3
    ]
    assert short == []


def docstrings(path: pathlib.Path) -> Iterator[str]:
    """Yield the docstrings of a module's classes and functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""


def entries(docstring: str) -> Iterator[tuple[str, str]]:
    """Yield the entries of a docstring's parameters and attributes, each with its description."""
    for section in re.findall(r"^(?:Parameters|Attributes)\n-+\n(.*?)(?=\n\n\S[^\n]*\n---|\Z)", docstring, re.M | re.S):
        yield from re.findall(r"^(\S.*)((?:\n(?: +.*|(?=\n )))*)", section, re.M)

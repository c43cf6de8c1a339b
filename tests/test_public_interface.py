"""Every public name is there, and documented: numpydoc finds nothing to say."""

import inspect
import operator
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import array_api_strict
import jax
import numpy as np
import pandas as pd
import pytest
import torch
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate
from sklearn.base import BaseEstimator

import portable_mlp as pm

# The summary stands on the opening line; an extended summary and a "See Also" are not always needed.
NOT_ASKED = {"GL01", "GL03", "ES01", "SA01", "RT03", "RT04", "PR08", "PR09"}
FUNCTIONS = [name for name in pm.__all__ if inspect.isfunction(getattr(pm, name))]
CLASSES = [name for name in pm.__all__ if inspect.isclass(getattr(pm, name))]


def test_public_names() -> None:
    assert [name for name in pm.__all__ if not hasattr(pm, name)] == []
    assert pm.__all__ == sorted(pm.__all__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_documented_with_an_example(name: str) -> None:
    errors = validate(f"portable_mlp.{name}")["errors"]
    assert [error for error in errors if error[0] not in NOT_ASKED] == []


@pytest.mark.parametrize("name", CLASSES)
def test_classes_are_documented(name: str) -> None:
    errors = validate(f"portable_mlp.{name}")["errors"]
    not_asked = NOT_ASKED | {"EX01", "PR01", "PR02"}  # the attributes of a NamedTuple are not its parameters
    assert [error for error in errors if error[0] not in not_asked] == []


def test_dir_shows_what_is_public() -> None:
    """Before the estimators have been loaded too, and nothing that the module only imports."""
    code = "import portable_mlp as pm; print([name for name in dir(pm) if not name.startswith('__')] == pm.__all__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True\n"
    assert {"__version__", "__doc__", "__all__"} <= set(dir(pm))


@pytest.mark.thorough  # Python compiles all libraries anew
def test_all_names_are_there_without_docstrings() -> None:
    """As with -OO; some docstrings are made from others."""
    code = "import portable_mlp as pm; [getattr(pm, name) for name in pm.__all__]"
    done = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("typo", "meant"), [("MLPClasifier", "MLPClassifier"), ("trian", "train"), ("loss_and_grads", "loss_and_grad")]
)
def test_an_unknown_name_is_answered_with_the_nearest(typo: str, meant: str) -> None:
    with pytest.raises(AttributeError, match=f"'portable_mlp' has no attribute '{typo}', did you mean '{meant}'\\?$"):
        getattr(pm, typo)
    with pytest.raises(AttributeError, match=r"'portable_mlp' has no attribute 'zyx'$"):
        pm.zyx  # type: ignore[attr-defined]  # noqa: B018


def names_of_our_methods(cls: type) -> list[str]:
    """Return the names of the public methods of an estimator that are not scikit-learn's."""
    named = {
        name
        for base in cls.__mro__
        for name in vars(base)
        if base.__module__.startswith("portable_mlp") and not name.startswith(("_", "set_"))
    }
    return sorted(name for name in named if callable(getattr(cls, name)))


def our_methods(cls: type) -> dict[str, Callable[..., Any]]:
    """Return the public methods of an estimator that are not scikit-learn's."""
    return {name: getattr(cls(), name) for name in names_of_our_methods(cls)}


ESTIMATORS = [name for name in CLASSES if issubclass(getattr(pm, name), BaseEstimator)]
METHODS = [(name, method) for name in ESTIMATORS for method in names_of_our_methods(getattr(pm, name))]
FITTED = {
    "GridSearchCV": lambda: pm.GridSearchCV(pm.MLPClassifier((3,), max_iter=2), {"alpha": [0.1, 1.0]}, cv=2),
    "RandomizedSearchCV": lambda: pm.RandomizedSearchCV(
        pm.MLPClassifier((3,), max_iter=2), {"alpha": [0.1, 1.0]}, n_iter=2, cv=2
    ),
    "MLPClassifier": lambda: pm.MLPClassifier((3,), max_iter=2, early_stopping=True),
    "TableClassifier": lambda: pm.TableClassifier(max_iter=2),
    "TableRegressor": lambda: pm.TableRegressor(max_iter=2),
}
"""Estimators to fit, where the defaults take long."""


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimators_page_is_complete(name: str) -> None:
    """Every parameter, attribute and error is described there, and an example follows."""
    errors = validate(f"portable_mlp.{name}")["errors"]
    assert [error for error in errors if error[0] not in NOT_ASKED] == []


@pytest.mark.parametrize(("name", "method"), METHODS)
def test_a_methods_page_is_complete(name: str, method: str) -> None:
    errors = validate(f"portable_mlp.{name}.{method}")["errors"]
    assert [error for error in errors if error[0] not in NOT_ASKED | {"EX01"}] == []
    assert NumpyDocString(inspect.getdoc(getattr(getattr(pm, name), method)))["Raises"]


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_every_attribute_of_a_fitted_estimator_is_documented(name: str) -> None:
    X, y = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0] * 10, "b": [0.0, 1.0] * 20}), [0, 1, 1, 0] * 10
    cls = getattr(pm, name)
    fitted = FITTED.get(name, cls)().fit(X, y)
    listed = NumpyDocString(inspect.getdoc(cls))["Attributes"]
    documented = {one for entry in listed for one in entry.name.split(", ")}
    there = {one for one in dir(fitted) if one.endswith("_") and not one.startswith("_") and hasattr(fitted, one)}
    assert there <= documented


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES, *(".".join(pair) for pair in METHODS)])
def test_a_page_has_no_gaps(name: str) -> None:
    """No name in braces that a table should have replaced, and no description that is only a reference."""
    page = inspect.getdoc(operator.attrgetter(name)(pm)) or ""
    assert re.findall(r"\{[a-z_]+\}", page) == []
    assert re.findall(r"^ +[Aa]s (?:for|in) `\w+`\.$", page, re.MULTILINE) == []


CALLABLES: dict[str, Callable[..., Any]] = {
    **{name: getattr(pm, name) for name in FUNCTIONS},
    "Network": pm.Network,
    "MLPClassifier": pm.MLPClassifier,
    "MLPRegressor": pm.MLPRegressor,
    "Backend.asarray": pm.get_backend("numpy").asarray,
    **{f"MLPClassifier.{name}": method for name, method in our_methods(pm.MLPClassifier).items()},
    **{f"MLPRegressor.{name}": method for name, method in our_methods(pm.MLPRegressor).items()},
}
KEYWORDS = [
    (name, keyword)
    for name, function in CALLABLES.items()
    for keyword, parameter in inspect.signature(function).parameters.items()
    if len(keyword) > 3 and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    if name not in ("MLPClassifier.from_sklearn", "MLPRegressor.from_sklearn")  # which takes any keyword
]


@pytest.mark.parametrize(("name", "keyword"), KEYWORDS)
def test_an_unknown_keyword_is_answered_with_the_nearest(name: str, keyword: str) -> None:
    typo = keyword[:2] + keyword[3:]
    with pytest.raises(TypeError, match=rf"unexpected keyword argument '{typo}', did you mean '{keyword}'\?$"):
        CALLABLES[name](**{typo: None})


def test_other_errors_are_as_they_were() -> None:
    with pytest.raises(TypeError, match=r"missing 3 required positional arguments: 'params', 'X', and 'y'$"):
        pm.train(None)  # type: ignore[call-arg, arg-type]
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'zyx'$"):
        pm.Network((2, 2), zyx=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^sizes must be whole numbers"):
        pm.Network((2.5, 2))  # type: ignore[arg-type]


def test_functions_are_found_by_their_names() -> None:
    for name in FUNCTIONS:
        assert pickle.loads(pickle.dumps(getattr(pm, name))) is getattr(pm, name)
    assert list(inspect.signature(pm.forward).parameters) == ["net", "params", "X"]
    assert list(pm.MLPClassifier().get_params()) == sorted(inspect.signature(pm.MLPClassifier).parameters)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros((400, 30), dtype="float32"), "<float32 (400, 30) on cpu>"),
        (torch.zeros(400, 30), "<float32 (400, 30) on cpu>"),
        (array_api_strict.zeros((400, 30)), "<float64 (400, 30) on array_api_strict.Device('CPU_DEVICE')>"),
        (None, "None"),
    ],
)
def test_a_repr_says_shapes_and_the_last_loss(array: Any, text: str) -> None:
    layer = pm.Layer(array, array)
    assert repr(layer) == f"Layer(W={text}, b={text})"
    losses = {"loss": [0.5, 0.25, 0.125, 0.0625], "validation_loss": [1.0, 2.0]}
    result = pm.TrainResult((layer,), losses, 4, "max_epochs")
    expected = f"params=({layer},), history={{'loss': [4 values, last 0.0625], 'validation_loss': [1.0, 2.0]}}"
    assert repr(result) == f"TrainResult({expected}, n_epochs=4, stopped_because='max_epochs', best_epoch=None)"
    assert repr(pm.EpochEnd(3, 4, (layer,), losses)) == f"EpochEnd(epoch=3, epochs=4, {expected})"
    table = pm.RawTable({"age": [31.0]}, np.asarray(["no"]), None, "ill", ())
    assert repr(table).startswith("RawTable(X={'age': [31.0]}, y=<U2 (1,) on cpu>, ids=None, target_name='ill', ")
    assert repr(pm.NonFiniteError("diverged", (layer,), losses, 2, 1)) == "NonFiniteError('diverged')"


def test_a_repr_works_while_jax_traces() -> None:
    texts = []

    def traced(layer: pm.Layer) -> Any:
        texts.append(repr(layer))
        return jax.tree.map(lambda x: 2 * x, layer)

    doubled = jax.jit(traced)(pm.Layer(np.ones((3, 2), dtype="float32"), np.ones(2, dtype="float32")))
    assert isinstance(doubled, pm.Layer)
    assert texts[0].startswith("Layer(W=<float32 (3, 2)")

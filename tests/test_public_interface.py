"""Every public name is there, and documented: numpydoc finds nothing to say."""

import inspect

import pytest
from numpydoc.validate import validate

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

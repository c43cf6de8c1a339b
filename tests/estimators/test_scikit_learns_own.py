"""scikit-learn's own tests of its MLP, all of them, with our estimators in the place of its own."""

import importlib
import sys
from unittest import mock

import pytest
import sklearn.neural_network

import portable_mlp as pm

THEIRS = "sklearn.neural_network.tests.test_mlp"

with mock.patch.multiple(sklearn.neural_network, MLPClassifier=pm.MLPClassifier, MLPRegressor=pm.MLPRegressor):
    sys.modules.pop(THEIRS, None)
    theirs = importlib.import_module(THEIRS)

tests = {name: value for name, value in vars(theirs).items() if name.startswith("test_")}
globals().update(tests)

# Their warnings are part of what they test, and pytest's own configuration there lets the others pass.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def global_random_seed() -> int:
    """The seed that scikit-learn's continuous integration takes by default."""
    return 42


def test_the_classes_were_replaced() -> None:
    assert (theirs.MLPClassifier, theirs.MLPRegressor) == (pm.MLPClassifier, pm.MLPRegressor)
    assert len(tests) >= 40

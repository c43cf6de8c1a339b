"""scikit-learn's own tests of its searches, with ours in their place, whose fits all run in threads here."""

import importlib
import sys
from unittest import mock

import pytest
import sklearn.model_selection

import portable_mlp as pm
from portable_mlp.estimators import searches

THEIRS = "sklearn.model_selection.tests.test_search"
OURS = {name: getattr(pm, name) for name in ("GridSearchCV", "RandomizedSearchCV", "cross_val_score", "cross_validate")}

with mock.patch.multiple(sklearn.model_selection, **OURS):
    sys.modules.pop(THEIRS, None)
    theirs = importlib.import_module(THEIRS)

tests = {name: value for name, value in vars(theirs).items() if name.startswith("test_")}
for name in (
    "test_array_api_search_cv_classifier",  # whose cases are a generator, of which pytest warns
    "test_multi_metric_search_forwards_metadata",  # which looks for `fit` among its callers; a thread has others
):
    del tests[name]
globals().update(tests)

# Their warnings are part of what they test, and pytest's own configuration there lets the others pass.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.thorough]


@pytest.fixture(autouse=True)
def in_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit all estimators side by side, as ours on NumPy are."""
    monkeypatch.setattr(searches, "is_ours", lambda estimator: True)
    monkeypatch.setattr(searches, "candidates_compute_on_numpy", lambda estimator, X, space: True)
    monkeypatch.setattr(searches.ThreadsOfSearch, "default_n_jobs", 2)


@pytest.fixture
def global_random_seed() -> int:
    """The seed that scikit-learn's continuous integration takes by default."""
    return 42


def test_the_searches_were_replaced() -> None:
    assert (theirs.GridSearchCV, theirs.RandomizedSearchCV) == (pm.GridSearchCV, pm.RandomizedSearchCV)
    assert len(tests) >= 60

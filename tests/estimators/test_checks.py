"""scikit-learn's checks of an estimator, none of them expected to fail."""

import functools
from collections.abc import Iterator
from typing import Any

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

import portable_mlp as pm

SMALL = {"hidden_layer_sizes": (20,), "max_iter": 40, "learning_rate_init": 0.02}
ESTIMATORS = [pm.MLPClassifier(**SMALL), pm.MLPRegressor(**SMALL)]
# Hardware and libraries that this library does not claim; and a method that a classifier with probabilities lacks.
OUT_OF_SCOPE = {"xpu", "mps", "dpnp"}
NOT_OURS = {"check_classifiers_multilabel_output_format_decision_function"}


def places(check: Any) -> set[str]:
    """Return the libraries and devices that an array API check names."""
    keywords = check.keywords if isinstance(check, functools.partial) else {}
    named = [keywords.get("array_namespace"), keywords.get("device_name")]
    for place in (keywords.get("X_ns_and_device"), keywords.get("other_ns_and_device")):
        named += [place.xp, place.device] if place else []
    return {name for name in named if name}


def checks() -> Iterator[Any]:
    for estimator in ESTIMATORS:
        for instance, check in estimator_checks_generator(estimator):
            function = check.func if isinstance(check, functools.partial) else check
            if places(check) & OUT_OF_SCOPE or function.__name__ in NOT_OURS:
                continue
            libraries = [{"cupy": "cupy", "cuda": "torch"}[place] for place in places(check) & {"cupy", "cuda"}]
            name = "-".join([type(estimator).__name__, function.__name__, *sorted(places(check))])
            yield pytest.param(instance, check, id=name, marks=[pytest.mark.gpu(library) for library in libraries])


CHECKS = list(checks())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_check(estimator: Any, check: Any) -> None:
    check(estimator)


def test_the_checks_are_many_and_some_are_of_other_libraries() -> None:
    assert len(CHECKS) > 140
    everywhere = set().union(*(places(param.values[1]) for param in CHECKS))
    assert {"numpy", "array_api_strict", "device1", "torch", "cupy"} <= everywhere

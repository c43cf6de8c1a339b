"""The parameters of `MLPClassifier` and `MLPRegressor`: constraints, checks and defaults."""

from __future__ import annotations

import functools
import inspect
import operator
from abc import ABC
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, Options, StrOptions, validate_parameter_constraints

from ..kernels.activations import ACTIVATIONS
from ..kernels.optimizers import SOLVERS
from ..training.schedules import SCHEDULES
from .parameters import constraints


class MLPParameters(BaseEstimator, ABC):
    """The parameters of an estimator, as scikit-learn's estimators have them."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **constraints(for_classes=False),
        # The parameters of scikit-learn, with its constraints.
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(ACTIVATIONS.keys()), "array-like"],
        "solver": [StrOptions(SOLVERS)],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions(SCHEDULES.keys())],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "backend": [str, None],
        "device": "no_validation",
        "precision": "no_validation",
        "compat": [StrOptions({"sklearn"}), None],
    }

    label_smoothing: float = 0.0
    """A parameter of the classifier."""

    loss_options: Mapping[str, float] | None = None
    """A parameter of the regressor."""

    def __init__(self, **parameters: Any) -> None:
        for name, value in parameters.items():
            setattr(self, name, value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a pickle; parameters that its version did not have get their defaults."""
        super().__setstate__(_defaults(type(self)) | state)

    @classmethod
    @functools.cache
    def _get_param_names(cls) -> list[str]:
        """Return the names of the parameters, read from the signature once: a search asks thousands of times."""
        names: list[str] = super()._get_param_names()
        return names

    def _validate_params(self) -> None:
        """Check the parameters; those that have passed are known, as most of a search are."""
        parameters = self.get_params(deep=False).items()
        try:
            _check_parameters(type(self), tuple((name, type(value), value) for name, value in parameters))
        except TypeError:  # a value without a hash; scikit-learn's error, which is a TypeError too, is raised again
            super()._validate_params()

    def _hidden_sizes(self) -> list[int]:
        given = self.hidden_layer_sizes
        try:
            sizes = [operator.index(size) for size in (given if hasattr(given, "__iter__") else [given])]
        except TypeError:
            raise TypeError(f"hidden_layer_sizes must be whole numbers, got {given!r}") from None
        if min(sizes, default=1) <= 0:
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return sizes


@functools.cache
def _defaults(cls: type[MLPParameters]) -> dict[str, Any]:
    """Return the defaults of the parameters of an estimator's constructor, and of those that it derives from."""
    classes = [base for base in reversed(cls.__mro__) if issubclass(base, MLPParameters)]
    constructors = [inspect.signature(base.__init__) for base in classes]
    given = [parameter for constructor in constructors for parameter in constructor.parameters.values()]
    return {parameter.name: parameter.default for parameter in given if parameter.default is not parameter.empty}


@functools.lru_cache
def _check_parameters(cls: type[MLPParameters], parameters: tuple[tuple[str, type[Any], Any], ...]) -> None:
    validate_parameter_constraints(
        cls._parameter_constraints, {name: value for name, _, value in parameters}, caller_name=cls.__name__
    )

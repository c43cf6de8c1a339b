"""The effects of a fit on an estimator: what it has changed, to be undone, or to be repeated in another process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


def is_step(value: Any) -> bool:
    """Return whether a parameter is a step of a pipeline, or another part of it that is fitted."""
    return hasattr(value, "fit") and not isinstance(value, type)


def is_generator(value: Any) -> bool:
    """Return whether a parameter is a generator of random numbers."""
    return value is np.random or isinstance(value, np.random.RandomState | np.random.Generator)


class FitEffects(NamedTuple):
    """What a fit has changed.

    Attributes
    ----------
    replaced : mapping from str to estimator
        By the names of parameters: steps that stand in the place of others, as in a pipeline with a memory.
    attributes : mapping from str to dict
        By the names of parameters, "" for the estimator itself: attributes that are new, or other objects than before,
        but no parameters.
    generators : mapping from str to RandomState or Generator
        By the names of parameters: generators of random numbers, as the fit has left them.
    """

    replaced: Mapping[str, Any]
    attributes: Mapping[str, Mapping[str, Any]]
    generators: Mapping[str, Any]

    def repeat(self, estimator: Any) -> None:
        """Change an equal estimator as the fit has changed its own."""
        if self.replaced:
            estimator.set_params(**self.replaced)
        parts = _parts(estimator)
        parameters = estimator.get_params()
        own = {id(generator): parameters[name] for name, generator in self.generators.items()}
        for name, attributes in self.attributes.items():
            vars(parts[name]).update({key: own.get(id(value), value) for key, value in attributes.items()})
        for name, generator in self.generators.items():
            _set_state(parameters[name], generator)


class BeforeFit:
    """The attributes of an estimator and its steps before a fit.

    Parameters
    ----------
    estimator : estimator
        The estimator, which may be a pipeline.
    """

    def __init__(self, estimator: Any) -> None:
        self._estimator, self._parts = estimator, _parts(estimator)
        self._attributes = {name: dict(vars(part)) for name, part in self._parts.items()}

    def restore(self) -> None:
        """Undo the fit."""
        for name, part in self._parts.items():
            part.__dict__ = self._attributes[name]

    def effects(self) -> FitEffects:
        """Return what the fit has changed."""
        parts = _parts(self._estimator)
        replaced = {name: part for name, part in parts.items() if part is not self._parts.get(name)}
        attributes = {
            name: _changed(part, before)
            for (name, part), before in zip(self._parts.items(), self._attributes.values(), strict=True)
            if name not in replaced
        }
        parameters = self._estimator.get_params().items()
        generators = {name: value for name, value in parameters if is_generator(value) and value is not np.random}
        return FitEffects(replaced, attributes, generators)


def _parts(estimator: Any) -> dict[str, Any]:
    """Return the estimator, named "", and its steps by the names of parameters."""
    return {"": estimator, **{name: value for name, value in estimator.get_params().items() if is_step(value)}}


def _changed(part: Any, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that are new, or other objects than before, but for parameters.

    A pipeline's fit copies its list of steps.
    """
    parameters = part.get_params(deep=False) if hasattr(part, "get_params") else {}
    missing = object()
    changed = {name: value for name, value in vars(part).items() if before.get(name, missing) is not value}
    return {name: value for name, value in changed.items() if name not in parameters}


def _set_state(generator: Any, to: Any) -> None:
    if isinstance(generator, np.random.RandomState):
        generator.set_state(to.get_state())
    elif generator is not to:
        generator.bit_generator.state = to.bit_generator.state

"""The state of an estimator, replaced in one step: a fit works on a draft, and other threads see one model meanwhile.

The state of an estimator is its ``__dict__``. A fit replaces it in one assignment, rather than write into it: another
thread that predicts, copies or pickles continues with the old one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from .complete_epoch import CompleteEpoch

T = TypeVar("T")
Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")


def draft_of(estimator: T) -> T:
    """Return a copy to fit, whose attributes may be replaced, but not written into."""
    return _with_state(estimator, dict(vars(estimator)))


def adopt(estimator: Any, before: dict[str, Any], reached: CompleteEpoch) -> None:
    """Give an estimator all that a fit changed; attributes set on the estimator itself meanwhile are kept.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        The estimator, whose state is replaced.
    before : dict
        Its attributes when the fit began.
    reached : CompleteEpoch
        The state that its draft reached.
    """
    state = reached.state()
    changed = {name: value for name, value in state.items() if name not in before or value is not before[name]}
    kept = {name: value for name, value in vars(estimator).items() if name in state or name not in before}
    estimator.__dict__ = kept | changed


def of_one_moment(
    method: Callable[Concatenate[Any, Parameters], Answer],
) -> Callable[Concatenate[Any, Parameters], Answer]:
    """Let a method see the state of the estimator at its call, though another thread may fit it meanwhile."""

    @functools.wraps(method)
    def answered(self: Any, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Answer:
        return method(_with_state(self, vars(self)), *args, **kwargs)

    return answered


def _with_state(estimator: T, state: dict[str, Any]) -> T:
    other = object.__new__(type(estimator))
    other.__dict__ = state
    return other

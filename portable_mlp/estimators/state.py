"""An estimator's state changes all at once: a fit works on a draft, and whoever predicts meanwhile sees one model.

What an estimator is stands in its ``__dict__``. A fit puts another one in its place, in one assignment, rather than
write into it: another thread that predicts, copies or pickles goes on with the one that it has.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from .reached import Reached

T = TypeVar("T")
Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")


def draft_of(estimator: T) -> T:
    """Return a copy to fit, whose attributes may be replaced, but not written into."""
    return _with_state(estimator, dict(vars(estimator)))


def adopt(estimator: Any, before: dict[str, Any], reached: Reached) -> None:
    """Let an estimator have all that a fit changed; what was set on the estimator itself meanwhile stays.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Whose state is replaced.
    before : dict
        Its attributes when the fit began.
    reached : Reached
        By its draft.
    """
    state = reached.state()
    changed = {name: value for name, value in state.items() if name not in before or value is not before[name]}
    kept = {name: value for name, value in vars(estimator).items() if name in state or name not in before}
    estimator.__dict__ = kept | changed


def of_one_moment(
    method: Callable[Concatenate[Any, Parameters], Answer],
) -> Callable[Concatenate[Any, Parameters], Answer]:
    """Let a method see the estimator as it is when it is called, though another thread may fit it meanwhile."""

    @functools.wraps(method)
    def answered(self: Any, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Answer:
        return method(_with_state(self, vars(self)), *args, **kwargs)

    return answered


def _with_state(estimator: T, state: dict[str, Any]) -> T:
    other = object.__new__(type(estimator))
    other.__dict__ = state
    return other

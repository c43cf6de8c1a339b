"""The checkpoints of a fit: the options of ``fit``, and the identity that distinguishes one fit from others."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from sklearn.utils import check_random_state

from ..distributed.agreement import comparable_text
from ..storage.checkpoints import CheckpointFolder
from ..storage.paths import FilePath
from ..training.checkpointing import Checkpoints, checked_folder, identity_of
from ..training.loop import Loop
from ..training.order import Order
from ..training.run import Record
from ..training.schedules import needs_epochs
from .problem import FitProblem

MakeCheckpoints: TypeAlias = Callable[..., Checkpoints]
"""``make(draft, problem, loop=, record=, order=)`` returns the `Checkpoints` of a fit."""

SAME_FIT_ANYWAY = ("backend", "device", "verbose", "max_iter", "max_fun", "random_state")
"""Parameters that may differ where a fit resumes; ``max_iter`` where the rate does not depend on it."""


class CheckpointOptions(NamedTuple):
    """The options of ``fit`` for checkpoints.

    Attributes
    ----------
    checkpoint : str, bytes, path or None
        The folder of checkpoints.
    every : int or None
        Steps between two states within an epoch.
    resume : bool
        Whether to resume from the newest state.
    """

    checkpoint: FilePath | None = None
    every: int | None = None
    resume: bool = False

    def compared(self) -> dict[str, Any]:
        """Return what the ranks of a group must agree on, by the names of the arguments of ``fit``."""
        return {"checkpoint": self.checkpoint is not None, "checkpoint_every": self.every, "resume": self.resume}

    def checked_folder(
        self, estimator: Any, *, validated: bool
    ) -> contextlib.AbstractContextManager[CheckpointFolder | None]:
        """Return the folder, not entered yet, or a context without one.

        Raises
        ------
        ValueError, TypeError
            If the options do not go together, or with the estimator's parameters.
        """
        folder = checked_folder(self.checkpoint, self.every, self.resume, estimator.solver)
        if self.checkpoint is None:
            return folder
        if estimator.early_stopping and not validated and not isinstance(estimator.random_state, Integral):
            raise ValueError(
                "checkpoint with early_stopping needs random_state to be an int, from which the samples held out are "
                f"drawn anew when the fit goes on, or validation_data; got random_state={estimator.random_state!r}"
            )
        kind = check_random_state(estimator.random_state).get_state(legacy=False)["bit_generator"]
        if kind != "MT19937":
            raise ValueError(f"checkpoint keeps the state of a RandomState of MT19937; got a random_state of {kind}")
        return folder

    def within(self, folder: CheckpointFolder | None, *, from_fitted: bool) -> MakeCheckpoints | None:
        """Return the function that makes the checkpoints in the entered folder; None without a folder."""
        return (
            None if self.checkpoint is None else functools.partial(_checkpoints_of_fit, folder, self.every, from_fitted)
        )


NO_CHECKPOINTS = CheckpointOptions()


def _checkpoints_of_fit(
    folder: CheckpointFolder | None,
    every: int | None,
    from_fitted: bool,
    draft: Any,
    problem: FitProblem,
    *,
    loop: Loop,
    record: Record,
    order: Order,
) -> Checkpoints:
    return Checkpoints(
        folder,
        _identity_of_fit(draft, problem, loop, from_fitted),
        every,
        loop=loop,
        record=record,
        rates=draft._optimizer,
        order=order,
    )


def _identity_of_fit(draft: Any, problem: FitProblem, loop: Loop, from_fitted: bool) -> dict[str, Any]:
    """Return what distinguishes a fit from others: parameters of the estimator, and the data."""
    parameters = {name: x for name, x in draft.get_params(deep=False).items() if name not in SAME_FIT_ANYWAY}
    if needs_epochs(draft.learning_rate):
        parameters["max_iter"] = draft.max_iter
    if isinstance(draft.random_state, Integral):
        parameters["random_state"] = draft.random_state
    if from_fitted:
        parameters["start"] = hashlib.sha256(problem.backend.to_numpy(loop.flat).tobytes()).hexdigest()
    hold_out = None if problem.hold_out is None else problem.hold_out.data
    shown = {name: _shown(value) for name, value in parameters.items()}
    return identity_of(problem.backend, problem.net, loop.flat, problem.data, hold_out, **shown)


def _shown(value: Any) -> Any:
    """Return a parameter in the form of JSON."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    return value if value is None or isinstance(value, str) else comparable_text(value)

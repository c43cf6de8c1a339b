"""scikit-learn's callbacks (1.9 and newer), called for the fit and for each epoch, each a task of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..distributed.group import is_root
from .complete_epoch import CompleteEpoch

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9 has no callbacks

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing to support."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method as it is."""
        return method


__all__ = ["CallbackSupportMixin", "Watch", "with_callbacks"]


class Watch:
    """Reports the progress of a fit to the estimator's callbacks.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        The estimator, with or without callbacks.
    max_epochs : int
        The largest number of epochs.
    adopt : callable
        ``adopt(reached)`` gives the estimator that state, for callbacks to inspect.
    data : dict
        ``X``, ``y`` and ``metadata`` in the form that callbacks receive.
    """

    def __init__(
        self, estimator: Any, max_epochs: int, adopt: Callable[[CompleteEpoch], None], data: dict[str, Any]
    ) -> None:
        self._adopt, self._arguments = adopt, {"estimator": estimator, **data}
        self._fit: Any = None
        self._epoch: Any = None
        # In a group rank 0 alone calls them. Without callbacks no attribute of the estimator is set, since other
        # threads may be reading it; a search hands its own callbacks on, if it has any.
        if is_root() and "_skl_callbacks" in vars(estimator):
            self._fit = estimator._init_callback_context(max_subtasks=max_epochs)
            self._fit.call_on_fit_task_begin(**self._arguments)

    @property
    def is_called(self) -> bool:
        """Whether there are callbacks."""
        return self._fit is not None

    def epoch_begins(self, reached: CompleteEpoch) -> None:
        """Open the epoch's task."""
        if self._fit is not None:
            self._epoch = self._fit.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(**self._arguments, reconstruction_attributes=reached.state)

    def epoch_ends(self, reached: CompleteEpoch) -> bool:
        """Close the epoch's task; return whether a callback requests to stop."""
        if self._epoch is None:
            return False
        self._adopt(reached)
        return bool(self._epoch.call_on_fit_task_end(**self._arguments, reconstruction_attributes=dict))

    def fit_ends(self) -> None:
        """Close the fit's task, once the estimator itself is fitted."""
        if self._fit is not None:
            self._fit.call_on_fit_task_end(**self._arguments, reconstruction_attributes=dict)

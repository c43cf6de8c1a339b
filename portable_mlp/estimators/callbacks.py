"""scikit-learn's callbacks (1.9 and newer): told of the fit and of its epochs, each a task of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..kernels.arrays import Array
from ..training.group import leads

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
    """Tells an estimator's callbacks where its fit is.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Whose callbacks.
    max_epochs : int
        How many epochs there will be at most.
    attributes : callable
        ``attributes(flat)`` gives the fitted attributes, by name, of a model with those parameters.
    data : dict
        ``X``, ``y`` and ``metadata`` as the callbacks are to be given them.
    """

    def __init__(
        self, estimator: Any, max_epochs: int, attributes: Callable[[Array], dict[str, Any]], data: dict[str, Any]
    ) -> None:
        self._attributes, self._told = attributes, {"estimator": estimator, **data}
        self._fit: Any = None
        self._epoch: Any = None
        # Of several processes that train together one tells them.
        if leads() and hasattr(estimator, "_init_callback_context"):
            self._fit = estimator._init_callback_context(max_subtasks=max_epochs)
            self._fit.call_on_fit_task_begin(**self._told)

    def epoch_begins(self, flat: Array) -> None:
        """Open the epoch's task."""
        if self._fit is not None:
            self._epoch = self._fit.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(**self._told, reconstruction_attributes=lambda: self._attributes(flat))

    def epoch_ends(self, flat: Array) -> bool:
        """Close the epoch's task; return whether a callback asks to stop."""
        if self._epoch is None:
            return False
        return bool(
            self._epoch.call_on_fit_task_end(**self._told, reconstruction_attributes=lambda: self._attributes(flat))
        )

    def fit_ends(self) -> None:
        """Close the fit's task; the estimator itself is fitted by now."""
        if self._fit is not None:
            self._fit.call_on_fit_task_end(**self._told, reconstruction_attributes=dict)

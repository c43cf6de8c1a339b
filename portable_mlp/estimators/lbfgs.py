"""Fitting by L-BFGS: SciPy's search, as scikit-learn calls it, with loss and gradient computed where the data are."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from sklearn.utils.optimize import _check_optimize_result

from ..kernels.arrays import Array
from ..kernels.network import Network
from ..kernels.targets import are_labels
from ..training.lbfgs import HostObjective, minimize
from .callbacks import Watch
from .complete_epoch import CompleteEpoch
from .inputs import floating_dtype
from .problem import FitProblem
from .validation import validation_of


class Search:
    """One fit, iteration by iteration.

    SciPy's vector has all weights, then all biases: its sums depend on their order. The search works in float64, as
    scikit-learn's, where the library has it: a line search needs the digits. The resulting parameters keep their dtype.

    Parameters
    ----------
    draft : MLPClassifier or MLPRegressor
        The draft, whose parameters are read and whose fitted attributes are written.
    problem : FitProblem
        The samples and the objective.
    flat : array of shape (n_parameters,)
        The initial parameters, packed.
    watch : Watch
        Calls the callbacks for every iteration.

    Attributes
    ----------
    reached : CompleteEpoch or None
        The last complete iteration; None before the first.
    """

    def __init__(self, draft: Any, problem: FitProblem, flat: Array, watch: Watch) -> None:
        backend = problem.backend
        self.reached: CompleteEpoch | None = None
        self._stopped = False
        theirs = weights_first(problem.net)
        self._arrangement = theirs, np.argsort(theirs)
        self._start = backend.to_numpy(flat).astype(np.float64)
        data = problem.data
        dtype = backend.dtype(floating_dtype(backend, self._start))
        labelled = are_labels(backend.xp, data.Y)
        wide = data._replace(
            X=backend.xp.astype(data.X, dtype, copy=False),
            Y=data.Y if labelled else backend.xp.astype(data.Y, dtype, copy=False),
            weights=None if data.weights is None else backend.xp.astype(data.weights, dtype, copy=False),
        )
        self._objective = HostObjective(backend, problem.objective, wide, dtype)
        self._draft, self._watch, self._flat_dtype = draft, watch, flat.dtype
        self._validation = validation_of(draft, problem)
        self._backend, self._net = backend, problem.net

    def run(self) -> None:
        """Minimise until SciPy or a callback stops."""
        draft = self._draft
        draft.n_iter_ = 0
        found = minimize(
            self._objective,
            self._start,
            self._iteration_ends,
            arrangement=self._arrangement,
            maxfun=draft.max_fun,
            maxiter=draft.max_iter,
            gtol=draft.tol,
            **_printing(draft.verbose),
        )
        self._complete(self._flat(found.x), found.fun, found.nit if self._stopped else min(found.nit, draft.max_iter))
        if not self._stopped:
            _check_optimize_result("lbfgs", found, draft.max_iter)  # which warns

    def _iteration_ends(self, x: np.ndarray, loss: float) -> bool:
        """Record an iteration; return whether a callback requests to stop."""
        draft, flat = self._draft, self._flat(x)
        draft.loss_curve_.append(np.float64(loss))
        if self._validation is not None:
            draft.validation_loss_curve_.append(self._validation.loss(flat))
        reached = self._complete(flat, loss, draft.n_iter_ + 1)
        self._watch.epoch_begins(reached)
        self._stopped = self._watch.epoch_ends(reached)
        return self._stopped

    def _complete(self, flat: Array, loss: float, n_iter: int) -> CompleteEpoch:
        self._draft.n_iter_, self._draft.loss_ = n_iter, np.float64(loss)
        self.reached = CompleteEpoch.now(self._draft, self._net, flat)
        return self.reached

    def _flat(self, x: np.ndarray) -> Array:
        """Return a vector of the search as parameters of the fit, on its device."""
        return self._backend.asarray(x, dtype=self._flat_dtype)


def weights_first(net: Network) -> np.ndarray:
    """Return the places in the flat parameters of all weights, layer by layer, then all biases: scikit-learn's order.

    >>> weights_first(Network((1, 2, 1)))
    array([0, 1, 4, 5, 2, 3, 6])
    """
    weights, biases = [], []
    start = 0
    for fan_in, fan_out in itertools.pairwise(net.sizes):
        middle = start + fan_in * fan_out
        weights.append(np.arange(start, middle))
        start = middle + fan_out
        biases.append(np.arange(middle, start))
    return np.concatenate(weights + biases)


def _printing(verbose: Any) -> dict[str, int]:
    """Return SciPy's option for the output of the search as in scikit-learn; newer versions of SciPy have none."""
    try:
        from sklearn.utils.fixes import _get_additional_lbfgs_options_dict
    except ImportError:  # before scikit-learn 1.8
        return {"iprint": 1} if verbose else {}
    options: dict[str, int] = _get_additional_lbfgs_options_dict("iprint", 1 if verbose else -1)
    return options

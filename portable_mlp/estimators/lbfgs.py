"""Fitting by L-BFGS: SciPy's search, as scikit-learn calls it, with loss and gradient computed at the data's home."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from sklearn.utils.optimize import _check_optimize_result

from ..kernels.arrays import Array
from ..kernels.network import Network
from ..training.lbfgs import HostObjective, load_scipy
from .callbacks import Watch
from .inputs import floating_dtype
from .problem import Problem
from .validation import validation_of


def fit_lbfgs(estimator: Any, problem: Problem, flat: Array, watch: Watch) -> Array:
    """Minimise, keep the record in the estimator's attributes, and return the flat parameters that were reached.

    The search works in float64, as scikit-learn's, where the library has it: a line search needs the digits. The
    parameters come back in the dtype they had.
    """
    search = _Search(estimator, problem, flat, watch)
    found = load_scipy().minimize(
        search.loss_and_gradient,
        search.start,
        method="L-BFGS-B",
        jac=True,
        callback=search.iteration_end,
        options={
            "maxfun": estimator.max_fun,
            "maxiter": estimator.max_iter,
            "gtol": estimator.tol,
            **_printing(estimator.verbose),
        },
    )
    if search.stopped:
        estimator.n_iter_ = found.nit
    else:
        estimator.n_iter_ = _check_optimize_result("lbfgs", found, estimator.max_iter)
    estimator.loss_ = np.float64(found.fun)
    return problem.home.asarray(found.x[search.to_ours], dtype=flat.dtype)


class _Search:
    """One search: SciPy's vector holds all weights, then all biases, whose order its sums depend on."""

    def __init__(self, estimator: Any, problem: Problem, flat: Array, watch: Watch) -> None:
        home = problem.home
        self.stopped = False
        self._to_theirs = weights_first(problem.net)
        self.to_ours = np.argsort(self._to_theirs)
        self.start = home.to_numpy(flat).astype(np.float64)[self._to_theirs]
        data = problem.data
        dtype = home.dtype(floating_dtype(home, self.start))
        wide = type(data)(*(None if x is None else home.xp.astype(x, dtype, copy=False) for x in data))
        self._objective = HostObjective(home, problem.objective, wide, dtype)
        self._estimator, self._watch, self._flat_dtype = estimator, watch, flat.dtype
        self._validation = validation_of(estimator, problem)
        self._home = home

    def loss_and_gradient(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Evaluate SciPy's vector."""
        loss, gradient = self._objective(x[self.to_ours])
        return loss, gradient[self._to_theirs]

    # SciPy looks for a parameter of this name.
    def iteration_end(self, intermediate_result: Any) -> None:
        """Record an iteration; end the search where a callback asks to."""
        flat = self._home.asarray(intermediate_result.x[self.to_ours], dtype=self._flat_dtype)
        self._estimator.loss_curve_.append(np.float64(intermediate_result.fun))
        if self._validation is not None:
            self._estimator.validation_loss_curve_.append(self._validation.loss(flat))
        self._watch.epoch_begins(flat)
        if self._watch.epoch_ends(flat):
            self.stopped = True
            raise StopIteration


def weights_first(net: Network) -> np.ndarray:
    """Return where in our flat vector stands what scikit-learn's has: all weights, layer by layer, then all biases.

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
    """Return SciPy's option for what scikit-learn prints of the search; newer versions of SciPy know none."""
    try:
        from sklearn.utils.fixes import _get_additional_lbfgs_options_dict
    except ImportError:  # before scikit-learn 1.8
        return {"iprint": 1} if verbose else {}
    options: dict[str, int] = _get_additional_lbfgs_options_dict("iprint", 1 if verbose else -1)
    return options

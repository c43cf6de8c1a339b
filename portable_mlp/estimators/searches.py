"""scikit-learn's searches and cross-validation, whose fits of our estimators run side by side.

They are scikit-learn's own classes and functions, which leave their fits to joblib: here joblib is given threads of
this process, or the ranks of a group. Everything else is scikit-learn's.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import joblib
from joblib.parallel import LokyBackend, get_active_backend
from sklearn import model_selection

from ..distributed.exchange import of_root
from ..distributed.group import Group, current_group, training_in
from ..kernels.docstrings import documented_with
from ..kernels.suggestions import suggesting
from ..training.stop_requests import SharedRequest, sharing
from .joblib_backends import RanksOfSearch, ThreadsOfSearch
from .pipelines import candidates_compute_on_numpy, is_ours
from .same_fits import check_same_search


@contextlib.contextmanager
def fitting_side_by_side(
    call: str, estimator: Any, X: Any, options: Mapping[str, Any], space: Any = ()
) -> Iterator[Group | None]:
    """Let joblib fit our estimators in threads, or on the ranks of a group; others run as scikit-learn runs them.

    So do fits on other libraries than NumPy without a group, and all within a task of joblib or a backend of joblib
    that the user has chosen, other than loky, which is the default. Ctrl-C ends all fits.

    Parameters
    ----------
    call : str
        The call, as a user writes it.
    estimator : estimator
        The estimator that is fitted again and again.
    X : array-like of shape (n_samples, n_features)
        The inputs of all fits.
    options : mapping from str to object
        All options of the call, which the ranks compare.
    space : mapping or sequence of mappings
        The values of parameters that are searched.

    Yields
    ------
    Group or None
        The group on whose ranks the fits run.
    """
    backend, _ = get_active_backend()
    is_default = is_ours(estimator) and isinstance(backend, LokyBackend) and not backend.nesting_level
    on_numpy = is_default and candidates_compute_on_numpy(estimator, X, space)
    group = current_group() if is_default else None
    with contextlib.ExitStack() as stack:
        if is_ours(estimator):
            stack.enter_context(sharing(SharedRequest()))
        if group is not None:
            check_same_search(call, options)
            stack.enter_context(training_in(None))
        if group is not None and group.size > 1:
            stack.enter_context(joblib.parallel_config(RanksOfSearch(group, in_threads=on_numpy)))
        elif on_numpy:
            stack.enter_context(joblib.parallel_config(ThreadsOfSearch()))
        yield group


_N_JOBS = """\
    The number of threads that fits of our estimators run in, or of processes where others are fitted; negative to count
    from the number of cores, as -1 for all. None is all cores that the process may use, but 1 for estimators of others
    and within a task of joblib.

"""


class _SideBySide:
    """The method `fit` of the searches."""

    estimator: Any
    refit: Any
    best_estimator_: Any
    get_params: Callable[..., dict[str, Any]]
    _space: str
    """The name of the parameter with the values of each parameter."""

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Fit the estimator with all candidates, and with the best of them to all data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The inputs, of any kind that the estimator accepts and scikit-learn can split.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets of all samples.
        **params : dict from str to object
            As in scikit-learn: ``groups``, ``sample_weight``, and other arguments of the estimator's ``fit``.

        Returns
        -------
        self
            The fitted search.

        Raises
        ------
        ValueError
            If a parameter of the search cannot be used, or no fit succeeded; with ``error_score="raise"`` the
            first error of a fit.
        """
        call, space = f"{type(self).__name__}.fit", getattr(self, self._space)
        with fitting_side_by_side(call, self.estimator, X, self.get_params(deep=False), space) as group:
            super().fit(X, y, **params)  # type: ignore[misc]
            if group is not None and self.refit:
                # Each rank has fitted it, without a seed each another one.
                self.best_estimator_ = of_root(group, self.best_estimator_, "best_estimator_")
        return self


def _sections_of(search: type) -> str:
    """Return what scikit-learn's docstring has on parameters and attributes, but on ``n_jobs``."""
    sections = inspect.getdoc(search) or ""
    sections = sections.partition("Parameters\n----------\n")[2].partition("\n\nSee Also\n")[0]
    sections = re.sub(
        r"(?<=^n_jobs : int, default=None\n).*?(?=^\S)", _N_JOBS, sections, flags=re.DOTALL | re.MULTILINE
    )
    return textwrap.indent(sections, "    ").lstrip()


@documented_with(sections=_sections_of(model_selection.GridSearchCV))
class GridSearchCV(_SideBySide, model_selection.GridSearchCV):
    """The exhaustive search of scikit-learn over parameters, whose fits of our estimators run side by side.

    It is ``sklearn.model_selection.GridSearchCV``, with its parameters, attributes and results. Where the estimator, or
    the last step of a pipeline, is one of this library and computes on NumPy, the fits run in threads of this process,
    as many as ``n_jobs`` says, with one thread of BLAS each; None is all cores that the process may use. Ctrl-C ends
    the whole search. In a group of processes (`parallel`) each process fits a share of the models, in one thread unless
    ``n_jobs`` says otherwise, and all have the results of one process, which are sent as pickles.

    Other estimators are fitted as scikit-learn fits them, and so are all within a task of joblib, or where
    ``joblib.parallel_config`` sets another backend than loky, or, without a group, where a candidate computes on
    another library.

    While fits run in threads, BLAS has one thread in the whole process. At the end its number of threads and the
    filters of warnings are as they were at the beginning: what other threads change meanwhile is lost.

    Parameters
    ----------
    {sections}

    See Also
    --------
    RandomizedSearchCV : For parameters drawn at random.
    fit_many : For estimators that are fitted without a search.

    Examples
    --------
    >>> import portable_mlp as pm
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> estimator = pm.MLPClassifier((16,), learning_rate_init=0.05, early_stopping=True, random_state=0)
    >>> search = pm.GridSearchCV(estimator, {"alpha": [0.01, 1.0]}, cv=3).fit(X, y)
    >>> bool(search.best_score_ > 0.8)
    True
    """

    _space = "param_grid"


@documented_with(sections=_sections_of(model_selection.RandomizedSearchCV))
class RandomizedSearchCV(_SideBySide, model_selection.RandomizedSearchCV):
    """The search of scikit-learn over parameters drawn at random, whose fits of our estimators run side by side.

    It is ``sklearn.model_selection.RandomizedSearchCV``, with its parameters, attributes and results; its fits run as
    those of `GridSearchCV`.

    Parameters
    ----------
    {sections}

    See Also
    --------
    GridSearchCV : For a grid of parameters, and where fits run side by side.

    Examples
    --------
    >>> import portable_mlp as pm, scipy.stats
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> estimator = pm.MLPClassifier((16,), learning_rate_init=0.05, early_stopping=True, random_state=0)
    >>> space = {"alpha": scipy.stats.loguniform(1e-3, 1.0)}
    >>> search = pm.RandomizedSearchCV(estimator, space, n_iter=3, cv=3, random_state=0).fit(X, y)
    >>> bool(search.best_score_ > 0.8)
    True
    """

    _space = "param_distributions"


_NOTE = """
    Fits of portable_mlp's estimators run side by side in threads, or on the processes of a group, as those of
    `portable_mlp.GridSearchCV`; ``n_jobs`` is then the number of threads, and None all cores.
"""

_EXAMPLE = """    Examples
    --------
    >>> import portable_mlp as pm
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> estimator = pm.MLPClassifier((16,), learning_rate_init=0.05, early_stopping=True, random_state=0)
    >>> bool(pm.cross_val_score(estimator, X, y, cv=3).mean() > 0.8)
    True
    >>> sorted(pm.cross_validate(estimator, X, y, cv=3))
    ['fit_time', 'score_time', 'test_score']
    """


def _side_by_side(validate: Callable[..., Any]) -> Callable[..., Any]:
    """Return scikit-learn's function, whose fits run side by side."""

    @functools.wraps(validate)
    def called(estimator: Any, X: Any, *args: Any, **options: Any) -> Any:
        with fitting_side_by_side(validate.__name__, estimator, X, {"estimator": estimator, **options}):
            return validate(estimator, X, *args, **options)

    called.__module__ = __name__
    summary, _, rest = (validate.__doc__ or "").partition("\n\n")
    rest = rest.partition("    Examples\n")[0].replace("    scores : ", "    ")  # as numpydoc has a single result
    called.__doc__ = f"{summary}\n{_NOTE}\n{rest}{_EXAMPLE}"
    return suggesting(called)


cross_validate = _side_by_side(model_selection.cross_validate)
cross_val_score = _side_by_side(model_selection.cross_val_score)

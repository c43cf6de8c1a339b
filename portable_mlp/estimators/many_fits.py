"""`fit_many`: many estimators, fitted to the same data side by side."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Iterable, Sequence
from typing import Any, Self, TypeVar

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph
from sklearn import get_config

from ..distributed.group import is_root, several_ranks
from ..kernels.options import flag
from ..kernels.suggestions import suggesting
from ..training.progress_of_models import NotShown, shown_models
from ..training.side_by_side import own_share, side_by_side
from .fit_effects import BeforeFit, FitEffects, is_generator, is_step
from .pipelines import computes_on_numpy, is_ours, last_step, path_to_last_step
from .row_selection import n_rows, selected_rows
from .same_fits import check_same_estimators, check_same_rows, digests_of_numbers
from .threads import n_threads, settings_of_thread

T = TypeVar("T")


class FitErrors(ExceptionGroup[Exception]):
    """The errors of the estimators that could not be fitted.

    Attributes
    ----------
    by_number : dict from int to Exception
        The error of each of these estimators, by its place in the list.
    """

    by_number: dict[int, Exception]

    @classmethod
    def of(cls, by_number: dict[int, Exception], n_estimators: int) -> Self:
        """Return the errors of a call, each with a note of its estimator."""
        for number, error in by_number.items():
            error.add_note(f"It is the error of estimators[{number}] of fit_many.")
        which = ", ".join(f"estimators[{number}]" for number in by_number)
        many = cls(f"{len(by_number)} of {n_estimators} could not be fitted: {which}", list(by_number.values()))
        many.by_number = by_number
        return many

    def derive(self, excs: Sequence[Any]) -> Any:
        """Return some of the errors, as ``except*``, `split` and `subgroup` ask for them."""
        some = type(self)(self.message, excs)
        some.by_number = {number: error for number, error in self.by_number.items() if error in excs}
        return some


@suggesting
def fit_many(
    estimators: Iterable[T],
    X: Any,
    y: Any,
    *,
    rows: Iterable[Any] | None = None,
    sample_weight: Any = None,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> list[T]:
    """Fit many estimators to the same data, or to rows of it, side by side.

    Each is left as by its own ``estimator.fit(X[rows], y[rows])``: on NumPy, where the fits run in threads with one
    thread of BLAS each, to the bit of a fit with one. On other libraries they run one after the other.

    Parameters
    ----------
    estimators : iterable of estimator
        `MLPClassifier`, `MLPRegressor`, `TableClassifier`, `TableRegressor`, in any mix and with any parameters, and
        scikit-learn's pipelines that end in one of them.
    X : array-like of shape (n_samples, n_features), or a table
        The inputs, of any kind that ``fit`` of the estimators accepts.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        The targets of these rows.
    rows : iterable of (array-like of int, or None), optional
        For each estimator the numbers of the rows that it is fitted to, such as those of a fold; None for all rows.
    sample_weight : array-like of shape (n_samples,), optional
        The weight of each row of ``X``.
    n_jobs : int, optional
        The number of threads, negative to count from the number of cores, as -1 for all. None is all cores that the
        process may use, but 1 within a task of joblib, and on each process of a group.
    verbose : bool
        Whether to show on stderr how many models are done, and the time left: a bar on a terminal, lines in a log file
        (extra ``cli``). In a group it is about the models of rank 0, which alone shows it.

    Returns
    -------
    list of estimator
        The same estimators, fitted, in their order.

    Raises
    ------
    ExceptionGroup
        If estimators could not be fitted; the others are. Its ``by_number`` has the error of each by its number.
    TypeError, ValueError
        If an argument cannot be used; then nothing was fitted.
    KeyboardInterrupt
        After Ctrl-C: some estimators are fitted, the others unchanged, except for the first steps of pipelines.

    Notes
    -----
    Estimators that share a ``RandomState`` or a step of pipelines are fitted one after the other, in their order. With
    ``random_state=None`` they draw from NumPy's global generator, in no fixed order.

    In a group of processes (`parallel`) each process fits a share of the estimators, each as one process fits it. All
    are given the same list and the same data, and all end with all estimators fitted: what a fit has changed is
    pickled, and sent to the others. An error of one estimator is raised by all, and warnings are issued on each.

    While fits run in threads, BLAS has one thread in the whole process. At the end its number of threads and the
    filters of warnings are as they were at the beginning: what other threads change meanwhile is lost.

    Examples
    --------
    A deep ensemble: the mean of the members' probabilities, and their spread as its uncertainty.

    >>> import numpy as np, portable_mlp as pm
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> options = {"learning_rate_init": 0.1, "early_stopping": True}
    >>> members = [pm.MLPClassifier((8,), random_state=seed, **options) for seed in range(8)]
    >>> proba = np.stack([member.predict_proba(X) for member in pm.fit_many(members, X, y)])
    >>> proba.mean(axis=0).shape, proba.std(axis=0).shape
    ((150, 3), (150, 3))
    """
    if hasattr(estimators, "fit"):
        raise TypeError(f"fit_many takes a list of estimators, got {_kind(estimators)}: give [estimator]")
    flag("verbose", verbose)
    fitted, threads, in_group = list(estimators), n_threads(n_jobs), several_ranks() is not None
    check_same_estimators("fit_many", fitted)
    _check_estimators(fitted)
    all_rows = _checked_rows(rows, len(fitted), n_rows(X, y, sample_weight))
    check_same_rows(X, y, sample_weight, rows=lambda: digests_of_numbers(*all_rows))

    def fit_in_order(numbers: list[int]) -> list[tuple[Exception | None, FitEffects | None]]:
        fits = []
        for i in numbers:
            fits.append(_fit(fitted[i], all_rows[i], X, y, sample_weight, in_group))
            _drop_variables(fits[-1][0])
            shown.one_more()
        return fits

    in_order = _in_order(fitted)
    tasks = [functools.partial(fit_in_order, numbers) for numbers in in_order]
    on_numpy = all(computes_on_numpy(one, X) for one in fitted)
    n_own = sum(len(in_order[i]) for i in own_share(len(in_order)))
    with shown_models(n_own) if verbose and n_own and is_root() else NotShown() as shown:
        outcomes = side_by_side(tasks, threads if on_numpy else 1, start=settings_of_thread())
    errors: dict[int, Exception] = {}
    for numbers, (_, fits, failure) in zip(in_order, outcomes, strict=True):
        for i, (error, effects) in zip(numbers, fits or [(failure, None)] * len(numbers), strict=True):
            if effects is not None:
                effects.repeat(fitted[i])
            if error is not None:
                errors[i] = error
    if errors:
        raise FitErrors.of(dict(sorted(errors.items())), len(fitted))
    return fitted


def _fit(
    estimator: Any, rows: np.ndarray | None, X: Any, y: Any, sample_weight: Any, to_repeat: bool
) -> tuple[Exception | None, FitEffects | None]:
    """Fit an estimator to some rows; leave it as it was if Ctrl-C interrupts it.

    Returns
    -------
    error : Exception or None
        The reason why it could not be fitted.
    effects : FitEffects or None
        What the fit has changed, if it is ``to_repeat``.
    """
    before, failure = BeforeFit(estimator), None
    try:
        if rows is not None:
            from_start = np.where(rows < 0, rows + n_rows(X), rows)
            X, y, sample_weight = (None if x is None else selected_rows(x, from_start) for x in (X, y, sample_weight))
        names = (
            [] if get_config()["enable_metadata_routing"] else [name for name, _ in path_to_last_step(estimator)[1:]]
        )
        name = "__".join([*names, "sample_weight"])
        estimator.fit(X, y, **({} if sample_weight is None else {name: sample_weight}))
    except KeyboardInterrupt:
        before.restore()
        raise
    except Exception as error:
        failure = error
    return failure, before.effects() if to_repeat else None


def _drop_variables(error: BaseException | None) -> None:
    """Drop the variables of an error's traceback: those of a fit are copies of its rows, which would pile up."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def _in_order(estimators: Sequence[Any]) -> list[list[int]]:
    """Return the numbers of estimators that must be fitted one after the other: those that share a changing object."""
    users: dict[int, int] = {}  # the first estimator that has an object
    pairs = [
        (users.setdefault(id(value), i), i)
        for i, estimator in enumerate(estimators)
        for value in estimator.get_params().values()
        if is_step(value) or is_generator(value)
    ]
    n, edges = len(estimators), np.asarray(pairs, dtype=np.intp).reshape(-1, 2).T
    _, labels = csgraph.connected_components(sparse.coo_array((np.ones(len(pairs)), tuple(edges)), shape=(n, n)))
    groups: dict[int, list[int]] = {}
    for i, label in enumerate(labels.tolist()):
        groups.setdefault(label, []).append(i)
    return list(groups.values())


def _check_estimators(estimators: Sequence[Any]) -> None:
    places: dict[int, int] = {}  # of last steps, which no two may share
    for i, estimator in enumerate(estimators):
        if not is_ours(estimator):
            raise TypeError(
                "fit_many takes MLPClassifier, MLPRegressor, TableClassifier, TableRegressor, and pipelines that end in"
                f" one; estimators[{i}] is {_kind(estimator)}"
            )
        other = places.setdefault(id(last_step(estimator)), i)
        if other != i:
            part = "" if estimator is estimators[other] else "the last step of "
            raise ValueError(
                f"{part}estimators[{i}] is the same object as {part}estimators[{other}]: fit a clone of it"
            )


def _kind(estimator: Any) -> str:
    last = last_step(estimator)
    kind = estimator.__name__ if isinstance(estimator, type) else type(estimator).__name__
    if isinstance(estimator, type):
        return f"the class {kind}"
    return kind if last is estimator else f"a {kind} that ends in {type(last).__name__}"


def _checked_rows(rows: Iterable[Any] | None, n_estimators: int, n_samples: int) -> list[np.ndarray | None]:
    """Return the row numbers of each estimator.

    Raises
    ------
    TypeError, ValueError
        If they are no row numbers of the data, or not for each estimator.
    """
    if rows is None:
        return [None] * n_estimators
    each = list(rows)
    if len(each) != n_estimators:
        raise ValueError(f"rows must have row numbers, or None, for each of {n_estimators} estimators, got {len(each)}")
    return [None if some is None else _checked(i, np.asarray(some), n_samples) for i, some in enumerate(each)]


def _checked(i: int, rows: np.ndarray, n_samples: int) -> np.ndarray:
    if rows.shape == (0,):
        rows = rows.astype(np.intp)  # of an empty list
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        advice = "; those of a mask are np.flatnonzero(mask)" if rows.dtype == np.bool_ else ""
        raise TypeError(f"rows[{i}] must be row numbers, got an array of {rows.dtype}, {rows.ndim}-dimensional{advice}")
    if rows.size and not (-n_samples <= rows.min() and rows.max() < n_samples):
        raise ValueError(f"rows[{i}] has numbers from {rows.min()} to {rows.max()}, but X has {n_samples} rows")
    return rows  # as given: models of one fold share them

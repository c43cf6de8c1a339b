"""Fits that an exception ends: the estimator is as it was, or as its last complete epoch left it, and trains on."""

import contextlib
import copy
import functools
import io
import itertools
import os
import pickle
import sys
import threading
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import portable_mlp as pm
from tests.estimators.problems import assert_same, problem, quietly
from tests.selection import rarely

OPTIONS: dict[str, Any] = {
    "hidden_layer_sizes": (5,),
    "max_iter": 4,
    "random_state": 0,
    "learning_rate_init": 0.05,
    "batch_size": 40,
}
X, y = problem("classes").X, problem("classes").y
X_first, y_first = X[20:], y[20:]
CLASSES = np.unique(y)
OUR_FILES = os.path.dirname(pm.__file__)


class Injected(BaseException):
    """Raised at a chosen call or return."""


def events(action: Callable[[], Any], raise_at: int | None = None) -> int:
    """Run, raising at one call or return of a function of the package; return how many there were."""
    n_events = 0

    def look(frame: types.FrameType, event: str, _: Any) -> None:
        nonlocal n_events
        if event in ("call", "return") and frame.f_code.co_filename.startswith(OUR_FILES):
            n_events += 1
            if n_events == raise_at:
                raise Injected

    sys.setprofile(look)
    try:
        quietly(action)
    finally:
        sys.setprofile(None)
    return n_events


def make(**options: Any) -> Any:
    return pm.MLPClassifier(**{**OPTIONS, **options})


# Each case: what is done before, and what an exception then ends.
CASES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "a fit": (lambda clf: clf, lambda clf: clf.fit(X, y)),
    "a second fit": (lambda clf: clf.fit(X_first, y_first), lambda clf: clf.fit(X, y)),
    "a warm start": (lambda clf: clf.set_params(warm_start=True).fit(X_first, y_first), lambda clf: clf.fit(X, y)),
}
INCREMENTAL: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "a first partial_fit": (lambda clf: clf, lambda clf: clf.partial_fit(X, y, classes=CLASSES)),
    "partial_fit": (
        lambda clf: clf.partial_fit(X_first, y_first, classes=CLASSES),
        lambda clf: clf.partial_fit(X, y),
    ),
}


def prepared(case: str, **options: Any) -> Any:
    return quietly((CASES | INCREMENTAL)[case][0], make(**options))


@functools.cache
def reference(case: str, n_iter: int, **options: Any) -> bytes:
    """Return, pickled, what the case leaves that is ended by ``max_iter`` after so many epochs."""
    clf = prepared(case, **options)
    return pickle.dumps(quietly((CASES | INCREMENTAL)[case][1], clf.set_params(max_iter=n_iter)))


def is_as_it_was(clf: Any, before: dict[str, Any]) -> bool:
    return vars(clf).keys() == before.keys() and all(vars(clf)[name] is value for name, value in before.items())


def assert_left_whole(clf: Any, before: dict[str, Any], case: str, **options: Any) -> None:
    """Assert that it is as it was, or as the epochs that it says it has trained leave it, and that it trains on."""
    if is_as_it_was(clf, before):
        expected = prepared(case, **options)
    else:
        assert 1 <= clf.n_iter_ <= OPTIONS["max_iter"]
        expected = pickle.loads(reference(case, clf.n_iter_, **options))
    if hasattr(expected, "coefs_"):
        assert_same(clf, expected)
        assert len(clf.loss_curve_) == len(expected.loss_curve_)
        np.testing.assert_array_equal(clf.predict_proba(X), expected.predict_proba(X))
    clf.set_params(max_iter=2), expected.set_params(max_iter=2)
    if options["solver"] == "lbfgs" or options.get("early_stopping"):
        further = [estimator.set_params(warm_start=True).fit for estimator in (clf, expected)]
    else:
        known = {} if hasattr(expected, "coefs_") else {"classes": CLASSES}
        further = [functools.partial(estimator.partial_fit, **known) for estimator in (clf, expected)]
    for go_on in further:
        quietly(go_on, X, y)
    assert_same(clf, expected)


SOLVERS = ("adam", "sgd", "lbfgs")
ENDED = [
    *((case, {"solver": solver}) for case in CASES for solver in SOLVERS),
    *((case, {"solver": "adam"}) for case in INCREMENTAL),
    ("a second fit", {"solver": "sgd", "early_stopping": True, "dropout": 0.2}),
    ("a warm start", {"solver": "adam", "early_stopping": True}),
]
EACH_TIME = [*ENDED[: len(CASES) * len(SOLVERS) : 4], *ENDED[len(CASES) * len(SOLVERS) :]]  # each case and each solver
FEW = ENDED[::4]


@pytest.mark.parametrize(
    ("case", "options", "backend"),
    [
        *((*ended, "numpy") for ended in EACH_TIME),
        *((*ended, "torch") for ended in FEW),
        *rarely(*((*ended, "numpy") for ended in ENDED if ended not in EACH_TIME)),
        *rarely(*((*ended, "torch") for ended in ENDED if ended not in FEW)),
    ],
    ids=str,
)
def test_an_exception_anywhere_leaves_what_was_or_whole_epochs(
    case: str, options: dict[str, Any], backend: str
) -> None:
    options = {**options, "backend": backend}
    end = (CASES | INCREMENTAL)[case][1]
    # What the first one of all has to import and to cache is not counted.
    _, n_events = (events(functools.partial(end, prepared(case, **options))) for _ in range(2))
    outcomes = set()
    for raise_at in np.linspace(1, n_events - 1, 6 if backend == "numpy" else 4, dtype=int):
        clf = prepared(case, **options)
        before = dict(vars(clf))
        with pytest.raises(Injected):
            events(functools.partial(end, clf), int(raise_at))
        outcomes.add(is_as_it_was(clf, before))
        assert_left_whole(clf, before, case, **options)
    assert True in outcomes
    if case in CASES:
        assert False in outcomes


def same_as_stopped_after(clf: Any, n_iter: int, **options: Any) -> None:
    stopped = quietly(make(**options, max_iter=n_iter).fit, X, y)
    assert clf.n_iter_ == n_iter
    assert_same(clf, stopped)
    assert clf.score(X, y) == stopped.score(X, y)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_convergence_warning_that_is_an_error_comes_after_training(solver: str) -> None:
    clf = make(solver=solver)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ConvergenceWarning):
            clf.fit(X, y)
    same_as_stopped_after(clf, 4, solver=solver)


@pytest.mark.parametrize("options", [{}, {"early_stopping": True}])
def test_a_reader_that_leaves_ends_a_fit_after_a_whole_epoch(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Head(io.StringIO):
        def write(self, text: str) -> int:
            if text.startswith("Iteration 3"):
                raise BrokenPipeError
            return super().write(text)

    clf = make(verbose=True, **options)
    monkeypatch.setattr(sys, "stdout", Head())
    with pytest.raises(BrokenPipeError):
        clf.fit(X, y)
    monkeypatch.undo()
    same_as_stopped_after(clf, 3, **options)


class Fails:
    """Raises at the end of an epoch, and keeps what the estimator then was."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.seen: list[tuple[int, int, np.ndarray]] = []

    def setup(self, estimator: Any, context: Any) -> None: ...

    def teardown(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        self.seen.append((estimator.n_iter_, len(estimator.loss_curve_), estimator.predict_proba(X)))
        if len(self.seen) == self.epoch:
            raise TimeoutError
        return False


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_callback_that_raises_ends_a_fit_after_a_whole_epoch(solver: str) -> None:
    fails = Fails(2)
    clf = make(solver=solver).set_callbacks(fails)
    with pytest.raises(TimeoutError):
        clf.fit(X, y)
    assert [seen[:2] for seen in fails.seen] == [(1, 1), (2, 2)]
    np.testing.assert_array_equal(fails.seen[-1][2], clf.predict_proba(X))
    same_as_stopped_after(clf.set_callbacks(), 2, solver=solver)


def test_ctrl_c_in_the_first_epoch_keeps_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    from portable_mlp.backends.portable_runner import PortableRunner

    original, n_taken = PortableRunner.take, itertools.count()

    def interrupted(self: Any, *arguments: Any) -> Any:
        if next(n_taken) == 1:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(PortableRunner, "take", interrupted)
    clf = make()
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        clf.fit(X, y)
    assert (clf.n_iter_, clf.t_, clf.loss_curve_, clf._optimizer.n_steps) == (0, 0, [], 1)
    assert np.abs(clf.coefs_[0] - quietly(make(learning_rate_init=1e-30).fit, X, y).coefs_[0]).max() > 0.01


@pytest.mark.parametrize("classes", [CLASSES, None])
def test_what_a_first_partial_fit_refuses_leaves_nothing(classes: Any) -> None:
    clf = make()
    with pytest.raises(ValueError, match=r"NaN|classes must be passed"):
        clf.partial_fit(np.where(X > 1, np.nan, X), y, classes=classes)
    assert vars(clf) == vars(make())


def test_a_fit_that_diverges_is_kept_as_a_whole() -> None:
    reg = pm.MLPRegressor(
        hidden_layer_sizes=(3,),
        activation="identity",
        solver="sgd",
        learning_rate_init=1e300,
        random_state=0,
        max_iter=3,
    )
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        quietly(reg.fit, X, X[:, 0])
    assert len(reg.loss_curve_) == reg.n_iter_ == 3
    assert not np.isfinite(reg.coefs_[0]).all()


# What another thread would see in the middle of a fit is looked at before every call of a function of the package.


def before_every_call(action: Callable[[], Any], look: Callable[[], None]) -> None:
    def profile(frame: types.FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(OUR_FILES):
            look()

    sys.setprofile(profile)
    try:
        quietly(action)
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("refused", [True, False])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_until_a_fit_ends_others_see_the_model_before(method: str, refused: bool) -> None:
    clf = quietly(make().fit, X_first, y_first)
    state, keys = vars(clf), list(vars(clf))
    seen: list[np.ndarray] = [clf.predict_proba(X)]

    def look() -> None:
        assert list(state) == keys
        seen.append(clf.predict_proba(X))

    fit = functools.partial(getattr(clf, method), np.where(X > 1, np.nan, X) if refused else X, y)
    with pytest.raises(ValueError, match="NaN") if refused else contextlib.nullcontext():
        before_every_call(fit, look)
    assert (vars(clf) is state) == refused
    new = clf.predict_proba(X)
    n_old = sum(np.array_equal(proba, seen[0]) for proba in seen)
    assert n_old > 3
    assert all(np.array_equal(proba, new) for proba in seen[n_old:])


@pytest.mark.parametrize("method", ["predict_proba", "score", *rarely("predict", "transform")])
def test_a_prediction_is_that_of_one_model_though_another_thread_fits(method: str) -> None:
    few = y != "red"  # another number of classes, and of outputs
    clf = make(max_iter=1)
    ask = functools.partial(getattr(clf, method), X, *([y] if method == "score" else []))
    quietly(clf.fit, X, y)
    old = ask()
    n_calls = 0

    def count() -> None:
        nonlocal n_calls
        n_calls += 1

    before_every_call(ask, count)
    quietly(clf.fit, X[few], y[few])
    new = ask()
    for fit_at in range(1, n_calls + 1):
        quietly(clf.set_params(hidden_layer_sizes=(5,)).fit, X, y)
        left = itertools.count(1)

        def fit_now(left: Any = left, fit_at: int = fit_at) -> None:
            if next(left) == fit_at:
                clf.fit(X[few], y[few])

        answers: list[Any] = []
        before_every_call(lambda answers=answers: answers.append(ask()), fit_now)  # type: ignore[misc]
        assert any(np.array_equal(answers[0], expected) for expected in (old, new))


def test_a_model_is_pickled_and_predicts_while_threads_fit_it() -> None:
    clf = quietly(make(max_iter=1).fit, X, y)
    ended = threading.Event()

    def fit() -> None:
        try:
            for _ in range(15):
                clf.partial_fit(X, y)
        finally:
            ended.set()

    thread = threading.Thread(target=fit)
    thread.start()
    while not ended.is_set():
        for model in (clf, pickle.loads(pickle.dumps(clf)), copy.copy(clf)):
            assert model.predict_proba(X[:2]).shape == (2, 3)
    thread.join()

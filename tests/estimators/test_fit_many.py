"""Many estimators fitted side by side: each as by its own fit, whatever the others are; errors of some or of all."""

import itertools
import pickle
import re
import signal
import threading
import time
import traceback
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

import portable_mlp as pm
from portable_mlp.estimators.many_fits import FitErrors, _in_order
from portable_mlp.training import progress_of_models
from tests.conftest import Library
from tests.estimators.problems import KINDS, ours, problem, weights
from tests.selection import rarely

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

MIX: list[dict[str, Any]] = [
    {"hidden_layer_sizes": (6,), "alpha": 0.1},
    {"hidden_layer_sizes": (), "solver": "sgd", "learning_rate": "adaptive"},
    {"hidden_layer_sizes": (4, 3), "activation": "tanh", "solver": "lbfgs"},
    {"hidden_layer_sizes": (5,), "early_stopping": True, "batch_size": 7},
    {"hidden_layer_sizes": (5,), "dropout": 0.3, "solver": "adamw", "learning_rate": "cosine"},
]


def mix(kind: str, **options: Any) -> list[Any]:
    return [ours(kind, max_iter=6, random_state=i, **parameters, **options) for i, parameters in enumerate(MIX)]


def folds(n_samples: int) -> list[Any]:
    rng = np.random.default_rng(1)
    return [None, *(rng.permutation(n_samples)[: n_samples - 10 * i] for i in range(1, len(MIX)))]


def assert_as_own_fit(fitted: Any, expected: Any) -> None:
    assert type(fitted) is type(expected)
    found, own = vars(fitted), vars(expected)
    assert found.keys() == own.keys()
    for name, value in own.items():
        if name in ("_random_state", "_optimizer", "_label_binarizer"):
            assert pickle.dumps(found[name]) == pickle.dumps(value), name
        else:
            np.testing.assert_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize("n_jobs", [None, 2, *rarely(1, 3)])
@pytest.mark.parametrize("kind", ["classes", "number", *rarely("two classes", "labels", "numbers", "counts")])
def test_each_is_as_its_own_fit(kind: str, n_jobs: int | None) -> None:
    X, y, *_ = problem(kind)
    w, rows = weights(len(y)), folds(len(y))
    estimators = mix(kind)
    expected = [clone(one) for one in estimators]
    for one, some in zip(expected, rows, strict=True):
        some = slice(None) if some is None else some
        one.fit(X[some], y[some], w[some])
    fitted = pm.fit_many(estimators, X, y, rows=rows, sample_weight=w, n_jobs=n_jobs)
    assert all(one is given for one, given in zip(fitted, estimators, strict=True))
    for one, own in zip(fitted, expected, strict=True):
        assert_as_own_fit(one, own)


def test_the_kinds_are_known() -> None:
    assert {"classes", "number", "two classes", "labels", "numbers", "counts"} == set(KINDS)


def test_pipelines_and_tables_in_one_list() -> None:
    X, y, *_ = problem("two classes")
    w, rows = weights(len(y)), np.arange(50)
    made: list[Any] = [
        make_pipeline(StandardScaler(), ours("two classes", max_iter=5, random_state=0)),
        pm.TableClassifier(max_iter=3, n_networks=1, hidden_layer_sizes=(5,), random_state=0),
        ours("two classes", max_iter=5, random_state=0),
    ]
    piped, table, alone = pm.fit_many(made, X, y, rows=[rows] * 3, sample_weight=w)
    own = clone(piped).fit(X[rows], y[rows], mlpclassifier__sample_weight=w[rows])
    assert_as_own_fit(piped[-1], own[-1])
    own_table = clone(table).fit(X[rows], y[rows], w[rows])
    np.testing.assert_array_equal(table.predict_proba(X), own_table.predict_proba(X))
    assert_as_own_fit(alone, clone(alone).fit(X[rows], y[rows], w[rows]))


def test_a_table_of_texts_by_rows() -> None:
    table = {"rooms": [1.0, 2.0, 3.0, 4.0] * 10, "district": ["north", "south", "west", None] * 10}
    X = pm.TableEncoder().fit(table)._understood(table)
    y = np.array(["small", "small", "large", "large"] * 10)
    options: dict[str, Any] = {"max_iter": 3, "n_networks": 1, "hidden_layer_sizes": (4,)}
    (one,) = pm.fit_many([pm.TableClassifier(random_state=0, **options)], X, y, rows=[np.arange(30)])
    own = pm.TableClassifier(random_state=0, **options).fit(X[np.arange(30)], y[:30])
    np.testing.assert_array_equal(one.predict_proba(X), own.predict_proba(X))


def test_arrays_by_name_by_rows() -> None:
    X = {"rooms": [1.0, 2.0, 3.0, 4.0] * 10, "district": np.array(["north", "south", "west", "east"] * 10)}
    y, w = np.array(["small", "small", "large", "large"] * 10), np.arange(40.0)
    options: dict[str, Any] = {"max_iter": 3, "n_networks": 1, "hidden_layer_sizes": (4,)}
    (one,) = pm.fit_many([pm.TableClassifier(random_state=0, **options)], X, y, rows=[range(30)], sample_weight=w)
    part = {name: column[:30] for name, column in X.items()}
    own = pm.TableClassifier(random_state=0, **options).fit(part, y[:30], w[:30])
    np.testing.assert_array_equal(one.predict_proba(X), own.predict_proba(X))


@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("format", ["coo", "dia", "bsr", "dok", "csc"])
def test_sparse_rows(format: str, kind: str) -> None:
    X, y, *_ = problem("number")
    made = getattr(sparse, f"{format}_{kind}")(np.where(X > 0, X, 0.0))
    (one,) = pm.fit_many([ours("number", max_iter=3, random_state=0)], made, y, rows=[range(40)])
    assert_as_own_fit(one, clone(one).fit(made.tocsr()[:40], y[:40]))


def test_weights_in_nested_pipelines() -> None:
    X, y, *_ = problem("number")
    w = weights(len(y))
    inner = make_pipeline(StandardScaler(), ours("number", max_iter=3, random_state=0))
    (one,) = pm.fit_many([Pipeline([("scale", StandardScaler()), ("inner", inner)])], X, y, sample_weight=w)
    own = clone(one).fit(X, y, inner__mlpregressor__sample_weight=w)
    assert_as_own_fit(one[-1][-1], own[-1][-1])


def test_weights_are_routed() -> None:
    X, y, *_ = problem("number")
    w = weights(len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        network = ours("number", max_iter=3, random_state=0).set_fit_request(sample_weight=True)
        one, alone = pm.fit_many([make_pipeline(scaler, network), clone(network)], X, y, sample_weight=w)
        own = clone(one).fit(X, y, sample_weight=w)
    np.testing.assert_array_equal(one[-1].coefs_[0], own[-1].coefs_[0])
    np.testing.assert_array_equal(alone.coefs_[0], clone(network).fit(X, y, w).coefs_[0])


def test_a_warm_start_goes_on() -> None:
    X, y, *_ = problem("classes")
    one = ours("classes", max_iter=3, warm_start=True, random_state=0).fit(X, y)
    own = pickle.loads(pickle.dumps(one)).fit(X, y)
    pm.fit_many([one, *mix("classes")], X, y)
    np.testing.assert_array_equal(one.loss_curve_, own.loss_curve_)
    np.testing.assert_array_equal(one.coefs_[0], own.coefs_[0])


def test_estimators_that_share_a_generator_draw_in_their_order() -> None:
    X, y, *_ = problem("classes")
    results = []
    for fit in (pm.fit_many, lambda some, X, y: [one.fit(X, y) for one in some]):
        rng = np.random.RandomState(0)
        results.append(fit([ours("classes", max_iter=3, random_state=rng) for _ in range(6)], X, y))
    for one, own in zip(*results, strict=True):
        np.testing.assert_array_equal(one.coefs_[0], own.coefs_[0])


class Slow(StandardScaler):
    """A step that ends later where its rows have larger numbers."""

    def fit(self, X: Any, y: Any = None) -> Any:
        super().fit(X, y)
        n_fits = getattr(self, "n_fits_", 0)
        time.sleep(0.02)
        self.n_fits_ = n_fits + 1
        return self


def test_estimators_that_share_a_step_are_fitted_in_their_order() -> None:
    X, y, *_ = problem("number")
    step = Slow()
    inner = [make_pipeline(step, ours("number", max_iter=2, random_state=i)) for i in range(2)]
    outer = make_pipeline(FeatureUnion([("scaled", step), ("as they are", StandardScaler())]), inner[1])
    pm.fit_many([inner[0], outer, ours("number", max_iter=2)], X, y, n_jobs=3)
    assert step.n_fits_ == 3  # two of them in the outer pipeline


def test_shared_objects_chain() -> None:
    a, b, rng = StandardScaler(), StandardScaler(), np.random.default_rng(0)
    last = [ours("number", random_state=rng if i in (1, 4) else i) for i in range(6)]
    made = [
        make_pipeline(a, last[0]),
        make_pipeline(b, last[1]),
        last[2],
        make_pipeline(b, make_pipeline(a, last[3])),
        last[4],
        last[5],
    ]
    assert _in_order(made) == [[0, 1, 3, 4], [2], [5]]


def test_warnings_reach_the_caller() -> None:
    X, y, *_ = problem("classes")
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached") as caught:
        pm.fit_many([ours("classes", max_iter=2, random_state=i) for i in range(4)], X, y)
    assert len(caught) == 4
    assert {warning.filename for warning in caught} == {caught[0].filename}


def test_a_filter_that_raises_is_the_error_of_a_model() -> None:
    X, y, *_ = problem("classes")
    good = ours("classes", hidden_layer_sizes=(), solver="lbfgs", max_iter=500, random_state=0, alpha=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(FitErrors) as raised:
            pm.fit_many([good, ours("classes", max_iter=2, random_state=0)], X, y)
    assert {number: type(error) for number, error in raised.value.by_number.items()} == {1: ConvergenceWarning}
    check_is_fitted(good)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_one_that_fails_stops_no_other(n_jobs: int) -> None:
    X, y, *_ = problem("classes")
    estimators = mix("classes")
    estimators[1].set_params(alpha=-1.0)
    estimators[3].set_params(solver="sgd", learning_rate_init=1e200, early_stopping=False)
    which = r"2 of 5 could not be fitted: estimators\[1\], estimators\[3\]"
    with np.errstate(all="ignore"), pytest.raises(ExceptionGroup, match=which) as raised:
        pm.fit_many(estimators, X, y, n_jobs=n_jobs)
    errors = raised.value.by_number  # type: ignore[attr-defined]
    assert list(errors) == [1, 3]
    assert all(isinstance(error, ValueError) for error in errors.values())
    assert "alpha" in str(errors[1])
    assert "non-finite parameter weights" in str(errors[3])
    assert "estimators[3] of fit_many" in "".join(traceback.format_exception(errors[3]))
    for i in (0, 2, 4):
        assert_as_own_fit(estimators[i], clone(estimators[i]).fit(X, y))
    with pytest.raises(NotFittedError):
        check_is_fitted(estimators[1])


def test_errors_can_be_told_apart() -> None:
    group = FitErrors.of({1: ValueError("a"), 4: TypeError("b")}, 6)
    texts, others = group.split(ValueError)
    assert [str(error) for error in texts.exceptions] == ["a"]  # type: ignore[union-attr]
    assert [str(error) for error in others.exceptions] == ["b"]  # type: ignore[union-attr]
    assert (list(texts.by_number), list(others.by_number)) == ([1], [4])  # type: ignore[union-attr]


X, Y = problem("classes").X, problem("classes").y
SHARED = ours("classes")
REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "another estimator": (
        lambda: pm.fit_many([ours("classes"), LogisticRegression()], X, Y),
        TypeError,
        r"fit_many takes MLPClassifier, .* one; estimators\[1\] is LogisticRegression$",
    ),
    "a class": (
        lambda: pm.fit_many([pm.MLPClassifier], X, Y),
        TypeError,
        r"estimators\[0\] is the class MLPClassifier",
    ),
    "a pipeline": (
        lambda: pm.fit_many([make_pipeline(LogisticRegression())], X, Y),
        TypeError,
        "a Pipeline that ends in LogisticRegression",
    ),
    "one twice": (
        lambda: pm.fit_many([*mix("classes"), *[ours("classes")] * 2], X, Y),
        ValueError,
        r"estimators\[6\] is the same object as estimators\[5\]: fit a clone of it",
    ),
    "rows of another number": (
        lambda: pm.fit_many([ours("classes")], X, Y, rows=[]),
        ValueError,
        "row numbers, or None, for each of 1 estimators, got 0",
    ),
    "a mask": (
        lambda: pm.fit_many([ours("classes")], X, Y, rows=[np.ones(70, dtype=bool)]),
        TypeError,
        r"rows\[0\] must be row numbers, got an array of bool, 1-dimensional; .* mask are np.flatnonzero\(mask\)",
    ),
    "rows of rows": (
        lambda: pm.fit_many([ours("classes")], X, Y, rows=[[[]]]),
        TypeError,
        r"rows\[0\] must be row numbers, got an array of float64, 2-dimensional$",
    ),
    "one by itself": (
        lambda: pm.fit_many(ours("classes"), X, Y),
        TypeError,
        r"fit_many takes a list of estimators, got MLPClassifier: give \[estimator\]",
    ),
    "a pipeline by itself": (
        lambda: pm.fit_many(make_pipeline(StandardScaler(), ours("classes")), X, Y),
        TypeError,
        r"got a Pipeline that ends in MLPClassifier: give \[estimator\]",
    ),
    "an empty pipeline": (lambda: pm.fit_many([Pipeline([])], X, Y), TypeError, r"estimators\[0\] is Pipeline$"),
    "a last step twice": (
        lambda: pm.fit_many([make_pipeline(StandardScaler(), SHARED), make_pipeline(SHARED)], X, Y),
        ValueError,
        r"the last step of estimators\[1\] is the same object as the last step of estimators\[0\]: fit a clone of it",
    ),
    "too few targets": (lambda: pm.fit_many([ours("classes")], X, Y[:50]), ValueError, r"samples: \[70, 50\]"),
    "too few weights": (
        lambda: pm.fit_many([ours("classes")], X, Y, sample_weight=np.ones(50), rows=[range(50)]),
        ValueError,
        r"samples: \[70, 70, 50\]",
    ),
    "columns of unlike lengths": (
        lambda: pm.fit_many([pm.TableClassifier()], {"a": X[:, 0], "b": X[:9, 1]}, Y),
        ValueError,
        r"samples: \[70, 9, 70\]",
    ),
    "a number of threads in words": (
        lambda: pm.fit_many([ours("classes", backend="torch")], X, Y, n_jobs="two"),  # type: ignore[arg-type]
        TypeError,
        "n_jobs must be a whole number, as -1 for all cores, or None, got 'two'",
    ),
    "a flag in words": (
        lambda: pm.fit_many([ours("classes")], X, Y, verbose="no"),  # type: ignore[arg-type]
        TypeError,
        "verbose",
    ),
    "rows too far": (
        lambda: pm.fit_many([ours("classes")], X, Y, rows=[[0, 70]]),
        ValueError,
        r"rows\[0\] has numbers from 0 to 70, but X has 70 rows",
    ),
    "a typo": (
        lambda: pm.fit_many([ours("classes")], X, Y, row=[[0, 70]]),  # type: ignore[call-arg]
        TypeError,
        "did you mean 'rows'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    call, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        call()


def test_a_log_file_gets_lines_of_models_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The clock is ours: 2 seconds pass for each model."""
    now = itertools.count(0.0, 2.0)
    monkeypatch.setattr(progress_of_models, "time", types.SimpleNamespace(perf_counter=lambda: next(now)))
    pm.fit_many(mix("classes"), X, Y, verbose=True)
    assert capfd.readouterr().err.splitlines() == ["3 of 5 models, 0:06, about 0:04 left", "5 of 5 models, 0:12"]


def test_a_terminal_gets_a_bar_of_models(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # by which rich takes a pipe for a terminal
    pm.fit_many(mix("classes"), X, Y, verbose=True)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capfd.readouterr().err)
    assert "5 of 5 models ━" in shown
    pm.fit_many(mix("classes"), X, Y)
    assert capfd.readouterr().err == ""


def test_nothing_to_fit() -> None:
    assert pm.fit_many([], X, Y) == []
    assert pm.fit_many(iter([]), X, Y, rows=[], n_jobs=2) == []
    with pytest.raises(FitErrors) as raised:
        pm.fit_many([ours("classes", max_iter=2), ours("classes")], X, Y, rows=(some for some in (None, [])))
    (error,) = raised.value.exceptions
    assert "minimum of 1 is required" in str(error)


class Interrupting(pm.MLPClassifier):
    """Sends a Ctrl-C when its fit begins, once another estimator is fitted."""

    def fit(self, *args: Any, **options: Any) -> Any:
        while not hasattr(self.other, "coefs_"):
            time.sleep(0.001)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return super().fit(*args, **options)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_leaves_each_fitted_or_unchanged(n_jobs: int) -> None:
    options: dict[str, Any] = {"hidden_layer_sizes": (4,), "random_state": 0, "tol": 0.0, "n_iter_no_change": 10**9}
    quick, long = pm.MLPClassifier(max_iter=2, **options), Interrupting(max_iter=2, **options)
    long = pm.MLPClassifier.fit(long, X, Y)
    long.set_params(max_iter=10**9)
    piped = Pipeline([("scale", StandardScaler()), ("mlp", pm.MLPClassifier(max_iter=10**9, **options))])
    long.other = quick
    before = dict(vars(long))
    with pytest.raises(KeyboardInterrupt):
        pm.fit_many([quick, long, piped], X, Y, n_jobs=n_jobs)
    assert_as_own_fit(quick, clone(quick).fit(X, Y))
    assert vars(long).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(long).items())
    for part in (piped[0], piped[-1]):
        with pytest.raises(NotFittedError):
            check_is_fitted(part)


class InterruptedAtItsEnd(pm.MLPClassifier):
    def fit(self, *args: Any, **options: Any) -> Any:
        super().fit(*args, **options)
        raise KeyboardInterrupt


def test_ctrl_c_leaves_a_step_of_a_nested_pipeline_unchanged() -> None:
    step = InterruptedAtItsEnd(max_iter=2)
    with pytest.raises(KeyboardInterrupt):
        pm.fit_many([make_pipeline(make_pipeline(step))], X, Y)
    with pytest.raises(NotFittedError):
        check_is_fitted(step)


def test_two_calls_at_once() -> None:
    both = [mix("classes"), mix("number")]
    expected = [
        clone(one).fit(*problem(kind)[:2])
        for kind, some in zip(("classes", "number"), both, strict=True)
        for one in some
    ]
    calls = [
        threading.Thread(target=pm.fit_many, args=(some, *problem(kind)[:2]))
        for kind, some in zip(("classes", "number"), both, strict=True)
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    for one, own in zip(both[0] + both[1], expected, strict=True):
        assert_as_own_fit(one, own)


@pytest.mark.thorough_on("jax")
def test_on_every_library(lib: Library) -> None:
    X, y, *_ = problem("number")
    made = [ours("number", max_iter=3, random_state=i) for i in range(2)]
    moved = lib.array(X), lib.array(y)
    rows = [None, np.arange(10, 60)]
    own = [clone(one).fit(*moved) for one in made[:1]]
    fitted = pm.fit_many(made, *moved, rows=rows)
    np.testing.assert_array_equal(lib.numpy(fitted[0].coefs_[0]), lib.numpy(own[0].coefs_[0]))
    on_host = clone(made[1]).fit(X[10:60].astype(lib.dtype), y[10:60].astype(lib.dtype))
    np.testing.assert_allclose(lib.numpy(fitted[1].coefs_[0]), on_host.coefs_[0], rtol=max(lib.rtol, 1e-10) * 100)


def test_no_models_have_no_progress(capfd: pytest.CaptureFixture[str]) -> None:
    assert pm.fit_many([], X, Y, verbose=True) == []
    assert capfd.readouterr().err == ""

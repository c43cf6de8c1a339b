"""The searches beside scikit-learn's over the same estimators: every score, parameter and attribute; how they run."""

import pickle
import signal
import threading
import warnings
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
from scipy import stats
from sklearn import model_selection
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, ShuffleSplit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import portable_mlp as pm
from portable_mlp.estimators.pipelines import candidates_compute_on_numpy
from portable_mlp.training.side_by_side import Workers
from tests.conftest import Library
from tests.estimators.problems import ours, problem, weights
from tests.selection import rarely

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL: dict[str, Any] = {"hidden_layer_sizes": (5,), "max_iter": 5, "random_state": 0}


@pytest.fixture
def in_threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of threads of each call."""
    counts, honest = [], Workers.__init__

    def counted(self: Workers, n: int, start: Callable[[], None]) -> None:
        counts.append(n)
        honest(self, n, start)

    monkeypatch.setattr(Workers, "__init__", counted)
    return counts


def random_search(seed: int) -> tuple[str, Any, dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return a kind of problem, an estimator, a space of parameters, and the options of the search and of its fit."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["classes", "two classes", "number", "numbers", "counts"])
    estimator = ours(kind, **{**SMALL, "early_stopping": bool(rng.integers(2))})
    space = {
        "hidden_layer_sizes": [(4,), (6, 3), ()],
        "alpha": [1e-4, 1.0],
        "activation": ["relu", "tanh", "gelu"],
        "solver": ["adam", "sgd", "lbfgs"],
        "batch_size": ["auto", 9],
        "learning_rate_init": [0.003, 0.1],
    }
    chosen = {name: space[name] for name in rng.choice(list(space), size=2, replace=False)}
    fit_options: dict[str, Any] = {}
    weighted = bool(rng.integers(2))
    if rng.integers(2):
        estimator = Pipeline([("scale", StandardScaler()), ("mlp", estimator)])
        chosen = {f"mlp__{name}": values for name, values in chosen.items()}
        fit_options = {"mlp__sample_weight": weights()} if weighted else {}
    elif weighted:
        fit_options = {"sample_weight": weights()}
    several = ["accuracy", "neg_log_loss"] if "class" in kind else ["r2", "neg_mean_absolute_error"]
    options: dict[str, Any] = {
        "cv": [3, ShuffleSplit(2, random_state=1)][rng.integers(2)],
        "return_train_score": bool(rng.integers(2)),
    }
    if rng.integers(2):
        options |= {"scoring": several, "refit": several[0]}
    return kind, estimator, chosen, options, fit_options


def assert_same_search(found: Any, expected: Any) -> None:
    times = {name for name in expected.cv_results_ if name.endswith("_time")}
    assert found.cv_results_.keys() == expected.cv_results_.keys()
    for name in expected.cv_results_.keys() - times:
        np.testing.assert_array_equal(found.cv_results_[name], expected.cv_results_[name], err_msg=name)
    assert vars(found).keys() == vars(expected).keys()
    assert (found.best_index_, found.best_params_, found.n_splits_) == (
        expected.best_index_,
        expected.best_params_,
        expected.n_splits_,
    )
    np.testing.assert_array_equal(found.best_score_, expected.best_score_)
    network, own = (
        getattr(one, "steps", [("", one)])[-1][1] for one in (found.best_estimator_, expected.best_estimator_)
    )
    for mine, other in zip(network.coefs_ + network.intercepts_, own.coefs_ + own.intercepts_, strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("seed", [0, 1, *rarely(*range(2, 20))])
def test_a_search_is_scikit_learns(seed: int, in_threads: list[int]) -> None:
    kind, estimator, space, options, fit_options = random_search(seed)
    X, y, *_ = problem(kind)
    pairs = [(pm.GridSearchCV, model_selection.GridSearchCV, {})]
    pairs += [(pm.RandomizedSearchCV, model_selection.RandomizedSearchCV, {"n_iter": 3, "random_state": seed})]
    mine, theirs, own = pairs[seed % 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = mine(estimator, space, n_jobs=2, **own, **options).fit(X, y, **fit_options)
        assert in_threads == [2]
        expected = theirs(estimator, space, **own, **options).fit(X, y, **fit_options)
    assert_same_search(found, expected)


@pytest.mark.parametrize("name", ["cross_validate", "cross_val_score"])
def test_cross_validation_is_scikit_learns(name: str, in_threads: list[int]) -> None:
    X, y, *_ = problem("classes")
    groups = np.arange(len(y)) % 7
    calls = [getattr(module, name) for module in (pm, model_selection)]
    options: dict[str, Any] = {"cv": GroupKFold(3), "groups": groups, "params": {"sample_weight": weights()}}
    if name == "cross_validate":
        options |= {"return_train_score": True, "scoring": ["accuracy", "neg_log_loss"]}
    found, expected = (
        call(ours("classes", **SMALL), X, y, n_jobs=n_jobs, **options)
        for call, n_jobs in zip(calls, (2, None), strict=True)
    )
    assert in_threads == [2]
    if name == "cross_val_score":
        found, expected = {"score": found}, {"score": expected}
    assert found.keys() == expected.keys()
    for key in found.keys() - {"fit_time", "score_time"}:
        np.testing.assert_array_equal(found[key], expected[key])


def search(**options: Any) -> Any:
    return pm.GridSearchCV(ours("classes", **SMALL), {"alpha": [0.01, 1.0]}, cv=3, **options)


def fitted(**options: Any) -> Any:
    X, y, *_ = problem("classes")
    return search(**options).fit(X, y)


def test_all_cores_unless_told_otherwise(in_threads: list[int]) -> None:
    cores = joblib.cpu_count()
    fitted()
    fitted(n_jobs=3)
    with joblib.parallel_config(n_jobs=2):
        fitted()
    assert in_threads == [*([cores] if cores > 1 else []), 3, 2]
    fitted(n_jobs=1)
    assert len(in_threads) == 2 + (cores > 1)


def test_a_group_of_one_process_is_that_process(in_threads: list[int]) -> None:
    with pm.parallel("serial"):
        fitted(n_jobs=2)
        with joblib.parallel_config(n_jobs=3):
            fitted()
    assert in_threads == [2, 3]


def own_backend() -> None:
    with joblib.parallel_config("threading"):
        fitted(n_jobs=2)


def within_a_task_of_joblib() -> None:
    joblib.Parallel(n_jobs=2, prefer="threads")(joblib.delayed(fitted)() for _ in range(2))


def over_another_estimator() -> None:
    X, y, *_ = problem("two classes")
    pm.GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=3).fit(X, y)


def on_another_library() -> None:
    X, y, *_ = problem("classes")
    pm.GridSearchCV(ours("classes", backend="torch", **SMALL), {"alpha": [0.01, 1.0]}, cv=3).fit(X, y)


def over_libraries() -> None:
    X, y, *_ = problem("classes")
    pm.GridSearchCV(ours("classes", **SMALL), {"backend": ["numpy", "torch"]}, cv=2).fit(X, y)


@pytest.mark.parametrize(
    "call",
    [own_backend, within_a_task_of_joblib, over_another_estimator, on_another_library, over_libraries],
)
def test_others_run_as_scikit_learn_runs_them(call: Callable[[], None], in_threads: list[int]) -> None:
    call()
    assert in_threads == []


OTHER = ours("classes", backend="torch", **SMALL)
SPACES: dict[str, tuple[Any, bool]] = {
    "one library": ({"inner__mlp__backend": ["numpy", None], "inner__mlp__device": [None]}, True),
    "two libraries": ({"inner__mlp__backend": ["numpy", "torch"]}, False),
    "in the second space": ([{"inner__mlp__alpha": [0.1]}, {"inner__mlp__backend": ["torch"]}], False),
    "unknown libraries": ({"inner__mlp__backend": stats.randint(0, 2)}, False),
    "a device": ({"inner__mlp__device": ["cuda:0"]}, False),
    "last steps": ({"inner__mlp": [ours("classes", **SMALL), ours("classes")]}, True),
    "a last step on another library": ({"inner__mlp": [ours("classes", **SMALL), OTHER]}, False),
    "a last pipeline": ({"inner": [OTHER]}, False),
    "all steps": ({"steps": [[("mlp", OTHER)]]}, False),
    "another step's parameter of this name": ({"scale__backend": ["torch"]}, True),
    "no space": (None, False),
}


@pytest.mark.parametrize("case", SPACES)
def test_candidates_that_compute_on_numpy(case: str) -> None:
    space, on_numpy = SPACES[case]
    estimator = Pipeline([("scale", StandardScaler()), ("inner", Pipeline([("mlp", ours("classes", **SMALL))]))])
    assert candidates_compute_on_numpy(estimator, np.zeros((3, 2)), space) is on_numpy


def test_a_pipeline_without_steps_is_scikit_learns() -> None:
    X, y, *_ = problem("classes")
    for kind, _ in KINDS:
        with pytest.raises(TypeError, match="should have a 'score' method"):
            kind(Pipeline([]), {}).fit(X, y)


def test_scikit_learns_settings_go_along(in_threads: list[int]) -> None:
    X, y, *_ = problem("classes")
    seen: list[bool] = []

    def score(estimator: Any, X: Any, y: Any) -> float:
        seen.append(sklearn.get_config()["assume_finite"])
        return float(estimator.score(X, y))

    with sklearn.config_context(assume_finite=True):
        search(n_jobs=2, scoring=score).fit(X, y)
    assert seen == [True] * 6


def test_metadata_are_routed() -> None:
    X, y, *_ = problem("classes")
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = ours("classes", **SMALL).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        found, expected = (
            kind(estimator, {"alpha": [0.01, 1.0]}, cv=3, n_jobs=n_jobs).fit(X, y, sample_weight=weights())
            for kind, n_jobs in ((pm.GridSearchCV, 2), (model_selection.GridSearchCV, None))
        )
    assert_same_search(found, expected)


def test_a_failing_model_among_good_ones(in_threads: list[int]) -> None:
    X, y, *_ = problem("classes")
    grids = [kind(ours("classes", **SMALL), {"alpha": [0.01, -1.0]}, cv=3, n_jobs=n) for kind, n in KINDS]
    for one in grids:
        with (
            pytest.warns(FitFailedWarning, match="3 fits failed out of a total of 6"),
            pytest.warns(UserWarning, match="One or more of the test scores are non-finite"),
        ):
            one.fit(X, y)
    assert_same_search(*grids)


KINDS: list[tuple[Any, int | None]] = [(pm.GridSearchCV, 2), (model_selection.GridSearchCV, None)]


def test_an_error_that_is_to_be_raised_stops_the_search(in_threads: list[int]) -> None:
    X, y, *_ = problem("classes")
    one = pm.GridSearchCV(ours("classes", **SMALL), {"alpha": [-1.0, 0.01]}, cv=3, n_jobs=2, error_score="raise")
    with pytest.raises(ValueError, match="alpha"):
        one.fit(X, y)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("portable_mlp")]
    assert not hasattr(one, "cv_results_")


class Interrupting(pm.MLPClassifier):
    """Sends a Ctrl-C when its fit begins, and never ends."""

    def fit(self, *args: Any, **options: Any) -> Any:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return super().fit(*args, **options)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_ends_the_search(n_jobs: int) -> None:
    X, y, *_ = problem("classes")
    options: dict[str, Any] = {"max_iter": 10**9, "tol": 0.0, "n_iter_no_change": 10**9}
    one = pm.GridSearchCV(Interrupting((4,), **options), {"alpha": [0.01, 1.0]}, cv=3, n_jobs=n_jobs)
    with pytest.raises(KeyboardInterrupt):
        one.fit(X, y)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("portable_mlp")]
    assert not hasattr(one, "cv_results_")


def test_searches_in_a_search() -> None:
    X, y, *_ = problem("classes")
    found, expected = (
        model_selection.cross_val_score(
            kind(ours("classes", **SMALL), {"alpha": [0.01, 1.0]}, cv=2, n_jobs=n), X, y, cv=2
        )
        for kind, n in KINDS
    )
    np.testing.assert_array_equal(found, expected)


def test_a_search_is_copied_and_kept_as_scikit_learns() -> None:
    X, y, *_ = problem("classes")
    one = search(n_jobs=2)
    assert clone(one).get_params().keys() == one.get_params().keys()
    assert repr(one).startswith("GridSearchCV(cv=3,")
    again = pickle.loads(pickle.dumps(one.fit(X, y)))
    assert type(again) is pm.GridSearchCV
    np.testing.assert_array_equal(again.predict(X), one.predict(X))
    assert isinstance(one, model_selection.GridSearchCV)
    assert isinstance(pm.RandomizedSearchCV(ours("classes"), {}), model_selection.RandomizedSearchCV)


def test_a_distribution_is_drawn_from_as_ever() -> None:
    X, y, *_ = problem("number")
    found, expected = (
        kind(ours("number", **SMALL), {"alpha": stats.loguniform(1e-3, 1.0)}, n_iter=3, cv=2, random_state=0).fit(X, y)
        for kind in (pm.RandomizedSearchCV, model_selection.RandomizedSearchCV)
    )
    assert_same_search(found, expected)


def test_tables_are_searched() -> None:
    X = {"rooms": [1.0, 2.0, 3.0, 4.0] * 10, "district": ["north", "south", "west", None] * 10}
    columns = pm.TableEncoder().fit(X)._understood(X)
    y = np.array(["small", "small", "large", "large"] * 10)
    table = pm.TableClassifier(max_iter=3, n_networks=1, hidden_layer_sizes=(4,), random_state=0)
    found, expected = (
        kind(table, {"learning_rate_init": [0.001, 0.1]}, cv=2, n_jobs=n).fit(columns, y) for kind, n in KINDS
    )
    np.testing.assert_array_equal(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])


@pytest.mark.thorough_on("jax")
def test_on_every_library(lib: Library) -> None:
    X, y, *_ = problem("number")
    estimator, data = ours("number", **SMALL), (lib.array(X), lib.array(y))
    if lib.backend.name == "mlx":  # of whose arrays scikit-learn cannot take rows
        estimator, data = ours("number", **SMALL, backend="mlx"), (X.astype(lib.dtype), y)
    with sklearn.config_context(array_api_dispatch=True):
        one = pm.GridSearchCV(estimator, {"alpha": [0.01, 1.0]}, cv=2, n_jobs=1).fit(*data)
    on_host = model_selection.GridSearchCV(ours("number", **SMALL), {"alpha": [0.01, 1.0]}, cv=2).fit(X, y)
    np.testing.assert_allclose(
        one.cv_results_["mean_test_score"], on_host.cv_results_["mean_test_score"], rtol=max(100 * lib.rtol, 1e-10)
    )

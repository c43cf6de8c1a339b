"""Among scikit-learn's other tools: pipelines, searches, clones, files, metadata, callbacks."""

import io
import pickle
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import portable_mlp as pm
from tests.estimators.problems import OPTIONS, numbers, ours, problem, quietly, theirs

X, y = problem("classes").X, problem("classes").y

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_the_parameters_are_scikit_learns_and_then_ours() -> None:
    for kind in ("classes", "number"):
        found, expected = list(ours(kind).get_params(deep=False).items()), theirs(kind).get_params().items()
        assert found != []
        assert dict(found).items() >= dict(expected).items()
    positional = pm.MLPClassifier((3,), "tanh"), pm.MLPRegressor("poisson", (3,), "tanh")
    assert [e.hidden_layer_sizes for e in positional] == [(3,), (3,)]
    with pytest.raises(TypeError, match="positional"):
        pm.MLPClassifier((3,), "tanh", "sgd")
    assert is_classifier(positional[0])
    assert is_regressor(positional[1])


def test_in_a_pipeline_at_its_end_and_in_its_middle() -> None:
    frame = pd.DataFrame(X, columns=list("abcde"))
    end = make_pipeline(StandardScaler(), pm.MLPClassifier(**OPTIONS)).fit(frame, y)
    assert end.score(frame, y) == make_pipeline(StandardScaler(), theirs("classes", **OPTIONS)).fit(frame, y).score(
        frame, y
    )
    middle = make_pipeline(pm.MLPClassifier(**OPTIONS), LogisticRegression()).fit(X, y)
    assert middle[:-1].transform(X).shape == (70, 6)
    named = pm.MLPClassifier(**OPTIONS).set_output(transform="pandas").fit(frame, y)
    assert list(named.transform(frame).columns) == [f"mlpclassifier{i}" for i in range(6)]
    assert list(named.feature_names_in_) == list("abcde")
    with pytest.raises(ValueError, match="feature names should match"):
        named.predict(frame.rename(columns={"a": "z"}))


@pytest.mark.parametrize("backend", [None, "torch"])
def test_a_search_over_processes_finds_what_scikit_learn_finds(backend: str | None) -> None:
    grid = {"alpha": [1e-4, 10.0], "hidden_layer_sizes": [(3,), (6,)]}
    found, expected = (
        GridSearchCV(estimator, grid, cv=3, n_jobs=2).fit(X, y)
        for estimator in (
            ours("classes", **{**OPTIONS, "hidden_layer_sizes": (3,)}, backend=backend),
            theirs("classes", **OPTIONS),
        )
    )
    assert found.best_params_ == expected.best_params_
    np.testing.assert_allclose(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])


def test_scores_of_a_cross_validation() -> None:
    found, expected = (cross_val_score(make("classes", **OPTIONS), X, y, cv=4) for make in (ours, theirs))
    np.testing.assert_array_equal(found, expected)


def test_in_ensembles() -> None:
    for make in (lambda clf: BaggingClassifier(clf, 3, random_state=0), lambda clf: VotingClassifier([("mlp", clf)])):
        found, expected = (make(kind("classes", **OPTIONS)).fit(X, y).predict(X) for kind in (ours, theirs))
        np.testing.assert_array_equal(found, expected)


def test_a_clone_has_the_parameters_alone() -> None:
    clf = pm.MLPClassifier(**OPTIONS, backend="torch", dropout=0.1, class_weight="balanced", compat=None).fit(X, y)
    twin = clone(clf)
    assert twin.get_params() == clf.get_params()
    assert not hasattr(twin, "coefs_")
    assert repr(pm.MLPClassifier(alpha=0.5)) == "MLPClassifier(alpha=0.5)"


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax", "strict"])
def test_pickle_and_joblib(backend: str) -> None:
    clf = pm.MLPClassifier(**OPTIONS, backend=backend).fit(X, y)
    file = io.BytesIO()
    joblib.dump(clf, file)
    file.seek(0)
    for copy in (pickle.loads(pickle.dumps(clf)), joblib.load(file)):
        np.testing.assert_array_equal(copy.predict_proba(X), clf.predict_proba(X))


def test_a_pickle_of_before_a_parameter_has_its_default() -> None:
    clf = pm.MLPClassifier(**OPTIONS).fit(X, y)
    expected = clone(clf).fit(X, y).partial_fit(X, y)
    del clf.decay
    copy = pickle.loads(pickle.dumps(clf))
    assert copy.get_params() == expected.get_params()
    np.testing.assert_array_equal(copy.partial_fit(X, y).coefs_[0], expected.coefs_[0])


def test_weights_are_routed() -> None:
    w = np.linspace(0.1, 3.0, 70)
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        routed = pm.MLPClassifier(**OPTIONS).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        scores = cross_val_score(make_pipeline(scaler, routed), X, y, params={"sample_weight": w}, cv=3)
        other = theirs("classes", **OPTIONS).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        expected = cross_val_score(make_pipeline(scaler, other), X, y, params={"sample_weight": w}, cv=3)
    np.testing.assert_array_equal(scores, expected)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_scoring_monitor_scores_every_epoch(solver: str) -> None:
    monitor = ScoringMonitor(scoring="accuracy")
    clf = pm.MLPClassifier(**OPTIONS, solver=solver).set_callbacks(monitor).fit(X, y)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert [row["task_id"] for row in rows] == list(range(8))
    for n_epochs in (1, 5):
        stopped = pm.MLPClassifier(**{**OPTIONS, "max_iter": n_epochs}, solver=solver).fit(X, y)
        assert rows[n_epochs - 1]["accuracy"] == stopped.score(X, y)
    np.testing.assert_array_equal(clf.coefs_[0], pm.MLPClassifier(**OPTIONS, solver=solver).fit(X, y).coefs_[0])


def test_the_progress_bar_counts_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    pm.MLPClassifier(**OPTIONS).set_callbacks(ProgressBar()).fit(X, y)
    assert "MLPClassifier - fit" in capsys.readouterr().out


class Stopper:
    """Asks to stop after some epochs."""

    def __init__(self, n_epochs: int) -> None:
        self.n_epochs, self.events, self.fitted = n_epochs, [], []

    def setup(self, estimator: Any, context: Any) -> None:
        self.events.append("setup")

    def teardown(self, estimator: Any, context: Any) -> None:
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.events.append(f"{context.task_name} begins")

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, X: Any, y: Any, metadata: Any, fitted_estimator: Any
    ) -> bool:
        self.events.append(f"{context.task_name} ends")
        self.fitted.append((fitted_estimator, fitted_estimator.predict_proba(X)))
        self.metadata = metadata
        return len(self.fitted) == self.n_epochs


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_a_callback_can_stop_and_keep_what_it_was_given(solver: str) -> None:
    stopper, w = Stopper(3), np.linspace(1.0, 2.0, 70)
    clf = pm.MLPClassifier(**OPTIONS, solver=solver).set_callbacks(stopper)
    clf.fit(X, y, w)
    assert clf.n_iter_ == 3
    assert stopper.events == ["setup", "fit begins", *["epoch begins", "epoch ends"] * 3, "fit ends", "teardown"]
    np.testing.assert_array_equal(stopper.metadata["sample_weight"], w)
    for fitted, proba in stopper.fitted:
        np.testing.assert_array_equal(fitted.predict_proba(X), proba)
    assert np.abs(stopper.fitted[0][1] - stopper.fitted[1][1]).max() > 0
    np.testing.assert_array_equal(stopper.fitted[-1][1], clf.predict_proba(X))


def test_callbacks_are_propagated_by_a_search() -> None:
    monitor = ScoringMonitor(scoring="accuracy")
    search = GridSearchCV(pm.MLPClassifier(**OPTIONS), {"alpha": [1e-4, 1.0]}, cv=2).set_callbacks(ProgressBar())
    search.fit(X, y)
    pm.MLPClassifier(**OPTIONS).set_callbacks(monitor).partial_fit(X, y, classes=np.unique(y))
    assert sorted(row["task_name"] for row in monitor.get_logs().data) == ["epoch", "fit"]


def test_the_estimators_load_when_asked_for_and_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    with pytest.raises(AttributeError, match="has no attribute 'MLPTransformer'"):
        pm.MLPTransformer  # noqa: B018
    for name in [name for name in sys.modules if name.startswith("portable_mlp.estimators")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(pm, "estimators")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    with pytest.raises(ImportError, match=r'MLPClassifier needs scikit-learn: pip install "\.\[sklearn\]"'):
        pm.MLPClassifier  # noqa: B018


def test_numbers_are_the_same_whatever_blas_and_torch_do_with_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        one = numbers(quietly(pm.MLPClassifier(**OPTIONS, backend="torch").fit, X, y))
    finally:
        torch.set_num_threads(before)
    many = numbers(quietly(pm.MLPClassifier(**OPTIONS, backend="torch").fit, X, y))
    np.testing.assert_allclose(one["parameters[0]"], many["parameters[0]"], rtol=1e-12)

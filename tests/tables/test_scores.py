"""Scores: the numbers of scikit-learn, beside a baseline, and a sentence where the model is not better than it."""

import json
import math
from typing import Any

import numpy as np
import pytest
from sklearn import dummy, metrics

from portable_mlp.tables.baseline import Baseline
from portable_mlp.tables.measures import MEASURES
from portable_mlp.tables.scores import Scores, averaged, class_scores, quantity_scores

CLASSES: dict[str, list[Any]] = {
    "two texts": ["no", "yes"],
    "three numbers": [-1, 0, 7],
    "truth": [False, True],
    "many": list(range(12)),
}


def drawn(classes: list[Any], n_rows: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return classes of unequal shares, and probabilities that say something of them, with ties."""
    rng = np.random.default_rng(seed)
    shares = np.arange(1, len(classes) + 1) / sum(range(1, len(classes) + 1))
    labels = np.concatenate([np.arange(len(classes)), rng.choice(len(classes), n_rows - len(classes), p=shares)])
    logits = rng.normal(size=(n_rows, len(classes))).round(1) + (labels[:, None] == np.arange(len(classes)))
    proba = np.exp(logits)
    return np.array(classes)[labels], proba / proba.sum(axis=1, keepdims=True)


def by_sklearn(y: np.ndarray, proba: np.ndarray, classes: list[Any]) -> dict[str, float]:
    predicted = np.array(classes)[np.argmax(proba, axis=1)]
    curve = proba[:, 1] if len(classes) == 2 else proba
    return {
        "accuracy": metrics.accuracy_score(y, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, predicted),
        "roc_auc": metrics.roc_auc_score(y, curve, multi_class="ovr"),
        "log_loss": metrics.log_loss(y, y_proba=proba, labels=classes),
    }


def assert_same(ours: Any, theirs: dict[str, float]) -> None:
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name] == pytest.approx(theirs[name], rel=1e-13, abs=1e-15), name


@pytest.mark.parametrize("name", CLASSES)
def test_scores_of_classes_are_those_of_scikit_learn(name: str) -> None:
    classes = CLASSES[name]
    y, proba = drawn(classes)
    train, _ = drawn(classes, seed=1)
    scores = class_scores(y, proba, classes, Baseline.of(train, classes))
    assert_same(scores.model, by_sklearn(y, proba, classes))
    prior = dummy.DummyClassifier(strategy="prior").fit(np.zeros((len(train), 1)), train)
    assert_same(scores.baseline, by_sklearn(y, prior.predict_proba(np.zeros((len(y), 1))), classes))
    largest = prior.predict(np.zeros((1, 1))).tolist()[0]
    assert scores.baseline_name == f"always {largest!r}, the largest class of the training rows"
    predicted = np.array(classes)[np.argmax(proba, axis=1)]
    assert scores.confusion is not None
    np.testing.assert_array_equal(scores.confusion, metrics.confusion_matrix(y, predicted, labels=classes))
    expected = metrics.precision_recall_fscore_support(y, predicted, labels=classes, zero_division=np.nan)
    np.testing.assert_allclose(
        np.array([[s.precision, s.recall, s.f1, s.n_rows] for s in scores.by_class]), np.transpose(expected), rtol=1e-13
    )
    assert [one.name for one in scores.by_class] == classes


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_scores_of_quantities_are_those_of_scikit_learn(n_outputs: int) -> None:
    rng = np.random.default_rng(0)
    train, y = rng.exponential(size=(80, n_outputs)), rng.exponential(size=(50, n_outputs))
    predictions = y + 0.5 * rng.normal(size=y.shape)
    if n_outputs == 1:
        train, y = train[:, 0], y[:, 0]
    scores = quantity_scores(y, predictions, Baseline.of(train, None))

    def measured(answers: np.ndarray) -> dict[str, float]:
        return {
            "r2": metrics.r2_score(y, answers),
            "mae": metrics.mean_absolute_error(y, answers),
            "rmse": metrics.root_mean_squared_error(y, answers),
        }

    assert_same(scores.model, measured(predictions))
    answers = {}
    for strategy in ("mean", "median"):
        constant = dummy.DummyRegressor(strategy=strategy).fit(np.zeros((80, 1)), train)
        answers[strategy] = measured(constant.predict(np.zeros((50, 1))))
    assert_same(scores.baseline, answers["mean"] | {"mae": answers["median"]["mae"]})
    assert scores.by_class == ()
    assert scores.confusion is None
    assert scores.warning is None


def test_a_class_that_the_model_does_not_know_has_probability_0() -> None:
    classes = ["a", "b"]
    y, proba = drawn(classes)
    y = np.where(np.arange(len(y)) < 9, "never seen", y)
    scores = class_scores(y, proba, classes, Baseline.of(y[9:], classes))
    known = [*classes, "never seen"]
    assert_same(scores.model, by_sklearn(y, np.hstack([proba, np.zeros((len(y), 1))]), known))
    assert scores.n_unknown == 9
    assert scores.confusion is not None
    assert scores.confusion.shape == (3, 3)
    last = scores.by_class[-1]
    assert (last.name, last.n_rows, last.recall) == ("never seen", 9, 0.0)
    assert math.isnan(last.precision)


def test_classes_that_no_row_has_are_left_out_of_means() -> None:
    classes = ["a", "b", "c"]
    y, proba = drawn(classes)
    y, proba = y[y != "c"], proba[y != "c"]
    scores = class_scores(y, proba, classes, Baseline.of(np.array(classes), classes))
    predicted = np.array(classes)[np.argmax(proba, axis=1)]
    recalls = [np.mean(predicted[y == name] == name) for name in "ab"]
    areas = [metrics.roc_auc_score(y == name, proba[:, k]) for k, name in enumerate("ab")]
    assert scores.model["balanced_accuracy"] == pytest.approx(np.mean(recalls), rel=1e-14)
    assert scores.model["roc_auc"] == pytest.approx(np.mean(areas), rel=1e-14)
    alone = class_scores(y[y == "a"], proba[y == "a"], classes, Baseline.of(np.array(classes), classes))
    assert math.isnan(alone.model["roc_auc"])
    assert math.isnan(alone.by_class[1].recall)


def test_a_constant_target_scores_1_where_it_is_met() -> None:
    y = np.full(5, 3.0)
    assert quantity_scores(y, y, Baseline.of(y, None)).model == {"r2": 1.0, "mae": 0.0, "rmse": 0.0}
    assert quantity_scores(y, y + 1.0, Baseline.of(y, None)).model["r2"] == 0.0
    assert math.isnan(quantity_scores(y[:1], y[:1], Baseline.of(y, None)).model["r2"])


def test_the_warning_names_each_score_that_is_not_better() -> None:
    y = np.array(["no"] * 94 + ["yes"] * 6)
    proba = np.tile([0.95, 0.05], (100, 1))
    proba[[*range(3), *range(95, 100)]] = [0.1, 0.9]
    scores = class_scores(y, proba, ["no", "yes"], Baseline.of(y, ["no", "yes"]))
    assert scores.model["accuracy"] == 0.96
    assert scores.warning is None
    proba[:9] = [0.4, 0.6]
    warning = class_scores(y, proba, ["no", "yes"], Baseline.of(y, ["no", "yes"])).warning
    assert warning == (
        "the model is not better than the baseline (always 'no', the largest class of the training rows): "
        "accuracy 0.9 against 0.94"
    )
    always = class_scores(y, np.tile([0.94, 0.06], (100, 1)), ["no", "yes"], Baseline.of(y, ["no", "yes"])).warning
    assert always is not None
    assert all(measure.words in always for name, measure in MEASURES.items() if name not in ("r2", "mae", "rmse"))
    numbers = np.array([1.0, 2.0, 3.0, 10.0])
    bad = quantity_scores(numbers, np.array([2.0, 1.0, 9.0, 4.0]), Baseline.of(numbers, None, "these rows")).warning
    assert bad == (
        "the model is not better than the baseline (always the mean of these rows, for MAE the median): "
        "R² -0.48 against 0, MAE 3.5 against 2.5, RMSE 4.301 against 3.536"
    )


def test_scores_are_json() -> None:
    y, proba = drawn(["no", "yes"])
    described = class_scores(y, proba, ["no", "yes"], Baseline.of(y, ["no", "yes"])).to_json()
    again = json.loads(json.dumps(described))
    assert again == described
    assert again["classes"][0].keys() == {"name", "n_rows", "precision", "recall", "f1"}
    assert np.sum(again["confusion_matrix"]) == again["rows"] == 300
    quantities: Scores = quantity_scores(np.arange(3.0), np.arange(3.0), Baseline.of(np.arange(3.0), None))
    assert quantities.to_json().keys() == {"rows", "scores", "baseline", "baseline_is", "warning"}


def test_a_baseline_travels_in_a_model_file() -> None:
    y = np.array(["no", "no", "yes"])
    for baseline, n_outputs in ((Baseline.of(y, ["no", "yes"]), 2), (Baseline.of(np.arange(4.0), None), 1)):
        kept = json.loads(json.dumps(baseline.to_metadata()))
        classification = baseline.shares is not None
        assert Baseline.from_metadata(kept, n_outputs, classification=classification) == baseline
        assert Baseline.from_metadata(kept, n_outputs, classification=not classification) is None
        assert Baseline.from_metadata(kept, n_outputs + 1, classification=classification) is None
        assert Baseline.from_metadata({"shares": "no"}, 2, classification=True) is None
        assert Baseline.from_metadata(None, 2, classification=True) is None


def test_scores_of_folds_are_their_means_and_spread() -> None:
    classes = ["a", "b", "c"]
    y, proba = drawn(classes)
    parts = [np.arange(len(y)) % 4 == k for k in range(4)]
    folds = [class_scores(y[part], proba[part], classes, Baseline.of(y[~part], classes)) for part in parts]
    whole = class_scores(y, proba, classes, Baseline.of(y, classes))
    together = averaged(folds)
    assert together.spread is not None
    for name in whole.model:
        values = [scores.model[name] for scores in folds]
        assert together.model[name] == pytest.approx(np.mean(values))
        assert together.spread[name] == pytest.approx(np.std(values))
    assert together.confusion is not None
    np.testing.assert_array_equal(together.confusion, whole.confusion)
    assert together.by_class == whole.by_class
    assert together.n_rows == len(y)


def test_a_fold_may_lack_a_class() -> None:
    without = np.array(["a", "b", "a"])
    proba = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    first = class_scores(without, proba, ["a", "b"], Baseline.of(without, ["a", "b"]))
    y, proba = drawn(["a", "b", "c"])
    second = class_scores(y, proba, ["a", "b", "c"], Baseline.of(y, ["a", "b", "c"]))
    second_baseline = Baseline.of(y[y != "b"], ["a", "c"])
    third = class_scores(np.array(["b"]), np.array([[0.5, 0.5]]), ["a", "b"], Baseline.of(without, ["a", "b"]))
    fourth = class_scores(np.array(["c", "c"]), np.array([[0.2, 0.8], [0.4, 0.6]]), ["a", "c"], second_baseline)
    together = averaged([first, second, third, fourth])
    assert averaged([first, first]).baseline_name == "always 'a', the largest class of the training rows"
    assert together.baseline_name == "always the largest class of the training rows of each fold"
    assert [one.name for one in together.by_class] == ["a", "b", "c"]
    n_rows = [2 + np.sum(y == "a"), 2 + np.sum(y == "b"), 2 + np.sum(y == "c")]
    assert [one.n_rows for one in together.by_class] == n_rows
    assert math.isnan(third.model["roc_auc"])
    assert together.model["roc_auc"] == pytest.approx((first.model["roc_auc"] + second.model["roc_auc"]) / 2)

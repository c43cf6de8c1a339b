"""Models of a table on rows that they were not trained on: a hold-out, a test part, folds."""

import numpy as np
import pytest
from sklearn import metrics

import portable_mlp as pm
from portable_mlp.tables.assessment import assess, hold_out_scores
from portable_mlp.tables.columns import Column, Columns, RawTable, Reading, Table
from portable_mlp.tables.fitting import prepare
from portable_mlp.tables.hold_out import split, stratified_splits
from portable_mlp.tables.recipe import TableOptions

NUMPY = pm.get_backend("numpy")
RNG = np.random.default_rng(0)
N = 120
SIZE, USELESS = RNG.normal(80.0, 20.0, N), RNG.normal(size=N)
DISTRICT = RNG.choice(["north", "south", "west"], N).astype(object)
X = Columns(
    {
        "key": Column(Reading("text"), np.array([f"flat {i}" for i in range(N)], dtype=object)),
        "useless": Column(Reading("number"), USELESS),
        "district": Column(Reading("text"), DISTRICT),
        "size": Column(Reading("number"), SIZE),
    }
)
RENT = 5.0 * SIZE + 100.0 * (DISTRICT == "west")
KIND = np.where(RENT > 450.0, "dear", np.where(DISTRICT == "west", "west", "cheap"))
QUICK = TableOptions(training={"epochs": 20, "batch_size": 20})


def table(y: np.ndarray) -> RawTable:
    return RawTable(X, y, None, "target", ())


def test_the_hold_out_is_scored_as_it_was() -> None:
    """Also a target beyond those of training, at which predictions end but not the truth."""
    rows = stratified_splits(RENT, 0.3, 1, classification=False, seed=0)[0][1]
    y = RENT.copy()
    y[rows[0]] = 5000.0
    options = QUICK._replace(hold_out=0.3)
    prepared = prepare(table(y), options)
    model = prepared.fit(NUMPY, "float64").model
    scores = hold_out_scores(prepared, model)
    assert scores is not None
    expected = metrics.root_mean_squared_error(y[rows], model.predictions(X[rows])[:, 0])
    assert scores.model["rmse"] == pytest.approx(expected, rel=1e-12)
    assert scores.model["rmse"] > 500
    classes = prepare(table(KIND), options)
    model = classes.fit(NUMPY, "float64").model
    scores = hold_out_scores(classes, model)
    assert scores is not None
    rows = stratified_splits(KIND, 0.3, 1, classification=True, seed=0)[0][1]
    assert scores.model["accuracy"] == metrics.accuracy_score(KIND[rows], model.predictions(X[rows]))


def test_there_is_a_hold_out_to_score_of_one_network_alone() -> None:
    prepared = prepare(table(RENT), QUICK._replace(hold_out=0.0))
    assert hold_out_scores(prepared, prepared.fit(NUMPY).model) is None
    several = prepare(table(RENT), QUICK._replace(hold_out=0.5, n_networks=2))
    assert hold_out_scores(several, several.fit(NUMPY).model) is None


@pytest.mark.parametrize("y", [RENT, KIND], ids=["quantities", "classes"])
def test_importances_follow_the_columns_of_the_table(y: np.ndarray) -> None:
    classification = y is KIND
    splits = stratified_splits(y, 1 / 3, 3, classification=classification, seed=0)
    options = TableOptions(training={"epochs": 60, "batch_size": 20})
    models = [prepare(table(y).take(kept), options).fit(NUMPY).model for kept, _ in splits]
    assessment = assess(table(y), splits, models, classification=classification)
    names = [one.name for one in assessment.importances()]
    assert names == ["size", "district", "useless"]
    order = np.concatenate([scored for _, scored in splits])
    np.testing.assert_array_equal(assessment.y, y[order])
    assert assessment.answers.shape == (N, 3 if classification else 1)
    assert assessment.scored_on == "120 rows, each predicted by the model of the other 2 folds"


def test_a_fold_without_a_class_gives_it_probability_0() -> None:
    """The only row of a class is in the training part of all folds but none tests it; a class of two may be apart."""
    y = np.array(["a", "b"] * 20 + ["rare"])
    numbers = Table(RNG.normal(size=(41, 2)), y, ("p", "q"), "y")
    kept = np.flatnonzero((y == "a") | (y == "b"))
    splits = [(kept[:30], np.append(kept[30:], 40))]
    models = [prepare(numbers.take(splits[0][0]), QUICK).fit(NUMPY).model]
    assessment = assess(numbers, splits, models, classification=True)
    assert assessment.classes == ["a", "b", "rare"]
    assert assessment.answers[:, 2].tolist() == [0.0] * 11
    np.testing.assert_allclose(assessment.answers.sum(axis=1), 1.0, rtol=1e-6)
    assert assessment.scores.n_unknown == 1
    assert {one.name for one in assessment.importances()} == {"p", "q"}


def test_a_column_that_a_fold_drops_has_no_importance_there() -> None:
    rows = np.arange(N)
    seldom = np.where(rows < 40, 1.0, RENT + RNG.normal(size=N))
    columns = Columns({"useless": X.column("useless"), "seldom": Column(Reading("number"), seldom)})
    whole = RawTable(columns, RENT, None, "rent", ())
    splits = [(rows[:40], rows[40:]), (rows[40:80], rows[80:])]
    models = [prepare(whole.take(kept), QUICK).fit(NUMPY).model for kept, _ in splits]
    assessment = assess(whole, splits, models, classification=False)
    (alone,) = (one for one in assessment.models[1].importances() if one.name == "seldom")
    (found,) = (one for one in assessment.importances() if one.name == "seldom")
    assert alone.mean > 0
    assert found == alone._replace(mean=alone.mean / 2, spread=alone.spread / 2)


def test_rows_of_a_table_keep_their_names() -> None:
    whole = table(RENT)._replace(ids=np.array([f"id {i}" for i in range(N)], dtype=object))
    kept, _ = split(RENT, 0.5, classification=False, seed=1)
    part = whole.take(kept)
    assert part.y is not None
    assert part.ids is not None
    np.testing.assert_array_equal(part.y, RENT[kept])
    np.testing.assert_array_equal(part.X["size"], SIZE[kept])
    assert part.ids.tolist() == [f"id {i}" for i in kept]

"""From a table to a trained model: what is put together is what one puts together by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import portable_mlp as pm
from portable_mlp.storage.models import read_model_file
from portable_mlp.tables.columns import Column, Columns, RawTable, Reading, Table
from portable_mlp.tables.errors import DataError
from portable_mlp.tables.fitting import asks_for_classes, prepare
from portable_mlp.tables.hold_out import stratified_splits
from portable_mlp.tables.model import TableModel
from portable_mlp.tables.recipe import TableOptions, recipe

NUMPY = pm.get_backend("numpy")
RNG = np.random.default_rng(0)
N = 120
SIZE = np.where(np.arange(N) % 9 == 4, np.nan, RNG.normal(80.0, 20.0, N))
DISTRICT = RNG.choice(["north", "south", "west"], N)
X = Columns(
    {
        "size": Column(Reading("number"), SIZE),
        "district": Column(Reading("text"), np.array([*DISTRICT, None], dtype=object)[:-1]),
    }
)
RENT = 5.0 * np.nan_to_num(SIZE, nan=80.0) + 100.0 * (DISTRICT == "west")
KIND = np.where(RENT > 450.0, "dear", np.where(DISTRICT == "west", "west", "cheap"))
FEW = {"epochs": 3, "l2": 0.01, "batch_size": 40}


def table(y: np.ndarray) -> RawTable:
    return RawTable(X, y, None, "target", ())


def by_hand(net: pm.Network, inputs: np.ndarray, y: np.ndarray, seed: int, **options: Any) -> pm.Params:
    start = pm.init_params(net, scheme="he_uniform", random_state=seed, dtype="float64")
    options = {"learning_rate": 2e-3, "schedule": "cosine", "random_state": seed, **FEW, **options}
    return pm.train(net, start, inputs, y, **options).params


def test_one_network_of_classes() -> None:
    prepared = prepare(table(KIND), TableOptions(training=FEW))
    fitted = prepared.fit(NUMPY, "float64", 3)
    inputs = pm.TableEncoder(n_pieces=8).fit_transform(X, KIND)
    names, labels = np.unique(KIND, return_inverse=True)
    net = pm.Network((inputs.shape[1], 256, 3), activation="relu")
    expected = by_hand(net, inputs, labels, 3)
    assert fitted.model.net == net
    assert_array_equal(pm.pack(fitted.model.params), pm.pack(expected))
    proba = pm.predict(net, expected, inputs)
    assert_allclose(fitted.model.outputs(X), proba, rtol=1e-12)
    assert_array_equal(fitted.model.predictions(X), names[proba.argmax(axis=1)])


@pytest.mark.parametrize("kind", ["table", "matrix"])
def test_an_outlier_that_is_held_out_is_named(kind: str) -> None:
    """By its row in the file; as in a table that stays in its file."""
    whole: RawTable | Table = table(RENT)
    if kind == "matrix":
        whole = Table(np.column_stack([np.nan_to_num(SIZE), RENT]), RENT, ("size", "rent"), "target")
    whole = whole.take(np.arange(10, N))
    options = TableOptions(hold_out=0.3, training=FEW)
    row = int(prepare(whole, options).part(0)[1].numbers[2])
    y, size = RENT.copy(), SIZE.copy()
    size[row] = 1e45
    y[row] = -1e45
    X_far: Any = Columns({"size": Column(Reading("number"), size), "district": X.column("district")})
    if kind == "matrix":
        X_far = np.column_stack([np.nan_to_num(size), RENT])
    for far, name in ((whole._replace(X=X_far[10:]), "size"), (whole._replace(y=y[10:]), "target")):
        with pytest.raises(DataError, match=rf"row {row + 1}, column '{name}': scaled like .* too large for float32"):
            prepare(far, options).fit(NUMPY)
        prepare(far, options).fit(NUMPY, "float64")


def test_a_quantity_is_standardised_and_stays_between_its_training_targets() -> None:
    options = TableOptions(hidden=(), training=FEW | {"epochs": 200, "learning_rate": 0.1, "l2": 0.0})
    fitted = prepare(table(RENT), options).fit(NUMPY, "float64")
    found = fitted.model.predictions(X)[:, 0]
    assert np.corrcoef(found, RENT)[0, 1] > 0.999
    more = Columns({**{name: X.column(name) for name in X}, "size": Column(Reading("number"), SIZE * 10.0 - 500.0)})
    assert set(fitted.model.predictions(more)[:2, 0]) <= {RENT.min(), RENT.max()}


def test_held_out_rows_are_not_learnt_from() -> None:
    options = TableOptions(hold_out=0.25, training=FEW)
    prepared = prepare(table(KIND), options, seed=5)
    ((kept, held_out),) = stratified_splits(KIND, 0.25, 1, classification=True, seed=5)
    encoder = pm.TableEncoder(n_pieces=8).fit(X[kept], KIND[kept])
    assert prepared.n_held_out == len(held_out) == 30
    rows, others = prepared.part(0)
    assert others is not None
    labels = np.unique(KIND, return_inverse=True)[1]
    for part, numbers in ((rows, kept), (others, held_out)):
        assert_array_equal(part.X, encoder.transform(X[numbers]))
        assert_array_equal(part.y, labels[numbers])
    fitted = prepared.fit(NUMPY, "float64", 5)
    net = fitted.model.net
    expected = by_hand(net, rows.X, rows.y, 5, validation=(others.X, others.y), patience=3)
    assert_array_equal(pm.pack(fitted.model.params), pm.pack(expected))


@pytest.mark.parametrize("y", [KIND, RENT], ids=["classes", "a quantity"])
def test_an_ensemble_averages_networks_of_different_folds(y: np.ndarray, tmp_path: Path) -> None:
    classification = y.dtype.kind == "U"
    prepared = prepare(table(y), TableOptions(n_networks=3, training=FEW), seed=2)
    fitted = prepared.fit(NUMPY, "float64", 2)
    inputs = pm.TableEncoder(n_pieces=8).fit_transform(X, y)
    targets = np.unique(y, return_inverse=True)[1] if classification else ((y - y.mean()) / y.std())[:, None]
    seeds = np.random.SeedSequence(2).generate_state(3).tolist()
    net, outputs = fitted.model.net, []
    for seed, (kept, held_out) in zip(
        seeds, stratified_splits(y, 1 / 3, 3, classification=classification, seed=2), strict=True
    ):
        validation = inputs[held_out], targets[held_out]
        params = by_hand(net, inputs[kept], targets[kept], seed, validation=validation, patience=3)
        outputs.append(pm.predict(net, params, inputs))
    expected = np.mean(outputs, axis=0)
    assert_allclose(fitted.model.outputs(X), expected, rtol=1e-9, atol=1e-12)
    if not classification:
        answers = np.clip(expected[:, 0] * y.std() + y.mean(), y.min(), y.max())
        assert_allclose(fitted.model.predictions(X)[:, 0], answers, rtol=1e-9)
    path = tmp_path / "model.safetensors"
    fitted.model.save(path)
    assert read_model_file(path).described.n_networks == 3
    loaded = TableModel.load(path)
    assert_array_equal(loaded.outputs(X), fitted.model.outputs(X))
    on_torch = TableModel.load(path, "torch")
    assert_allclose(on_torch.outputs(X), fitted.model.outputs(X), rtol=1e-9, atol=1e-12)


def test_weights_count_rows_and_classes() -> None:
    weights = RNG.integers(0, 3, N).astype(float)
    class_weight = {"dear": 2.0, "west": 0.5}
    options = TableOptions(training=FEW | {"class_weight": class_weight}, hold_out=0.0)
    fitted = prepare(table(KIND), options, weights=weights).fit(NUMPY, "float64")
    inputs = pm.TableEncoder(n_pieces=8).fit_transform(X, KIND)
    labels = np.unique(KIND, return_inverse=True)[1]
    by_label = {1: 2.0, 2: 0.5}
    expected = by_hand(fitted.model.net, inputs, labels, 0, sample_weight=weights, class_weight=by_label)
    assert_array_equal(pm.pack(fitted.model.params), pm.pack(expected))
    validated = prepare(table(KIND), options._replace(hold_out=0.5), weights=weights)
    ((kept, held_out),) = stratified_splits(KIND, 0.5, 1, classification=True, seed=0)
    rows, others = validated.part(0)
    assert others is not None
    assert_array_equal(rows.moved_weights(NUMPY, "float64"), weights[kept])
    assert_array_equal(others.moved_weights(NUMPY, "float64"), weights[held_out])


@pytest.mark.parametrize(
    ("n_rows", "options", "message"),
    [
        (6, TableOptions(n_networks=8, training={"patience": 3}), "of 6 rows each network would hold out 0.125"),
        (6, TableOptions(n_networks=8, hold_out=0.125), "of 6 rows each network would hold out 0.125"),
        (4, TableOptions(training={"patience": 3}), "of 4 rows each network would hold out 0.1"),
    ],
)
def test_each_network_has_rows_to_validate_on(n_rows: int, options: TableOptions, message: str) -> None:
    few = Table(RNG.normal(size=(n_rows, 2)), RENT[:n_rows], ("a", "b"), "rent")
    with pytest.raises(ValueError, match=f"too few rows to validate on: {message}"):
        prepare(few, options)


def test_held_out_rows_of_weight_0_count_alike() -> None:
    options = TableOptions(hold_out=0.1, training=FEW)
    ((_, held_out),) = stratified_splits(RENT, 0.1, 1, classification=False, seed=0)
    weights = np.ones(N)
    weights[held_out] = 0.0
    fitted = prepare(table(RENT), options, weights=weights).fit(NUMPY, "float64")
    assert np.isfinite(fitted.results[0].history["validation_loss"]).all()


def test_the_baseline_is_of_the_rows_that_were_learnt_from() -> None:
    ((kept, _),) = stratified_splits(RENT, 0.25, 1, classification=False, seed=0)
    prepared = prepare(table(RENT), TableOptions(hold_out=0.25, training=FEW))
    assert prepared.baseline is not None
    assert prepared.baseline.mean == [RENT[kept].mean()]
    assert prepared.fit(NUMPY).model.baseline == prepared.baseline


def test_without_hidden_layers_there_may_be_no_activation() -> None:
    options = TableOptions(hidden=(), activation=[], training=FEW)
    found = prepare(table(RENT), options).fit(NUMPY).model.params
    expected = prepare(table(RENT), options._replace(activation=None)).fit(NUMPY).model.params
    assert_array_equal(pm.pack(found), pm.pack(expected))


def test_tables_of_numbers_alone_are_scaled() -> None:
    numbers = RNG.normal(3.0, 2.0, (N, 2))
    chosen = TableOptions(hidden=[4], activation="tanh", training=FEW, n_networks=2)
    prepared = prepare(Table(numbers, RENT, ("a", "b"), "rent"), chosen)
    assert prepared.net.sizes == (2, 4, 1)
    assert prepared.preparation.feature_names == ["a", "b"]
    assert_allclose(prepared.preparation.inputs(numbers).std(axis=0), 1.0)
    assert prepared.fit(NUMPY).model.predictions(numbers).shape == (N, 1)


@pytest.mark.parametrize(
    ("options", "y", "message"),
    [
        (TableOptions(loss="huber"), KIND, "loss must be one of 'cross_entropy'; got 'huber'"),
        (TableOptions(training={"class_weight": {"cheep": 1.0}}), KIND, "class_weight has 'cheep', which is none of"),
        (TableOptions(hidden=(3, 2), activation=["relu"]), KIND, "one for each of the 2 hidden layers"),
        (TableOptions(), np.full(N, "a"), "classification needs at least two classes, but every target is 'a'"),
        (TableOptions(preset="bset"), KIND, "preset must be one of 'default', 'best'; got 'bset'"),
        (TableOptions(encoding={"drop": ["size", "district"]}), KIND, "no feature is left of 2 columns"),
    ],
)
def test_mistakes(options: TableOptions, y: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(table(y), options).fit(NUMPY)


# --- Which rows are held out


@pytest.mark.parametrize("n_splits", [2, 5, 8])
def test_every_row_is_held_out_once_and_classes_keep_their_shares(n_splits: int) -> None:
    y = RNG.permutation(np.repeat(np.arange(4), [140, 40, 15, 8]))
    splits = stratified_splits(y, 1 / n_splits, n_splits, classification=True, seed=1)
    assert sorted(np.concatenate([held_out for _, held_out in splits])) == list(range(203))
    for kept, held_out in splits:
        assert sorted(np.concatenate([kept, held_out])) == list(range(203))
        assert (np.diff(kept) > 0).all()
        shares = np.bincount(y[held_out], minlength=4) - np.bincount(y) / n_splits
        assert (np.abs(shares) < 1).all()
    assert len({len(held_out) for _, held_out in splits}) <= 2


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_every_class_keeps_a_row(fraction: float) -> None:
    y = np.array(["a"] * 50 + ["b"] * 3 + ["c"])
    ((kept, held_out),) = stratified_splits(y, fraction, 1, classification=True, seed=0)
    assert set(y[kept]) == {"a", "b", "c"}
    assert abs(len(held_out) - fraction * 54) <= 3
    ((kept, held_out),) = stratified_splits(RNG.normal(size=54), fraction, 1, classification=False, seed=0)
    assert len(held_out) == min(53, np.floor(54 * fraction + 0.5))


def test_the_penalty_of_a_quantity_is_less_where_columns_explain_it() -> None:
    rng = np.random.default_rng(0)
    X = Columns({name: Column(Reading("number"), rng.normal(size=80)) for name in "abc"})
    explained, noise = X["a"] - X["b"], rng.normal(size=80)

    def penalty(y: np.ndarray, **options: Any) -> float:
        return prepare(RawTable(X, y, None, "y", ()), TableOptions(**options)).recipe.training["l2"]

    usual = recipe(80, 3).training["l2"]
    assert penalty(explained) == pytest.approx(0.22 * usual)
    assert 0.9 * usual < penalty(noise) <= usual
    assert penalty(explained + noise) == pytest.approx(usual * 3**-0.5, rel=0.2)
    assert penalty(explained, training={"l2": 0.3}) == 0.3
    assert penalty(np.abs(explained), loss="poisson") == usual
    assert penalty(np.where(explained > 0, "above", "below")) == recipe(80, 3).training["l2"]


def test_many_rows_have_the_penalty_of_the_recipe() -> None:
    X = Columns({"a": Column(Reading("number"), np.arange(1200.0))})
    prepared = prepare(RawTable(X, np.arange(1200) / 7.0, None, "y", ()), TableOptions(hold_out=0.0))
    assert prepared.recipe.training["l2"] == recipe(1200, 3).training["l2"]


@pytest.mark.parametrize(("y", "expected"), [
    ([37, 9, 6, 4, 3, 1, 1, 1, 1], False),  # executions by state
    ([42, 37, 37, 28, 18, 18, 19], False),
    ([1947, 1948, 1949, 1950], False),
    ([4, 4, 4, 6, 6, 8, 8, 8, 6], True),
    ([1, 2, 3, 4, 5] * 2, True),  # ratings
    ([0.0, 1.0, 2.0, 0.0, 1.0, 0.0], True),
    ([1, 2, 3, 4, 5, 1, 2, 3, 4], False),
    ([2, 3, 4] * 2, False),
    ([1, 2, 4] * 2, False),
    ([*range(1, 12)] * 2, False),
    ([*range(14)] + [0] * 7, False),
    ([0, 1], True),
    (["a", "b", "c"], True),
])  # fmt: skip
def test_counts_of_a_short_table_are_quantities(y: list[Any], *, expected: bool) -> None:
    assert asks_for_classes(np.array(y), "auto") is expected


def test_a_column_that_counts_the_rows_is_left_out_though_rows_are_held_out() -> None:
    columns = {"case": 1.0 + np.arange(60), "x": np.sin(np.arange(60.0))}
    X = Columns({name: Column(Reading("number"), values) for name, values in columns.items()})
    table = RawTable(X, columns["x"], None, "y", ())
    for some in (table, table.take(np.flatnonzero(np.arange(60) % 5))):
        found = prepare(some, TableOptions(hold_out=0.2))
        assert found.preparation.encoder is not None
        assert [one.kind for one in found.preparation.encoder.report] == ["dropped", "number"]

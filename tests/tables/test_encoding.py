"""What columns become: what scikit-learn's encoders make of them, and descriptions that come back."""

import functools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

from portable_mlp.tables import encoding, limits
from portable_mlp.tables.columns import Column, Columns, Reading
from portable_mlp.tables.encoder_options import EncoderOptions
from portable_mlp.tables.encoding import Encoder
from portable_mlp.tables.encoding_metadata import ENCODINGS
from portable_mlp.tables.errors import DataError

RNG = np.random.default_rng(0)


def numbers(*values: float) -> Column:
    return Column(Reading("number", "."), np.array(values, dtype=np.float64))


def texts(*values: str | None) -> Column:
    return Column(Reading("text"), np.array([*values, None], dtype=object)[:-1])


def dates(*values: str) -> Column:
    return Column(Reading("date", "YYYY-MM-DD"), np.array(values, dtype="datetime64[us]"))


def learn(outputs: Any = None, options: EncoderOptions | None = None, **columns: Column) -> tuple[Encoder, np.ndarray]:
    return Encoder.learn(Columns(columns), outputs, options or EncoderOptions())


def encoded(encoder: Encoder, **columns: Column) -> np.ndarray:
    return encoder.transform(Columns(columns))


def test_numbers_are_imputed_marked_and_scaled_as_by_scikit_learn() -> None:
    values = RNG.normal(3.0, 5.0, 40)
    values[::6] = np.nan
    imputer, scaler = SimpleImputer(strategy="median", add_indicator=True), StandardScaler()
    filled = imputer.fit_transform(values[:, None])
    expected = np.column_stack([scaler.fit_transform(filled[:, :1]), filled[:, 1:]])
    encoder, matrix = learn(a=numbers(*values))
    assert encoder.feature_names == ["a", "a_missing"]
    assert_allclose(matrix, expected, rtol=1e-14, atol=1e-14)
    new = np.array([np.nan, 7.0])
    filled = imputer.transform(new[:, None])
    expected = np.column_stack([scaler.transform(filled[:, :1]), filled[:, 1:]])
    assert_allclose(encoded(encoder, a=numbers(*new)), expected, rtol=1e-14, atol=1e-14)


def test_all_columns_together_are_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_NUMBERS_AT_ONCE", 100)  # several blocks
    gaps = RNG.normal(size=90)
    gaps[::7] = np.nan
    columns = {
        "x": numbers(*gaps),
        "t": texts(*RNG.choice(["a", "b", "c"], 90)),
        "constant": numbers(*[1.0] * 90),
        "y": numbers(*RNG.lognormal(size=90)),
        "d": Column(Reading("date"), np.datetime64("2001-02-03", "us") + np.arange(90) * np.timedelta64(7, "h")),
        "z": Column(Reading("truth", "no/yes"), (gaps > 0).astype(np.float64)),
    }
    encoder, matrix = learn(None, EncoderOptions(n_pieces=3), **columns)
    each = [one.transform(columns[one.name].values) for one in encoder.columns]
    assert len(encoder.feature_names) == matrix.shape[1] == 5 + 3 + 0 + 4 + 5 + 1
    assert encoded(encoder, **columns).tobytes() == np.column_stack(each).tobytes() == matrix.tobytes()


def test_a_gap_that_training_rows_did_not_have_is_the_median() -> None:
    encoder, _ = learn(a=numbers(1.0, 2.0, 6.0))
    assert_array_equal(encoded(encoder, a=numbers(np.nan)), encoded(encoder, a=numbers(2.0)))


def test_pieces_of_numbers_are_those_between_their_quantiles() -> None:
    values = np.append(RNG.lognormal(size=60), [np.nan] * 5)
    encoder, matrix = learn(None, EncoderOptions(n_pieces=4), a=numbers(*values))
    assert encoder.feature_names == ["a", "a_piece1", "a_piece2", "a_piece3", "a_piece4", "a_missing"]
    assert encoder.report[0].treatment.startswith("scaled; 4 pieces between quantiles; gaps become the median")
    filled = np.where(np.isnan(values), np.nanmedian(values), values)
    edges = np.sort(filled)[[0, 16, 32, 48, 64]]
    new = np.array([-1.0, *edges, 1.1, 1e300])
    for rows, found in ((filled, matrix), (new, encoded(encoder, a=numbers(*new)))):
        for i in range(4):
            assert_allclose(found[:, 1 + i], np.interp(rows, edges[i : i + 2], [0.0, 1.0]), atol=1e-12)
    without, plain = learn(a=numbers(*values))
    assert_array_equal(matrix[:, [0, 5]], plain)
    assert without.to_metadata()[0].keys() == encoder.to_metadata()[0].keys() - {"edges"}


def test_pieces_are_between_different_quantiles() -> None:
    options = EncoderOptions(n_pieces=8)
    assert learn(None, options, a=numbers(*[0.0] * 20, *range(1, 20)))[0].feature_names[-1] == "a_piece4"
    assert learn(None, options, a=numbers(0, 1, 1))[0].feature_names == ["a"]
    assert learn(None, EncoderOptions(n_pieces=1), a=numbers(0, 1, 2))[0].feature_names == ["a"]
    truth = Column(Reading("truth", "no/yes"), np.array([1.0, 0.0, np.nan, 1.0]))
    assert learn(None, options, t=truth)[0].feature_names == ["t", "t_missing"]


def test_texts_are_one_hot_as_by_scikit_learn() -> None:
    values = RNG.choice(["b", "a", "c"], 50).tolist()
    values[7] = "only once"
    theirs = OneHotEncoder(min_frequency=2, handle_unknown="infrequent_if_exist", sparse_output=False)
    expected = theirs.fit_transform(np.array(values, dtype=object)[:, None])
    encoder, matrix = learn(t=texts(*values))
    assert encoder.feature_names == ["t_a", "t_b", "t_c", "t_other"]
    assert_array_equal(matrix, expected)
    new = ["never", "b", "only once"]
    assert_array_equal(encoded(encoder, t=texts(*new)), theirs.transform(np.array(new, dtype=object)[:, None]))


def test_a_missing_text_is_a_category_of_its_own() -> None:
    encoder, matrix = learn(t=texts("a", None, "a", "b", "b"))
    assert encoder.feature_names == ["t_a", "t_b", "t_missing"]
    assert_array_equal(matrix, np.eye(3)[[0, 2, 0, 1, 1]])
    encoder, _ = learn(t=texts("a", "a", "b", "b"))
    assert_array_equal(encoded(encoder, t=texts(None, "never")), np.zeros((2, 2)))


@pytest.mark.parametrize("n_classes", [None, 2, 3])
def test_many_texts_are_the_means_of_scikit_learns_target_encoder(n_classes: int | None) -> None:
    values = [f"t{i}" for i in RNG.integers(0, 40, 500)]
    if n_classes is None:
        y = RNG.normal(size=500)
        outputs, target = y[:, None], "continuous"
    else:
        y = RNG.integers(0, n_classes, 500)
        outputs = (y[:, None] == np.arange(n_classes)[1 if n_classes == 2 else 0 :]).astype(float)
        target = "binary" if n_classes == 2 else "multiclass"
    encoder, matrix = learn(outputs, t=texts(*values))
    theirs = TargetEncoder(target_type=target, smooth="auto").fit(np.array(values)[:, None], y)
    new = [*(f"t{i}" for i in range(40)), "never"]
    ours = encoded(encoder, t=texts(*new))
    expected = theirs.transform(np.array(new)[:, None])
    # Ours are scaled besides: each column is a linear function of theirs.
    for column, other in zip(ours.T, expected.T, strict=True):
        slope, intercept = np.polyfit(other, column, 1)
        assert_allclose(column, slope * other + intercept, atol=1e-9)
        assert slope > 0
    assert_allclose(matrix.mean(axis=0), 0.0, atol=1e-12)
    assert_allclose(matrix.std(axis=0), 1.0)


def test_a_row_is_not_encoded_by_its_own_target() -> None:
    values = [f"t{i % 40}" for i in range(400)]
    y = RNG.normal(size=400)
    _, matrix = learn(y[:, None], t=texts(*values))
    raised = y.copy()
    raised[0] += 1000.0
    encoder, again = learn(raised[:, None], t=texts(*values))
    others = [i for i in range(400) if i % 40 != 0]
    rank = lambda rows: np.argsort(rows[others, 0])  # noqa: E731 - scaling changes, the order among the others does not
    same_fold = (np.random.RandomState(0).permutation(400) % 5) == (np.random.RandomState(0).permutation(400) % 5)[0]
    mine = [i for i in others if same_fold[i]]
    # In the fold of row 0 everything was learnt without it, so it is the same up to the scale.
    slope, intercept = np.polyfit(matrix[mine, 0], again[mine, 0], 1)
    assert_allclose(again[[0, *mine], 0], slope * matrix[[0, *mine], 0] + intercept, atol=1e-8)
    assert encoder.transform(Columns({"t": texts("t0")}))[0, 0] > again[0, 0]
    assert len(rank(matrix)) == len(others)


def test_without_targets_the_commonest_texts_have_columns() -> None:
    values = [f"t{i}" for i in range(40) for _ in range(2 + (i < 30))]
    encoder, matrix = learn(t=texts(*values))
    assert encoder.feature_names == [*sorted(f"t_t{i}" for i in range(30)), "t_other"]
    assert matrix[:, -1].sum() == 20


def test_truth_values() -> None:
    values = np.array([1.0, 0.0, np.nan, 1.0])
    encoder, matrix = learn(t=Column(Reading("truth", "no/yes"), values))
    assert encoder.report[0].treatment == "yes is 1, no is 0; scaled; gaps become the median 1 and are marked"
    assert_array_equal(matrix, learn(t=numbers(*values))[1])


def test_dates() -> None:
    encoder, matrix = learn(d=dates("2001-01-01T06:00", "2002-04-03T18:00", "NaT"))
    names = [
        "elapsed",
        "year",
        "month_sin",
        "month_cos",
        "weekday_sin",
        "weekday_cos",
        "hour_sin",
        "hour_cos",
        "missing",
    ]
    assert encoder.feature_names == [f"d_{name}" for name in names]
    quarter = 2 * np.pi * 2 / 7  # from a Monday to a Wednesday
    expected = [
        [-1, -1, 0, 1, 0, 1, 1, 0, 0],
        [1, 1, 1, 0, np.sin(quarter), np.cos(quarter), -1, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 1],
    ]
    assert_allclose(matrix, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        (["1970-01-01", "1971-01-01"], ["year"]),
        (["1970-01-01", "1970-02-01"], ["elapsed", "month"]),
        (["1970-01-01T01:00", "1970-01-01T02:00"], ["elapsed", "hour"]),
    ],
)
def test_only_what_differs_of_dates_is_used(values: list[str], parts: list[str]) -> None:
    encoder, _ = learn(d=dates(*values))
    assert encoder.to_metadata()[0]["parts"] == parts


@pytest.mark.parametrize(
    ("name", "column", "treatment"),
    [
        ("a", numbers(5, 5, 5), "constant, always 5"),
        ("a", numbers(np.nan, np.nan), "every cell is missing"),
        ("a", texts("x", "x"), "constant, always 'x'"),
        ("a", texts("x", "y", "z"), "3 different texts in 3 rows: it tells them apart"),
        ("a", texts(*map(str, range(15)), *map(str, range(10))), "15 different texts in 25 rows: it tells them apart"),
        (
            "a",
            texts("it is quite slow", "very fast and rather cheap"),
            "2 different texts in 2 rows: it tells them apart",
        ),
        (
            "a",
            texts("it is quite slow indeed", "fast and cheap and good"),
            "2 different texts in 2 rows: free text, which is not read",
        ),
        ("a", texts("x", None, "z"), "2 different texts in 2 rows, missing in 1: it tells them apart"),
        ("a", dates("2001-01-01", "2001-01-01"), "constant, always 2001-01-01 00:00:00"),
        *(
            (name, numbers(3, 1, 7), "3 different numbers in as many rows: it tells them apart")
            for name in ("Unnamed: 0", "id", "ID", "PassengerId", "customer_id", "user id", "index", "rownames", "no")
        ),
        *(
            (name, numbers(3, 1, 7), "3 different numbers in as many rows: it tells them apart")
            for name in ("identifier", "patient.identifier", "Invoice", "phone", "Ticket no", "account_number")
        ),
        *(
            (name, numbers(3, 2, 5), "3 different numbers in as many rows: it tells them apart")
            for name in ("Sample Number", "house_no")
        ),
        ("seqno", numbers(1, 2, 3), "3 different numbers in as many rows: it tells them apart"),
        ("unwanted", numbers(1, 2, 2), "left out as asked"),
    ],
)
def test_columns_of_no_use_are_dropped(name: str, column: Column, treatment: str) -> None:
    other = numbers(*RNG.normal(size=len(column.values)))
    encoder, matrix = learn(None, EncoderOptions(drop=["unwanted"]), **{name: column, "other": other})
    assert encoder.report[0] == (name, "dropped", 0, treatment)
    assert (matrix.shape[1], list(encoder.readings)) == (1, ["other"])
    if name == "unwanted" or column.reading.kind != "number" or np.isnan(column.values).all():
        with pytest.raises(ValueError, match=r"^no feature is left of 1 column \("):
            learn(None, EncoderOptions(drop=["unwanted"]), **{name: column})
    else:
        assert learn(**{name: column})[0].report[0].kind == "number"  # better than nothing


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("year", numbers(1947, 1948, 1949)),
        ("a", numbers(1, 2, 3)),
        ("id", numbers(1, 1, 2)),
        ("id", numbers(1.5, 2.5, 3.5)),
        ("number of rooms", numbers(1, 2, 3)),
        ("average number", numbers(10, 20, 30)),
        ("tickets", numbers(1, 2, 4)),
        ("paid", numbers(3, 1, 2)),
        ("a", texts("x", "x", "y")),
        ("a", texts(*["x", "y"] * 10, *map(str, range(40)))),  # no names: a third of the rows has a common text
        ("a", numbers(5, np.nan, 5)),
    ],
)
def test_columns_that_may_be_of_use_are_kept(name: str, column: Column) -> None:
    assert learn(**{name: column})[0].report[0].kind != "dropped"


def test_names_are_all_different() -> None:
    encoder, _ = learn(a=texts("b", "b", "c", "c"), a_b=numbers(1, 2, 3, 4), a_c=numbers(1, 2, 3, 4))
    assert encoder.feature_names == ["a_b", "a_c", "a_b_", "a_c_"]


# --- Descriptions

COLUMNS = Columns(
    {
        "n": Column(Reading("number", ".,$"), np.array([1.0, np.nan, 3.0, 4.0])),
        "t": Column(Reading("truth", "n/y"), np.array([1.0, np.nan, 0.0, 0.0])),
        "c": texts("a", "a", None, "b"),
        "m": texts("p", "p", "q", "q"),
        "d": dates("2001-01-01", "2002-02-02", "NaT", "2003-03-03"),
        "x": numbers(1, 1, 1, 1),
    }
)


@functools.cache
def described() -> list[dict[str, Any]]:
    y = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 0.5], [0.5, 0.1]])
    first, _ = Encoder.learn(COLUMNS, y, EncoderOptions())
    many, _ = Encoder.learn(Columns({"m": COLUMNS.column("m")}), y, EncoderOptions(max_levels=1))
    pieces, _ = Encoder.learn(Columns({"n": COLUMNS.column("n")}), y, EncoderOptions(n_pieces=4))
    return [*first.to_metadata(), *many.to_metadata(), *pieces.to_metadata()]


def test_descriptions_come_back() -> None:
    text = json.dumps(described(), allow_nan=False)
    encoder = Encoder.from_metadata(json.loads(text))
    assert json.dumps(encoder.to_metadata()) == text
    assert {column.kind for column in encoder.columns} == set(ENCODINGS)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner))


@given(st.data(), JSON)
def test_a_description_that_was_changed_is_refused_or_works(data: st.DataObject, value: Any) -> None:
    columns = json.loads(json.dumps(described()))
    column = data.draw(st.sampled_from(columns))
    column[data.draw(st.sampled_from(sorted(column)))] = value
    try:
        encoder = Encoder.from_metadata(columns)
    except ValueError:
        return
    assert len(encoder.report) == len(columns)
    if set(encoder.readings) == {"n", "t", "c", "m", "d"} and len(encoder.columns) == 8:
        assert encoder.transform(COLUMNS).shape == (4, len(encoder.feature_names))


@pytest.mark.parametrize(
    "edges", [[], [0.0], [0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 0.0, 2.0], [0.0, 1.0, float("inf")], [0, 1, 2]]
)
def test_edges_that_bound_no_pieces_are_refused(edges: list[float]) -> None:
    column = described()[0]
    assert Encoder.from_metadata([{**column, "edges": [-1.0, 0.0, 1.0]}]).feature_names[2] == "n_piece2"
    with pytest.raises(ValueError, match="a column of the kind number"):
        Encoder.from_metadata([{**column, "edges": edges}])


@pytest.mark.parametrize("wrong", [None, {}, ["x"], [{}], [{"kind": "number"}], [{"kind": ["number"]}]])
def test_what_is_no_description(wrong: Any) -> None:
    with pytest.raises(ValueError, match="column"):
        Encoder.from_metadata(wrong)


def test_a_name_that_ends_in_no_numbers_rows_only_if_its_numbers_are_close_together() -> None:
    answers = [100.0, 688.0, 747.0, 172.0, 1235.0, 308.0, 82.0, 11.0]
    encoder, _ = learn(smokes_no=numbers(*answers), tree_no=numbers(*np.add(answers, 1.0).argsort() + 17.0))
    assert [one.kind for one in encoder.report] == ["number", "dropped"]


def test_rows_that_are_left_out_leave_a_column_a_count() -> None:
    """Held out, without a target, or of another fold."""
    rows = np.array([1, 2, 4, 7])
    X = Columns({"case": numbers(2, 3, 5, 8), "x": numbers(4, 3, 2, 1)})
    assert [one.kind for one in Encoder.learn(X, None, EncoderOptions(), rows)[0].report] == ["dropped", "number"]
    assert [one.kind for one in Encoder.learn(X, None, EncoderOptions())[0].report] == ["number", "number"]


def test_a_matrix_that_memory_does_not_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    X = Columns({"a": numbers(*range(100))})
    encoder, matrix = Encoder.learn(X, None, EncoderOptions(n_pieces=8))
    assert matrix.shape == (100, 9)
    monkeypatch.setattr(limits, "table_bytes", lambda: 2 * 8 * 9 * 100 - 1)
    with pytest.raises(DataError, match=r"^the 9 features of 100 rows take more than half of this machine's memory$"):
        encoder.transform(X)
    with pytest.raises(DataError, match=r"^the 9 features of 100 rows take"):
        Encoder.learn(X, None, EncoderOptions(n_pieces=8))
    assert Encoder.learn(X, None, EncoderOptions())[1].shape == (100, 1)

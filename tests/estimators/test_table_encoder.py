"""The transformer that encodes tables: scikit-learn's own checks of it, and data frames of any library."""

import pickle
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import portable_mlp as pm
from portable_mlp.tables.columns import RawTable
from tests.estimators.test_one_row import calls_of


@parametrize_with_checks([pm.TableEncoder()])
def test_scikit_learns_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


COLUMNS = {
    "number": [1.5, None, 3.0, 4.0, 5.5, 6.0],
    "whole": [1, 2, 3, 4, 5, 9],
    "text": ["a", "b", None, "a", "b", "a"],
    "truth": [True, False, True, True, False, False],
    "written": ["1,000", "2", "3", "4", "5", "6"],
    "day": ["2001-02-03", "2002-03-04", "2003-04-05", "2004-05-06", "2005-06-07", "2006-07-08"],
}
NEW = {
    "day": ["2001-01-01"], "written": ["7"], "more": [0], "truth": [True], "text": ["never"], "whole": [3],
    "number": [None],
}  # fmt: skip


def from_csv(columns: dict[str, list[Any]], folder: Path) -> Any:
    pd.DataFrame(columns).to_csv(folder / "data.csv", index=False)
    return pm.read_table(folder / "data.csv").X


FRAMES: dict[str, Callable[[dict[str, list[Any]], Path], Any]] = {
    "pandas": lambda columns, _: pd.DataFrame(columns),
    "pandas, nullable": lambda columns, _: pd.DataFrame(columns).convert_dtypes(),
    "pandas, PyArrow": lambda columns, _: pd.DataFrame(columns).convert_dtypes(dtype_backend="pyarrow"),
    "pandas, dates": lambda columns, _: pd.DataFrame(columns).astype({"day": "datetime64[ns]"}),
    "pandas, categories": lambda columns, _: pd.DataFrame(columns).astype({"text": "category"}),
    "pandas, objects": lambda columns, _: pd.DataFrame(columns).astype(object),
    "polars": lambda columns, _: pl.DataFrame(columns),
    "polars, dates": lambda columns, _: pl.DataFrame(columns).with_columns(pl.col("day").str.to_date()),
    "polars, zones": lambda columns, _: pl.DataFrame(columns).with_columns(
        pl.col("day").str.to_datetime().dt.replace_time_zone("Asia/Tokyo").dt.offset_by("9h")
    ),
    "polars, categories": lambda columns, _: pl.DataFrame(columns).with_columns(pl.col("text").cast(pl.Categorical)),
    "PyArrow": lambda columns, _: pa.table(columns),
    "a mapping": lambda columns, _: columns,
    "read_table": from_csv,
}


@pytest.mark.parametrize("frame", FRAMES)
def test_every_frame_gives_the_same(frame: str, tmp_path: Path) -> None:
    expected = pm.TableEncoder().fit(COLUMNS)
    encoder = pm.TableEncoder().fit(FRAMES[frame](COLUMNS, tmp_path))
    names = [
        *("number", "number_missing", "whole", "text_a", "text_b", "text_missing", "truth", "written"),
        *(f"day_{part}" for part in ("elapsed", "year", "month_sin", "month_cos", "weekday_sin", "weekday_cos")),
    ]
    assert encoder.get_feature_names_out().tolist() == names
    assert [column.kind for column in encoder.columns_] == ["number", "number", "category", "truth", "number", "date"]
    for columns in (COLUMNS, NEW):
        matrix = encoder.transform(FRAMES[frame](columns, tmp_path))
        assert_array_equal(matrix, expected.transform(columns))
        assert (matrix.dtype, matrix.shape) == (np.float64, (len(columns["day"]), len(names)))


def test_one_library_learns_and_another_is_encoded() -> None:
    encoder = pm.TableEncoder().fit(pl.DataFrame(COLUMNS))
    assert_array_equal(encoder.transform(pd.DataFrame(NEW)), encoder.transform(pa.table(NEW)))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_answers_may_be_data_frames(library: str) -> None:
    encoder = pm.TableEncoder().set_output(transform=library)
    frame = encoder.fit_transform(pd.DataFrame(COLUMNS, index=range(10, 16)))
    assert list(frame.columns) == encoder.get_feature_names_out().tolist()
    assert isinstance(frame, pd.DataFrame if library == "pandas" else pl.DataFrame)
    if library == "pandas":
        assert frame.index.tolist() == list(range(10, 16))


def test_pipelines_searches_and_column_transformers() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.normal(size=80), "t": rng.choice(list("pqr"), 80), "m": rng.choice(60, 80).astype(str)}
    )
    frame.loc[::9, "a"] = np.nan
    y = np.where((frame["t"] == "p") | (frame["a"] > 1), "yes", "no")
    pipeline = make_pipeline(pm.TableEncoder(), LogisticRegression())
    assert cross_val_score(pipeline, frame, y).mean() > 0.9
    search = GridSearchCV(pipeline, {"tableencoder__min_count": [1, 3], "tableencoder__categorical": [(), ("m",)]})
    assert search.fit(frame, y).best_score_ > 0.9
    both = ColumnTransformer([("table", pm.TableEncoder(), ["a", "t"])], remainder="drop").fit(frame, y)
    assert both.get_feature_names_out().tolist() == [f"table__{n}" for n in ("a", "a_missing", "t_p", "t_q", "t_r")]


def test_many_texts_follow_the_targets() -> None:
    texts = [f"t{i % 40}" for i in range(400)]
    y = np.array([i % 40 for i in range(400)], dtype=float) / 7
    encoder = pm.TableEncoder()
    matrix = encoder.fit_transform({"t": texts}, y)
    assert (encoder.columns_[0].kind, matrix.shape) == ("many categories", (400, 1))
    assert np.corrcoef(matrix[:, 0], y)[0, 1] > 0.99
    assert (encoder.transform({"t": texts}) != matrix).any()
    assert encoder.fit({"t": texts}).transform({"t": ["t1"]}).shape == (1, 31)
    classes = pm.TableEncoder(target_type="classification").fit({"t": texts}, np.arange(400) % 3)
    assert classes.get_feature_names_out().tolist() == ["t_0", "t_1", "t_2"]


def test_options() -> None:
    encoder = pm.TableEncoder(categorical=["whole"], drop=["text"], min_count=1).fit(pd.DataFrame(COLUMNS))
    names = encoder.get_feature_names_out().tolist()
    assert [name for name in names if name.startswith("whole")] == [f"whole_{i}" for i in (1, 2, 3, 4, 5, 9)]
    assert not [name for name in names if name.startswith("text")]
    pieces = pm.TableEncoder(n_pieces=8).fit(pd.DataFrame(COLUMNS)).get_feature_names_out().tolist()
    assert [name for name in pieces if name.startswith("whole")] == ["whole", *(f"whole_piece{i}" for i in range(1, 6))]
    assert_array_equal(pm.TableEncoder(decimal=",").fit({"a": ["1,5", "2"]}).transform({"a": ["1,5"]}), [[-1.0]])
    for option in ({"drop": ["x"]}, {"categorical": ["x"]}):
        with pytest.raises(ValueError, match="X has no column 'x'; its columns are 'number', 'whole', 'text', 'truth'"):
            pm.TableEncoder(**option).fit(COLUMNS)
    with pytest.raises(TypeError, match="unexpected keyword argument 'categoricals', did you mean 'categorical'"):
        pm.TableEncoder(categoricals=[])


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ({"number": [1.0]}, ValueError, "X lacks the columns 'whole', 'text', 'truth', 'written', 'day'"),
        ({**NEW, "number": ["abc"]}, ValueError, "column 'number', row 1: 'abc' is not a number"),
        ({**NEW, "number": [np.inf]}, ValueError, "column 'number', row 1: inf is not a finite number"),
        ({**NEW, "day": ["1.2.2001"]}, ValueError, "column 'day', row 1: '1.2.2001' is not a date of the form"),
        ({**NEW, "truth": [2]}, ValueError, "column 'truth', row 1: 2 is not a truth value"),
        ({**NEW, "text": np.array([b"x"])}, TypeError, "column 'text' has the dtype |S1; numbers, texts"),
        ({**NEW, "text": np.array([["x"]])}, TypeError, "column 'text' has 2 dimensions; 1 is expected"),
        (pd.DataFrame({**NEW, "text": [["x"]]}), TypeError, "column 'text' holds a list; numbers, texts, truth values"),
        (pd.DataFrame({**NEW, "text": [1j]}), TypeError, "column 'text' holds a complex; numbers, texts, truth values"),
        (pl.DataFrame({**NEW, "text": [["x"]]}), TypeError, "column 'text' has the type List"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), ValueError, "2 columns have 1 different names; each needs one"),
        (pa.table([[1], [2]], names=["a", "a"]), ValueError, "2 columns have 1 different names; each needs one"),
        ({"a": [1], "b": [2], 1: [3], "1": [4]}, ValueError, "4 columns have 3 different names; each needs one"),
        ({**NEW, "text": ["a", "b"]}, ValueError, "column 'text' has 2 rows, but column 'number' has 1"),
        (pl.DataFrame(NEW).lazy(), TypeError, "a table in memory is a data frame of pandas, polars or PyArrow"),
        (pl.DataFrame(NEW).lazy(), TypeError, "got LazyFrame (X.collect() gives one)"),
        (pd.DataFrame(NEW).iloc[0], TypeError, "got Series (X.to_frame() gives one of a single column, frame"),
        (pa.table(NEW).to_batches()[0], TypeError, "got RecordBatch (pyarrow.table(X) gives one)"),
        (RawTable(NEW, None, None, None, ()), TypeError, "pass its columns, table.X, as X, and table.y as y"),
        (pd.DataFrame({**NEW, "text": [object()]}), TypeError, "column 'text' holds a object; numbers, texts"),
    ],
)  # fmt: skip
def test_what_is_refused(X: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        pm.TableEncoder().fit(COLUMNS).transform(X)
    assert message in str(caught.value)


HOURS = [timedelta(hours=hour) if hour else None for hour in (1, 2, 0, 5, 3, 2)]
DURATIONS = {
    "a list": {"time": HOURS},
    "NumPy": {"time": np.array(HOURS, "timedelta64[s]")},
    "pandas": pd.DataFrame({"time": pd.Series(HOURS, dtype="timedelta64[ns]")}),
    "pandas, objects": pd.DataFrame({"time": pd.Series(HOURS, dtype=object)}),
    "polars": pl.DataFrame({"time": HOURS}),
    "PyArrow": pa.table({"time": pa.array(HOURS, pa.duration("ms"))}),
}


@pytest.mark.parametrize("name", DURATIONS)
def test_durations_are_microseconds_in_whatever_table(name: str, tmp_path: Path) -> None:
    encoder = pm.TableEncoder().fit(DURATIONS[name])
    expected = pm.TableEncoder().fit_transform({"time": [3600e6, 7200e6, np.nan, 5 * 3600e6, 3 * 3600e6, 7200e6]})
    assert_array_equal(encoder.transform(DURATIONS[name]), expected)
    pq.write_table(pa.table({"time": pa.array(HOURS, pa.duration("s"))}), tmp_path / "durations.parquet")
    assert_array_equal(encoder.transform(pm.read_table(tmp_path / "durations.parquet").X), expected)


def test_a_structured_array_is_columns_by_name() -> None:
    rows = list(zip(COLUMNS["whole"], ["a", "b", "", "a", "b", "a"], COLUMNS["truth"], strict=True))
    array = np.array(rows, dtype=[("whole", "i8"), ("text", "U1"), ("truth", "?")])
    expected = pm.TableEncoder().fit_transform({name: COLUMNS[name] for name in ("whole", "text", "truth")})
    for X in (array, array.view(np.recarray)):
        encoder = pm.TableEncoder().fit(X)
        assert encoder.feature_names_in_.tolist() == ["whole", "text", "truth"]
        assert_array_equal(encoder.transform(X[:3]), expected[:3])


@pytest.mark.parametrize("dtype", ["f8", "i8", "?", "U1", "O", "M8[s]"])
def test_cells_that_a_mask_hides_are_gaps(dtype: str) -> None:
    values, mask = np.array([0, 1, 1, 0, 1, 0]).astype(dtype), np.array([0, 0, 1, 0, 0, 0], bool)
    hidden = np.ma.MaskedArray(values, mask)
    cells = values.astype("M8[us]" if dtype == "M8[s]" else object).tolist()
    expected = pm.TableEncoder().fit_transform(
        {"x0": [None if gone else cell for cell, gone in zip(cells, mask, strict=True)]}
    )
    assert_array_equal(pm.TableEncoder().fit_transform({"x0": hidden}), expected)
    assert_array_equal(pm.TableEncoder().fit_transform(hidden[:, None]), expected)
    all_seen = pm.TableEncoder().fit_transform({"x0": np.ma.MaskedArray(values, mask=False)})
    assert_array_equal(all_seen, pm.TableEncoder().fit_transform({"x0": values}))


def test_fractions_and_numbers_of_128_bits_are_numbers() -> None:
    halves = {"a": [Fraction(1, 2), Fraction(3, 2), None, Fraction(2)]}
    expected = pm.TableEncoder().fit_transform({"a": [0.5, 1.5, None, 2.0]})
    assert_array_equal(pm.TableEncoder().fit_transform(halves), expected)
    wide = pl.DataFrame({"a": pl.Series([1, 5, None, 7], dtype=pl.Int128)})
    assert_array_equal(pm.TableEncoder().fit_transform(wide), pm.TableEncoder().fit_transform({"a": [1, 5, None, 7]}))


def test_an_array_of_numpys_own_texts() -> None:
    texts = [["a", "1"], ["b", "2"], ["a", "3"], ["b", "4"]]
    array = np.array(texts, dtype=np.dtypes.StringDType())
    assert_array_equal(pm.TableEncoder().fit_transform(array), pm.TableEncoder().fit_transform(texts))


def test_what_cannot_be_learnt_from() -> None:
    with pytest.raises(ValueError, match="drop leaves none of the columns 'a', 'b'"):
        pm.TableEncoder(drop=["a", "b"]).fit({"a": [1.0], "b": [2.0]})
    for empty in ({}, pd.DataFrame(index=range(3)), pl.DataFrame()):
        with pytest.raises(ValueError, match="X has no columns"):
            pm.TableEncoder().fit(empty)
    for missing in ([1.0, np.nan], ["a", None], [1.5, None]):
        with pytest.raises(ValueError, match="y has missing values, but the target of each row is needed"):
            pm.TableEncoder().fit({"a": [1.0, 2.0]}, missing)


@pytest.mark.parametrize("bad", [[1.0, np.inf], [[1], [2]]])
@pytest.mark.parametrize("library", [dict, pd.DataFrame, pl.DataFrame])
def test_a_column_that_is_not_used_may_hold_anything(library: Any, bad: list[Any]) -> None:
    good = {"a": [1.0, 2.0]}
    encoder = pm.TableEncoder(drop=["bad"]).fit(library({**good, "bad": bad}))
    assert (encoder.n_features_in_, encoder.get_feature_names_out().tolist()) == (2, ["a"])
    expected = pm.TableEncoder().fit(good)
    for table in (library(good), library({"more": bad, **good})):
        assert_array_equal(encoder.transform(table), expected.transform(good))


@pytest.mark.parametrize("library", ["pandas", "polars", "PyArrow"])
def test_categories_are_the_same_as_texts(library: str) -> None:
    cells = ["NA", " a", "b", "null", "nan", "", "a ", None, "1", "b", "1"]
    if library == "pandas":
        table: Any = pd.DataFrame({"c": pd.Categorical(cells)})
    else:
        table = pa.table({"c": pa.array(cells).dictionary_encode()})
        table = pl.DataFrame({"c": pl.Series(cells, dtype=pl.Categorical)}) if library == "polars" else table
    encoder = pm.TableEncoder()
    matrix = encoder.fit_transform(table)
    assert encoder.get_feature_names_out().tolist() == ["c_1", "c_a", "c_b", "c_missing"]
    missing = [i in (0, 3, 4, 5, 7) for i in range(len(cells))]
    assert_array_equal(matrix[:, 3], missing)
    assert_array_equal(matrix.sum(axis=1), np.ones(len(cells)))
    assert_array_equal(encoder.transform(table), matrix)
    assert_array_equal(encoder.transform({"c": cells}), matrix)


def test_texts_for_a_typed_column_have_one_notation() -> None:
    days = np.array(["2024-04-03", "2024-04-25", "2023-01-01"], dtype="datetime64[us]")
    encoder = pm.TableEncoder().fit({"d": days, "t": [True, False, True]})
    expected = encoder.transform({"d": days[:2], "t": [True, False]})
    assert_array_equal(encoder.transform({"d": ["03/04/2024", "25/04/2024"], "t": ["Yes", "no"]}), expected)
    # Dates alone, as no order of day and month fits all of them.
    with pytest.raises(ValueError, match="row 2: '25/04/2024' is not a date of the form MM/DD/YYYY"):
        encoder.transform({"d": ["04/03/2024", "25/04/2024", "04/25/2024"], "t": [True, True, True]})
    with pytest.raises(ValueError, match="column 't', row 2: 'false' is not yes or no"):
        encoder.transform({"d": days[:2], "t": ["yes", "false"]})


def test_arrays_are_columns_by_their_numbers() -> None:
    X = np.array([[1.0, 5.0], [np.nan, 6.0], [3.0, 7.0]])
    encoder = pm.TableEncoder().fit(X)
    assert encoder.get_feature_names_out().tolist() == ["x0", "x0_missing", "x1"]
    assert_array_equal(encoder.transform(X), pm.TableEncoder().fit_transform({"x0": X[:, 0], "x1": X[:, 1]}))
    mixed = pm.TableEncoder(min_count=1).fit([["1", "a"], ["2", "b"], ["4", "a"]])
    assert mixed.get_feature_names_out().tolist() == ["x0", "x1_a", "x1_b"]
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        named = pm.TableEncoder().fit(pd.DataFrame(X, columns=["p", "q"])).transform(X)
    assert_array_equal(named, encoder.transform(X))


def test_what_was_learnt_is_pickled_and_not_cloned() -> None:
    encoder = pm.TableEncoder().fit(COLUMNS)
    again = pickle.loads(pickle.dumps(encoder))
    assert_array_equal(again.transform(NEW), encoder.transform(NEW))
    assert not hasattr(clone(encoder), "columns_")


def test_data_frames_need_narwhals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "narwhals", None)
    with pytest.raises(ImportError, match=r"data frames need narwhals: pip install .*\[tables\]"):
        pm.TableEncoder().fit(pd.DataFrame(COLUMNS))
    pm.TableEncoder().fit(COLUMNS)


def wide(n_columns: int) -> pd.DataFrame:
    """Return rows of numbers of NumPy's dtypes, with gaps."""
    rng = np.random.default_rng(0)
    dtypes = ["float64", "float32", "int64", "uint8", "float16", "bool"]
    frame = pd.DataFrame({f"c{j}": (100 * rng.random(40)).astype(dtypes[j % len(dtypes)]) for j in range(n_columns)})
    frame.loc[::5, "c0"] = np.nan
    frame.loc[::6, "c5"] = ~frame.loc[::6, "c5"]
    frame["c2"] += 2**53 + 1
    return frame


@pytest.mark.parametrize("named", [True, False])
def test_numbers_are_converted_together_to_the_bits_of_one_by_one(*, named: bool) -> None:
    frame = wide(12).assign(text=["a", "b"] * 20) if named else wide(12).astype(np.float64)
    one_by_one = {name: frame[name].to_numpy() for name in frame}
    encoder = pm.TableEncoder(n_pieces=4).fit(frame if named else frame.to_numpy(), np.arange(40.0))
    expected = pm.TableEncoder(n_pieces=4).fit(one_by_one, np.arange(40.0)).transform(one_by_one)
    assert encoder.transform(frame if named else frame.to_numpy()).tobytes() == expected.tobytes()
    if named:
        assert encoder.transform(frame[["text", *reversed(list(frame)[:-1])]]).tobytes() == expected.tobytes()


def test_a_wide_row_is_not_looked_at_column_by_column() -> None:
    """A column takes a few calls: its place, its name and its kind."""
    n_calls = {}
    for n_columns in (60, 120):
        frame = wide(n_columns)
        for X in (frame, frame.to_numpy(np.float64)):
            encoder = pm.TableEncoder().fit(X)
            n_calls[type(X), n_columns] = calls_of(encoder.transform, X[:1])
    for kind in (pd.DataFrame, np.ndarray):
        assert n_calls[kind, 120] - n_calls[kind, 60] < 60 * 12


@pytest.mark.parametrize(("name", "bad", "message"), [
    ("c1", np.inf, "column 'c1', row 2: inf is not a finite number"),
    ("c5", 2, "column 'c5', row 2: 2 is not a truth value"),
])  # fmt: skip
def test_a_mistake_among_numbers_that_are_converted_together(name: str, bad: float, message: str) -> None:
    frame = wide(12)
    encoder = pm.TableEncoder().fit(frame)
    wrong = frame[name].astype(np.float64)
    wrong[1] = bad
    with pytest.raises(ValueError, match=message):
        encoder.transform(frame.assign(**{name: wrong}))

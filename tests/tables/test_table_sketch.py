"""What is learnt of a table block by block: what `Encoder.learn` learns of all rows at once."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from portable_mlp.tables import table_sketch
from portable_mlp.tables.columns import Column, Columns, Reading
from portable_mlp.tables.encoder_options import EncoderOptions
from portable_mlp.tables.encoding import Encoder
from portable_mlp.tables.table_sketch import TableSketch

RNG = np.random.default_rng(0)
N = 2000


def with_gaps(values: np.ndarray, gap: object) -> np.ndarray:
    values = values.copy()
    values[::7] = gap
    return values


def column(kind: str, values: np.ndarray, form: str = "") -> Column:
    return Column(Reading(kind, form), values)


TEXTS = RNG.choice(["a", "b", "c"], N).astype(object)
DAYS = np.datetime64("2001-02-03", "us") + RNG.integers(0, 900, N) * np.timedelta64(1, "D")
COLUMNS = {
    "numbers": column("number", RNG.lognormal(size=N), "."),
    "numbers with gaps": column("number", with_gaps(RNG.normal(50.0, 3.0, N), np.nan), "."),
    "two numbers": column("number", (RNG.random(N) < 0.5).astype(float), "."),
    "a number beside gaps": column("number", with_gaps(np.full(N, 3.0), np.nan), "."),
    "one number": column("number", np.full(N, 3.0), "."),
    "no number": column("number", np.full(N, np.nan), "."),
    "row id": column("number", RNG.permutation(N).astype(float), "."),
    "truth": column("truth", with_gaps((RNG.random(N) < 0.2).astype(float), np.nan), "no/yes"),
    "dates": column("date", DAYS, "YYYY-MM-DD"),
    "dates with gaps": column("date", with_gaps(DAYS, np.datetime64("NaT")), "YYYY-MM-DD"),
    "one date": column("date", np.repeat(DAYS[:1], N)),
    "no date": column("date", np.repeat(np.datetime64("NaT", "us"), N)),
    "texts": column("text", with_gaps(TEXTS, None)),
    "many texts": column("text", np.array([f"t{i * i % 611}" for i in range(N)], dtype=object)),
    "one text": column("text", np.repeat(TEXTS[:1], N)),
    "no text": column("text", np.full(N, None)),
    "a text for each row": column("text", np.array([f"t{i}" for i in range(N)], dtype=object)),
}


@pytest.mark.parametrize("size", [N, 333, 11])
def test_blocks_give_the_encoding_of_all_rows(size: int) -> None:
    X, options = Columns(COLUMNS), EncoderOptions(n_pieces=8)
    sketch = TableSketch({name: one.reading for name, one in COLUMNS.items()})
    for start in range(0, N, size):
        sketch.add(X[start : start + size], np.arange(start, min(start + size, N)))
    found = sketch.encoder(options, {"left out": "too many"})
    expected, _ = Encoder.learn(X, None, options)
    assert found.report == [*expected.report, ("left out", "dropped", 0, "too many")]
    for ours, theirs in zip(found.to_metadata(), expected.to_metadata(), strict=False):
        for field, value in theirs.items():
            if field in ("mean", "scale", "means", "scales"):
                assert_allclose(ours[field], value, rtol=1e-12, atol=1e-13)
            else:
                assert ours[field] == value


def test_a_sample_gives_medians_and_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_sketch, "SAMPLE_ROWS", 500)
    values = RNG.lognormal(size=20_000)
    values[::4] = np.nan
    sketch = TableSketch({"x": Reading("number", ".")})
    for start in range(0, len(values), 700):
        part = values[start : start + 700]
        sketch.add(Columns({"x": column("number", part)}), start + np.arange(len(part)))
    found = sketch.encoder(EncoderOptions(n_pieces=4), {}).to_metadata()[0]
    present = np.sort(values[~np.isnan(values)])
    share_below = np.searchsorted(present, [found["median"], *found["edges"]]) / len(present)
    # Of all rows a quarter are gaps, which become the median: the quartiles of the filled rows are others.
    assert_allclose(share_below, [0.5, 0.0, 1 / 3, 0.5, 2 / 3, 1.0], atol=0.1)
    assert (found["edges"][0], found["edges"][-1]) == (present[0], present[-1])
    filled = np.where(np.isnan(values), found["median"], values)
    assert_allclose([found["mean"], found["scale"]], [filled.mean(), filled.std()], rtol=1e-12)


def test_a_sample_is_drawn_alike_however_rows_come() -> None:
    values, drawn = RNG.normal(size=3 * table_sketch.SAMPLE_ROWS), []
    for size in (1000, len(values)):
        sample = table_sketch.Sample()
        for start in range(0, len(values), size):
            sample.add(values[start : start + size])
        drawn.append(np.sort(sample.values))
    assert len(drawn[0]) == table_sketch.SAMPLE_ROWS
    np.testing.assert_array_equal(*drawn)


def test_a_table_without_features_is_refused() -> None:
    sketch = TableSketch({"x": Reading("truth")})
    sketch.add(Columns({"x": column("truth", np.ones(9))}), np.arange(9))
    with pytest.raises(ValueError, match=r"no feature is left of 2 columns \(x: constant, always 1; t: too many\)"):
        sketch.encoder(EncoderOptions(), {"t": "too many"})


@pytest.mark.parametrize("size", [N, 333, 1])
def test_columns_that_number_the_rows_are_judged_by_all_rows(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a table with more rows than the sample, a part of which is held out."""
    monkeypatch.setattr(table_sketch, "SAMPLE_ROWS", 100)
    rows = np.flatnonzero(np.arange(N) % 7)
    columns = {
        "case": 1.0 + np.arange(N),
        "order no": 5e6 + RNG.permutation(N),
        "case from 7": 7.0 + np.arange(N),
        "case out of order": 1.0 + RNG.permutation(N),
        "id of few": RNG.integers(0, 40, N).astype(float),
        "half id": np.arange(N) + 0.5 * (np.arange(N) == N - 1),
        "far no": 4.0 * np.arange(N),
    }
    X = Columns({name: column("number", values[rows]) for name, values in columns.items()})
    sketch = TableSketch({name: Reading("number") for name in columns})
    for start in range(0, len(rows), size):
        sketch.add(X[start : start + size], rows[start : start + size])
    found = sketch.encoder(EncoderOptions(), {}).report
    assert found == Encoder.learn(X, None, EncoderOptions(), rows)[0].report
    assert [one.name for one in found if one.kind == "dropped"] == ["case", "order no"]


def test_a_column_that_counts_the_rows_is_better_than_no_feature() -> None:
    X = Columns({"id": column("number", np.arange(9.0)), "name": column("text", np.full(9, "a", dtype=object))})
    sketch = TableSketch({name: X.column(name).reading for name in X})
    sketch.add(X, np.arange(9))
    found = sketch.encoder(EncoderOptions(), {})
    assert found.to_metadata() == Encoder.learn(X, None, EncoderOptions())[0].to_metadata()
    assert [one.kind for one in found.report] == ["number", "dropped"]


def test_columns_are_left_out_as_asked() -> None:
    X = Columns({name: column("number", np.array([1.0, 2.0, 2.0])) for name in "ab"})
    sketch = TableSketch({name: X.column(name).reading for name in X})
    sketch.add(X, np.arange(3))
    options = EncoderOptions(drop=["a"])
    assert sketch.encoder(options, {}).report == Encoder.learn(X, None, options)[0].report
    assert sketch.encoder(options, {}).report[0] == ("a", "dropped", 0, "left out as asked")
    with pytest.raises(ValueError, match="no feature is left of 2 columns"):
        sketch.encoder(EncoderOptions(drop=["a", "b"]), {})

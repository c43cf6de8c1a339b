"""Tables as people have them on the command line: trained on, predicted from, inspected; what is done is said."""

import csv
import io
import json
import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.preprocessing import StandardScaler

import portable_mlp as pm
from portable_mlp.cli.app import run
from portable_mlp.tables.stored_preparation import preparation_of

Capture = pytest.CaptureFixture[str]

RNG = np.random.default_rng(0)
N = 60
FLATS = pd.DataFrame(
    {
        "Unnamed: 0": range(N),
        "key": [f"flat {i}" for i in range(N)],
        "size": RNG.normal(80, 20, N).round(1),
        "price": [f"{price:,}" for price in RNG.integers(900, 3000, N)],
        "district": RNG.choice(["north", "south", "west"], N),
        "lift": RNG.choice(["yes", "no"], N),
        "built": [
            f"{year}-0{month}-11"
            for year, month in zip(RNG.integers(1950, 2020, N), RNG.integers(1, 9, N), strict=True)
        ],
        "zone": RNG.integers(1, 5, N),
        "country": "here",
    }
)
FLATS.loc[::9, "size"] = None
FLATS.loc[::8, "district"] = None
FLATS["rent"] = (5.0 * FLATS["size"].fillna(80) + 300 * (FLATS["lift"] == "yes") + 100 * (FLATS["zone"] == 3)).round(1)
FLATS.loc[5, "rent"] = None


@pytest.fixture(autouse=True)
def in_a_folder_with_flats(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FLATS.to_csv("flats.csv", index=False)


def done(*arguments: object, capfd: Capture) -> str:
    """Run a command that works, and return what it prints."""
    capfd.readouterr()
    code = run([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    assert code == 0, err
    return out


def mistake(*arguments: object, capfd: Capture) -> str:
    capfd.readouterr()
    assert run([str(argument) for argument in arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    return err


def train(*arguments: object, data: str = "flats.csv", capfd: Capture) -> str:
    usual = ("--target", "rent", "--save", "m.safetensors", "--epochs", 3, "--hidden", "8", "--dtype", "float64")
    return done("train", data, *usual, *arguments, capfd=capfd)


def predicted(data: str, *arguments: object, capfd: Capture) -> dict[str, list[str]]:
    header, *rows = csv.reader(io.StringIO(done("predict", "m.safetensors", data, *arguments, capfd=capfd)))
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


COLUMNS = """\
  1 row without a target left out
  Unnamed: 0  dropped   59 different numbers in as many rows: it tells them apart
  size        number    scaled; 8 pieces between quantiles; gaps become the median 83.2 and are marked
  price       number    scaled; written with groups of three digits; 8 pieces between quantiles
  district    category  3 categories, gaps as one of their own
  lift        truth     yes is 1, no is 0; scaled
  built       date      read as YYYY-MM-DD: elapsed, year, month
  zone        number    scaled; 3 pieces between quantiles
  country     dropped   constant, always 'here'
  key         id        copied to the predictions
"""


def test_what_is_done_with_each_column_is_printed_and_remembered(capfd: Capture) -> None:
    out = train("--id", "key", capfd=capfd)
    assert out.startswith(COLUMNS), out
    shown = done("inspect", "m.safetensors", capfd=capfd)
    assert shown.endswith("columns\n" + COLUMNS.partition("\n")[2])
    described = json.loads(train("--id", "key", "--json", capfd=capfd))["columns"]
    assert described[3] == {
        "name": "district", "kind": "category", "n_features": 4, "treatment": "3 categories, gaps as one of their own"
    }  # fmt: skip


def test_lbfgs_is_not_reproducible_over_processes(capfd: Capture) -> None:
    refused = mistake("train", "flats.csv", "--solver", "lbfgs", "--reproducible", capfd=capfd)
    assert refused.endswith("is for one process without a group: leave parallel(...), or --reproducible, out\n")


def test_an_option_for_features_that_names_the_target_is_refused(capfd: Capture) -> None:
    FLATS.to_parquet("flats.parquet")
    for data in ("flats.csv", "flats.parquet"):
        options = (data, "--target", "rent")
        dropped = mistake("train", *options, "--drop", "rent", capfd=capfd)
        assert dropped == f"portable-mlp: {data}: the target 'rent' cannot be dropped\n"
        categories = mistake("train", *options, "--categorical", "rent", capfd=capfd)
        assert "the target 'rent' is not a feature to read as categories (--task classification" in categories


def test_predictions_are_those_of_the_network_on_what_the_encoder_makes(capfd: Capture) -> None:
    train("--id", "key", "--validation", 0, capfd=capfd)
    table = predicted("flats.csv", capfd=capfd)
    assert list(table) == ["key", "prediction"]
    assert table["key"] == FLATS["key"].tolist()
    frame = FLATS.drop(columns=["key", "rent"])[FLATS["rent"].notna()]
    encoder = pm.TableEncoder(n_pieces=8).fit(frame, FLATS["rent"].dropna())
    net, params, _ = pm.load_model("m.safetensors")
    scaler = StandardScaler().fit(FLATS[["rent"]].dropna().to_numpy())
    outputs = pm.predict(net, params, encoder.transform(FLATS))
    expected = np.clip(scaler.inverse_transform(outputs)[:, 0], FLATS["rent"].min(), FLATS["rent"].max())
    np.testing.assert_allclose(np.array(table["prediction"], float), expected, rtol=1e-11)


def test_rows_to_predict_from_may_have_other_columns_gaps_and_words(capfd: Capture) -> None:
    train("--drop", "key", capfd=capfd)
    new = FLATS[["zone", "lift", "built", "size", "district", "price"]].head(4).assign(more="x")
    new.loc[0, ["lift", "built", "price"]] = None
    new.loc[1, "district"] = "never seen"
    new.to_csv("new.tsv", index=False, sep="\t")
    prices = np.array(predicted("new.tsv", capfd=capfd)["prediction"], float)
    assert np.isfinite(prices).all()
    assert prices[2:].tolist() == np.array(predicted("flats.csv", capfd=capfd)["prediction"], float)[2:4].tolist()
    new.drop(columns="zone").to_csv("new.csv", index=False)
    error = mistake("predict", "m.safetensors", "new.csv", capfd=capfd)
    assert (
        "the model expects the columns 'size', 'price', 'district', 'lift', 'built', 'zone', the file lacks 'zone'"
        in error
    )
    new["zone"] = ["3", "three", "3", "3"]
    new.to_csv("new.csv", index=False)
    assert "new.csv:3:1: 'three' is not a number" in mistake("predict", "m.safetensors", "new.csv", capfd=capfd)


def test_columns_are_chosen(capfd: Capture) -> None:
    out = train("--features", "zone", "--features", "lift", "--categorical", "zone", capfd=capfd)
    assert "zone  category  4 categories\n" in out
    assert "\n  size" not in out
    assert "no column 'zoen' (did you mean 'zone'?)" in mistake(
        "train", "flats.csv", "--target", "rent", "--drop", "zoen", capfd=capfd
    )


def test_strict_refuses_what_is_no_number(capfd: Capture) -> None:
    error = mistake("train", "flats.csv", "--target", "rent", "--strict", capfd=capfd)
    assert "flats.csv:2:2: 'flat 0' is not a number" in error
    error = mistake("train", "flats.csv", "--target", "rent", "--strict", "--features", "size", capfd=capfd)
    assert "flats.csv:2:3: the cell is empty; a number is expected (remove the row or fill the cell)" in error


def test_a_cell_that_contradicts_its_column_is_named(capfd: Capture) -> None:
    FLATS.astype({"zone": object}).assign(zone=["1"] * 20 + ["one"] + ["2"] * 39).to_csv("flats.csv", index=False)
    error = mistake("train", "flats.csv", "--target", "rent", capfd=capfd)
    assert "flats.csv:22:8: 'one' is not a number, while 59 of the 60 cells of column 'zone' are numbers" in error


@pytest.mark.parametrize(
    ("write", "options"),
    [
        ({"sep": ";", "decimal": ","}, ("--decimal", ",")),
        ({"encoding": "cp1252"}, ("--encoding", "cp1252")),
        ({"encoding": "utf-16"}, ()),
        ({"header": False}, ("--no-header",)),
    ],
)
def test_how_a_table_is_written_is_remembered(write: dict[str, Any], options: tuple[str, ...], capfd: Capture) -> None:
    frame = FLATS[["size", "district", "zone"]].replace({"north": "Köln"})
    frame["rent"] = FLATS["rent"]
    frame.to_csv("flats.csv", index=False)
    train(*("--target", "rent"), capfd=capfd)
    expected = predicted("flats.csv", capfd=capfd)
    frame.to_csv("flats.csv", index=False, **write)
    train(*options, *(("--target", "x3") if "--no-header" in options else ()), capfd=capfd)
    assert predicted("flats.csv", capfd=capfd) == expected


def test_parquet_gives_what_csv_gives(capfd: Capture) -> None:
    train("--id", "key", capfd=capfd)
    expected = predicted("flats.csv", capfd=capfd)
    typed = FLATS.assign(
        lift=FLATS["lift"] == "yes",
        price=FLATS["price"].str.replace(",", "").astype(int),
        built=pd.to_datetime(FLATS["built"]),
    )
    pq.write_table(pa.Table.from_pandas(typed), "flats.parquet", row_group_size=7)
    assert predicted("flats.parquet", capfd=capfd) == expected
    train("--id", "key", "--drop", "price", capfd=capfd)
    expected = predicted("flats.csv", capfd=capfd)
    train("--id", "key", "--drop", "price", data="flats.parquet", capfd=capfd)
    np.testing.assert_allclose(
        np.array(predicted("flats.csv", capfd=capfd)["prediction"], float),
        np.array(expected["prediction"], float),
        rtol=1e-9,
    )


def test_arrays_have_gaps(capfd: Capture) -> None:
    X = RNG.normal(size=(40, 3))
    X[::5, 1] = np.nan
    np.savez("data.npz", X=X, y=X[:, 0])
    out = done("train", "data.npz", "--save", "m.safetensors", "--epochs", 1, capfd=capfd)
    assert "gaps become the median" in out
    np.save("new.npy", X)
    assert len(predicted("new.npy", capfd=capfd)["prediction"]) == 40


@pytest.mark.parametrize("streamed_bytes", [0, 2**28])
def test_a_large_table_of_numbers_is_streamed_and_one_with_texts_is_read(
    streamed_bytes: int, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portable_mlp.tables.prepared_rows.STREAMED_BYTES", streamed_bytes)
    frame = FLATS[["zone", "district", "rent"]].fillna({"rent": 5.0})
    pq.write_table(pa.Table.from_pandas(frame), "flats.parquet")
    assert "district  category" in train(data="flats.parquet", capfd=capfd)
    pq.write_table(pa.Table.from_pandas(frame[["zone", "rent"]]), "flats.parquet")
    assert ("zone  number" in train(data="flats.parquet", capfd=capfd)) == (streamed_bytes > 0)


def test_categories_that_are_numbers_are_streamed_as_categories(
    capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portable_mlp.tables.prepared_rows.STREAMED_BYTES", 0)
    frame = pd.DataFrame({"kind": pd.Categorical(np.arange(40) % 3), "x": RNG.normal(size=40), "rent": range(40)})
    frame.to_parquet("flats.parquet", row_group_size=15)
    assert "kind  category  3 categories" in train(data="flats.parquet", capfd=capfd)


def test_a_description_of_columns_that_was_changed_is_refused(capfd: Capture) -> None:
    train("--id", "key", capfd=capfd)
    net, params, metadata = pm.load_model("m.safetensors")
    sound = metadata["preparation"]
    assert preparation_of(pathlib.Path("m"), net, metadata).encoder is not None
    columns = sound["columns"]
    for changed in (
        {"columns": columns[:-2]}, {"columns": 3}, {"columns": None}, {"table": None}, {"table": {}},
        {"table": {**sound["table"], "header": 1}}, {"table": {**sound["table"], "more": 1}},
        {"table": {**sound["table"], "decimal": ""}}, {"table": {**sound["table"], "decimal": [","]}},
        {"columns": [{**columns[0], "kind": "os"}, *columns[1:]]},
    ):  # fmt: skip
        pm.save_model("m.safetensors", net, params, {"preparation": {**sound, **changed}})
        assert "preparation of the inputs does not fit" in mistake("predict", "m.safetensors", "flats.csv", capfd=capfd)

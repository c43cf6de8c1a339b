"""Numbers as a dozen countries write them: read as what they are by every reader, or refused with their place."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import portable_mlp as pm
from portable_mlp.tables import arrow_csv
from portable_mlp.tables.columns import Reading
from portable_mlp.tables.number_forms import SPACES, is_number_form, parsed_number, unit_in, written_numbers
from portable_mlp.tables.reading import DataError, ReadingOptions, read_known_columns

NO_BREAK, NARROW, THIN, MINUS, APOSTROPHE = "\u00a0", "\u202f", "\u2009", "\u2212", "\u2019"


def written(number: float, group: str, decimal: str, *, minus: str = "-{}", unit: str = "{}") -> str:
    """Write a number with two decimals, and its digits in groups of three."""
    digits = f"{abs(number):,.2f}".translate({ord(","): group, ord("."): decimal})
    return (minus if number < 0 else "{}").format(unit.format(digits))


def in_lakhs(number: float) -> str:
    """Write a number as in India: three digits, and before them groups of two."""
    whole, fraction = f"{abs(number):.2f}".split(".")
    pairs = re.findall(r"\d{1,2}", whole[:-3][::-1])
    return "-" * (number < 0) + "₹" + ",".join([*(pair[::-1] for pair in reversed(pairs)), whole[-3:]]) + "." + fraction


COUNTRIES: dict[str, tuple[Callable[[float], str], str]] = {
    "America": (lambda x: written(x, ",", ".", unit="${}"), ".,$"),
    "American accounts": (lambda x: written(x, ",", ".", minus="({})", unit="$ {}"), ".,($"),
    "Brazil": (lambda x: written(x, ".", ",", unit="R$ {}"), ",.R$"),
    "France": (lambda x: written(x, NARROW, ",", minus=MINUS + "{}", unit="{}" + NO_BREAK + "€"), f", {MINUS}€"),
    "Germany": (lambda x: written(x, ".", ",", unit="{} €"), ",.€"),
    "German accounts": (lambda x: written(x, ".", ",", minus="{}-"), ",.-"),
    "India": (in_lakhs, ".,₹"),
    "Japan": (lambda x: written(x, ",", ".", minus=MINUS + "{}", unit="¥{}"), f".,{MINUS}¥"),
    "Poland": (lambda x: written(x, " ", ",", unit="{} zł"), ", zł"),
    "SI units": (lambda x: written(x, THIN, ".", minus=MINUS + "{}"), f". {MINUS}"),
    "Sweden": (lambda x: written(x, NO_BREAK, ",", unit="{} kr"), ", kr"),
    "Switzerland": (lambda x: written(x, "'", ".", unit="CHF {}"), ".'CHF"),
    "Swiss print": (lambda x: written(x, APOSTROPHE, "."), ".'"),
}
NUMBERS = [1234567.89, -0.05, 12.0, -1234.5, 100000.0, 999.99, -1064.99, 3.0]


@pytest.fixture(params=["ours", "pyarrow"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(arrow_csv, "SMALLEST", 0 if request.param == "pyarrow" else 2**60)
    return str(request.param)


def table_of(path: Path, cells: list[str]) -> Path:
    """Write a table with these cells, tab by tab, beside a target."""
    path.write_text("c\ty\n" + "".join(f"{cell}\t{i % 2}\n" for i, cell in enumerate(cells)), encoding="utf-8")
    return path


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("country", COUNTRIES)
def test_a_column_as_a_country_writes_it(tmp_path: Path, country: str) -> None:
    write, form = COUNTRIES[country]
    path = table_of(tmp_path / "t.tsv", [*map(write, NUMBERS), "", NO_BREAK])
    column = pm.read_table(path, target="y", decimal=form[0]).X.column("c")
    assert column.reading == ("number", form)
    assert_array_equal(column.values, [*NUMBERS, np.nan, np.nan])


@pytest.mark.parametrize("country", COUNTRIES)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, country: str) -> None:
    write, form = COUNTRIES[country]
    path = table_of(tmp_path / "t.tsv", [*map(write, NUMBERS), *map(write, NUMBERS), "abc"])
    with pytest.raises(DataError, match=re.escape(f"{path}:18:1: 'abc' is not a number, while 16 of the 17 cells")):
        pm.read_table(path, decimal=form[0])
    with pytest.raises(DataError, match=re.escape(f"{path}:18:1: 'abc' is not a number") + r"\Z"):
        read_known_columns(path, {"c": Reading("number", form)}, ReadingOptions())


@pytest.mark.parametrize(
    ("common", "odd", "message"),
    [
        ("${}", "€5", "'€5' has the unit '€', where the other cells of its column have '$'"),
        ("{} %", "0.5", "'0.5' has no unit, where the other cells of its column have '%'"),
        ("{}", "5 %", "'5 %' has the unit '%', where the other cells of its column have none"),
        ("{},5 kr", "abc", "'0,5 kr' is not a number (--decimal , reads"),
    ],
)
def test_another_unit_is_a_mistake(tmp_path: Path, common: str, odd: str, message: str) -> None:
    path = table_of(tmp_path / "t.tsv", [*(common.format(i) for i in range(19)), odd])
    with pytest.raises(DataError, match=re.escape(message)):
        pm.read_table(path)


FRAMES: dict[str, Callable[[list[str]], Any]] = {
    "pandas": lambda cells: pd.DataFrame({"c": cells, "x": range(len(cells))}),
    "polars": lambda cells: pl.DataFrame({"c": cells, "x": range(len(cells))}),
    "PyArrow": lambda cells: pa.table({"c": cells, "x": range(len(cells))}),
    "arrays": lambda cells: {"c": np.array(cells), "x": np.arange(len(cells))},
}


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("country", COUNTRIES)
def test_frames_and_parquet_have_the_same_numbers(tmp_path: Path, country: str, frame: str) -> None:
    write, form = COUNTRIES[country]
    cells = list(map(write, NUMBERS))
    encoder = pm.TableEncoder(decimal=form[0]).fit(FRAMES[frame](cells))
    expected = pm.TableEncoder().fit_transform({"c": np.array(NUMBERS), "x": np.arange(len(NUMBERS))})
    assert_array_equal(encoder.transform(FRAMES[frame](cells)), expected)
    if frame == "PyArrow":
        pq.write_table(FRAMES[frame](cells), tmp_path / "t.parquet")
        found = read_known_columns(tmp_path / "t.parquet", {"c": Reading("number", form)}, ReadingOptions()).X["c"]
        assert_array_equal(found, NUMBERS)


# --- What comes later


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    ("form", "cells", "numbers"),
    [
        (",", ["1.064,99", "9,5", "1.064"], [1064.99, 9.5, 1064.0]),
        (".", ["1,064.99", "9.5", "1,064"], [1064.99, 9.5, 1064.0]),
        (".", ["1'064.99", f"1{NARROW}064", f"{MINUS}3", "(5)", "7-"], [1064.99, 1064.0, -3.0, -5.0, -7.0]),
        (".$", ["$1,000", "5"], [1000.0, 5.0]),
        ("", ["1,064.99"], [1064.99]),  # learnt from numbers of a frame
    ],
)
def test_marks_that_the_training_table_did_not_have(
    tmp_path: Path, form: str, cells: list[str], numbers: list[float]
) -> None:
    path = table_of(tmp_path / "t.tsv", cells)
    found = read_known_columns(path, {"c": Reading("number", form)}, ReadingOptions()).X["c"]
    assert_array_equal(found, numbers)


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    ("form", "cell", "message"),
    [
        (".", "1.064,99", "'1.064,99' is not a number with the decimal mark '.'"),
        (",", "1,064.99", "'1,064.99' is not a number with the decimal mark ','"),
        (".", "9,5", "'9,5' is not a number with the decimal mark '.'"),
        (".", "$5", "'$5' has the unit '$', where the other cells of its column have none"),
        (".$", "€5", "'€5' has the unit '€', where the other cells of its column have '$'"),
        (".%", "0.12", "'0.12' has no unit, where the other cells of its column have '%'"),
        (".", "12 %", "'12 %' has the unit '%', where the other cells of its column have none"),
        (".", "1,06", "'1,06' is not a number with the decimal mark '.'"),
        (".", "1 06", "'1 06' is not a number"),
        (".", "(5", "'(5' is not a number"),
        (".", "-(5)", "'-(5)' is not a number"),
        (".", "1,000'000", '"1,000\'000" is not a number'),
        (".$", "1$5", "'1$5' is not a number"),
    ],
)
def test_what_stays_a_mistake(tmp_path: Path, form: str, cell: str, message: str) -> None:
    path = table_of(tmp_path / "t.tsv", ["5%" if "%" in form else "5", cell])
    with pytest.raises(DataError, match="^" + re.escape(f"{path}:3:1: {message}") + r"\Z"):
        read_known_columns(path, {"c": Reading("number", form)}, ReadingOptions())


def test_a_model_takes_the_marks_of_later_rows(tmp_path: Path) -> None:
    """Predictions, scores and the ONNX file's input: of texts and of numbers, they are the same."""
    rng = np.random.default_rng(0)
    numbers = rng.uniform(1.0, 999.0, 60).round(2)
    frame = pd.DataFrame({"c": [f"{x:.2f}".replace(".", ",") for x in numbers], "k": list("ab") * 30})
    model = pm.TableRegressor(decimal=",", random_state=0, max_iter=3).fit(frame, numbers)
    later = pd.DataFrame({"c": ["1.064,99", f"{MINUS}1{NARROW}064,99", "(12)"], "k": ["a", "b", "a"]})
    same = pd.DataFrame({"c": [1064.99, -1064.99, -12.0], "k": ["a", "b", "a"]})
    assert_array_equal(model.predict(later), model.predict(same))


# --- What is no number


@pytest.mark.parametrize(
    "cells",
    [
        ["(0.12)", "(0.07)"],  # standard errors
        ["65-", "70-"],
        ["$5", "€5"],
        ["12%", "13"],
        ["030 123", "040 456"],
        ["1_000", "2_000"],
        ["5 kg", "7 lb"],
        ["192.168.100.101", "192.168.100.102"],
    ],
)
def test_other_texts_stay_texts(tmp_path: Path, cells: list[str]) -> None:
    assert pm.read_table(table_of(tmp_path / "t.tsv", cells)).X.column("c").reading.kind == "text"


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        (["9,5", "10,25"], "9,5"),
        (["9,5", "10,25"] * 10 + ["abc"], "9,5"),
        (["5,", "7"], "5,"),
        (["1.234.567", "2.345"], "1.234.567"),
        (["1.234.567"] * 19 + ["a,b"], "1.234.567"),
        (["9,5 €", "1.000 €"], "9,5 €"),
    ],
)
def test_nearly_all_decimal_commas_name_the_option(tmp_path: Path, cells: list[str], first: str) -> None:
    path = table_of(tmp_path / "t.tsv", cells)
    message = f":2:1: '{first}' is not a number (--decimal , reads decimal commas, as does decimal=',')"
    with pytest.raises(DataError, match=re.escape(message)):
        pm.read_table(path)


def test_targets_with_decimal_commas_name_the_option(tmp_path: Path) -> None:
    (path := tmp_path / "t.tsv").write_text("a\ty\n1\t9,5\n2\t10,25\n")
    with pytest.raises(DataError, match=r":2:2: '9,5' is not a number \(--decimal , reads decimal commas"):
        pm.read_table(path, target="y")
    assert pm.read_table(path, target="y", decimal=",").y.tolist() == [9.5, 10.25]


def test_spaces_of_any_kind_around_a_cell_are_none(tmp_path: Path) -> None:
    path = table_of(tmp_path / "t.tsv", [f"{NO_BREAK}north", "north", f"south{THIN}", NO_BREAK, "south"])
    assert pm.read_table(path).X["c"].tolist() == ["north", "north", "south", None, "south"]
    (path := tmp_path / "t.tsv").write_text(f"a\ty{NO_BREAK}\n1\t{NO_BREAK}no\n2\tno\n3\t{NO_BREAK}\n")
    assert pm.read_table(path, target="y").y.tolist() == ["no", "no"]
    assert pm.read_table(path, id="y").ids.tolist() == ["no", "no", None]


def test_spaces_are_those_of_unicode() -> None:
    spaces = [c for c in map(chr, range(0x10000)) if unicodedata.category(c) == "Zs"]
    assert sorted(SPACES) == ["\t", *spaces]


# --- The grammar


@given(st.text(st.sampled_from("0123456789.,'-+()$€% " + NARROW + MINUS + "e"), max_size=9))
def test_a_random_text_is_a_number_that_python_reads_too(text: str) -> None:
    """By a grammar of its own: what is between the digits is taken away, and `float` has the rest."""
    for decimal, other in ((".", ","), (",", ".")):
        form = decimal + unit_in([text])
        number = parsed_number(text, form)
        if number is None:
            continue
        bare = text
        for mark in (form[1:], other, "'", *SPACES, "(", ")"):
            bare = bare.replace(mark, "") if mark else bare
        bare = bare.replace(decimal, ".").replace(MINUS, "-")
        expected = float("-" + bare[:-1] if bare.endswith("-") else bare)
        assert number == (-expected if "(" in text else expected)
        found = written_numbers([text, "5" + form[1:]], form)
        assert found is not None
        assert is_number_form(found[1])
        assert (parsed_number(text, found[1]), found[0]) == (number, [number, 5.0])


@pytest.mark.parametrize("form", ["", ".x-", "..", ",,", ".$,", "$", ".(("])
def test_a_text_that_is_no_form(form: str) -> None:
    assert not is_number_form(form)


# --- Said to the user


def test_the_treatment_says_how_numbers_are_written() -> None:
    cells = [f"{MINUS}5 €", "(5 €)", "1'000 €", "1.000 €", "1 000 €", "5- €"]
    report = pm.TableEncoder(decimal=",").fit({"c": np.array(cells[:5]), "x": [1, 2, 3, 4, 5]}).columns_[0]
    assert report.treatment == (
        "scaled; written with €; written with groups of three digits; written with blanks between groups of digits; "
        "written with apostrophes between groups of digits; written with parentheses around negative numbers; "
        f"written with the minus sign {MINUS}"
    )
    assert pm.TableEncoder().fit({"c": np.array(["5-", "7"])}).columns_[0].treatment == (
        "scaled; written with minus signs behind the numbers"
    )


# --- Dates that are whole numbers


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    ("name", "cells", "form", "iso"),
    [
        ("date", ["20200127", "20200228"], "YYYYMMDD", "2020-01-27"),
        ("OrderDate", ["20200127.0", "", "20200228.0"], "YYYYMMDD", "2020-01-27"),
        ("Datum", ["20200127"] * 2, "YYYYMMDD", "2020-01-27"),
        ("month", ["202001", "202012"], "YYYYMM", "2020-01-01"),
        ("timestamp", ["20200127153000", "20200228000000"], "YYYYMMDDHHMMSS", "2020-01-27T15:30"),
        ("time", ["202001271530", "202002280000"], "YYYYMMDDHHMM", "2020-01-27T15:30"),
    ],
)
def test_numbers_are_dates_where_name_and_numbers_say_so(
    tmp_path: Path, name: str, cells: list[str], form: str, iso: str
) -> None:
    (path := tmp_path / "t.csv").write_text(f"{name},x\n" + "".join(f"{cell},1\n" for cell in cells))
    column = pm.read_table(path).X.column(name)
    assert column.reading == ("date", form)
    assert column.values[0] == np.datetime64(iso)
    assert np.isnat(column.values[[not cell for cell in cells]]).all()
    assert_array_equal(read_known_columns(path, {name: column.reading}, ReadingOptions()).X[name], column.values)
    pd.read_csv(path).to_parquet(tmp_path / "t.parquet")
    assert_array_equal(pm.read_table(tmp_path / "t.parquet").X[name], column.values)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("size", ["20200127", "20200228"]),
        ("date", ["20200127", "20200230"]),
        ("date", ["20200127", "20200228.5"]),
        ("date", ["12341231", "20200228"]),
        ("month", ["202001", "202013"]),
        ("date", ["1", "2"]),
    ],
)
def test_other_numbers_are_numbers(tmp_path: Path, name: str, cells: list[str]) -> None:
    (path := tmp_path / "t.csv").write_text(f"{name},x\n" + "".join(f"{cell},1\n" for cell in cells))
    assert pm.read_table(path).X.column(name).reading == ("number", ".")
    assert pm.read_table(path, categorical=[name]).X.column(name).reading.kind == "text"


@pytest.mark.parametrize("frame", ["pandas", "polars", "PyArrow", "arrays"])
def test_dates_in_digits_are_dates_in_frames_too(frame: str) -> None:
    dates = [20200127, 20210203, 20220304, 20230405]
    make: dict[str, Callable[[Any], Any]] = {
        "pandas": pd.DataFrame,
        "polars": pl.DataFrame,
        "PyArrow": pa.table,
        "arrays": lambda columns: {name: np.array(values) for name, values in columns.items()},
    }
    encoder = pm.TableEncoder().fit(make[frame]({"date": dates, "x": [1, 2, 3, 4]}))
    assert encoder.columns_[0].treatment == "read as YYYYMMDD: elapsed, year, month, weekday"
    days = pd.to_datetime(pd.Series(dates).astype(str))
    expected = pm.TableEncoder().fit_transform(pd.DataFrame({"date": days, "x": [1, 2, 3, 4]}))
    assert_array_equal(encoder.transform(make[frame]({"date": dates, "x": [1, 2, 3, 4]})), expected)
    assert_array_equal(encoder.transform(pd.DataFrame({"date": days, "x": [1, 2, 3, 4]})), expected)
    with pytest.raises(DataError, match=r"^column 'date', row 2: '20201332' is not a date of the form YYYYMMDD$"):
        encoder.transform(make[frame]({"date": [20200127, 20201332], "x": [1, 2]}))


@pytest.mark.parametrize(
    ("name", "numbers", "hint"),
    [
        ("created_time", 1.5e9 + np.arange(9.0), "perhaps seconds since 1970: as dates (2020-01-27) they would also"),
        ("timestamp", 1.5e12 + np.arange(9.0), "perhaps milliseconds since 1970: as dates"),
        ("date", 43_000 + np.arange(9.0), "perhaps days since 1900, as of spreadsheets: as dates"),
        ("date", np.array([20200101.0] * 8 + [20201332.0]), "nearly dates such as 20200127, but not all are: correct"),
        ("price", 1.5e9 + np.arange(9.0), None),
        ("time", 43_000 + np.arange(9.0), None),
        ("time", np.arange(9.0) * 3e8, None),
    ],
)
def test_numbers_that_may_be_times_are_said_to_be(name: str, numbers: Any, hint: str | None) -> None:
    treatment = pm.TableEncoder().fit({name: numbers, "x": np.arange(9.0)}).columns_[0].treatment
    assert treatment.startswith("scaled" + ("" if hint is None else f"; {hint}"))
    assert hint is not None or treatment == "scaled"


def test_what_pandas_writes_of_a_country_comes_back(tmp_path: Path) -> None:
    numbers = pd.DataFrame({"c": [1234.5, -0.25, 7.0], "x": [1, 2, 3]})
    numbers.to_csv(text := io.StringIO(), sep=";", decimal=",", index=False)
    (path := tmp_path / "t.csv").write_text(text.getvalue())
    assert_array_equal(pm.read_table(path, decimal=",").X["c"], numbers["c"])


@pytest.mark.parametrize("unit", ["kg", "m", "°C", "km/h", "m²", "kWh", "years", "cc"])
@pytest.mark.parametrize("blank", ["", " ", NO_BREAK])
def test_numbers_with_one_unit_of_measure_are_numbers(unit: str, blank: str, tmp_path: Path) -> None:
    numbers = [12.0, 7.5, -3.25, 1200.0]
    path = tmp_path / "data.tsv"
    path.write_text("x\n" + "".join(f"{number:,g}{blank}{unit}\n" for number in numbers) + "NA\n", encoding="utf-8")
    column = pm.read_table(path).X.column("x")
    assert column.reading == Reading("number", f".,{unit}")
    assert_array_equal(column.values, [*numbers, np.nan])
    assert is_number_form(column.reading.form)
    path.write_text("x\ty\n1\t5 kg\n2\t7 kg\n", encoding="utf-8")
    assert pm.read_table(path, target="y").y.tolist() == [5, 7]


@pytest.mark.parametrize(
    "cells", [["12 kg", "7 lb"], ["12a", "7"], ["kg", "7 kg"], ["007 kg", "12 kg"], ["1-2 kg", "3 kg"], ["A7", "A8"]]
)
def test_other_units_and_codes_stay_texts(cells: list[str], tmp_path: Path) -> None:
    path = tmp_path / "data.tsv"
    path.write_text("x\n" + "\n".join(cells) + "\n", encoding="utf-8")
    assert pm.read_table(path).X["x"].tolist() == cells


def test_a_unit_of_measure_may_not_be_another_one_later(tmp_path: Path) -> None:
    path = tmp_path / "data.tsv"
    for cell, reason in (
        ("7", "'7' has no unit, where the other cells of its column have 'kg'"),
        ("7 lb", "'7 lb' is not"),
    ):
        path.write_text(f"x\n12 kg\n{cell}\n", encoding="utf-8")
        with pytest.raises(DataError, match=re.escape(f"{path}:3:1: {reason}")):
            read_known_columns(path, {"x": Reading("number", ".kg")}, ReadingOptions())
